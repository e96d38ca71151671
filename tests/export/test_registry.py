"""The table of formats: every entry can be written, packages can add to it, and `Tracks.save` finds them."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from omnitrack.errors import OmnitrackError
from omnitrack.export import formats
from omnitrack.export.contract import HIDDEN, ExportFormat, Trajectories
from omnitrack.tracks.tracks import Tracks

MINE = ExportFormat("mine", ".mine", "names only", lambda found: [",".join(found.names)])


@pytest.fixture
def plug_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that offers three formats, only one of them valid."""
    entries = [EntryPoint(name, f"{__name__}:{value}", formats.ENTRY_POINTS) for name, value in PLUG_INS.items()]
    monkeypatch.setattr(formats, "entry_points", lambda group: [e for e in entries if e.group == group])


PLUG_INS = {"mine": "MINE", "broken": "nothing", "wrong": "PLUG_INS"}


@pytest.mark.parametrize("name", formats.BUILT_IN)
def test_every_format_says_what_it_does_and_where_from(name: str) -> None:
    found = formats.get_format(name)
    assert found.name == name and found.suffix.startswith(".") and found.text
    assert found.hidden and set(found.hidden) <= set(HIDDEN)
    module = import_module(formats.writer(found).__module__)
    assert "Convention:" in (module.__doc__ or "") and "Source:" in (module.__doc__ or "")
    for word in ("y ", "(0, 0)", "quare", "rame"):  # axis, origin, pixel aspect, frame base
        assert word in (module.__doc__ or ""), word


@pytest.mark.parametrize("name", formats.BUILT_IN)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_tracks_that_are_never_seen(name: str, hidden: str, straight_tracks: Tracks, tmp_path: Path) -> None:
    """Tracks that are visible nowhere: a file, or one clear error; no tracks at all: an error."""
    found = formats.get_format(name)
    if hidden not in found.hidden:
        pytest.skip("not of this format")
    none = {key: getattr(straight_tracks, key)[:0] for key in ("queries", "tracks", "visible", "confidence", "depth")}
    path = tmp_path / f"a{found.suffix}"
    with pytest.raises(OmnitrackError, match="there are no tracks to export"):
        replace(straight_tracks, **none).save(path, name, hidden=hidden)
    try:
        replace(straight_tracks, visible=straight_tracks.visible & False).save(path, name, hidden=hidden)
    except OmnitrackError as error:
        assert error.hint
    else:
        assert path.stat().st_size


def test_a_package_adds_formats(plug_ins: None, straight_tracks: Tracks, tmp_path: Path) -> None:
    assert formats.format_names()[-3:] == ["mine", "broken", "wrong"]
    straight_tracks.save(tmp_path / "a.txt", "mine")
    assert (tmp_path / "a.txt").read_text() == "track_0000,track_0001"
    with pytest.raises(OmnitrackError, match=r"'broken' .* cannot be loaded"):
        straight_tracks.save(tmp_path / "a.txt", "broken")
    with pytest.raises(OmnitrackError, match="is no ExportFormat"):
        straight_tracks.save(tmp_path / "a.txt", "wrong")


def test_a_broken_package_does_not_hide_others(plug_ins: None, straight_tracks: Tracks, tmp_path: Path) -> None:
    straight_tracks.save(tmp_path / "a.mine")
    assert (tmp_path / "a.mine").read_text() == "track_0000,track_0001"
    with pytest.raises(OmnitrackError, match="does not say the format"):
        straight_tracks.save(tmp_path / "a.xyz")


def test_save_refuses_options_nobody_knows(straight_tracks: Tracks, tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="no such option of an export") as caught:
        straight_tracks.save(tmp_path / "a.nk", first=3)
    assert "first_frame" in str(caught.value.hint)


def test_size_and_rate_must_be_known(straight_tracks: Tracks, tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="nuke needs the size"):
        replace(straight_tracks, size=(0, 0)).save(tmp_path / "a.nk")
    with pytest.raises(OmnitrackError, match="after-effects needs the fps"):
        replace(straight_tracks, fps=0.0).save(tmp_path / "a.jsx")


def test_an_error_leaves_the_old_file(straight_tracks: Tracks, tmp_path: Path) -> None:
    def fails(found: Trajectories) -> list[str]:
        raise OmnitrackError("no", "never")

    straight_tracks.save(tmp_path / "a.nk")
    before = (tmp_path / "a.nk").read_bytes()
    from omnitrack.tracks.exporting import export_tracks

    with pytest.raises(OmnitrackError, match="no"):
        export_tracks(straight_tracks, tmp_path / "a.nk", replace(MINE, write=fails))
    assert (tmp_path / "a.nk").read_bytes() == before


def test_binary_does_not_go_to_a_terminal(straight_tracks: Tracks, monkeypatch: pytest.MonkeyPatch) -> None:
    from omnitrack.tracks.exporting import export_tracks

    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(OmnitrackError, match="sleap is binary") as caught:
        export_tracks(straight_tracks, None, formats.get_format("sleap"))
    assert caught.value.hint == "name a file: -o tracks.h5"
