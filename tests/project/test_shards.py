"""Shards: what is written stays, what fails leaves nothing, and merging copies without losing the old file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from omnitrack.errors import OmnitrackError
from omnitrack.project.project import Project
from omnitrack.project.shards import Shards, has_shards


def group_with(value: int, *names: str) -> Callable[[h5py.File], None]:
    """A job that writes groups which hold a number."""

    def fill(file: h5py.File) -> None:
        for name in names:
            file.create_group(name)["value"] = value

    return fill


def contents(project: Project) -> dict[str, Any]:
    """{"group/name": value} of the merged file."""
    with h5py.File(project.correspondences_path, "r") as file:
        return {f"{top}/{name}": int(item["value"][()]) for top in file for name, item in file[top].items()}


def attributes(project: Project) -> dict[str, Any]:
    with h5py.File(project.correspondences_path, "r") as file:
        return dict(file.attrs)


def files(project: Project) -> list[str]:
    return sorted(str(path.relative_to(project.root)) for path in project.root.rglob("*.h5*"))


def test_finished_jobs_are_known_to_the_next_run(project: Project) -> None:
    shards = Shards(project, "flow", {"a": 1})
    assert shards.done() == []
    shards.write(5, group_with(50, "x"))
    shards.write(2, group_with(20, "y"))
    assert Shards(project, "flow", {"a": 1}).done() == [2, 5]
    assert has_shards(project, "flow")
    assert not has_shards(project, "filter")


def test_shards_of_another_stamp_damaged_ones_and_unfinished_ones_are_removed(project: Project) -> None:
    Shards(project, "flow", {"a": 1}).write(0, group_with(0, "x"))
    shards = Shards(project, "flow", {"a": 2})
    assert shards.done() == []
    shards.write(1, group_with(0, "x"))
    shards.write(2, group_with(0, "x"))
    shards.write(3, group_with(0, "x"))
    partial = project.root / "correspondences.partial" / "flow"
    (partial / "000001.h5").write_bytes((partial / "000001.h5").read_bytes()[:700])
    (partial / "000002.h5").rename(partial / "000002.h5.tmp")
    assert shards.done() == [3]
    assert files(project) == ["correspondences.partial/flow/000003.h5"]


def test_a_job_that_fails_leaves_nothing(project: Project) -> None:
    def fail(file: h5py.File) -> None:
        file.create_group("half")
        raise LookupError("the job's own failure")

    shards = Shards(project, "flow", {})
    with pytest.raises(LookupError):
        shards.write(0, fail)
    assert shards.done() == []
    assert files(project) == []


def test_merging_puts_the_groups_in_place_and_removes_the_shards(project: Project) -> None:
    shards = Shards(project, "flow", {})
    shards.write(0, group_with(1, "a", "b"))
    shards.write(1, group_with(2, "c"))
    shards.merge("flow", {"flow_stamp": "one"}, keep=())
    assert contents(project) == {"flow/a": 1, "flow/b": 1, "flow/c": 2}
    found = attributes(project)
    assert found["flow_stamp"] == "one"
    assert found["format"] == 1
    assert found["num_frames"] == 8
    assert list(found["size"]) == [64, 48]
    assert sorted(p.name for p in project.root.glob("correspondences*")) == ["correspondences.h5"]


def test_merging_keeps_what_it_is_told_and_new_results_win(project: Project) -> None:
    flow, filtered = Shards(project, "flow", {}), Shards(project, "filter", {})
    flow.write(0, group_with(1, "a", "b"))
    flow.merge("flow", {"flow_stamp": "one"}, keep=())
    filtered.write(0, group_with(7, "x"))
    filtered.merge("filtered", {"filter_stamp": "two"}, keep=("flow",))
    assert contents(project) == {"flow/a": 1, "flow/b": 1, "filtered/x": 7}
    flow.write(0, group_with(3, "b", "c"))
    flow.merge("flow", {"flow_stamp": "three"}, keep=("flow", "filtered"))
    assert contents(project) == {"flow/a": 1, "flow/b": 3, "flow/c": 3, "filtered/x": 7}
    assert (attributes(project)["flow_stamp"], attributes(project)["filter_stamp"]) == ("three", "two")
    filtered.write(0, group_with(8, "y"))
    filtered.merge("filtered", {"filter_stamp": None}, keep=("flow",))
    assert contents(project) == {"flow/a": 1, "flow/b": 3, "flow/c": 3, "filtered/y": 8}
    assert "filter_stamp" not in attributes(project)
    flow.write(0, group_with(9, "z"))
    flow.merge("flow", {"flow_stamp": "four"}, keep=())
    assert contents(project) == {"flow/z": 9}


def test_groups_that_are_not_complete_are_left_behind(project: Project) -> None:
    shards = Shards(project, "flow", {})
    shards.write(0, group_with(1, "a", "b"))
    shards.merge("flow", {}, keep=())
    with h5py.File(project.correspondences_path, "r+") as file:
        del file["flow/a"].attrs["complete"]
    shards.merge("flow", {}, keep=("flow",))
    assert contents(project) == {"flow/b": 1}


def test_a_merge_that_fails_keeps_the_old_file_and_the_shards(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = Shards(project, "flow", {})
    shards.write(0, group_with(1, "a"))
    shards.merge("flow", {}, keep=())
    before = project.correspondences_path.read_bytes()
    shards.write(1, group_with(2, "b"))

    def refuse(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.File, "copy", refuse)
    with pytest.raises(OmnitrackError) as caught:
        shards.merge("flow", {}, keep=("flow",))
    monkeypatch.undo()
    assert caught.value.message == f"cannot write {project.correspondences_path}: no space left on device"
    assert f"omnitrack flow {project.root}" in (caught.value.hint or "")
    assert project.correspondences_path.read_bytes() == before
    assert shards.done() == [1]
    shards.merge("flow", {}, keep=("flow",))
    assert contents(project) == {"flow/a": 1, "flow/b": 2}


def test_a_place_that_cannot_be_written_is_named(project: Project) -> None:
    (project.root / "correspondences.partial").write_text("in the way")
    with pytest.raises(OmnitrackError) as caught:
        Shards(project, "flow", {}).write(0, group_with(1, "a"))
    assert "correspondences.partial" in caught.value.message


def test_a_real_file_size_limit_is_reported_in_the_systems_words(project: Project) -> None:
    resource = pytest.importorskip("resource")
    shards = Shards(project, "flow", {})
    shards.write(0, group_with(1, "small"))
    size = Path(project.root / "correspondences.partial/flow/000000.h5").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, hard))
    try:
        with pytest.raises(OmnitrackError) as caught:
            shards.write(1, lambda file: file.create_group("large").create_dataset("zeros", data=[1] * 50_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.message.endswith("000001.h5: file too large")
    assert shards.done() == [0]
    shards.write(1, group_with(2, "after"))
    assert shards.done() == [0, 1]
