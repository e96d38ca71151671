"""A product's file: finished jobs stay, failures leave nothing, merging loses nothing, and errors are reported."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest

from omnitrack.errors import OmnitrackError, UnavailableError
from omnitrack.progress import Progress
from omnitrack.project.arrays import put_array
from omnitrack.project.groups import checked_attributes
from omnitrack.project.product_file import ProductFile
from omnitrack.project.project import Project


@pytest.fixture
def product(project: Project) -> ProductFile:
    return ProductFile(project, "flow", "flow")


def group_with(value: int, *names: str) -> Callable[[h5py.File], None]:
    """Return a job that writes groups with a number."""

    def fill(file: h5py.File) -> None:
        for name in names:
            file.create_group(name)["value"] = value

    return fill


def contents(product: ProductFile) -> dict[str, Any]:
    with product.open() as file:
        return {name: int(item["value"][()]) for name, item in file.items()}


def attributes(product: ProductFile) -> dict[str, Any]:
    with product.open() as file:
        return dict(file.attrs)


def files(project: Project) -> list[str]:
    return sorted(str(path.relative_to(project.root)) for path in project.root.rglob("*.h5*"))


# --- jobs -------------------------------------------------------------------------------------------------------
def test_finished_jobs_are_known_to_the_next_run(project: Project, product: ProductFile) -> None:
    parts = product.parts({"a": 1})
    assert parts.done() == []
    parts.write(5, group_with(50, "x"))
    parts.write(2, group_with(20, "y"))
    assert product.parts({"a": 1}).done() == [2, 5]
    assert product.has_parts()
    assert not ProductFile(project, "filtered", "filter").has_parts()


def test_parts_of_another_stamp_damaged_ones_and_unfinished_ones_are_removed(
    project: Project, product: ProductFile
) -> None:
    product.parts({"a": 1}).write(0, group_with(0, "x"))
    parts = product.parts({"a": 2})
    assert parts.done() == []
    for index in (1, 2, 3):
        parts.write(index, group_with(0, "x"))
    folder = product.parts_dir
    (folder / "000001.h5").write_bytes((folder / "000001.h5").read_bytes()[:700])
    (folder / "000002.h5").rename(folder / "000002.h5.tmp")
    assert parts.done() == [3]
    assert files(project) == ["products/flow.parts/000003.h5"]


def test_a_job_that_fails_leaves_nothing(project: Project, product: ProductFile) -> None:
    def fail(file: h5py.File) -> None:
        file.create_group("half")
        raise LookupError("the job's own failure")

    parts = product.parts({})
    with pytest.raises(LookupError):
        parts.write(0, fail)
    assert parts.done() == []
    assert files(project) == []


# --- merging ----------------------------------------------------------------------------------------------------
def test_merging_makes_the_product_and_removes_the_parts(project: Project, product: ProductFile) -> None:
    parts = product.parts({})
    parts.write(0, group_with(1, "a", "b"))
    parts.write(1, group_with(2, "c"))
    parts.merge({"inputs": {"n": 1}}, ["a", "b", "c"], 2.5, attrs={"mine": 7})
    assert contents(product) == {"a": 1, "b": 1, "c": 2}
    found = attributes(product)
    assert (found["product"], found["format"], found["num_frames"], found["members"]) == ("flow", 2, 8, 3)
    assert (list(found["size"]), found["mine"]) == ([64, 48], 7)
    assert (product.stamp(), product.seconds()) == ({"inputs": {"n": 1}}, 2.5)
    assert product.bytes() == product.path.stat().st_size
    assert files(project) == ["products/flow.h5"]


def test_what_is_kept_gives_way_to_new_results_of_the_same_name(product: ProductFile) -> None:
    parts = product.parts({})
    parts.write(0, group_with(1, "a", "b"))
    parts.merge({"n": 1}, ["a", "b"], 1.0)
    parts.write(0, group_with(3, "b", "c"))
    parts.merge({"n": 2}, ["a", "b", "c"], 2.0, keep=True)
    assert contents(product) == {"a": 1, "b": 3, "c": 3}
    assert (product.stamp(), product.seconds()) == ({"n": 2}, 3.0)
    parts.write(0, group_with(9, "z"))
    parts.merge({"n": 3}, ["z"], 4.0)
    assert contents(product) == {"z": 9}
    assert product.seconds() == 4.0


def test_products_do_not_touch_each_other(project: Project, product: ProductFile) -> None:
    other = ProductFile(project, "filtered", "filter")
    product.parts({}).merge({"n": 1}, [])
    before = product.path.read_bytes()
    other.parts({}).write(0, group_with(1, "a"))
    other.parts({}).merge({"n": 2}, [])
    other.remove()
    assert product.path.read_bytes() == before
    assert files(project) == ["products/flow.h5"]


def test_groups_that_are_not_complete_are_left_behind(product: ProductFile) -> None:
    parts = product.parts({})
    parts.write(0, group_with(1, "a", "b"))
    parts.merge({}, [])
    with h5py.File(product.path, "r+") as file:
        del file["a"].attrs["complete"]
    parts.merge({}, [], keep=True)
    assert contents(product) == {"b": 1}


def test_a_merge_that_fails_keeps_the_old_file_and_the_parts(
    project: Project, product: ProductFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = product.parts({})
    parts.write(0, group_with(1, "a"))
    parts.merge({}, [])
    before = product.path.read_bytes()
    parts.write(1, group_with(2, "b"))

    def refuse(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.File, "copy", refuse)
    with pytest.raises(OmnitrackError) as caught:
        parts.merge({}, [], keep=True)
    monkeypatch.undo()
    assert caught.value.message == f"cannot write {product.path}: no space left on device"
    assert f"omnitrack flow {project.root}" in (caught.value.hint or "")
    assert product.path.read_bytes() == before
    assert parts.done() == [1]
    parts.merge({}, [], keep=True)
    assert contents(product) == {"a": 1, "b": 2}


def test_a_place_that_cannot_be_written_is_named(project: Project, product: ProductFile) -> None:
    project.products_dir.write_text("in the way")
    with pytest.raises(OmnitrackError) as caught:
        product.parts({}).write(0, group_with(1, "a"))
    assert "products" in caught.value.message


def test_a_real_file_size_limit_is_reported_in_the_systems_words(product: ProductFile) -> None:
    resource = pytest.importorskip("resource")
    parts = product.parts({})
    parts.write(0, group_with(1, "small"))
    size = (product.parts_dir / "000000.h5").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, hard))
    try:
        with pytest.raises(OmnitrackError) as caught:
            parts.write(1, lambda file: file.create_group("large").create_dataset("zeros", data=[1] * 50_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.message.endswith("000001.h5: file too large")
    assert parts.done() == [0]
    parts.write(1, group_with(2, "after"))
    assert parts.done() == [0, 1]


# --- reading what is wrong --------------------------------------------------------------------------------------
def test_what_is_not_there(project: Project, product: ProductFile) -> None:
    assert (product.stamp(), product.damage(), product.seconds(), product.bytes()) == (None, "", 0.0, 0)
    with pytest.raises(OmnitrackError, match="there is no flow yet") as caught:
        product.open()
    assert caught.value.hint == f"compute it: omnitrack flow {project.root}"


@pytest.mark.parametrize("name", ["product", "format", "members", "stamp"])
def test_a_product_without_an_attribute_has_no_stamp(product: ProductFile, name: str) -> None:
    product.parts({}).merge({"n": 1}, [])
    with h5py.File(product.path, "r+") as file:
        del file.attrs[name]
    assert product.stamp() is None
    assert product.damage() != ""


def test_a_product_that_lost_a_group_is_damaged(product: ProductFile) -> None:
    parts = product.parts({})
    parts.write(0, group_with(1, "a", "b"))
    parts.merge({}, [])
    with h5py.File(product.path, "r+") as file:
        del file["a"]
    assert "it has 1 of 2 groups" in product.damage()


def test_a_product_under_another_name_is_refused(project: Project, product: ProductFile) -> None:
    product.parts({}).merge({}, [])
    other = ProductFile(project, "hops", "filter")
    product.path.rename(other.path)
    assert "it holds flow, not hops" in other.damage()


# --- checksums --------------------------------------------------------------------------------------------------
def test_attributes_that_changed_on_the_disk_are_not_believed(product: ProductFile) -> None:
    def fill(file: h5py.File) -> None:
        group = file.create_group("a")
        group.attrs["steps_per_px"], group.attrs["shape"], group.attrs["kind"] = 32.0, (3, 4), "depth"

    parts = product.parts({})
    parts.write(0, fill)
    parts.merge({}, [])
    with product.open() as file:
        assert dict(checked_attributes(file["a"]))["steps_per_px"] == 32.0
    with h5py.File(product.path, "r+") as file:
        file["a"].attrs["steps_per_px"] = 16.0
    with product.open() as file, pytest.raises(ValueError, match="do not match their checksum"):
        checked_attributes(file["a"])


@pytest.mark.parametrize("flipped", range(0, 40, 7))
def test_a_flipped_bit_in_a_small_array_is_found(product: ProductFile, flipped: int) -> None:
    values = np.arange(10, dtype=np.int32)
    parts = product.parts({})
    parts.write(0, lambda file: put_array(file.create_group("a"), "targets", values))
    parts.merge({}, [])
    content = bytearray(product.path.read_bytes())
    content[content.index(values.tobytes()) + flipped] ^= 1
    product.path.write_bytes(content)
    with product.open() as file, pytest.raises(OSError, match="filter returned failure"):
        file["a"]["targets"][()]


def test_empty_arrays_are_stored_too(product: ProductFile) -> None:
    parts = product.parts({})
    parts.write(0, lambda file: put_array(file.create_group("a"), "rows", np.zeros((0, 7), np.float32)))
    parts.merge({}, [])
    with product.open() as file:
        assert file["a"]["rows"][()].shape == (0, 7)


# --- only what is proven to be damaged is replaced, and only what is complete is stamped ------------------------------
class Heard(Progress):
    """Records the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_is_damaged_is_set_aside_with_one_warning(product: ProductFile, kind: str) -> None:
    for content in (b"damaged first", b"damaged again"):
        product.path.parent.mkdir(exist_ok=True)
        if kind == "directory":
            product.path.mkdir()
            (product.path / "inside").write_bytes(content)
        else:
            product.path.write_bytes(content)
        heard = Heard()
        parts = product.parts({}, heard)
        parts.write(0, group_with(1, "a"))
        parts.merge({"n": 1}, ["a"])
        aside = product.aside_path / "inside" if kind == "directory" else product.aside_path
        assert aside.read_bytes() == content, "the last one is kept"
        assert len(heard.warnings) == 1
        assert "kept as flow.damaged.h5" in heard.warnings[0]
        product.remove()


