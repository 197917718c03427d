# Completes firstline's commands, options and their values in fish.

complete -c firstline -f

# Whether the word stands behind --, where there are no options: handle has its PROGRAM there, and send its TEXT.
function __firstline_is_behind_dashes
    contains -- -- (commandline -opc)
end

# PROGRAM or its arguments, as fish completes them elsewhere.
function __firstline_program
    set -l words (commandline -opc)
    set -l at (contains -i -- -- $words)
    set -e words[1..$at]
    set -l line (string join ' ' -- (string escape -- $words) (commandline -ct))
    complete -C "$line"
end

set -l commands journal send watch handle bench web bridge
set -l sizes '1M 16M 64M 256M 1G'

# Of the server.
set -l server "not __fish_seen_subcommand_from $commands"
complete -c firstline -n "$server" -a journal -d 'Read a journal'
complete -c firstline -n "$server" -a send -d 'Send a message'
complete -c firstline -n "$server" -a watch -d 'Print messages'
complete -c firstline -n "$server" -a handle -d 'Process messages by a program'
complete -c firstline -n "$server" -a bench -d 'Measure a server'
complete -c firstline -n "$server" -a web -d 'Show a page'
complete -c firstline -n "$server" -a bridge -d 'Send to an MQTT broker'
complete -c firstline -n '__fish_seen_subcommand_from web' -a '(__fish_print_hostnames)'
complete -c firstline -n "$server" -l listen -x -d 'Address, port or both'
complete -c firstline -n "$server" -l allow -x -a 'any local' -d 'Networks to let in'
complete -c firstline -n "$server" -l auth-file -r -F -d 'Ask clients for a token'
complete -c firstline -n "$server" -l workers -x -d 'Threads that serve clients'
complete -c firstline -n "$server" -l print -d 'Write every message to standard output'
complete -c firstline -n "$server" -l journal -x -a '(__fish_complete_directories)' -d 'Keep every message here'
complete -c firstline -n "$server" -l journal-size -x -a "$sizes" -d 'What the journal takes on the disk'
complete -c firstline -n "$server" -l sync -x -a 'all none (seq 0 9)' -d 'What to sync before the ACK'
complete -c firstline -n "$server" -l sync-interval -x -d 'Seconds until the others are synced'
complete -c firstline -n "$server" -l aging -x -a off -d 'Milliseconds that count as one priority'
complete -c firstline -n "$server" -l handle -x -a 'off (seq 0 9)' -d 'Handlers process this priority or higher'
complete -c firstline -n "$server" -l handle-wait -x -d 'Seconds to wait for a handler'
complete -c firstline -n "$server" -l handle-limit -x -d 'Seconds a handler may take in all'
complete -c firstline -n "$server" -l attempts -x -d 'Handlers that may lose a message'
complete -c firstline -n "$server" -l realtime -x -a off -d 'Process under SCHED_FIFO'
complete -c firstline -n "$server" -l per-address -x -a off -d 'Connections from one address'
complete -c firstline -n "$server" -l rate -x -a off -d 'Lines a second of a client'
complete -c firstline -n "$server" -l urgent-rate -x -a off -d 'Urgent messages a minute of a client'
complete -c firstline -n "$server" -l idle-grace -x -a off -d 'If full, evict a client idle for so long'
complete -c firstline -n "$server" -l line-timeout -x -a off -d 'Seconds a client may take for a line'
complete -c firstline -n "$server" -l idle-timeout -x -a off -d 'Seconds a client may send nothing'
complete -c firstline -n "$server" -l write-timeout -x -a off -d 'Seconds a client may read nothing'
complete -c firstline -n "$server" -l drain-timeout -x -d 'Seconds to answer what is left at the end'
complete -c firstline -n "$server" -l log-level -x -a 'error warn info debug trace off' -d 'What to log'
complete -c firstline -n "$server" -l log-file -r -F -d 'Where to log'
complete -c firstline -n "$server" -l log-size -x -a "$sizes" -d 'The log file and the old one together'
complete -c firstline -n "$server" -l sizes -d 'Print the memory budget'
complete -c firstline -n "$server" -s V -l version -d 'Print the version'

# Of all.
complete -c firstline -s h -l help -d 'Print the options'

