"""COLMAP: a database of keypoints and matches, as if they had been extracted and matched.

Convention:
    (0, 0) is the top left corner of the frame, y down, so that the first pixel's centre is (0.5, 0.5). Images have the
    names of the project's frames, ``000000.png``, but the size of the original video. Pixels are square.

Source:
    COLMAP, Database Format, https://colmap.github.io/database.html; its tables as version 3.8 creates them; later
    versions upgrade them on opening. "The upper left pixel's centre is (0.5, 0.5)": the same site, FAQ.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from omnitrack.export.contract import Trajectories

VERSION = 3800
LARGEST_ID = 2147483647
SIMPLE_RADIAL = 2
FOCAL_FACTOR = 1.2  # of the longer side: COLMAP's default initial focal length
TABLES = """
CREATE TABLE cameras (camera_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, model INTEGER NOT NULL,
  width INTEGER NOT NULL, height INTEGER NOT NULL, params BLOB, prior_focal_length INTEGER NOT NULL);
CREATE TABLE images (image_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, name TEXT NOT NULL UNIQUE,
  camera_id INTEGER NOT NULL, prior_qw REAL, prior_qx REAL, prior_qy REAL, prior_qz REAL,
  prior_tx REAL, prior_ty REAL, prior_tz REAL,
  CONSTRAINT image_id_check CHECK(image_id >= 0 and image_id < 2147483647),
  FOREIGN KEY(camera_id) REFERENCES cameras(camera_id));
CREATE TABLE keypoints (image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL,
  data BLOB, FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE);
CREATE TABLE descriptors (image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL,
  data BLOB, FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE);
CREATE TABLE matches (pair_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB);
CREATE TABLE two_view_geometries (pair_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL,
  data BLOB, config INTEGER NOT NULL, F BLOB, E BLOB, H BLOB, qvec BLOB, tvec BLOB);
CREATE UNIQUE INDEX index_name ON images(name);
"""


def database(found: Trajectories) -> Iterator[bytes]:
    """Yield a database of visible points and their matches at gaps of 1, 2, 4, 8 ... frames, for COLMAP to verify."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "database.db"
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("PRAGMA journal_mode = OFF")
            file.executescript(TABLES)
            file.execute(f"PRAGMA user_version = {VERSION}")
            _write(file, found)
        yield path.read_bytes()


def _write(file: sqlite3.Connection, found: Trajectories) -> None:
    width, height = found.size
    camera = np.array([FOCAL_FACTOR * max(width, height), width / 2, height / 2, 0.0])
    file.execute("INSERT INTO cameras VALUES (1, ?, ?, ?, ?, 0)", (SIMPLE_RADIAL, width, height, camera.tobytes()))
    points = found.from_corner
    index = np.cumsum(found.written, 0) - 1  # of a track's keypoint in each frame
    length = found.written.shape[1]
    for column in range(length):
        file.execute(
            "INSERT INTO images (image_id, name, camera_id) VALUES (?, ?, 1)",
            (column + 1, f"{found.frames[column]:06d}.png"),
        )
        chosen = points[found.written[:, column], column].astype(np.float32)
        file.execute("INSERT INTO keypoints VALUES (?, ?, 2, ?)", (column + 1, len(chosen), chosen.tobytes()))
    for first, second in _pairs(length):
        both = found.written[:, first] & found.written[:, second]
        pair = np.column_stack([index[both, first], index[both, second]]).astype(np.uint32)
        number = (first + 1) * LARGEST_ID + second + 1
        file.execute("INSERT INTO matches VALUES (?, ?, 2, ?)", (number, len(pair), pair.tobytes()))


def _pairs(length: int) -> Iterator[tuple[int, int]]:
    gap = 1
    while gap < length:
        yield from ((first, first + gap) for first in range(length - gap))
        gap *= 2
