"""Random tracks written to every format and read back: the largest error, by its layout and by its own program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from read_back import READERS, Places, Reader

from omnitrack.errors import OmnitrackError
from omnitrack.export import formats
from omnitrack.export.contract import HOLD, MARK, ExportFormat
from omnitrack.tracks.tracks import Tracks

SIZE = (1920, 1080)
# Four decimals, or seven of fractions; float32 of pixels up to 1920, or of fractions of 1920, is exact to 1e-4 px.
LARGEST_ERROR_PX = 2e-4


def random_tracks(count: int, length: int, hidden: float = 0.0) -> Tracks:
    """Return points anywhere in the frame, in frames 0 to T - 1; a share of them occluded."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, np.array(SIZE) - 1, (count, length, 2)).astype(np.float32)
    visible = rng.random((count, length)) >= hidden
    queries = np.column_stack([np.zeros(count), points[:, 0]]).astype(np.float32)
    confidence = rng.random((count, length)).astype(np.float32)
    return Tracks(queries, points, visible, confidence, confidence, np.arange(length), SIZE, 24.0)


def saved_and_read(tracks: Tracks, folder: Path, found: ExportFormat, read: Reader, **options: str) -> Places:
    """Return the points of a file, or skip if its writer or reader is not installed."""
    path = folder / f"tracks{found.suffix}"
    try:
        tracks.save(path, found.name, first_frame=found.first_frame, **options)
        return read(path, SIZE)
    except (ImportError, OmnitrackError) as error:
        if isinstance(error, OmnitrackError) and "not installed" not in error.message:
            raise
        pytest.skip(str(error))


CASES = [(name, *reader) for name, readers in READERS.items() for reader in readers]


@pytest.mark.parametrize(("name", "by", "read"), CASES, ids=[f"{name}-{by}" for name, by, _ in CASES])
def test_points_come_back(name: str, by: str, read: Reader, tmp_path: Path) -> None:
    tracks, found = random_tracks(7, 5), formats.get_format(name)
    places = saved_and_read(tracks, tmp_path, found, read)
    assert places.shape == tracks.tracks.shape
    assert np.abs(places - tracks.tracks).max() < LARGEST_ERROR_PX


@pytest.mark.parametrize("name", READERS)
def test_hidden_points_are_marked_or_held(name: str, tmp_path: Path) -> None:
    """The readers above return all points, occluded ones too: at their position, or at the last visible one."""
    tracks, found = random_tracks(7, 5, hidden=0.3), formats.get_format(name)
    _, read = READERS[name][0]
    for hidden in {MARK, HOLD} & set(found.hidden):
        places = saved_and_read(tracks, tmp_path, found, read, hidden=hidden)
        expected = np.array(tracks.tracks)
        for row, column in np.argwhere(~tracks.visible) if hidden == HOLD else ():
            before = np.flatnonzero(tracks.visible[row, :column])
            nearest = before[-1] if len(before) else tracks.visible[row].argmax()
            expected[row, column] = tracks.tracks[row, nearest]
        assert np.abs(places - expected).max() < LARGEST_ERROR_PX


def test_every_format_has_a_reader() -> None:
    of_one_node = {"nuke-cornerpin", "nuke-transform"}  # computed as their manual describes, in test_vfx_formats.py
    assert set(READERS) == set(formats.BUILT_IN) - of_one_node
