#!/bin/bash
# Prints what others say to firstline as MSG lines, and connects again by itself. Needs: bash (its /dev/tcp), and no nc.
#
#   listen.sh HOST PORT [MIN [SINCE]]     MIN: from that priority on. SINCE: those after that ID first, from the journal
#
# A server with a journal sends what was said meanwhile: none is missing, none comes twice, LOST K says where it has K
# no more. Without a journal, what is said while this is not connected is lost. Ends only if refused. A token: TOKEN=...
[ $# -ge 2 ] || { sed -n 's/^#  *listen.sh/usage: listen.sh/p' "$0" >&2 && exit 2; }
host=$1 port=$2 min=${3:-0} last=${4:-} told=
trap '' PIPE # When the server is gone, say fails; it must not end this.
say() { printf '%s\n' "$1" >&3; } 2>/dev/null
tell() { [ "$1" = "$told" ] || echo "listen.sh: ${told:=$1}" >&2; }
session() { # Until the connection ends.
    local line part='' silent=0 id newest=0 joined=''
    say "${TOKEN:+/auth $TOKEN}" # Line 1; a blank one gets no reply.
    say "/last 1"                # Line 2: is there a journal, and which is its newest message?
    while :; do
        if IFS= read -r -t 20 line <&3; then
            line=$part$line part='' silent=0
        elif [ $? -gt 128 ] && [ $((silent += 1)) -lt 3 ]; then # Is it still there?
            part+=$line && say /ping && continue
        else
            return
        fi
        case $line in
        "MSG "* | "LOST "*) [ -z "$joined" ] || printf '%s\n' "$line" || exit ;;&
        "MSG "*) read -r _ id _ <<<"$line" && if [ "$joined" ]; then last=$id; else newest=$id; fi ;;
        "OK 2") [ "${last:=$newest}" -le "$newest" ] || last=0 # Another history than before: all of it is new.
            joined=yes && say "/join $min since $last" ;;
        "ERR 2 no-journal"*) joined=yes && say "/join $min" ;;
        "ERR 0 "* | ERR*" shutting-down"* | ERR*" journal-failed"*) tell "$line" && return ;;
        "ERR "*) tell "refused: $line" && exit 1 ;;
        "OK 3") told='' ;;
        esac
    done
}
while :; do
    if { exec 3<>"/dev/tcp/$host/$port"; } 2>/dev/null; then session; else tell "no connection to $host port $port"; fi
    sleep 1
done
