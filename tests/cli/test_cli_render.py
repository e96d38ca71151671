"""What `omnitrack render` passes to its stage for the styles that draw no tracks, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnitrack.cli import options
from omnitrack.stages.render_inputs import RenderInputs
from omnitrack.stages.render_styles import FIELD_STYLES, STYLES, TRACK_STYLES
from omnitrack.tracks.files import save_tracks
from omnitrack.tracks.tracks import Tracks

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The calls of the stage, which renders nothing."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def render(*arguments: Any, **named: Any) -> dict[str, Any]:
        calls.append((arguments, named))
        return {"style": arguments[3]}

    monkeypatch.setattr("omnitrack.stages.render.render", render)
    return calls


def last_query(project: Path) -> None:
    zeros = np.zeros((2, 12), np.float32)
    queries, points = np.zeros((2, 3), np.float32), np.zeros((2, 12, 2), np.float32)
    tracks = Tracks(queries, points, zeros > -1, zeros, zeros, np.arange(12), (128, 96), 25.0)
    save_tracks(tracks, project / "tracks" / "tracks.npz")


def test_a_drawing_and_its_frame(cli: Cli, project: Path, asked: list[Any]) -> None:
    last_query(project)
    words = ["--style", "edit", "--edit", "art/logo.png", "--frame", "3", "-o", "out.mp4"]
    assert cli("render", str(project), *words)[0] == 0
    _, settings, tracks, style, output, device, _, inputs = asked[0][0]
    assert (style, output, device, tracks) == ("edit", Path("out.mp4"), "auto", None)
    assert inputs == RenderInputs(edit=Path("art/logo.png"))
    assert settings.render.frame == 3


@pytest.mark.parametrize("style", STYLES)
def test_only_styles_that_draw_tracks_read_the_last_query(
    cli: Cli, project: Path, asked: list[Any], style: str
) -> None:
    last_query(project)
    assert cli("render", str(project), "--style", style)[0] == 0
    _, _, tracks, *_, inputs = asked[0][0]
    assert (tracks is not None) == (style in TRACK_STYLES)
    assert inputs == RenderInputs()


def test_places_labels_and_the_plain_frame(cli: Cli, project: Path, asked: list[Any]) -> None:
    words = ["--point", "3,4@1", "--mask", "m.png@2", "--labels", "names.csv", "--side-by-side"]
    assert cli("render", str(project), "--style", "stabilise", *words)[0] == 0
    _, settings, *_, inputs = asked[0][0]
    assert inputs == RenderInputs(None, "3,4@1", "m.png@2", "names.csv")
    assert settings.render.side_by_side


def test_edit_without_a_drawing(cli: Cli, project: Path) -> None:
    example = f"for example: omnitrack render {project} --style edit --edit logo.png --frame 0"
    assert cli("render", str(project), "--style", "edit") == (
        2,
        "",
        f"error: --style edit needs a drawing\n\nhint: {example}\n",
    )


def test_a_drawing_without_edit(cli: Cli, project: Path) -> None:
    status, out, err = cli("render", str(project), "--edit", "logo.png")
    assert (status, out) == (2, "")
    assert err.startswith("error: --edit logo.png is for --style edit, not for --style trails\n\nhint: for example: ")


def test_a_drawing_that_is_not_there(cli: Cli, project: Path, tmp_path: Path) -> None:
    path = tmp_path / "logo.png"
    status, _, err = cli("render", str(project), "--style", "edit", "--edit", str(path), "--frame", "2")
    assert status == 1
    frame = project / "frames" / "000002.png"
    assert err == f"error: there is no drawing at {path}\n\nhint: draw one on a layer of its own over {frame}\n"


def test_a_frame_beyond_the_clip(cli: Cli, project: Path) -> None:
    status, _, err = cli("render", str(project), "--style", "edit", "--edit", "logo.png", "--frame", "12")
    assert status == 1
    assert err.startswith(f"error: there is no frame 12 in project {project}, its frames are 0 to 11\n\nhint: ")


def test_help_names_every_style(cli: Cli) -> None:
    text = " ".join(cli("render", "--help")[1].split())
    assert f"What to draw: {', '.join(STYLES)}." in text
    assert "--style edit --edit logo.png" in text


def test_a_run_knows_no_drawing(cli: Cli) -> None:
    status, _, err = cli("run", "clip.mp4", "--style", "edit")
    assert status == 2
    assert err.startswith("error: invalid value for '--style': 'edit' is not one of points, ")
    known = ", ".join(name for name in STYLES if name not in ("edit", "matte"))
    assert f"What to draw: {known}." in " ".join(cli("run", "--help")[1].split())


def test_every_style_has_its_painter() -> None:
    from omnitrack.stages.render_field_styles import FIELD_PAINTERS
    from omnitrack.stages.render_track_styles import TRACK_PAINTERS

    assert tuple(TRACK_PAINTERS) == TRACK_STYLES
    assert tuple(FIELD_PAINTERS) == FIELD_STYLES
    assert (*TRACK_STYLES, *FIELD_STYLES, "stabilise", "edit", "matte") == options.STYLES
