# For the stages: each is a script that is run from the root of the source, by tests/run or by itself, and ends well if it passed.
# One that cannot be run here exits with 77, after it has said why; of what is left out of a stage that is run, each part is told by a
# line that begins with NOT RUN.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

source targets/debian.sh
source targets/cross.sh
source targets/usage.sh
answer_options "$0" "$@"

# are_there PROGRAM...: whether all of them are on the PATH.
are_there() {
    local program
    for program; do command -v "$program" >/dev/null || return 1; done
}

# What tests take that not every machine has: rights, time, programs. All stages build with the same features, or each would compile the
# tests anew. With alloc-guard the server that cargo builds along with them ends itself when it allocates after "ready".
FEATURES=alloc-guard,emulated-board,realtime,disks,faults,soak,examples
if are_there strace; then FEATURES+=,strace; fi
if are_there ncat curl openssl ssh mosquitto_pub telnet; then FEATURES+=,clients; fi
if [ "$(id -u)" -eq 0 ]; then FEATURES+=,root; fi
export FEATURES
# They wait for the server most of their time.
export RUST_TEST_THREADS=8

# The tests of the real server, but for those of its journal: its disk is the same whoever runs it, and 200 kills take long.
SERVER=(--test server -- --skip journal:: --skip journal_command)

say() { printf '\n== %s (at %d s)\n' "$*" "$SECONDS"; }

# run_tests [ARGUMENT...]: of cargo test.
run_tests() { cargo test --features "$FEATURES" "$@"; }

# release: the tests speak to the release then, which is built once.
release() {
    cargo build --release --target-dir target/suite
    export FIRSTLINE_TEST_BINARY="$PWD/target/suite/release/firstline"
}

# usual_server: the tests speak to the release then if all stages are run, or else to the server that cargo builds along with them.
usual_server() {
    if [ -n "${FIRSTLINE_TEST_RELEASE:-}" ]; then release; fi
}

# packages PACKAGE...: has these installed, or else ends the stage.
packages() { install_packages tests/run "$@" || not_here "packages are missing: $*"; }

# not_here REASON: ends the stage, which cannot be run here.
not_here() {
    echo "NOT RUN: $*" >&2
    exit 77
}
