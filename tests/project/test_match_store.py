"""Matches: what is written is read back, and invalid data is named."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from omnitrack.errors import DamagedError, OmnitrackError
from omnitrack.project.match_store import (
    COLUMNS,
    Rows,
    matches_file,
    read_matches,
    write_matches,
)
from omnitrack.project.project import Project


def rows(source: int, count: int) -> Rows:
    made = np.random.default_rng(source).uniform(0, 40, (count, len(COLUMNS))).astype(np.float32)
    made[:, 0], made[:, 3] = source, 7
    made[:, 6] /= 40
    return made


def store(project: Project, by_source: dict[int, Rows]) -> None:
    parts = matches_file(project).parts({"any": 1})
    for source, found in by_source.items():
        parts.write(source, lambda file, source=source, found=found: write_matches(file, source, found))
    parts.merge({"any": 1}, [])


def test_round_trip(project: Project) -> None:
    written = {3: rows(3, 5), 0: rows(0, 2), 1: rows(1, 0)}
    store(project, written)
    np.testing.assert_array_equal(read_matches(project), np.concatenate([written[0], written[3]]))
    assert matches_file(project).stamp() == {"any": 1}


def test_nothing_there(project: Project) -> None:
    assert read_matches(project).shape == (0, 7)
    assert matches_file(project).stamp() is None
    store(project, {})
    assert read_matches(project).shape == (0, 7)


def test_incomplete_matches_are_damage(project: Project) -> None:
    store(project, {0: rows(0, 2), 1: rows(1, 3)})
    with h5py.File(project.product_path("matches"), "a") as file:
        del file["000001"].attrs["complete"]
    with pytest.raises(DamagedError, match="1 of 2 groups are not complete"):
        read_matches(project)


@pytest.mark.parametrize(("column", "value"), [(3, 8.0), (0, -1.0), (2, np.nan), (6, np.inf)])
def test_matches_that_make_no_sense_are_named(project: Project, column: int, value: float) -> None:
    wrong = rows(0, 4)
    wrong[2, column] = value
    store(project, {0: wrong})
    with pytest.raises(OmnitrackError, match="outside the clip") as caught:
        read_matches(project)
    assert "omnitrack filter" in str(caught.value.hint)


def test_a_file_that_is_no_file(project: Project) -> None:
    project.products_dir.mkdir()
    project.product_path("matches").write_bytes(b"not HDF5")
    with pytest.raises(OmnitrackError, match="cannot be read"):
        read_matches(project)
    assert matches_file(project).stamp() is None
