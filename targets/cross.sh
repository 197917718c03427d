# For other scripts: finds or builds `cross`.

# cross_binary SCRIPT: prints the path of cross 0.2.5. Builds it once, and keeps it in ~/.cache/firstline.
cross_binary() {
    local root=${XDG_CACHE_HOME:-$HOME/.cache}/firstline/cross-0.2.5
    if [ ! -x "$root/bin/cross" ]; then
        echo "$1: building cross 0.2.5, once, into $root" >&2
        cargo install cross --version 0.2.5 --locked --root "$root" >&2
    fi
    echo "$root/bin/cross"
}

# stand_in_rustup DIRECTORY TOOLCHAIN: writes a script named rustup to that directory, which only reports that it has
# this toolchain. cross 0.2.5 cannot read the output of newer rustups: it concludes that the active toolchain is
# missing, and updates it.
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
