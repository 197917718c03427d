#!/bin/bash
# Runs a command on each urgent message to firstline, one after the other. Needs: bash, and listen.sh beside it.
#
#   on-urgent.sh HOST PORT COMMAND [ARGUMENT...]          on-urgent.sh raspberrypi 9090 mail -s firstline me@example.org
#
# The command gets the text as standard input, and ID, PRIORITY and FROM in its environment. A text comes from anybody,
# so do not make code of it (eval, sh -c). What cannot be printed is \xNN in it. A command that fails is told, not run
# again. STATE=FILE keeps the ID of the last message that the command was run on; started again, this goes on after it.
# If this is stopped between the two, the command is run again. That, and a restart of the server, take a server with a
# journal: without one, what is urgent while this is not connected is missed. MIN=9 is about the most urgent only. A
# token: TOKEN=...
if [ $# -lt 3 ]; then
    sed -n 's/^#  *\(on-urgent.sh.*COMMAND [^ ]*\).*/usage: \1/p' "$0" >&2
    exit 2
fi
host=$1 port=$2 since=
shift 2
if [ -s "${STATE:=/dev/null}" ]; then read -r since <"$STATE"; fi
# Remembers an ID; a power cut leaves the old one or the new one.
keep() {
    if [ "$STATE" = /dev/null ]; then return; fi
    echo "$1" >"$STATE.new" && sync "$STATE.new" && mv "$STATE.new" "$STATE"
}

exec 3< <("$(dirname "$0")/listen.sh" "$host" "$port" "${MIN:-7}" "$since")
listener=$!
trap 'kill "$listener" 2>/dev/null' EXIT
while read -r word ID PRIORITY FROM text <&3; do
    if [ "$word" = LOST ]; then
        echo "on-urgent.sh: $ID messages are lost" >&2
        continue
    fi
    export ID FROM PRIORITY=${PRIORITY#p}
    printf '%s\n' "$text" | "$@" 3<&- || echo "on-urgent.sh: message $ID: $1 ended with $?" >&2
    keep "$ID"
done
wait "$listener"
