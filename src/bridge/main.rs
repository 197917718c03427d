//! The binary `firstline-bridge`.

fn main() -> std::process::ExitCode {
    firstline::bridge::main()
}
