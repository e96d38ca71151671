# fish completion for omnitrack: put this file into ~/.config/fish/completions/
function __omnitrack
    env _OMNITRACK_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=$argv[1] \
        _TYPER_COMPLETE_ARGS=(commandline -cp) omnitrack
end
complete --command omnitrack --no-files --arguments "(__omnitrack get-args)" --condition "__omnitrack is-args"
