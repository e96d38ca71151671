"""Tracks to files and back: the numbers are read as they were written, and a bad file is named."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from omnitrack.atomic import atomic_path
from omnitrack.errors import OmnitrackError
from omnitrack.tracks.files import load_meta, load_tracks, output_format, save_tracks
from omnitrack.tracks.tracks import Tracks

FORMATS = ("npz", "csv", "json", "h5")


@pytest.fixture
def tracks() -> Tracks:
    """Three tracks over the frames 4, 5, 7 and 9, with float32 values that have no short decimal form."""
    generator = np.random.default_rng(0)
    points = generator.uniform(-20, 2000, (3, 4, 2)).astype(np.float32)
    visible = np.array([[0, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 1]], bool)
    return Tracks(
        queries=np.array([[5, *points[0, 1]], [4, *points[1, 0]], [4, *points[2, 0]]], np.float32),
        tracks=points,
        visible=visible,
        confidence=generator.uniform(0, 1, (3, 4)).astype(np.float32),
        depth=generator.normal(size=(3, 4)).astype(np.float32),
        frames=np.array([4, 5, 7, 9], np.int64),
        size=(1920, 1080),
        fps=29.97,
        meta={"source": "clip.mp4", "inputs": {"fit": "abc"}},
        pins=np.array([[0, 7, *points[0, 2]], [2, 9, *points[2, 3]]], np.float32),
    )


def assert_same(found: Tracks, expected: Tracks) -> None:
    for field in dataclasses.fields(Tracks):
        ours, theirs = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(theirs, np.ndarray):
            assert ours.dtype == theirs.dtype, field.name
            np.testing.assert_array_equal(ours, theirs, err_msg=field.name)
        else:
            assert ours == theirs, field.name


@pytest.mark.parametrize("format", ["npz", "json", "h5"])
def test_exact_round_trip(tracks: Tracks, tmp_path: Path, format: str) -> None:
    path = tmp_path / "new" / "folder" / f"out.{format}"
    save_tracks(tracks, path)
    assert_same(load_tracks(path), tracks)
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # no temporary file is left


@pytest.mark.parametrize("format", ["npz", "json", "h5"])
def test_unknown_depth_stays_unknown(tracks: Tracks, tmp_path: Path, format: str) -> None:
    depth = tracks.depth.copy()
    depth[1, 2] = np.nan
    tracks = dataclasses.replace(tracks, depth=depth)
    save_tracks(tracks, tmp_path / f"t.{format}")
    assert_same(load_tracks(tmp_path / f"t.{format}"), tracks)


def test_csv_round_trip(tracks: Tracks, tmp_path: Path) -> None:
    save_tracks(tracks, tmp_path / "t.csv")
    found = load_tracks(tmp_path / "t.csv")
    np.testing.assert_allclose(found.tracks, tracks.tracks, rtol=0, atol=2e-4)  # 5e-5, and float32 near 2000
    np.testing.assert_allclose(found.confidence, tracks.confidence, rtol=0, atol=6e-5)
    np.testing.assert_array_equal(found.visible, tracks.visible)
    np.testing.assert_array_equal(found.frames, tracks.frames)
    assert np.isnan(found.depth).all()
    assert (found.size, found.fps, found.meta) == ((0, 0), 0.0, {})
    np.testing.assert_allclose(found.queries, tracks.queries, atol=2e-4)
    np.testing.assert_allclose(found.pins, tracks.pins, atol=2e-4)


def test_csv_keeps_queries_and_pins_of_any_frame(tracks: Tracks, tmp_path: Path) -> None:
    """A query need not be the first visible row, nor in one of the frames; a pin in another frame has no row."""
    queries = np.array([[7, 1, 2], [8, 3, 4], [0, 5, 6]], np.float32)
    pins = np.array([[1, 5, *tracks.tracks[1, 1]], [1, 6, 9, 9], [2, 0, 9, 9]], np.float32)
    save_tracks(dataclasses.replace(tracks, queries=queries, pins=pins), tmp_path / "t.csv")
    found = load_tracks(tmp_path / "t.csv")
    np.testing.assert_array_equal(found.queries, queries)
    np.testing.assert_allclose(found.pins, pins[:1], atol=2e-4)


def test_csv_before_it_told_the_query(tracks: Tracks, tmp_path: Path) -> None:
    save_tracks(tracks, tmp_path / "new.csv")
    lines = (tmp_path / "new.csv").read_text().splitlines()
    (tmp_path / "t.csv").write_text("".join(",".join(line.split(",")[:6]) + "\n" for line in lines))
    found = load_tracks(tmp_path / "t.csv")
    np.testing.assert_allclose(found.queries, tracks.queries, atol=2e-4)  # here these are first visible rows
    assert found.pins.shape == (0, 4)


def test_csv_of_two_queries_in_one_track(tmp_path: Path) -> None:
    header = "track,frame,x,y,visible,confidence,query_frame,query_x,query_y\n"
    (tmp_path / "t.csv").write_text(header + "0,0,1,2,1,1,0,1,2\n0,1,1,2,1,1,0,1,3\n")
    with pytest.raises(OmnitrackError, match="the rows of track 0 have different queries"):
        load_tracks(tmp_path / "t.csv")


@pytest.mark.parametrize("pins", [[[3, 4, 1, 1]], [[-1, 4, 1, 1]], [[0.5, 4, 1, 1]], [[0, 4, np.nan, 1]]])
def test_pins_of_no_track(tracks: Tracks, tmp_path: Path, pins: list[list[float]]) -> None:
    with pytest.raises(OmnitrackError, match=r"pins are rows \(track, t, x, y\) of the 3 tracks"):
        save_tracks(dataclasses.replace(tracks, pins=np.array(pins, np.float32)), tmp_path / "t.npz")


def test_csv_text(tracks: Tracks, tmp_path: Path) -> None:
    save_tracks(tracks, tmp_path / "t.csv")
    rows = list(csv.reader(io.StringIO((tmp_path / "t.csv").read_text())))
    assert ",".join(rows[0]) == "track,frame,x,y,visible,confidence,query_frame,query_x,query_y,time_s,pinned"
    assert [(row[0], row[1]) for row in rows[1:]] == [(str(n), f) for n in range(3) for f in "4579"]
    x, y = tracks.tracks[2, 3]
    _, query_x, query_y = tracks.queries[2]
    assert rows[-1][:6] == ["2", "9", f"{x:.4f}", f"{y:.4f}", "1", f"{tracks.confidence[2, 3]:.4f}"]
    assert rows[-1][6:] == ["4", f"{query_x:.4f}", f"{query_y:.4f}", f"{9 / 29.97:.6f}", "1"]
    assert [row[-1] for row in rows[1:]] == list("001000000001")


def test_csv_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracks: Tracks) -> None:
    save_tracks(tracks, tmp_path / "whole.csv")
    monkeypatch.setattr("omnitrack.tracks.text_files.CSV_ROWS_AT_ONCE", 8)  # two tracks, then one
    save_tracks(tracks, tmp_path / "blocks.csv")
    assert (tmp_path / "blocks.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_csv_from_a_spreadsheet(tmp_path: Path) -> None:
    """Shuffled rows and columns, a byte-order mark, CRLF, track numbers with gaps."""
    header = "\ufeffframe,track,visible,y,x,confidence\r\n"
    rows = "1,7,1,40,30,0.5\r\n0,2,1,2.5,1.5,1\r\n0,7,0,20,10,0\r\n1,2,1,4,3,1\r\n"
    (tmp_path / "t.csv").write_bytes((header + rows).encode())
    found = load_tracks(tmp_path / "t.csv")
    np.testing.assert_array_equal(found.tracks, np.float32([[[1.5, 2.5], [3, 4]], [[10, 20], [30, 40]]]))
    np.testing.assert_array_equal(found.queries, np.float32([[0, 1.5, 2.5], [1, 30, 40]]))


@pytest.mark.parametrize("format", FORMATS)
def test_meta_alone(tracks: Tracks, tmp_path: Path, format: str) -> None:
    save_tracks(tracks, tmp_path / f"t.{format}")
    assert load_meta(tmp_path / f"t.{format}") == ({} if format == "csv" else tracks.meta)


@pytest.mark.parametrize("meta", ["{half", "[1]"])
def test_damaged_meta(tmp_path: Path, meta: str) -> None:
    np.savez(tmp_path / "t.npz", queries=[[0, 2, 3]], tracks=[[[2, 3]]], visible=[[True]], meta=meta)
    for load in (load_meta, load_tracks):
        with pytest.raises(OmnitrackError, match=r"t\.npz is damaged: its meta"):
            load(tmp_path / "t.npz")
    with pytest.raises(OmnitrackError, match="there are no tracks at"):
        load_meta(tmp_path / "missing.npz")


def test_names_inside(tracks: Tracks, tmp_path: Path) -> None:
    names = {"queries", "tracks", "visible", "confidence", "depth", "frames", "pins"}
    save_tracks(tracks, tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz", allow_pickle=False) as archive:
        assert set(archive.files) == names | {"size", "fps", "meta"}
        assert json.loads(str(archive["meta"])) == tracks.meta
    save_tracks(tracks, tmp_path / "t.json")
    assert set(json.loads((tmp_path / "t.json").read_text())) == names | {"size", "fps", "meta", "format"}
    save_tracks(tracks, tmp_path / "t.h5")
    with h5py.File(tmp_path / "t.h5") as file:
        assert set(file) == names
        assert file["tracks"].chunks[1:] == (4, 2) and file["tracks"].compression == "gzip"


@pytest.mark.parametrize("format", ["npz", "csv", "json"])
def test_stdout_is_the_file(
    tracks: Tracks, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], format: str
) -> None:
    save_tracks(tracks, None, format)
    (tmp_path / f"out.{format}").write_bytes(capsysbinary.readouterr().out)
    save_tracks(tracks, tmp_path / f"direct.{format}")
    assert_same(load_tracks(tmp_path / f"out.{format}"), load_tracks(tmp_path / f"direct.{format}"))


def test_stdout_defaults_to_csv(tracks: Tracks, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    save_tracks(tracks, None)
    assert capsysbinary.readouterr().out.startswith(b"track,frame,x,y,visible,confidence,query_frame,")


def test_output_is_judged_before_the_work(tmp_path: Path) -> None:
    assert output_format(tmp_path / "new" / "T.CSV") == "csv" and not (tmp_path / "new").exists()
    assert output_format(None) == "csv" and output_format(tmp_path / "t.csv", "h5") == "h5"
    (tmp_path / "t.npz").mkdir()
    for path, format, cause in (
        (tmp_path / "t.txt", None, "does not end in a format"),
        (tmp_path / "t.npz", None, "is a directory"),
        (None, "h5", "h5 cannot go to standard output"),
        (None, "xml", "unknown format 'xml'"),
    ):
        with pytest.raises(OmnitrackError, match=cause):
            output_format(path, format)


def test_stdout_refusals(tracks: Tracks, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OmnitrackError, match="h5 cannot go to standard output"):
        save_tracks(tracks, None, "h5")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with pytest.raises(OmnitrackError, match="standard output is a terminal"):
        save_tracks(tracks, None, "npz")


@pytest.mark.parametrize("format", FORMATS)
def test_no_tracks_at_all(tracks: Tracks, tmp_path: Path, format: str) -> None:
    """An empty query is written; csv, which then has no rows, is refused on reading."""
    fields = ("queries", "tracks", "visible", "confidence", "depth", "pins")
    empty = dataclasses.replace(tracks, **{name: getattr(tracks, name)[:0] for name in fields})
    save_tracks(empty, tmp_path / f"t.{format}")
    if format == "csv":
        with pytest.raises(OmnitrackError, match="has no rows"):
            load_tracks(tmp_path / "t.csv")
    elif format == "json":  # an empty list has no shape
        with pytest.raises(OmnitrackError, match="queries has shape"):
            load_tracks(tmp_path / "t.json")
    else:
        assert_same(load_tracks(tmp_path / f"t.{format}"), empty)


def test_another_trackers_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", queries=[[1, 2, 3]], tracks=[[[2, 3], [4, 5]]], visible=[[True, False]])
    found = load_tracks(tmp_path / "t.npz")
    np.testing.assert_array_equal(found.confidence, np.float32([[1, 0]]))
    np.testing.assert_array_equal(found.frames, [0, 1])
    assert np.isnan(found.depth).all() and found.size == (0, 0)


@pytest.mark.parametrize("name", ["t.txt", "t"])
def test_unknown_suffix(tracks: Tracks, tmp_path: Path, name: str) -> None:
    for call in (lambda: save_tracks(tracks, tmp_path / name), lambda: load_tracks(tmp_path / name)):
        with pytest.raises(OmnitrackError, match=name) as caught:
            call()
        assert caught.value.hint == "one of .npz, .csv, .json, .h5"
    with pytest.raises(OmnitrackError, match="unknown format 'xml'"):
        save_tracks(tracks, tmp_path / name, "xml")
    save_tracks(tracks, tmp_path / name, "json")  # a format takes precedence over the suffix
    assert json.loads((tmp_path / name).read_text())["fps"] == tracks.fps


@pytest.mark.parametrize("format", FORMATS)
def test_missing_file(tmp_path: Path, format: str) -> None:
    with pytest.raises(OmnitrackError, match="there are no tracks at"):
        load_tracks(tmp_path / f"t.{format}")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_truncated_file(tracks: Tracks, tmp_path: Path, format: str, kept: float) -> None:
    path = tmp_path / f"t.{format}"
    save_tracks(tracks, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(OmnitrackError, match=str(path)):
        load_tracks(path)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("data", [b"hello\n", b"\x89PNG\r\n\x1a\n\x00\x00", b"[1, 2]", b"a,b\n1,2\n", b"\x80\x04N."])
def test_foreign_file(tmp_path: Path, format: str, data: bytes) -> None:
    path = tmp_path / f"t.{format}"
    path.write_bytes(data)
    with pytest.raises(OmnitrackError, match=str(path)):
        load_tracks(path)


def test_npz_of_something_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", weights=np.zeros(3))
    with pytest.raises(OmnitrackError, match="it lacks queries, tracks, visible"):
        load_tracks(tmp_path / "t.npz")


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", queries=np.array([{}], object), tracks=np.zeros((1, 2, 2)), visible=np.zeros((1, 2)))
    with pytest.raises(OmnitrackError, match="holds objects"):
        load_tracks(tmp_path / "t.npz")


@pytest.mark.parametrize("format", ["npz", "h5", "json"])
@pytest.mark.parametrize(
    ("key", "value", "cause"),
    [
        ("tracks", np.zeros((3, 4)), r"tracks has shape \(3, 4\)"),
        ("visible", np.ones((3, 5), bool), r"visible has shape \(3, 5\)"),
        ("queries", np.zeros((2, 3)), r"2 tracks over 4 frames need \(2, 4, 2\)"),
        (
            "tracks",
            np.where(np.arange(3)[:, None, None] == 1, np.nan, np.zeros((3, 4, 2))),
            "tracks of track 1 is not fin",
        ),
        ("confidence", np.full((3, 4), np.inf), "confidence of track 0 is not finite"),
        ("frames", np.array([0, 2, 1, 3]), "frames must be indices from 0 that increase"),
    ],
)
def test_damaged_arrays(tracks: Tracks, tmp_path: Path, format: str, key: str, value: np.ndarray, cause: str) -> None:
    raw = {name: getattr(tracks, name) for name in ("queries", "tracks", "visible", "confidence", "frames")}
    raw[key] = value
    path = tmp_path / f"t.{format}"
    if format == "npz":
        np.savez(path, **raw)
    elif format == "h5":
        with h5py.File(path, "w") as file:
            for name, array in raw.items():
                file[name] = array
    else:
        path.write_text(json.dumps({name: array.tolist() for name, array in raw.items()}))
    with pytest.raises(OmnitrackError, match=cause) as caught:
        load_tracks(path)
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        ("0,0,1,2,1,1\n0,1,1,2,1\n", "row"),
        ("0,0,1,2,1,1\n0,1,one,2,1,1\n", "one"),
        ("0,0,1,2,1,1\n0,1,1,2,1,1\n1,0,1,2,1,1\n", "3 rows for 2 tracks over 2 frames"),
        ("0,0,1,2,1,1\n0,0,1,2,1,1\n", "2 rows for 1 tracks over 1 frames"),
        ("0,0.5,1,2,1,1\n", "whole numbers"),
        ("0,0,1,2,nan,1\n", "whole numbers"),
        ("0,0,nan,2,1,1\n", "tracks of track 0 is not finite"),
        ("", "has no rows"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_damaged_csv(tmp_path: Path, rows: str, cause: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("track,frame,x,y,visible,confidence\n" + rows)
    with pytest.raises(OmnitrackError, match=cause) as caught:
        load_tracks(path)
    assert str(path) in caught.value.message


def test_nan_is_not_written(tracks: Tracks, tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="the tracks to write: tracks of track 0 is not finite"):
        save_tracks(dataclasses.replace(tracks, tracks=tracks.tracks * np.nan), tmp_path / "t.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", FORMATS)
def test_a_failed_write_keeps_the_old_file(
    tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    path = tmp_path / f"t.{format}"
    save_tracks(tracks, path)
    before = path.read_bytes()

    def full_disk(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OmnitrackError, match=r"cannot write .*: No space left on device"):
        save_tracks(tracks, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.mp4") as part:
        assert part.parent == tmp_path and part.suffix == ".mp4"
        part.write_bytes(b"half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_link_and_a_pipe_stay_what_they_are(tracks: Tracks, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    save_tracks(tracks, tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink() and not (tmp_path / "elsewhere.csv").is_symlink()
    os.mkfifo(tmp_path / "pipe.npz")
    writer = threading.Thread(target=save_tracks, args=(tracks, tmp_path / "pipe.npz"), daemon=True)
    writer.start()
    (tmp_path / "received.npz").write_bytes((tmp_path / "pipe.npz").read_bytes())
    writer.join()
    assert (tmp_path / "pipe.npz").is_fifo()
    assert_same(load_tracks(tmp_path / "received.npz"), tracks)


def test_a_directory_is_no_file(tracks: Tracks, tmp_path: Path) -> None:
    (tmp_path / "t.npz").mkdir()
    with pytest.raises(OmnitrackError, match="it is a directory"):
        save_tracks(tracks, tmp_path / "t.npz")


def test_a_place_under_a_file(tracks: Tracks, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OmnitrackError, match="cannot write"):
        save_tracks(tracks, tmp_path / "file" / "t.npz")


def _rewritten(text: str, dialect: str) -> bytes:
    """Return a CSV of omnitrack as other programs would write it."""
    lines = text.splitlines()
    quoted = ",".join(f'"{name}"' for name in lines[0].split(","))
    if dialect == "semicolons":
        return "".join(line.replace(",", ";").replace(".", ",") + "\r\n" for line in lines).encode()
    if dialect == "tabs":
        return "".join(line.replace(",", "\t") + "\n" for line in lines).encode("utf-16")
    if dialect == "R's write.csv":
        return "".join([f'"",{quoted}\n', *(f'"{n}",{line}\n' for n, line in enumerate(lines[1:], 1))]).encode()
    if dialect == "R's write.table":
        rows = [f'"{n}" {line.replace(",", " ")}\n' for n, line in enumerate(lines[1:], 1)]
        return "".join([quoted.replace(",", " ") + "\n", *rows]).encode()
    return "".join(f"{line},\n" for line in lines).encode()


@pytest.mark.parametrize("dialect", ["semicolons", "tabs", "R's write.csv", "R's write.table", "a comma at the end"])
def test_csv_of_other_programs(tracks: Tracks, tmp_path: Path, dialect: str) -> None:
    save_tracks(tracks, tmp_path / "ours.csv")
    other = tmp_path / "other.csv"
    other.write_bytes(_rewritten((tmp_path / "ours.csv").read_text(), dialect))
    assert_same(load_tracks(other), load_tracks(tmp_path / "ours.csv"))


ROWS = "track,frame,x,y,visible,confidence\n"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("t.csv", ROWS + "0,0,1,1,1,1\n0,1e300,1,1,1,1\n", "frames"),
        ("t.csv", ROWS + "0,nan,1,1,1,1\n", "frame must be whole"),
        ("t.csv", ROWS + "0,inf,1,1,1,1\n", "frame must be whole"),
        ("t.csv", ROWS + "0,-1,1,1,1,1\n", "indices from 0"),
        ("t.csv", ROWS + "0,0,inf,1,1,1\n", "not finite"),
        ("t.csv", ROWS + "0,0,1,1,1,1\n0,0,2,2,1,1\n", "rows twice"),
        ("t.csv", "track,frame,x,x,y,visible,confidence\n0,0,1,1,1,1,1\n", "two columns x"),
        ("t.csv", ROWS + '"0,0,1,1,1,1\n', "not a readable csv"),
        ("t.json", '{"tracks": [[[0, 0]]], "tracks": [[[1, 1]]]}', "names 'tracks' twice"),
        ("t.json", "[" * 100_000, "not a readable json"),
        ("t.json", '{"queries": [[0, 0, 0]], "tracks": [[[0, 1e999]]], "visible": [[1]]}', "not finite"),
        (
            "t.json",
            '{"queries": [[0, 0, 0]], "tracks": [[[0, 0]]], "visible": [[1]], "frames": [1e30]}',
            "whole numbers",
        ),
        ("t.json", '{"queries": [[0, 0, 0]], "tracks": [[[0, 0]]], "visible": [[{}]]}', "damaged"),
        ("t.json", '{"queries": [[0, 0, 0]], "tracks": [[[0, 0]]], "visible": [["yes"]]}', "damaged"),
        ("t.json", '{"queries": [[0, 0, 0]], "tracks": [[[0, ' + "9" * 4000 + ']]], "visible": [[1]]}', "damaged"),
    ],
)
def test_absurd_text_is_named(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(OmnitrackError, match=told) as raised:
        load_tracks(tmp_path / name)
    assert str(tmp_path / name) in raised.value.message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.json", "[" + "[]," * 100_000 + "[]]"),
        ("t.csv", ROWS + "0\n" * 100_000),
        ("t.csv", ROWS + "".join(f"{n},{n},0,0,1,1\n" for n in range(20_000))),
    ],
)
def test_text_that_would_take_more_than_is_allowed(
    tmp_path: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text(text)
    monkeypatch.setenv("OMNITRACK_LIMIT_GIB", "0.001")
    with pytest.raises(OmnitrackError, match="GiB"):
        load_tracks(tmp_path / name)
