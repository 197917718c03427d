#!/bin/sh
# Sends one message to firstline and waits for its ACK. Needs: sh, timeout, and an nc, whichever it is.
#
#   send.sh HOST PORT TEXT [PRIORITY]          PRIORITY: 0 to 9, 9 is the most urgent; 4 if left out
#
# Exit: 0 acknowledged (prints the ACK), 1 refused or perhaps done, 2 wrong usage, 3 no ACK after TRIES tries (60).
# If the server is gone before its ACK is here, the message is sent again: it is never lost, but it may be there twice.
# Where the server asks for a token: TOKEN=... send.sh HOST PORT TEXT
if [ $# -lt 3 ] || [ $# -gt 4 ]; then
    sed -n 's/^#  *send.sh/usage: send.sh/p' "$0" >&2
    exit 2
fi
# A line feed would end the line, and what follows it would be the next one.
text=$(printf '%s' "$3" | tr '\n' ' ')

# Line 1 is the token, or blank, which gets no reply. Line 2 is the message; after /PRIORITY a text may begin with a
# slash. At /quit the server answers all and closes, so that every nc ends. Handlers: 30 s of waiting, 30 s of work.
say() {
    printf '%s\n/%s %s\n/quit\n' "${TOKEN:+/auth $TOKEN}" "${4:-4}" "$text" | timeout 75 nc "$1" "$2" 2>&1
}

try=0
while [ "$try" -lt "${TRIES:-60}" ]; do
    try=$((try + 1))
    said=$(say "$@")
    reply=$(printf '%s\n' "$said" | grep -m 1 -E '^(ACK 2|NAK 2|ERR [012]) ')
    case $reply in
    ACK*) echo "$reply" && exit 0 ;;
    # Another try would end the same way, or do twice what a handler has done.
    "NAK 2 handler-"* | *" too-long" | *" empty" | *" not-"* | *"-token"* | "ERR 2 "*)
        echo "send.sh: not sent again: $reply" >&2 && exit 1 ;;
    esac
    if [ "$try" -eq 1 ]; then echo "send.sh: no ACK from $1 port $2, trying again: ${reply:-${said:-no answer}}" >&2; fi
    sleep 1
done
echo "send.sh: no ACK from $1 port $2 after $try tries: ${reply:-${said:-no answer}}" >&2
exit 3
