# For other scripts: `cross` itself, which is on nobody's PATH by chance.

# cross_binary WHO: prints where cross 0.2.5 is, for the script WHO. It is built once, and kept in ~/.cache/firstline.
cross_binary() {
    local root=${XDG_CACHE_HOME:-$HOME/.cache}/firstline/cross-0.2.5
    if [ ! -x "$root/bin/cross" ]; then
        echo "$1: building cross 0.2.5, once, into $root" >&2
        cargo install cross --version 0.2.5 --locked --root "$root" >&2
    fi
    echo "$root/bin/cross"
}

# stand_in_rustup DIRECTORY TOOLCHAIN: puts a rustup there that has this toolchain, and can do no more than say so.
# cross 0.2.5 cannot read what newer ones answer: it takes the active toolchain for missing, and updates it.
stand_in_rustup() {
    mkdir -p "$1"
    cat >"$1/rustup" <<RUSTUP
#!/bin/sh
if [ "\$*" = "toolchain list" ]; then echo "$2" && exit 0; fi
echo "cross asks for: rustup \$*" >&2
exit 1
RUSTUP
    chmod +x "$1/rustup"
}
