"""`omnitrack doctor`."""

from __future__ import annotations

from omnitrack.cli.session import Session

EXAMPLES = """
omnitrack doctor
omnitrack doctor --json                         to paste into a bug report
"""


def command(session: Session) -> None:
    """Show versions, devices, extras and plug-ins.

    Tells how to install what is missing.
    """
    from omnitrack.stages.doctor import examine

    session.report(examine())
