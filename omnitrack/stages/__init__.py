"""One file per subcommand: the job itself, over a project and settings; prints nothing."""
