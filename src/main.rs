//! The binary. In a build for the model checker it is empty: see [`firstline::sync`].

#[cfg(not(loom))]
mod program;

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    program::main()
}

#[cfg(loom)]
fn main() {}
