# For other scripts: programs that cargo builds, and that firstline is built or tested with.

# cargo_tool SCRIPT NAME VERSION: prints the path of that program. Builds it once, and keeps it in ~/.cache/firstline.
cargo_tool() {
    local root=${XDG_CACHE_HOME:-$HOME/.cache}/firstline/$2-$3
    if [ ! -x "$root/bin/$2" ]; then
        echo "$1: building $2 $3, once, into $root" >&2
        # For this machine, whatever the caller builds for. It runs for seconds, so it is not worth an optimization.
        env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=false \
            cargo install "$2" --version "$3" --locked --debug --root "$root" >&2 || {
            echo "$1: $2 cannot be built; that takes a network, once" >&2
            return 1
        }
    fi
    echo "$root/bin/$2"
}
