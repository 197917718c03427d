# For the stages: each is a script that is run from the root of the source, by tests/run or by itself, and ends well if it passed.
# One that cannot be run here exits with 77, after it has said why; of what is left out of a stage that is run, each part is told by a
# line that begins with NOT RUN.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

source targets/debian.sh
source targets/cross.sh

# The tests of the real server, but for those of its journal: its disk is the same whoever runs it, and 200 kills take long.
SERVER=(--test server -- --skip journal::)

# Tests that need rights, time, or packages of their own. They change nothing of the server, so all are built at once.
FEATURES=emulated-board,realtime,disks,faults,soak,examples
# They wait for the server most of their time.
export RUST_TEST_THREADS=8

say() { printf '\n== %s (at %d s)\n' "$*" "$SECONDS"; }

# Builds the release server; the tests then speak to that one. They themselves are built without optimization: that is quicker, and
# checks more.
release() {
    cargo build --release --target-dir target/suite
    export FIRSTLINE_TEST_BINARY="$PWD/target/suite/release/firstline"
}

# quick NAME [ARGUMENT...]: builds a server that is optimized, but built in a fraction of the time, with these arguments for cargo; the
# tests then speak to that one, which is kept as target/quick/NAME: the next build takes its place. For stages that look at what it
# does and not at how fast.
quick() {
    local name=$1
    shift
    cargo build --profile quick --bin firstline --target-dir target/quick "$@"
    cp target/quick/quick/firstline "target/quick/$name"
    export FIRSTLINE_TEST_BINARY="$PWD/target/quick/$name"
}

# not_here REASON: ends the stage, which cannot be run here.
not_here() {
    echo "NOT RUN: $*" >&2
    exit 77
}
