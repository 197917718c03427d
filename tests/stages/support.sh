# For the stages. Each stage is a script that tests/run or a user starts from any directory; it runs in the root
# of the source, and exits with 0 if it passed. A stage that cannot run here prints why, and exits with 77. For
# each part that it leaves out, a stage prints a line that begins with NOT RUN.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

source targets/debian.sh
source targets/usage.sh
answer_options "$0" "$@"

# are_there PROGRAM...: whether all of them are on the PATH.
are_there() {
    local program
    for program; do command -v "$program" >/dev/null || return 1; done
}

# The features of tests that need what not every machine has: rights, time, programs. All stages build with the same
# features, or each would compile the tests again. With alloc-guard, a server aborts when it allocates after "ready".
FEATURES=alloc-guard,emulated-board,realtime,disks,faults,soak,examples
if are_there strace; then FEATURES+=,strace; fi
if are_there ncat curl openssl ssh mosquitto_pub telnet; then FEATURES+=,clients; fi
if [ "$(id -u)" -eq 0 ]; then FEATURES+=,root; fi
# For builds in directories of their own: those of the server alone.
SERVER_FEATURES=$FEATURES
# The companions, if all stages run: stages that build with other features at the same time replace each other's server.
if [ -n "${FIRSTLINE_TEST_RELEASE:-}" ]; then FEATURES+=,web,bridge; fi
export FEATURES
# The tests wait for the server most of their time.
export RUST_TEST_THREADS=8

# Without optimization the tests compile in a third of the time, and the crates that they use in half of it; most of
# their time the tests wait.
export CARGO_PROFILE_DEV_OPT_LEVEL=0
# A panic names its file and line without debug information, too, which would take a ninth of the compile time.
export CARGO_PROFILE_DEV_DEBUG=none

# optimized COMMAND...: with the profile of Cargo.toml, for tests that compute. Those of the server share a directory.
optimized() (
    unset CARGO_PROFILE_DEV_OPT_LEVEL
    "$@"
)

# Kills at every step and random schedules, some hundred in each test: they do not depend on the processor, the workers or
# rights. The stages `guard` and `suite` run them, `guard` only if `tests/run` has arguments.
KILLS=(--skip a_kill_at_any_moment --skip watch_schedules:: --skip handle_schedules::)

# The tests of the real server that may depend on the processor or the workers: those of its journal do not, either.
SERVER=(--test server -- --skip journal:: --skip journal_command "${KILLS[@]}")

say() { printf '\n== %s (at %d s)\n' "$*" "$SECONDS"; }

# run_tests [ARGUMENT...]: runs cargo test with these arguments.
run_tests() { cargo test --features "$FEATURES" "$@"; }

# release: builds the release once; the tests use it from here on.
release() {
    cargo build --release --target-dir target/suite
    export FIRSTLINE_TEST_BINARY="$PWD/target/suite/release/firstline"
}

# guarded: builds the server that aborts when it allocates after "ready"; the tests use it from here on. It takes
# optimization: without it each move is a copy on the stack, and the threads' stacks are small.
guarded() {
    optimized cargo build --features "$SERVER_FEATURES" --bin firstline --target-dir target/optimized
    export FIRSTLINE_TEST_BINARY="$PWD/target/optimized/debug/firstline"
}

# usual_server: the tests use the release if all stages run, and otherwise the guarded server.
usual_server() {
    if [ -n "${FIRSTLINE_TEST_RELEASE:-}" ]; then release; else guarded; fi
}

# emulated BINARY RUNNER [ARGUMENT...]: the suite against a server for ARM, with these arguments for cargo.
emulated() {
    export FIRSTLINE_TEST_BINARY=$1 FIRSTLINE_TEST_RUNNER=$2
    shift 2
    say "the suite against ${FIRSTLINE_TEST_BINARY##*/}, by $FIRSTLINE_TEST_RUNNER"
    # The emulator handles signals itself, so an ignored signal cannot be tested there; and a server in an emulator
    # cannot start itself.
    run_tests "$@" "${SERVER[@]}" --skip shutdown::ignored_sighup_survives_the_terminal \
        --skip bench_command::own_server --skip bench_command::its_server
    unset FIRSTLINE_TEST_BINARY FIRSTLINE_TEST_RUNNER
}

