"""Messages and errors for the user, on stderr."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from omnitrack.errors import OmnitrackError

# Characters that move the cursor, set colours, start a line or change the text direction, and undecodable bytes.
_ACTS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def make_console() -> Console:
    """Return a console on stderr without automatic highlighting."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False)


def say(console: Console, text: str, label: str = "", style: str = "") -> None:
    """Print `text` on one line, without markup or wrapping, after a coloured label.

    All output passes through here, so file names and file contents cannot control the terminal.
    """
    from rich.text import Text

    console.print(Text.assemble((label, style), printable(text)), soft_wrap=True)


def printable(text: str) -> str:
    r"""Escape the control characters of a text: ``\x1b`` for the one that starts a terminal's escape sequences."""
    return _ACTS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_values(values: Any) -> Any:
    """Apply `printable` to all texts and keys of plain values."""
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
    """Format seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: float | str, digits: int = 4) -> str:
    """Format a value for a progress bar: `digits` significant digits, large values as integers, text unchanged."""
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def size_text(count: int) -> str:
    """Format a number of bytes: ``812 B``, ``1.5 kB``, ``20.7 GB``."""
    size, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.3g} {units[0]}"
