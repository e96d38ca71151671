"""``python -m omnitrack`` and the ``omnitrack`` executable."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit status."""
    from omnitrack.cli.app import execute
    from omnitrack.cli.failures import stop_on_sigterm

    stop_on_sigterm()
    sys.exit(execute(sys.argv[1:]))


if __name__ == "__main__":
    main()
