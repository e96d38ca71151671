from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from leavings import PLAIN_FLOW

from omnitrack.cli import demo_words
from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress, Task
from omnitrack.settings import Settings
from omnitrack.stages.demo import POINTS_PER_LAYER, run_demo, scene_as_video
from omnitrack.synthetic import occluder_scene
from omnitrack.tracks.files import load_tracks


def small(settings: Settings) -> Settings:
    fit = replace(settings.fit, steps=12, anchors=128)
    settings = load_settings(base=settings, overrides=PLAIN_FLOW)
    return replace(settings, fit=fit, render=replace(settings.render, min_side=0))


def test_truth_of_the_clip_in_tapvid_s_raster() -> None:
    scene = occluder_scene((80, 60), num_frames=6, turn=0.0)
    video = scene_as_video(scene, seed=3)
    assert video.frames.shape == (6, 60, 80, 3)
    assert video.points.shape == (3 * POINTS_PER_LAYER, 6, 2)
    steps = np.diff(video.points * (80, 60), axis=1)
    pole, disc, ground = steps.reshape(3, POINTS_PER_LAYER, 5, 2)  # the layers in their order
    np.testing.assert_allclose(disc, np.broadcast_to([4.0, 0.0], disc.shape), atol=1e-4)
    np.testing.assert_allclose([pole, ground], np.zeros((2, POINTS_PER_LAYER, 5, 2)), atol=1e-4)
    assert (~video.occluded).any(1).all()
    assert not video.occluded[:POINTS_PER_LAYER].any()  # nothing is nearer than the pole
    assert video.occluded[POINTS_PER_LAYER:].any()
    assert np.abs((video.points * (80, 60)) % 1 - 0.5).max() < 1e-3  # pixel centres, in raster coordinates


def test_the_demo_goes_all_the_way_and_is_taken_up_again(tmp_path: Path) -> None:
    scene = occluder_scene((80, 60), num_frames=6)
    settings, root = small(Settings()), tmp_path / "demo"
    report = run_demo(root, settings, device="cpu", scene=scene)
    assert list(report.results["methods"]) == ["cadex", "chain"]
    for method in report.results["methods"].values():
        assert 0 <= method["mean"]["average_jaccard"] <= 1
    assert report.results["methods"]["chain"]["mean"]["average_pts_within_thresh"] > 0.5
    assert {"clip", "flow", "filter", "fit", "query", "render"} <= set(report.seconds)
    assert list(report.things) == ["pole", "disc", "background"]
    assert report.points == 3 * POINTS_PER_LAYER
    assert report.things["pole"].hidden == 0
    assert report.things["pole"].near["chain"] > 0.9
    assert load_tracks(report.tracks).tracks.shape[1] == 6
    assert report.overlay in report.overlays
    assert all(Path(path).stat().st_size > 1000 for path in report.overlays)
    assert report.next_command.startswith("omnitrack run ")
    again = run_demo(root, settings, device="cpu", scene=scene)
    assert again.things == report.things
    assert again.seconds["fit"] == report.seconds["fit"]  # the fit was not run twice


def test_a_directory_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(OmnitrackError, match="not empty") as caught:
        run_demo(tmp_path, Settings(), scene=occluder_scene((80, 60), num_frames=6))
    assert "omnitrack demo DIR" in str(caught.value.hint)


class Stages(Progress):
    """Records what is planned and begun, and which tasks run in which outermost stage."""

    def __init__(self) -> None:
        self.depth = 0
        self.planned: list[str] = []
        self.begun: list[str] = []
        self.tasks: dict[str, int] = {}

    def plan(self, stages: Sequence[str]) -> None:
        self.planned += stages

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.begun += [name] * (self.depth == 0)
        self.depth += 1
        yield
        self.depth -= 1

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        self.tasks[self.begun[-1]] = self.tasks.get(self.begun[-1], 0) + 1
        return Task()


def test_the_stages_come_as_they_were_announced_and_none_is_without_progress(tmp_path: Path) -> None:
    heard = Stages()
    run_demo(tmp_path / "demo", small(Settings()), "cpu", progress=heard, scene=occluder_scene((80, 60), num_frames=6))
    assert heard.begun == heard.planned == [name for name, *_ in demo_words.STAGES]
    assert all(heard.tasks[name] for name in heard.planned)
