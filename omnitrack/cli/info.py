"""`omnitrack info`."""

from __future__ import annotations

from omnitrack.cli.console import size_text
from omnitrack.cli.options import HERE, ProjectArgument
from omnitrack.cli.session import Session

EXAMPLES = """
omnitrack info clip
omnitrack info clip --json
"""
COLOURS = {"ready": "green", "missing": "dim", "unfinished": "yellow", "stale": "yellow"}
WRONG = "red"  # damaged, in use


def command(session: Session, project: ProjectArgument = HERE) -> None:
    """Show what a project contains and what to do next.

    Stale products are listed with the reason and the command that renews them.
    """
    from omnitrack.stages.cuts import cuts_sentence
    from omnitrack.stages.info import inspect_project

    report = inspect_project(session.project(project))
    if session.as_json:
        session.report(report)
        return
    width, height = report.size
    session.say(f"{report.project}: {report.frames} frames of {width}x{height} at {report.fps:g} fps, {report.source}")
    if report.cuts:
        session.say(f"  {cuts_sentence(report.cuts)}")
    longest = max(len(product.name) for product in report.products)
    for product in report.products:
        about = product.reason if product.reason else size_text(product.bytes)
        about += f", {product.note}" if product.note else ""
        renew = f" ({product.command})" if product.state in ("stale", "unfinished", "damaged") else ""
        colour = COLOURS.get(product.state, WRONG)
        session.say(f"{about}{renew}", f"  {product.name:<{longest}}  {product.state:<10}  ", colour)
    session.say(f"  {size_text(report.bytes)} in all")
    session.say(report.next_command, "next: ", "bold green")
