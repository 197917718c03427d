#!/bin/sh
# Does what a message says, if it is in the list below, and answers its sender. Needs: sh, and a server with --handle.
#
#   firstline handle --each raspberrypi -- ./handler-each.sh
#   firstline send raspberrypi disk                           prints: 17 = 71% of / is used
#
# A text comes from anybody who may send, so do not make code of it (eval, sh -c): compare it, as here. The last line of
# the output is the answer. Exit status: 0 it is done; 75 not now, the server gives it again; another one, not done.
IFS= read -r text
case $text in
disk) df -P / | awk 'NR == 2 { print $5 " of / is used"; found = 1 } END { exit !found }' ;;
kernel) uname -sr ;;
"backup now")
    # Only one at a time: while another one runs, the answer is later.
    exec 9>"${BACKUP_LOCK:-/tmp/handler-backup.lock}" && flock -n 9 || exit 75
    ${BACKUP:-/usr/local/bin/backup} >&2 || { echo "the backup failed with $?" && exit 1; }
    echo "the backup is done"
    ;;
*)
    echo "not understood; there are: disk, kernel, backup now"
    exit 1
    ;;
esac
