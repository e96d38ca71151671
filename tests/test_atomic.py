"""Files that are complete or absent, and what killed processes leave of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from omnitrack.atomic import atomic_path, process_lives
from omnitrack.errors import OmnitrackError


def ended() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "tracks.npz"
    with atomic_path(path) as part:
        part.write_text("one")
        assert not path.exists()
    with pytest.raises(LookupError), atomic_path(path) as part:
        part.write_text("two")
        raise LookupError
    assert path.read_text() == "one"
    assert [file.name for file in path.parent.iterdir()] == ["tracks.npz"]


@pytest.mark.skipif(os.name == "nt", reason="processes are not asked there")
def test_parts_of_dead_processes_go_and_others_stay(tmp_path: Path) -> None:
    """Only those of this file: not of a living process, not of another file, not what only resembles a part."""
    dead, alive = ended(), os.getppid()
    gone = tmp_path / f".tracks[1].{dead}.part.npz"
    stay = [
        f".tracks[1].{alive}.part.npz",
        f".other.{dead}.part.npz",
        ".tracks[1].mine.part.npz",
        f".tracks1.{dead}.part.npz",
    ]
    for path in (gone, *(tmp_path / name for name in stay)):
        path.write_text("half")
    with atomic_path(tmp_path / "tracks[1].npz") as part:
        part.write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*stay, "tracks[1].npz"])


def test_a_full_disk_is_a_known_failure(tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="No space left"), atomic_path(tmp_path / "x.npz"):
        raise OSError(28, "No space left on device")


def test_which_processes_live() -> None:
    assert process_lives(os.getpid())
    if os.name != "nt":
        assert process_lives(os.getppid())
        assert not process_lives(ended())


@pytest.mark.parametrize("letter", ["n", "é"])
def test_the_longest_names_can_be_written(tmp_path: Path, letter: str) -> None:
    path = tmp_path / f"{letter * (250 // len(letter.encode()))}.csv"
    with atomic_path(path) as part:
        part.write_text("whole")
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "whole"
    left = part.with_name(part.name.replace(f".{os.getpid()}.", ".999999999."))
    left.write_text("of a dead process")
    with atomic_path(path) as part:
        part.write_text("again")
    assert not left.exists()
