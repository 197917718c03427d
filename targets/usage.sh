# For other scripts: their options.

# answer_options SCRIPT ARGUMENT...: for --help, prints the comment at the head of the script, and ends it; refuses any
# other option.
answer_options() {
    local script=$1 argument
    shift
    for argument; do
        case $argument in
        -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$script" && exit ;;
        -*) echo "$script: no option $argument; see: $script --help" >&2 && exit 2 ;;
        esac
    done
}
