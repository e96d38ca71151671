"""Query points in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omnitrack.errors import OmnitrackError
from omnitrack.tracks.files import save_tracks
from omnitrack.tracks.query_files import read_points
from omnitrack.tracks.tracks import Tracks

ROWS = [[0.0, 1.5, 2.0], [3.0, 4.0, 5.25]]


@pytest.mark.parametrize(
    "text",
    [
        "t,x,y\n0,1.5,2\n3,4,5.25\n",
        "0,1.5,2\n3,4,5.25",
        "y,t,x\n2,0,1.5\n5.25,3,4\n",
        "\ufeffT, X, Y\r\n0, 1.5, 2\r\n3, 4, 5.25\r\n",
        "# picked by hand\n\nname,x,y,t\nhead,1.5,2,0\n\nhand,4,5.25,3\n",
        '"t","x","y"\n0,1.5,2\n3,4,5.25\n',  # R's write.csv without row names
        '"","t","x","y"\n"1",0,1.5,2\n"2",3,4,5.25\n',  # with row names
        '"t" "x" "y"\n"1" 0 1.5 2\n"2" 3 4 5.25\n',  # R's write.table: the header lacks a name
        "t;x;y\n0;1,5;2\n3;4;5,25\n",  # Excel with a decimal comma
        "t\tx\ty\n0\t1.5\t2\n3\t4\t5.25",
        "frame, x, y\r\n0, 1.5, 2\r\n3, 4, 5.25\r\n",
        "t,x,y,\n0,1.5,2,\n3,4,5.25,\n",
        "  0  1.5   2\n  3  4.0   5.25\n",  # numpy.savetxt with a width
        "0.000000000000000000e+00 1.500000000000000000e+00 2e0\n3.0e+00 4.0e+00 5.25e+00\n",
        't,x,y,what\n0,1.5,2,"an eye, left"\n3,4,5.25,\n',
    ],
)
def test_csv(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.csv").write_bytes(text.encode())
    rows = read_points(tmp_path / "p.csv").queries
    assert rows.tolist() == ROWS


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "cp1252"])
def test_csv_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    (tmp_path / "p.csv").write_bytes(f"{mark}t,x,y,où\n0,1.5,2,tête\n3,4,5.25,dos\n".encode(encoding))
    assert read_points(tmp_path / "p.csv").queries.tolist() == ROWS


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_npy(tmp_path: Path, dtype: type) -> None:
    np.save(tmp_path / "p.npy", np.array(ROWS, dtype))
    found = read_points(tmp_path / "p.npy")
    assert found.queries.dtype == np.float64 and found.queries.tolist() == ROWS
    assert found.place(1) == f"{tmp_path / 'p.npy'} row 1"


@pytest.mark.parametrize("arrays", [{"queries": 0}, {"points": 0}, {"points": 1, "queries": 0, "tracks": 1}])
def test_npz(tmp_path: Path, arrays: dict[str, int]) -> None:
    np.savez(tmp_path / "p.npz", **{key: np.array(ROWS) + offset for key, offset in arrays.items()})
    assert read_points(tmp_path / "p.npz").queries.tolist() == ROWS


def test_place_is_the_line_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("t,x,y\n\n0,1,2\n# skipped\n3,4,5\n")
    place = read_points(tmp_path / "p.csv").place
    assert [place(0), place(1)] == [f"{tmp_path / 'p.csv'} line 3", f"{tmp_path / 'p.csv'} line 5"]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (b"", "holds no points"),
        (b"t,x,y\n", "holds no points"),
        (b"t,x\n1,2\n", "line 1: neither a header with t, x and y nor a row"),
        (b"a,b,c\n1,2,3\n", "line 1: neither"),
        (b"1,2\n", "line 1: neither"),
        (b"1,2,3,4\n", "line 1: neither"),
        (b"1|2|3\n", "line 1: neither"),
        (b"t,x,y\n0,NA,2\n", "line 2 '0,NA,2': 'NA' is not a number"),
        (b"t,x,y\n0,1_0,2\n", "'1_0' is not a number"),
        (b"t,x,y\n0,nan,2\n", "'nan' is not a number"),
        (b"t,x,y\n0," + b"1" * 200_000 + b",2\n", "field larger than field limit"),
        (b"t,x,y\n1,2,3\n1,two,3\n", "line 3 '1,two,3': 'two' is not a number"),
        (b"1,2,3\n\n1,2\n", "line 3 '1,2': too few columns"),
        (b"t,x,y\n1,,3\n", "line 2"),
        (b"\x00\xfe\x00t", "not a text file"),
    ],
)
def test_bad_csv(tmp_path: Path, text: bytes, cause: str) -> None:
    (tmp_path / "p.csv").write_bytes(text)
    with pytest.raises(OmnitrackError, match=cause) as caught:
        read_points(tmp_path / "p.csv")
    assert str(tmp_path / "p.csv") in caught.value.message and caught.value.hint


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("data", [b"", b"garbage", b"\x93NUMPY\x01\x00", b"PK\x03\x04half", b"\x80\x04N."])
def test_damaged_arrays(tmp_path: Path, suffix: str, data: bytes) -> None:
    (tmp_path / f"p{suffix}").write_bytes(data)
    with pytest.raises(OmnitrackError, match=f"not a readable {suffix} file"):
        read_points(tmp_path / f"p{suffix}")


@pytest.mark.parametrize(
    ("array", "cause"),
    [
        (np.zeros((2, 2)), r"shape \(2, 2\)"),
        (np.zeros(3), r"shape \(3,\)"),
        (np.zeros((0, 3)), "holds no points"),
        (np.array([["0", "1", "2"]]), "<U1 values"),
        (np.zeros((1, 3), complex), "complex128 values"),
    ],
)
def test_arrays_of_another_kind(tmp_path: Path, array: np.ndarray, cause: str) -> None:
    np.save(tmp_path / "p.npy", array)
    with pytest.raises(OmnitrackError, match=cause):
        read_points(tmp_path / "p.npy")


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([[{}, 1, 2]], object), allow_pickle=True)
    with pytest.raises(OmnitrackError, match="holds objects"):
        read_points(tmp_path / "p.npy")


def test_npz_of_something_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", weights=np.zeros(3))
    with pytest.raises(OmnitrackError, match="no array queries or points, only weights"):
        read_points(tmp_path / "p.npz")


def test_missing_and_unknown(tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="there is no file of points at"):
        read_points(tmp_path / "p.csv")
    with pytest.raises(OmnitrackError, match="does not end in a format of points") as caught:
        read_points(tmp_path / "p.pdf")
    assert caught.value.hint == "one of .csv, .tsv, .txt, .npy, .npz, .json, .h5"


# --- pins -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("frame", ["t", "frame"])
def test_a_second_row_of_a_track_is_a_pin(tmp_path: Path, frame: str) -> None:
    text = f"track,{frame},x,y\n7,3,4,5\n2,0,1,2\n\n7,9,6,7\n2,8,1.5,2.5\n2,4,1,3\n"
    (tmp_path / "p.csv").write_text(text)
    found = read_points(tmp_path / "p.csv")
    assert found.queries.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found.pins.tolist() == [[1, 9, 6, 7], [0, 8, 1.5, 2.5], [0, 4, 1, 3]]
    assert (found.place(1), found.pin_place(1)) == (f"{tmp_path / 'p.csv'} line 2", f"{tmp_path / 'p.csv'} line 6")


@pytest.mark.parametrize("suffix", ["npz", "csv", "json", "h5"])
def test_tracks_ask_for_their_queries_and_pins(tmp_path: Path, suffix: str) -> None:
    queries, pins = np.array([[1, 10, 20], [0, 2.5, 3.5]], np.float32), np.array([[1, 2, 5.5, 6.25]], np.float32)
    points = np.array([[[9, 20], [10, 20], [11, 20]], [[2.5, 3.5], [4, 5], [5.5, 6.25]]], np.float32)
    seen = np.array([[1, 1, 1], [1, 0, 1]], bool)
    confidence = seen.astype(np.float32)
    made = Tracks(queries, points, seen, confidence, confidence, np.arange(3), (64, 48), 25.0, pins=pins)
    save_tracks(made, tmp_path / f"t.{suffix}")
    found = read_points(tmp_path / f"t.{suffix}")
    assert found.queries.tolist() == queries.tolist()
    assert found.pins.tolist() == pins.tolist()
    assert found.place(1) and found.pin_place(0)


def test_pins_of_another_shape(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", queries=np.array(ROWS), pins=np.zeros((2, 3)))
    with pytest.raises(OmnitrackError, match=r"shape \(2, 3\)"):
        read_points(tmp_path / "p.npz")