def test_what_is_whole_is_not_set_aside(product: ProductFile) -> None:
    for n in (1, 2):
        product.parts({}).merge({"n": n}, [])
    assert not product.aside_path.exists()


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ESTALE, errno.EACCES, errno.EAGAIN])
def test_an_error_of_the_system_is_no_damage(
    product: ProductFile, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    parts = product.parts({})
    parts.write(0, group_with(1, "a"))
    parts.merge({"n": 1}, ["a"])
    parts.write(1, group_with(2, "b"))
    kept = {path: path.read_bytes() for path in (product.path, product.parts_dir / "000001.h5")}

    def refuse(*args: object, **options: object) -> None:
        raise OSError(number, "of the system")

    monkeypatch.setattr(h5py, "File", refuse)
    for ask in (product.open, product.stamp, product.damage, parts.done, lambda: product.parts({})):
        with pytest.raises(UnavailableError):
            ask()
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in kept} == kept


def test_what_lacks_a_group_is_not_stamped(product: ProductFile) -> None:
    parts = product.parts({})
    parts.write(0, group_with(1, "a"))
    with pytest.raises(OmnitrackError, match="2 of its 3 groups are missing, b is the first") as caught:
        parts.merge({"n": 1}, ["a", "b", "c"])
    assert product.command in (caught.value.hint or "")
    assert product.stamp() is None
    assert parts.done() == [0], "what is finished stays"
    parts.write(1, group_with(2, "b", "c"))
    parts.merge({"n": 1}, ["a", "b", "c"])
    assert contents(product) == {"a": 1, "b": 2, "c": 2}


def test_parts_that_are_not_whole_are_made_again(product: ProductFile) -> None:
    parts = product.parts({})
    for index in range(3):
        parts.write(index, group_with(index, f"a{index}", f"b{index}"))
    with h5py.File(product.parts_dir / "000000.h5", "r+") as file:
        del file["a0"]
    with h5py.File(product.parts_dir / "000001.h5", "r+") as file:
        del file["a1"].attrs["complete"]
    assert parts.done() == [2]
