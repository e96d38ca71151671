"""Flow corrected by features: they are computed before it, and once; and how `info` reports it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.config import fingerprint, load_settings
from omnitrack.correspondence import features
from omnitrack.errors import OmnitrackError
from omnitrack.project.feature_store import FeatureStore
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import Settings
from omnitrack.stages.bring_up import bring_up_to
from omnitrack.stages.features import compute_features
from omnitrack.stages.flow import compute_flow, flow_stamp
from omnitrack.stages.graph import Work
from omnitrack.stages.info import inspect_project


class Corners:
    """Features that tell in which quarter of the frame a cell is."""

    name, identity, threshold, batch_frames = "corners", "1", 0.5, 4

    def __init__(self) -> None:
        self.frames = 0

    def extract(self, frames: Any) -> list[NDArray[np.float32]]:
        self.frames += len(frames)
        return [np.eye(4, dtype=np.float32).reshape(2, 2, 4) for _ in frames]


@pytest.fixture
def corners(monkeypatch: pytest.MonkeyPatch) -> Corners:
    extractor = Corners()
    monkeypatch.setitem(features.BUILT_IN, "corners", lambda *_: extractor)
    return extractor


def by_features(**features: object) -> Settings:
    asked = {"flow.descriptors.network": "features", "flow.pairs": "window:1", "features.extractor": "corners"}
    return load_settings(overrides=asked | {f"features.{key}": value for key, value in features.items()})


def state(project: Project, name: str) -> tuple[str, str]:
    """Return the state of a product, and the reason."""
    found = inspect_project(project).products
    return next((product.state, product.reason) for product in found if product.name == name)


def test_features_that_correct_flow_are_made_before_it_and_once(project: Project, corners: Corners) -> None:
    bring_up_to("filter", Work(project, by_features(), "cpu"))
    assert corners.frames == project.num_frames
    with FlowStore(project) as flows, FeatureStore(project) as stored:
        assert flows.flow_stamp["inputs"]["features"] == fingerprint(stored.stamp)
        assert flows.flow_stamp["settings"]["descriptors"]["network"] == "features"
        assert flows.flow_stamp["settings"]["descriptors"]["searches"] == ["features", "patches"]
    assert compute_flow(project, by_features()).computed == 0
    assert not bring_up_to("filter", Work(project, by_features(), "cpu")).made


def test_other_features_make_flow_that_they_corrected_stale(project: Project, corners: Corners) -> None:
    project.settings_path.write_text(
        '[flow]\npairs = "window:1"\n[flow.descriptors]\nnetwork = "features"\n[features]\nextractor = "corners"\n'
    )

    compute_flow(project, by_features())
    assert state(project, "flow") == ("ready", "") == state(project, "features")
    corners.identity = "2"
    compute_features(project, by_features())
    assert state(project, "flow") == ("stale", "made from other features")
    assert compute_flow(project, by_features()).computed == 14
    assert state(project, "flow") == ("ready", "")


def test_auto_says_nothing_against_what_it_stood_for(project: Project) -> None:
    compute_flow(project, Settings())

    project.settings_path.write_text('[flow]\npairs = "auto"\n[flow.descriptors]\nnetwork = "auto"\n')
    assert state(project, "flow") == ("ready", "")
    project.settings_path.write_text('[flow.descriptors]\nnetwork = "none"\n')
    assert state(project, "flow")[0] == "stale"


def test_flow_without_features_does_not_ask_for_them(project: Project, corners: Corners) -> None:
    plain = load_settings(overrides={"flow.pairs": "window:1", "features.extractor": "corners"})
    compute_flow(project, plain)
    assert corners.frames == 0 and "features" not in flow_stamp(project, plain.flow)["inputs"]
    absent = load_settings(overrides={"flow.pairs": "window:1", "features.extractor": "absent"})
    assert compute_flow(project, absent).skipped == 14, "what filter will say"


def test_features_that_nobody_extracts_are_missed_before_the_work(project: Project) -> None:
    with pytest.raises(OmnitrackError, match="there are no features to compare"):
        compute_flow(project, by_features(extractor="none"))
    with pytest.raises(OmnitrackError, match="there are no features to compare"):
        bring_up_to("filter", Work(project, by_features(extractor="none"), "cpu"))