# packages PACKAGE...: installs missing ones, or ends the stage.
packages() { install_packages tests/run "$@" || not_here "packages are missing: $*"; }

# needed_by PACKAGE...: the libraries that these Debian packages depend on and that are not installed here, by
# their names in this release; of alternatives the first.
needed_by() {
    apt-cache depends --important "$@" | awk '
        /^ *[|]?(Pre)?Depends: / { if (!other) print $2; other = /^ *[|]/ }' | grep '^lib' | sort -u |
        while read -r package; do
            dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || echo "$package"
        done
}

# packages_of DIRECTORY PACKAGE...: fetches Debian packages with the libraries that they need, once. A test
# unpacks them where it needs them; they are not installed.
packages_of() {
    local directory=$1 package all=() next
    shift
    mkdir -p "$directory"
    if [ "$(cat "$directory/of" 2>/dev/null)" = "$*" ]; then return; fi
    apt-cache show "$@" >/dev/null 2>&1 || update_package_lists
    next=("$@")
    while [ ${#next[@]} -gt 0 ]; do
        all+=("${next[@]}")
        mapfile -t next < <(comm -23 <(needed_by "${next[@]}") <(printf '%s\n' "${all[@]}" | sort -u))
    done
    for package in "${all[@]}"; do
        (cd "$directory" && apt-get download -qq -o APT::Sandbox::User=root "$package") ||
            (update_package_lists && cd "$directory" && apt-get download -qq -o APT::Sandbox::User=root "$package") ||
            return 1
    done
    # The list is written last: it shows that all are there.
    echo "$*" >"$directory/of"
}

# prepare_bridge_networks: prepares the tests of the bridge that make machines and their networks; those that cannot run
# here are in the array `skipped` then, as options of the test program.
prepare_bridge_networks() {
    local package mdns=$PWD/target/mdns-packages
    skipped=()
    if ! unshare --mount --net true; then
        echo "NOT RUN: bad cables, and names with .local: namespaces cannot be made"
        skipped+=(--skip cables:: --skip local_names::)
    elif ! packages_of "$mdns" avahi-daemon libnss-mdns; then
        echo "NOT RUN: names with .local: the packages avahi-daemon and libnss-mdns cannot be had"
        skipped+=(--skip local_names::)
    else
        for package in "$mdns"/*.deb; do dpkg-deb -x "$package" "$mdns/unpacked"; done
        export FIRSTLINE_TEST_MDNS=$mdns/unpacked
    fi
}

# verify_unit THRESHOLD BINARY UNIT [DROP-IN...]: whether systemd accepts UNIT, its socket if it has one, and these
# drop-ins, and rates the exposure of the service as no higher than THRESHOLD.
verify_unit() (
    threshold=$1 binary=$2 unit=$3
    shift 3
    # systemd-analyze checks that the started program exists.
    root=$(mktemp -d)
    # The function runs in a subshell, which ends with it.
    trap 'rm -r "$root"' EXIT
    install -D "$binary" "$root/usr/bin/${binary##*/}"
    sed "s|^ExecStart=/|ExecStart=$root/|" "deploy/$unit.service" >"$root/$unit.service"
    # Of a template, an instance.
    units=("$root/${unit/%@/@valve}.service")
    if [ -e "deploy/$unit.socket" ]; then
        cp "deploy/$unit.socket" "$root"
        units+=("$root/$unit.socket")
    fi
    for drop_in; do install -D -m 644 "deploy/$unit-$drop_in.conf" "$root/$unit.service.d/$drop_in.conf"; done
    # It also succeeds after a warning about an unknown key. The manual pages are not installed here.
    said=$(systemd-analyze verify --man=no "${units[@]}" 2>&1) || true
    if [ -n "$said" ]; then
        echo "$said" >&2
        exit 1
    fi
    systemd-analyze security --offline=true --threshold="$threshold" "$root/$unit.service" | tail -n 1
)

# not_here REASON: ends a stage that cannot run here.
not_here() {
    echo "NOT RUN: $*" >&2
    exit 77
}
