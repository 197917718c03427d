# Completes firstline's commands, options and their values in bash.

_firstline() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command="" words="" index
    # An option and its value may be one word to the user, and are three here.
    if [ "$word" = = ]; then
        word=
    elif [ "$previous" = = ] && [ "$COMP_CWORD" -gt 2 ]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if [ "$COMP_CWORD" -gt 1 ]; then
        case ${COMP_WORDS[1]} in
        journal | send | watch | handle | bench | web | bridge) command=${COMP_WORDS[1]} ;;
        esac
    fi

    # Behind -- there are no options: handle has its PROGRAM there, and send its TEXT.
    for ((index = 2; index < COMP_CWORD; index++)); do
        [ "${COMP_WORDS[index]}" = -- ] || continue
        if [ "$command" = handle ]; then _firstline_program $((index + 1)); fi
        return
    done

    compopt -o filenames 2>/dev/null
    case $command:$previous in
    :--auth-file | :--log-file | send:--token-file | watch:--token-file | watch:--state | handle:--token-file | \
        bench:--token-file | bench:--save | bench:--compare)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    :--journal | send:--spool)
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
        return
        ;;
    esac
    compopt +o filenames 2>/dev/null

    case $command:$previous in
    journal:--min | watch:--min | handle:--min | send:-p | send:--priority) words='0 1 2 3 4 5 6 7 8 9' ;;
    :--handle) words='off 0 1 2 3 4 5 6 7 8 9' ;;
    :--allow) words='any local' ;;
    :--sync) words='all none 0 1 2 3 4 5 6 7 8 9' ;;
    :--log-level) words='error warn info debug trace off' ;;
    :--journal-size | :--log-size | journal:--resize) words='1M 16M 64M 256M 1G' ;;
    :--aging | :--realtime | :--per-address | :--rate | :--urgent-rate) words=off ;;
    :--idle-grace | :--line-timeout | :--idle-timeout | :--write-timeout) words=off ;;
    send:--timeout | watch:--timeout | handle:--timeout) words=off ;;
    bench:--only) words='1x1 32x1 32x32 urgent fan-out' ;;
    watch:--since) words='all last' ;;
    :--listen | :--workers | :--sync-interval | :--drain-timeout | :--handle-wait | :--handle-limit | :--attempts) ;;
    journal:--since | journal:--last | watch:--count | handle:--count | bench:--seconds | bench:--rounds | \
        bench:--workers) ;;
    *) _firstline_words ;;
    esac
    mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$words" -- "$word")
}

# PROGRAM and its arguments, which begin at that index: as the package bash-completion has it, or else a command and
# files.
_firstline_program() {
    if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$1"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif [ "$COMP_CWORD" -eq "$1" ]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -c -- "$word")
    else
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}

# What may stand where no value is due: options, a command, a host, a directory.
_firstline_words() {
    case $command in
    journal) words='--since --last --min --follow --json --check --resize --help' ;;
    send) words='--priority --urgent --high --low --token-file --timeout --retry --spool --flush --help' ;;
    watch) words='--min --since --state --json --count --timeout --token-file --help' ;;
    bench) words='--seconds --rounds --only --save --compare --workers --token-file --force --help' ;;
    handle) words='--min --count --each --timeout --token-file --help' ;;
    web | bridge) ;;
    *)
        words='--listen --allow --auth-file --workers --print --journal --journal-size --sync --sync-interval --aging
            --handle --handle-wait --handle-limit --attempts --realtime --per-address --rate --urgent-rate
            --idle-grace --line-timeout --idle-timeout --write-timeout
            --drain-timeout --log-level --log-file --log-size --sizes --version --help'
        if [ "$COMP_CWORD" -eq 1 ]; then words+=' journal send watch handle bench web bridge'; fi
        ;;
    esac
    [[ $word == -* ]] && return
    case $command in
    journal)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
        ;;
    send | watch | handle | bench | web) mapfile -t COMPREPLY < <(compgen -A hostname -- "$word") ;;
    esac
    if [ -n "$command" ]; then words=; fi
}

complete -F _firstline firstline
