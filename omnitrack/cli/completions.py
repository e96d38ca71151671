"""The shell completion scripts in ``completions/``: ``python -m omnitrack.cli.completions completions`` writes them.

Each script asks the program itself through typer's protocol, so plug-ins and projects are completed as well; if the
program offers nothing, the shell completes file names.
"""

from __future__ import annotations

import sys
from pathlib import Path

# bash splits words at : and =, which occur in pair specs, devices and settings. The script therefore splits the line
# itself, and strips from each answer the part up to the last : or =, which bash keeps.
BASH = r"""# bash completion for omnitrack: source this file, or put it into ~/.local/share/bash-completion/completions/
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
"""

ZSH = r"""#compdef omnitrack
# zsh completion for omnitrack: put this file into a directory of $fpath
_omnitrack() {
    eval "$(_TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _OMNITRACK_COMPLETE=complete_zsh omnitrack)"
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _omnitrack "$@"
else
    compdef _omnitrack omnitrack
fi
"""

FISH = r"""# fish completion for omnitrack: put this file into ~/.config/fish/completions/
function __omnitrack
    env _OMNITRACK_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=$argv[1] \
        _TYPER_COMPLETE_ARGS=(commandline -cp) omnitrack
end
complete --command omnitrack --no-files --arguments "(__omnitrack get-args)" --condition "__omnitrack is-args"
"""

SCRIPTS = {"omnitrack.bash": BASH, "_omnitrack": ZSH, "omnitrack.fish": FISH}


def write_scripts(directory: Path) -> None:
    """Write every script of `SCRIPTS` into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in SCRIPTS.items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_scripts(Path(sys.argv[1]))
