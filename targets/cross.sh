# For other scripts: how `cross` is called.

CROSS_VERSION=0.2.5

# stand_in_rustup DIRECTORY TOOLCHAIN: writes a script named rustup to that directory, which only reports that it has
# this toolchain. That release of cross cannot read the output of newer rustups: it concludes that the active toolchain
# is missing, and updates it.
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
