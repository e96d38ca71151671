"""What is reported before long work: frames, pairs and minutes of missing products, and what makes it shorter."""

from __future__ import annotations

from dataclasses import replace

import pytest
from leavings import leave_fit

from omnitrack.config import load_settings
from omnitrack.progress import Progress
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.estimate import announce, estimate
from omnitrack.stages.graph import Work


class Notes(Progress):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def note(self, text: str) -> None:
        self.heard.append(text)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omnitrack.stages.estimate.usable_cores", lambda: 2)


def test_minutes_of_a_fresh_project_by_hand(project: Project) -> None:
    """8 frames of 64 x 48: searched at 128 x 96; 34 pairs at gaps 1, 2 and 4."""
    found = estimate(Work(project, load_settings(overrides={"fit.steps": 1000})))
    assert found is not None
    assert (found.frames, found.pairs) == (8, 34)
    flow, filtering, fit = 34 * 128 * 96 * 2.0e-6 / 2, 0.06 * 64 / 2, 5 + 1000 * 0.045
    assert found.seconds == pytest.approx(flow + filtering + fit)


def test_a_long_shot_is_matched_by_keyframes_and_chained_within_a_window(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """256 frames: at most T log2 T pairs, and 50 frames each way; 128 frames: log, gaps of 1 to 64 both ways."""
    found = []
    for frames in (256, 128):
        monkeypatch.setattr(Project, "shots", property(lambda _, frames=frames: [range(frames)]))
        found.append(estimate(Work(project, load_settings(overrides={"fit.steps": 1000}))))
    pixels = 128 * 96
    for one, pairs, visits in zip(found, (256 * 8, 2 * (7 * 128 - 127)), (256 * 100, 128 * 100), strict=True):
        assert one is not None and one.pairs == pairs
        assert one.seconds == pytest.approx((pairs * pixels * 2.0e-6 + 0.06 * visits) / 2 + 5 + 1000 * 0.045)


def test_what_is_there_takes_no_time(
    filtered_project: Project, matched_project: Project, small_settings: Settings
) -> None:
    fit = 5 + small_settings.fit.steps * 0.045
    for project, pairs in ((filtered_project, 0), (matched_project, 0)):
        found = estimate(Work(project, small_settings))
        assert found is not None and found.seconds is not None
        assert found.pairs == pairs
        assert found.seconds == pytest.approx(fit + (0.06 * 64 / 2) * (project is matched_project))
    leave_fit(filtered_project, small_settings, 0, 1.0, small_settings.fit.steps)
    heard = Notes()
    announce(Work(filtered_project, small_settings), heard)
    assert heard.heard == []


def test_long_work_names_what_makes_it_shorter_and_short_work_does_not(project: Project) -> None:
    short, long = Notes(), Notes()
    announce(Work(project, load_settings(overrides={"fit.steps": 1000})), short)
    announce(Work(project, load_settings(overrides={"fit.steps": 20_000})), long)
    assert short.heard == ["8 frames, 34 pairs of them: roughly 1 minute on 2 CPU cores"]
    assert long.heard[0].endswith("roughly 15 minutes on 2 CPU cores")
    assert all(word in long.heard[1] for word in ("--end", "--max-size", "--preset fast"))


def test_what_nobody_has_timed_gets_no_minutes(project: Project) -> None:
    heard, settings = Notes(), load_settings()
    announce(Work(project, replace(settings, flow=replace(settings.flow, far_estimator="dis"))), heard)
    assert heard.heard == ["8 frames, 34 pairs of them; the progress bars will show how long it takes"]
