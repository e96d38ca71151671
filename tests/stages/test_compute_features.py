"""`compute_features`, and how the filter uses it: once per frame, resumed, stale when it should be."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from omnitrack.correspondence import features
from omnitrack.correspondence.features.contract import unit_length
from omnitrack.correspondence.track_appearance import TrackAppearance
from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress, Task
from omnitrack.project.feature_store import FeatureStore, features_file
from omnitrack.project.fit_data import read_correspondences
from omnitrack.project.frames_meta import write_meta
from omnitrack.project.project import Project
from omnitrack.settings import FeatureSettings, Settings
from omnitrack.stages import point_tracker
from omnitrack.stages.bring_up import bring_up_to
from omnitrack.stages.features import compute_features, wanted_features
from omnitrack.stages.filter import filter_flow
from omnitrack.stages.fit import fit_field
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.graph import Work
from omnitrack.stages.info import inspect_project
from omnitrack.stages.query import query_tracks

CELL = 8


class Colours:
    """Mean colours of 8 x 8 cells minus a medium grey: features without a network."""

    name, threshold, batch_frames = "colours", 0.9, 3

    def __init__(self, identity: str = "v1") -> None:
        self.identity = identity
        self.seen = 0

    def extract(self, frames: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        self.seen += len(frames)
        return [self.map(frame) for frame in frames]

    def map(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        size = (frame.shape[1] // CELL, frame.shape[0] // CELL)
        mean = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.float32) - 127.5
        return unit_length(np.concatenate([mean, np.full((*mean.shape[:2], 1), 20, np.float32)], -1))


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> Colours:
    """The extractor of ``features.extractor = "colours"``."""
    extractor = Colours()
    monkeypatch.setitem(features.BUILT_IN, "colours", lambda settings, device, progress: extractor)
    return extractor


@pytest.fixture
def with_features(small_settings: Settings) -> Settings:
    return replace(small_settings, features=FeatureSettings(extractor="colours"))


def with_filter(settings: Settings, **changes: Any) -> Settings:
    return replace(settings, filter=replace(settings.filter, **changes))


# --- extracting -------------------------------------------------------------------------------------------------
def test_no_extractor_does_nothing(project: Project) -> None:
    report = compute_features(project, Settings())
    assert (report.extractor, report.frames, report.computed) == ("none", 0, 0)
    assert not project.product_path("features").exists()
    assert wanted_features(project, FeatureSettings()) is None


def test_features_of_every_frame_once(project: Project, colours: Colours, with_features: Settings) -> None:
    report = compute_features(project, with_features, device="cpu")
    assert (report.frames, report.computed, report.grid, report.channels) == (8, 8, (6, 8), 4)
    assert report.threshold == 0.9
    assert report.bytes == 8 * 6 * 8 * 4 * 2
    with FeatureStore(project) as store:
        assert store.stamp == wanted_features(project, with_features.features)
        assert store.stamp["inputs"] == {"frames": project.meta.fingerprint, "weights": "v1"}
        for t in range(8):
            np.testing.assert_allclose(store.features(t), colours.map(project.frame(t)), atol=2**-11)
    again = compute_features(project, with_filter(with_features, feature_threshold=0.7), device="cpu")
    assert (again.computed, again.threshold, colours.seen) == (0, 0.7, 8)


class StopAfter(Progress):
    """Presses Ctrl-C after a number of frames."""

    def __init__(self, frames: int) -> None:
        self.left = frames

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        progress = self

        class Counting(Task):
            def advance(self, steps: int = 1, **values: float | str) -> None:
                progress.left -= steps
                if progress.left == 0:
                    raise KeyboardInterrupt

        return Counting()


def test_an_interrupted_run_goes_on(project: Project, colours: Colours, with_features: Settings) -> None:
    with pytest.raises(KeyboardInterrupt):
        compute_features(project, with_features, StopAfter(4), device="cpu")
    assert features_file(project).has_parts()
    assert features_file(project).stamp() is None
    assert inspect_project(project).state("features") == "unfinished"
    assert compute_features(project, with_features, device="cpu").computed == 4
    assert not features_file(project).has_parts()
    with FeatureStore(project) as store:
        for t in range(8):
            np.testing.assert_allclose(store.features(t), colours.map(project.frame(t)), atol=2**-11)


def test_what_is_stale_or_damaged_is_extracted_anew(
    project: Project, colours: Colours, with_features: Settings
) -> None:
    compute_features(project, with_features, device="cpu")
    other_side = replace(with_features, features=replace(with_features.features, side=64))
    assert compute_features(project, other_side, device="cpu").computed == 8
    other_place = replace(with_features, features=replace(other_side.features, weights="moved/there"))
    assert compute_features(project, other_place, device="cpu").computed == 0, "where they lie changes nothing"
    colours.identity = "v2"
    assert compute_features(project, other_side, device="cpu").computed == 8
    write_meta(project.frames_dir, replace(project.meta, fingerprint="another"))
    project = Project(project.root)
    assert compute_features(project, other_side, device="cpu").computed == 8
    with h5py.File(project.product_path("features"), "r+") as file:
        del file["000002"]
    assert compute_features(project, other_side, device="cpu").computed == 8
    project.product_path("features").write_bytes(project.product_path("features").read_bytes()[:1000])
    assert compute_features(project, other_side, device="cpu").computed == 8


@pytest.mark.parametrize(
    ("returned", "cause"),
    [
        (np.full((6, 8, 4), np.nan, np.float32), "not finite"),
        (np.full((6, 8, 4), 2, np.float32), "length 4"),
        (np.ones((6, 8), np.float32), "shape"),
        (ValueError("out of memory"), "failed: out of memory"),
    ],
)
def test_an_extractor_that_fails_is_named_with_the_frame(
    project: Project, colours: Colours, with_features: Settings, returned: Any, cause: str
) -> None:
    def extract(frames: Sequence[NDArray[np.uint8]]) -> list[Any]:
        if np.array_equal(frames[0], project.frame(3)):
            if isinstance(returned, Exception):
                raise returned
            return [returned] * len(frames)
        return [colours.map(frame) for frame in frames]

    colours.extract = extract  # type: ignore[method-assign]
    with pytest.raises(OmnitrackError, match=r"'colours' on frame 3") as caught:
        compute_features(project, with_features, device="cpu")
    assert cause in caught.value.message
    assert "finished frames are kept" in (caught.value.hint or "")
    assert features_file(project).has_parts()


def test_maps_of_unequal_sizes_are_refused(project: Project, colours: Colours, with_features: Settings) -> None:
    sizes = iter((6, 6, 6, 5, 5, 5))
    colours.extract = lambda frames: [  # type: ignore[method-assign]
        unit_length(np.ones((next(sizes), 8, 4), np.float32)) for _ in frames
    ]
    with pytest.raises(OmnitrackError, match=r"frame 3 returned \(5, 8, 4\) after \(6, 8, 4\)"):
        compute_features(project, with_features, device="cpu")


# --- the appearance check ---------------------------------------------------------------------------------------
def test_the_filter_rejects_what_its_features_tell_apart(
    matched_project: Project, colours: Colours, with_features: Settings
) -> None:
    """A corner of frame 6 turns blue after its flow was measured; patches are not compared."""
    frame = matched_project.frame(6)
    frame[:24, :24] = (0, 0, 255)
    cv2.imwrite(str(matched_project.frame_path(6)), frame[..., ::-1])
    settings = with_filter(with_features, appearance_threshold=-1.0, feature_threshold=0.5)
    report = filter_flow(matched_project, settings, device="cpu")
    data = read_correspondences(matched_project, torch.device("cpu"), 10**9)
    corner = ((data.grid > 4) & (data.grid < 18)).all(-1).numpy()
    gap = (data.sources[:, None] - data.targets).abs()
    far, near = ((data.targets == 6) & (gap >= 3)).numpy(), ((data.targets == 6) & (gap < 3)).numpy()
    believed = data.confidence.numpy() > 0
    assert believed[far][:, corner].mean() < 0.1
    assert believed[near][:, corner].mean() > 0.9, "over one and two frames features are not compared"
    assert believed[far][:, ~corner].mean() > 0.6
    loose = filter_flow(matched_project, with_filter(settings, feature_threshold=-1.0), device="cpu")
    assert report.appearance_rejected_share > loose.appearance_rejected_share == 0
    strict = filter_flow(matched_project, with_filter(settings, appearance_threshold=0.99), device="cpu")
    assert 0.95 * report.correspondences < strict.correspondences, "features decide, patches only weigh"
    assert colours.seen == 8, "extracted once for all"


def test_a_query_asks_the_features_that_the_filter_asked(
    matched_project: Project, colours: Colours, with_features: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    class Listening(TrackAppearance):
        def __init__(self, patches: Any, least: float, learned: Any = None, believed: float = 0.0) -> None:
            asked.append(believed)
            super().__init__(patches, least, learned, believed)

    monkeypatch.setattr(point_tracker, "TrackAppearance", Listening)
    queries = np.float32([[0, 20, 20], [3, 40, 30]])
    plain = replace(with_features, features=FeatureSettings())
    for settings in (with_features, with_filter(with_features, feature_threshold=0.7), plain):
        filter_flow(matched_project, settings, device="cpu")
        fit_field(matched_project, settings, device="cpu")
        assert np.isfinite(query_tracks(matched_project, queries, settings, device="cpu").tracks).all()
    assert asked == [0.9, 0.7, 0.0]


def test_filtered_data_made_with_other_features_is_stale(
    matched_project: Project, colours: Colours, with_features: Settings
) -> None:
    project = matched_project
    assert inspect_project(project).state("features") == "missing"
    assert [p.name for p in inspect_project(project).products] == ["frames", "flow", "filter", "fit"]
    filter_flow(project, with_features, device="cpu")
    assert [p.name for p in inspect_project(project).products][:4] == ["frames", "flow", "features", "filter"]
    assert inspect_project(project).state("features") == inspect_project(project).state("filter") == "ready"
    colours.identity = "v2"
    compute_features(project, with_features, device="cpu")
    product = next(p for p in inspect_project(project).products if p.name == "filter")
    assert (product.state, product.reason) == ("stale", "made from other features")
    filter_flow(project, with_features, device="cpu")
    assert inspect_project(project).state("filter") == "ready"
    project.settings_path.write_text('[features]\nextractor = "colours"\nside = 99\n', encoding="utf-8")
    report = inspect_project(project)
    assert report.state("features") == report.state("filter") == "stale"
    assert "features.side" in next(p for p in report.products if p.name == "features").reason


def test_what_the_settings_ask_for_is_missed(
    filtered_project: Project, colours: Colours, with_features: Settings
) -> None:
    filtered_project.settings_path.write_text('[features]\nextractor = "colours"\n', encoding="utf-8")
    report = inspect_project(filtered_project)
    assert (report.state("features"), report.state("filter")) == ("missing", "stale")
    assert report.next_command == f"omnitrack filter {filtered_project.root}"


def test_other_flow_keeps_the_features(matched_project: Project, colours: Colours, with_features: Settings) -> None:
    filter_flow(matched_project, with_features, device="cpu")
    other = replace(with_features, flow=replace(with_features.flow, warm_start=False))
    compute_flow(matched_project, other)
    assert inspect_project(matched_project).state("filter") == "stale"
    assert compute_features(matched_project, other, device="cpu").computed == 0
    filter_flow(matched_project, other, device="cpu")
    assert inspect_project(matched_project).state("filter") == "ready"


def test_features_may_come_before_flow(
    matched_project: Project, colours: Colours, with_features: Settings, tmp_path: Any
) -> None:
    project = Project(shutil.copytree(matched_project.root, tmp_path / "bare"))
    project.product_path("flow").unlink()
    compute_features(project, with_features, device="cpu")
    report = inspect_project(project)
    assert (report.state("flow"), report.state("features")) == ("missing", "ready")
    assert report.next_command == f"omnitrack flow {project.root}"
    compute_flow(project, with_features)
    assert compute_features(project, with_features, device="cpu").computed == 0


def test_no_flow_is_said_before_the_long_work(project: Project, colours: Colours, with_features: Settings) -> None:
    with pytest.raises(OmnitrackError, match="there is no flow yet"):
        filter_flow(project, with_features, device="cpu")
    assert colours.seen == 0


def test_a_project_is_filtered_again_where_features_are_asked_for(
    filtered_project: Project,
    colours: Colours,
    with_features: Settings,
    small_settings: Settings,
) -> None:
    assert bring_up_to("filter", Work(filtered_project, small_settings)).made == []
    assert bring_up_to("filter", Work(filtered_project, with_features)).made == ["features", "filter"]
    assert bring_up_to("filter", Work(filtered_project, with_features)).made == []
    assert colours.seen == 8
