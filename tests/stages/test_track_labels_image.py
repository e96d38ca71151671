"""An image of labels: each track has the label under it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.stages.track_labels import labels_of
from omnitrack.tracks.tracks import Tracks
from omnitrack.video.label_image import read_label_image

SIZE = (8, 6)
IMAGE = np.zeros((6, 8), np.int64)
IMAGE[1:3, 1:4], IMAGE[4:, 6:] = 3, 700


def tracks() -> Tracks:
    """Return five tracks in frames 2 and 3: on 3, on its last pixel, on nothing, on 700, and occluded on 700."""
    places = np.array([[1.0, 1.0], [3.4, 2.4], [3.6, 2.4], [7, 5], [6, 4]], np.float32)
    whole = np.stack([places, places + 1], 1)
    visible = np.array([[True, True]] * 4 + [[True, False]])
    queries = np.column_stack([np.full(5, 2), places]).astype(np.float32)
    zeros = np.zeros((5, 2), np.float32)
    return Tracks(queries, whole, visible, visible.astype(np.float32), zeros, np.array([2, 3]), SIZE, 25.0)


def saved(path: Path, image: NDArray[np.int64], dtype: type = np.uint16) -> str:
    assert cv2.imwrite(str(path), image.astype(dtype))
    return str(path)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_each_track_has_the_label_under_it(tmp_path: Path, name: str) -> None:
    file = saved(tmp_path / name, IMAGE)
    assert labels_of(f"{file}@2", tracks()) == ["3", "3", "", "700", "700"]
    # In frame 3 all have moved one pixel right and down; the last is occluded there, one is outside.
    assert labels_of(f"{file}@3", tracks()) == ["3", "", "", "", ""]


def test_a_query_counts_in_its_own_frame_even_where_it_is_called_hidden(tmp_path: Path) -> None:
    hidden = replace(tracks(), visible=np.zeros((5, 2), bool))
    assert labels_of(saved(tmp_path / "a.png", IMAGE) + "@2", hidden) == ["3", "3", "", "700", "700"]


@pytest.mark.parametrize("factor", [2, 3])
def test_a_picture_of_another_size_of_the_same_shape(tmp_path: Path, factor: int) -> None:
    large = np.kron(IMAGE, np.ones((factor, factor), np.int64))
    assert labels_of(saved(tmp_path / "a.png", large) + "@2", tracks()) == ["3", "3", "", "700", "700"]


def test_a_palette_counts_its_colours(tmp_path: Path) -> None:
    """Indices 1 and 2 of a palette, whatever their colours, in 4 bits per pixel."""
    image = pytest.importorskip("PIL.Image")
    made = image.fromarray(np.where(IMAGE == 700, 2, np.minimum(IMAGE, 1)).astype(np.uint8), "P")
    made.putpalette([9, 9, 9, 255, 0, 0, 255, 0, 0] + [0] * 39)
    made.save(tmp_path / "a.png", bits=4)
    assert (tmp_path / "a.png").read_bytes()[24:26] == b"\4\3"
    assert labels_of(f"{tmp_path / 'a.png'}@2", tracks()) == ["1", "1", "", "2", "2"]


def test_grey_saved_as_colour_is_grey(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.dstack([IMAGE.clip(0, 255)] * 3).astype(np.uint8))
    assert read_label_image(tmp_path / "a.png").max() == 255


def test_a_file_whose_name_has_an_at_sign(tmp_path: Path) -> None:
    first = replace(tracks(), frames=np.array([0, 1]))
    assert labels_of(saved(tmp_path / "cells@2.png", IMAGE), first)[0] == "3"
    (tmp_path / "names@2.csv").write_text("label\na\nb\nc\nd\ne\n")
    assert labels_of(str(tmp_path / "names@2.csv"), first) == list("abcde")


@pytest.mark.parametrize(
    ("image", "name", "message"),
    [
        (IMAGE[:3], "a.png@2", "are 8x3, the video is 8x6"),
        (IMAGE, "a.png@7", "the tracks have no frame 7"),
        (IMAGE, "a.png", "the tracks have no frame 0"),
        (IMAGE, "b.png@2", "there are no labels at .*b.png"),
        (IMAGE * 0, "a.png@2", "no track is on a label"),
        (np.dstack([IMAGE, IMAGE * 2, IMAGE]), "a.png@2", "is a picture in colour"),
        (IMAGE + 0.5, "a.tif@2", "holds numbers that are no labels"),
        (-IMAGE.astype(np.float32), "a.tif@2", "holds numbers that are no labels"),
    ],
)
def test_what_is_refused(tmp_path: Path, image: NDArray[np.int64], name: str, message: str) -> None:
    saved(tmp_path / ("a.tif" if ".tif" in name else "a.png"), image, np.float32 if ".tif" in name else np.uint16)
    with pytest.raises(OmnitrackError, match=message) as caught:
        labels_of(str(tmp_path / name), tracks())
    assert caught.value.hint
