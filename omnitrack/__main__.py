"""``python -m omnitrack`` and the ``omnitrack`` executable."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its status."""
    from omnitrack.cli.failures import explain, stop_on_signals

    arguments = sys.argv[1:]
    stop_on_signals()
    try:
        from omnitrack.cli.app import execute

        status = execute(arguments)
    except KeyboardInterrupt as stopped:  # during the imports
        failure = explain(stopped, arguments)
        status = failure.exit_status
        sys.stderr.write(f"error: {failure.message}\n\nhint: {failure.hint}\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
