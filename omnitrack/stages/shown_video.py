"""A video or image that a notebook plays in a loop: an .mp4 cannot request looping, a page can."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from pathlib import Path

MOST_BYTES = 32 << 20  # embedded in a notebook, which stores it
WIDTH = 720  # CSS pixels, at most
VIDEOS, PICTURES = {".mp4": "video/mp4", ".webm": "video/webm"}, {".gif": "image/gif", ".webp": "image/webp"}


def as_html(path: Path) -> str:
    """Return HTML that plays the file; only its name if no browser can play it, it is large, or it no longer exists."""
    kind = {**VIDEOS, **PICTURES}.get(path.suffix.lower())
    if kind is None or not path.is_file() or path.stat().st_size > MOST_BYTES:
        return f"<code>{escape(str(path))}</code>"
    source = f'src="data:{kind};base64,{b64encode(path.read_bytes()).decode()}" style="max-width:min(100%,{WIDTH}px)"'
    if path.suffix.lower() in PICTURES:
        return f'<img {source} alt="{escape(path.name)}">'
    return f'<video {source} autoplay loop muted controls playsinline aria-label="{escape(path.name)}"></video>'