set -l journal '__fish_seen_subcommand_from journal'
complete -c firstline -n "$journal" -a '(__fish_complete_directories)'
complete -c firstline -n "$journal" -l since -x -d 'Only messages after this ID'
complete -c firstline -n "$journal" -l last -x -d 'Only the last N'
complete -c firstline -n "$journal" -l min -x -a '(seq 0 9)' -d 'Only this priority or higher'
complete -c firstline -n "$journal" -l follow -d 'Then print new messages as they come'
complete -c firstline -n "$journal" -l json -d 'One JSON object a line'
complete -c firstline -n "$journal" -l check -d 'Verify all records'
complete -c firstline -n "$journal" -l resize -x -a "$sizes" -d 'Carry the history over to another size'

set -l send '__fish_seen_subcommand_from send'
complete -c firstline -n "$send; and not __firstline_is_behind_dashes" -a '(__fish_print_hostnames)'
complete -c firstline -n "$send" -s p -l priority -x -a '(seq 0 9)' -d 'How urgent'
complete -c firstline -n "$send" -l urgent -d 'Priority 9'
complete -c firstline -n "$send" -l high -d 'Priority 7'
complete -c firstline -n "$send" -l low -d 'Priority 1'
complete -c firstline -n "$send" -l token-file -r -F -d 'Show the token in this file'
complete -c firstline -n "$send" -l timeout -x -a off -d 'Seconds without an answer'
complete -c firstline -n "$send" -l retry -d 'Send unknown messages again'
complete -c firstline -n "$send" -l spool -x -a '(__fish_complete_directories)' -d 'Keep here what is not sent'
complete -c firstline -n "$send" -l flush -d 'Only send what the spool holds'

set -l watch '__fish_seen_subcommand_from watch'
complete -c firstline -n "$watch; and not __firstline_is_behind_dashes" -a '(__fish_print_hostnames)'
complete -c firstline -n "$watch" -l min -x -a '(seq 0 9)' -d 'Only this priority or higher'
complete -c firstline -n "$watch" -l since -x -a 'all last' -d 'Where to begin'
complete -c firstline -n "$watch" -l state -r -F -d 'Keep here how far it has printed'
complete -c firstline -n "$watch" -l json -d 'One JSON object a line'
complete -c firstline -n "$watch" -l count -x -d 'End after N messages'
complete -c firstline -n "$watch" -l timeout -x -a off -d 'Seconds without a message'
complete -c firstline -n "$watch" -l token-file -r -F -d 'Show the token in this file'

set -l handle '__fish_seen_subcommand_from handle'
complete -c firstline -n "$handle; and not __firstline_is_behind_dashes" -a '(__fish_print_hostnames)'
complete -c firstline -n "$handle; and __firstline_is_behind_dashes" -a '(__firstline_program)'
complete -c firstline -n "$handle" -l each -d 'Run the program once for each task'
complete -c firstline -n "$handle" -l min -x -a '(seq 0 9)' -d 'Only this priority or higher'
complete -c firstline -n "$handle" -l count -x -d 'Tasks at once'
complete -c firstline -n "$handle" -l timeout -x -a off -d 'Seconds the program may take for a task'
complete -c firstline -n "$handle" -l token-file -r -F -d 'Show the token in this file'

set -l bench '__fish_seen_subcommand_from bench'
complete -c firstline -n "$bench; and not __firstline_is_behind_dashes" -a '(__fish_print_hostnames)'
complete -c firstline -n "$bench" -l seconds -x -d 'How long a measurement takes'
complete -c firstline -n "$bench" -l rounds -x -d 'How many rounds'
complete -c firstline -n "$bench" -l only -x -a '1x1 32x1 32x32 urgent fan-out' -d 'Only these measurements'
complete -c firstline -n "$bench" -l save -r -F -d 'Write the medians here'
complete -c firstline -n "$bench" -l compare -r -F -d 'Compare with the medians here'
complete -c firstline -n "$bench" -l workers -x -d 'Workers of the server that is started'
complete -c firstline -n "$bench" -l token-file -r -F -d 'Show the token in this file'
complete -c firstline -n "$bench" -l force -d 'Flood a server that is in use, too'
