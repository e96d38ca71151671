"""A rendered video in a notebook: it plays, and loops."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest

from omnitrack.stages import shown_video
from omnitrack.stages.render import RenderReport
from omnitrack.stages.shown_video import as_html
from omnitrack.video.writing import VideoWriter


@pytest.mark.parametrize(
    ("name", "tag"), [("a.mp4", "video"), ("a.webm", "video"), ("a.gif", "img"), ("a.webp", "img")]
)
def test_it_plays_in_a_loop(tmp_path: Path, name: str, tag: str) -> None:
    with VideoWriter(tmp_path / name, 10.0, (32, 32)) as writer:
        for level in (0, 200):
            writer.write(np.full((32, 32, 3), level, np.uint8))
    content = (tmp_path / name).read_bytes()
    shown = RenderReport("trails", str(tmp_path / name), 2, (32, 32), 1, 0.1)._repr_html_()
    assert shown.startswith(f'<{tag} src="data:{tag.replace("img", "image")}/{name[2:]};base64,')
    assert b64decode(shown.split("base64,")[1].split('"')[0]) == content
    if tag == "video":
        assert " loop " in shown
    elif name.endswith("gif"):
        at = content.index(b"NETSCAPE2.0")  # the block with the number of loops: 3, 1, and 0 for ever
        assert content[at + 11 : at + 15] == b"\x03\x01\x00\x00"
    else:
        at = content.index(b"ANIM")  # size (4), background (4), and 0 for ever
        assert content[at + 12 : at + 14] == b"\x00\x00"


def test_what_cannot_play_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert as_html(tmp_path / "<a>_%06d.png") == f"<code>{tmp_path}/&lt;a&gt;_%06d.png</code>"
    assert as_html(tmp_path / "gone.mp4") == f"<code>{tmp_path}/gone.mp4</code>"
    (tmp_path / "long.mp4").write_bytes(b"0123")
    monkeypatch.setattr(shown_video, "MOST_BYTES", 3)
    assert as_html(tmp_path / "long.mp4") == f"<code>{tmp_path}/long.mp4</code>"
