"""Everything a person reads: messages and errors, on stderr."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from omnitrack.errors import OmnitrackError

# What moves a cursor, recolours, begins a line or turns the direction of writing; and bytes of a name that are no text.
_ACTS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def make_console() -> Console:
    """A console on stderr that never guesses at colours inside text."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False)


def say(console: Console, text: str, label: str = "", style: str = "") -> None:
    """Print `text` in one line, without markup or wrapping, after a coloured label.

    Everything that is told passes here: names of files, and what is in files, never act on the terminal.
    """
    from rich.text import Text

    console.print(Text.assemble((label, style), printable(text)), soft_wrap=True)


def printable(text: str) -> str:
    r"""Text whose control characters are spelled out: ``\x1b`` for the one that begins a terminal's commands."""
    return _ACTS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_values(values: Any) -> Any:
    """Plain values whose texts and names are `printable`."""
    if isinstance(values, dict):
        return {printable_values(key): printable_values(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [printable_values(value) for value in values]
    return printable(values) if isinstance(values, str) else values


def show_error(console: Console, error: OmnitrackError) -> None:
    """Print ``error: MESSAGE`` and, after a blank line, ``hint: HINT``."""
    say(console, error.message, "error: ", "bold red")
    if error.hint:
        say(console, "")
        say(console, error.hint, "hint: ", "bold cyan")


def duration(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: float | str, digits: int = 4) -> str:
    """A value beside a bar: so many significant digits, large ones whole, text as it is."""
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def size_text(count: int) -> str:
    """Bytes as people write them: ``812 B``, ``1.5 kB``, ``20.7 GB``."""
    size, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.3g} {units[0]}"
