"""`judge_hops`: it stores what the evidence yields, once, whatever interrupts it."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.hop_evidence import HopEvidence
from omnitrack.correspondence.hop_reliability import STEPS_PER_UNIT, hop_regressor
from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress, Task
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore, hops_file
from omnitrack.settings import Settings
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.hops import hops_stamp, judge_hops


def stored(project: Project) -> dict[str, bytes]:
    """Return every array of the hop reliabilities by its path."""
    arrays: dict[str, bytes] = {}
    with h5py.File(project.product_path("hops"), "r") as file:
        file.visititems(
            lambda name, item: arrays.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None
        )
    return arrays


class Stopped(Progress):
    """Presses Ctrl-C after three frames."""

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        class Counting(Task):
            seen = 0

            def advance(self, steps: int = 1, **values: float | str) -> None:
                self.seen += steps
                if self.seen == 3:
                    raise KeyboardInterrupt

        return Counting()


def test_what_is_stored_is_what_the_evidence_says(matched_project: Project, small_settings: Settings) -> None:
    judge_hops(matched_project, small_settings)
    with FlowStore(matched_project) as flows:
        assert flows.hops_stamp == hops_stamp(flows.flow_stamp or {})
        evidence = HopEvidence(
            flows, matched_project.num_frames, BlurredFrames(matched_project.frame, matched_project.size)
        )

        def targets(frame: int) -> list[int]:
            return [b for a, b in flows.pairs() if a == frame]

        shares = evidence.shares(targets)
        for source in (0, 5):
            for target, values in evidence.of(source, targets(source), shares).items():
                expected = hop_regressor().log_odds(values).reshape(evidence.grid.shape)
                found = flows.doubt(source, target)
                assert found is not None
                np.testing.assert_allclose(found, expected, atol=0.5 / STEPS_PER_UNIT + 1e-5)
        assert flows.doubt(0, 0) is None


def test_it_is_done_once(matched_project: Project, small_settings: Settings) -> None:
    assert judge_hops(matched_project, small_settings) > 0
    before = matched_project.product_path("hops").stat().st_mtime_ns
    assert judge_hops(matched_project, small_settings) == 0
    assert matched_project.product_path("hops").stat().st_mtime_ns == before


def test_an_interrupted_judgement_goes_on(
    matched_project: Project, small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        judge_hops(matched_project, small_settings, Stopped())
    assert hops_file(matched_project).has_parts()
    monkeypatch.setattr("omnitrack.stages.frame_jobs.usable_cores", lambda: 1)
    judge_hops(matched_project, small_settings)
    interrupted = stored(matched_project)
    hops_file(matched_project).remove()
    judge_hops(matched_project, small_settings)
    assert stored(matched_project) == interrupted


def test_more_flow_is_judged_anew(matched_project: Project, small_settings: Settings) -> None:
    judge_hops(matched_project, small_settings)
    compute_flow(matched_project, small_settings, pairs=[(0, 3), (3, 0)])
    with FlowStore(matched_project) as flows:
        assert flows.hops_stamp is None
        assert flows.doubt(0, 1) is None
    judge_hops(matched_project, small_settings)
    with FlowStore(matched_project) as flows:
        assert flows.doubt(0, 3) is not None


def test_a_damaged_judgement_is_said(matched_project: Project, small_settings: Settings) -> None:
    judge_hops(matched_project, small_settings)
    with h5py.File(matched_project.product_path("hops"), "r+") as file:
        del file["000002"]["log_odds"]
    with pytest.raises(OmnitrackError, match="log_odds is missing") as caught:
        FlowStore(matched_project)
    assert f"omnitrack filter {matched_project.root}" in (caught.value.hint or "")
    assert judge_hops(matched_project, small_settings) > 0, "and is made anew"
    assert hops_file(matched_project).aside_path.exists()
    FlowStore(matched_project).close()


def test_without_flow_it_says_so(project: Project) -> None:
    with pytest.raises(OmnitrackError, match="there is no flow yet"):
        judge_hops(project, Settings())
