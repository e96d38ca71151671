"""One file per subcommand: parse, call the stage, show its report."""
