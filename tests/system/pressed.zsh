# What a line becomes when a user of zsh presses Tab at its end, on a terminal of its own.
#
#   zsh -f tests/system/pressed.zsh COMPLETIONS LINE
#
# COMPLETIONS is a directory; LINE begins with firstline. The caller bounds the time.
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "fpath=(${(q)1} \$fpath); autoload -U compinit; compinit -u -D
    show() { print -r -- \"<\$BUFFER>\" }; zle -N show; bindkey '^X' show"
zpty -w -n shell "$2"$'\t\x18'
zpty -r shell said '*<firstline*>*'
said=${said##*<}
print -r -- "${said%%>*}"
zpty -d shell
