"""Everything a person reads: messages and errors, on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from omnitrack.errors import OmnitrackError


def make_console() -> Console:
    """A console on stderr that never guesses at colours inside text."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False)


def say(console: Console, text: str, label: str = "", style: str = "") -> None:
    """Print `text` as it is, without markup or wrapping, after a coloured label."""
    from rich.text import Text

    console.print(Text.assemble((label, style), text), soft_wrap=True)


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
