# bash completion for omnitrack: source this file, or put it into ~/.local/share/bash-completion/completions/
_omnitrack() {
    local IFS=$' \t\n' line=${COMP_LINE:0:COMP_POINT} words word
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word=${words[-1]}
    IFS=$'\n'
    COMPREPLY=($(COMP_WORDS="$line" COMP_CWORD=$((${#words[@]} - 1)) _OMNITRACK_COMPLETE=complete_bash omnitrack))
    COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*[:=]}"}"}")
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -o default -F _omnitrack omnitrack
