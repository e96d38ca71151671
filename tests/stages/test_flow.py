"""`compute_flow`: the same flow however it is computed, interruptions lose nothing, and every failure is named."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.config import load_settings
from omnitrack.correspondence import estimators, features, keyframes, pairs
from omnitrack.correspondence.estimators.contract import FlowEstimate
from omnitrack.correspondence.estimators.dis import DisEstimator
from omnitrack.correspondence.keyframes import Keyframes
from omnitrack.correspondence.pairs import Pair, select_pairs
from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress, Task
from omnitrack.project.feature_store import FeatureStore
from omnitrack.project.filtered import filtered_file
from omnitrack.project.flow_codec import decode, encode
from omnitrack.project.frames_meta import write_meta
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import DisSettings, Settings
from omnitrack.stages import flow_jobs, flow_pairs
from omnitrack.stages.flow import compute_flow, flow_stamp
from omnitrack.stages.flow_jobs import FlowJob
from omnitrack.stages.flow_pairs import selected_pairs
from omnitrack.stages.init import init_from_frames
from omnitrack.synthetic import translating_scene

Flows = dict[Pair, NDArray[np.float32]]


class Recorder(Progress):
    """Records the messages of a stage."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.tasks: list[tuple[str, int, int]] = []
        self.advanced = 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        self.tasks.append((name, total, done))
        recorder = self

        class Counting(Task):
            def advance(self, steps: int = 1, **values: float | str) -> None:
                recorder.advanced += steps

        return Counting()


class Fake:
    """An estimator with given answers; stands in for a plug-in."""

    def __init__(self, answer: Callable[[int], object]) -> None:
        self.calls = 0
        self._answer = answer
        self._dis = DisEstimator(DisSettings())

    def estimate(self, source: Any, target: Any, initial: Any = None) -> Any:
        self.calls += 1
        answer = self._answer(self.calls)
        return self._dis.estimate(source, target, initial) if answer is None else answer


def use(monkeypatch: pytest.MonkeyPatch, answer: Callable[[int], object]) -> Fake:
    fake = Fake(answer)
    monkeypatch.setattr(estimators, "get_estimator", lambda name, settings: fake)
    return fake


def settings(**flow: object) -> Settings:
    return load_settings(overrides={f"flow.{key.replace('__', '.')}": value for key, value in flow.items()})


# The estimator alone, without the calls from which a correction learns what to compare.
PLAIN: dict[str, object] = {"descriptors__network": "none"}


def read(project: Project) -> Flows:
    with FlowStore(project) as store:
        return {pair: store.flow(*pair) for pair in store.pairs()}


def assert_same(flows: Flows, expected: Flows) -> None:
    assert list(flows) == list(expected)
    for pair, flow in flows.items():
        np.testing.assert_array_equal(flow, expected[pair], err_msg=str(pair))


def another(project: Project) -> Project:
    """Return a copy of the project without its flow."""
    root = project.root.with_name("another")
    root.mkdir()
    shutil.copytree(project.frames_dir, root / "frames")
    return Project(root)


def parts_left(project: Project) -> list[str]:
    return sorted(path.name for path in (project.products_dir / "flow.parts").rglob("*.h5"))


# --- the result -------------------------------------------------------------------------------------------------
def test_every_selected_pair_gets_its_true_flow(project: Project) -> None:
    recorder = Recorder()
    report = compute_flow(project, Settings(), recorder)
    flows = read(project)
    assert list(flows) == select_pairs("log", 8)
    for (source, target), flow in flows.items():
        if abs(target - source) <= 2:  # over longer gaps, too much of a frame this small leaves it
            error = flow[12:-12, 12:-12] - np.array([2, 1]) * (target - source)
            assert np.abs(error).max() < 0.15, (source, target)
    size = project.product_path("flow").stat().st_size
    assert (report.pairs, report.computed, report.skipped) == (34, 34, 0)
    assert (report.bytes, report.bytes_per_pair) == (size, size / 34)
    assert report.seconds > 0
    assert recorder.tasks == [("flow", 34, 0)]
    assert recorder.advanced == 34
    assert not recorder.notes and not recorder.warnings
    assert [p.name for p in project.products_dir.iterdir()] == ["flow.h5"]


def test_stored_flow_is_the_estimators_rounded_to_a_32nd_pixel(project: Project) -> None:
    compute_flow(project, settings(warm_start=False, surroundings=False, descriptors__network="none"))
    expected = DisEstimator(DisSettings()).estimate(project.frame(1), project.frame(5))
    assert np.abs(read(project)[1, 5] - expected).max() <= 1 / 64


@pytest.mark.parametrize("warm_start", [True, False])
def test_flow_does_not_depend_on_workers_pairs_or_order(project: Project, warm_start: bool) -> None:
    compute_flow(project, settings(pairs="exhaustive", workers=1, warm_start=warm_start))
    expected = read(project)
    other = another(project)
    compute_flow(other, settings(pairs="window:1", workers=4, warm_start=warm_start))
    compute_flow(other, settings(pairs="keyframe", workers=2, warm_start=warm_start), pairs=[(0, 5), (6, 0), (0, 5)])
    compute_flow(other, settings(pairs="log", workers=3, warm_start=warm_start))
    flows = read(other)
    assert {(0, 5), (6, 0), (0, 4), (3, 7)} <= set(flows)
    assert_same(flows, {pair: expected[pair] for pair in flows})


@pytest.mark.parametrize("surroundings", [True, False])
def test_warm_start_begins_at_what_was_measured_over_the_power_of_two_below(
    project: Project, monkeypatch: pytest.MonkeyPatch, surroundings: bool
) -> None:
    begun: dict[tuple[bytes, bytes], Any] = {}
    measured: dict[tuple[bytes, bytes], Any] = {}

    class Spy(DisEstimator):
        def estimate(self, source: Any, target: Any, initial: Any = None) -> Any:
            pair = source.tobytes(), target.tobytes()
            begun[pair], measured[pair] = initial, super().estimate(source, target, initial)
            return measured[pair]

    monkeypatch.setattr(estimators, "get_estimator", lambda name, flow: Spy(DisSettings()))
    plain = settings(
        pairs="exhaustive", warm_start=True, surroundings=surroundings, descriptors__network="none", workers=1
    )
    compute_flow(project, plain)
    frames = [project.frame(t).tobytes() for t in range(8)]
    assert begun[frames[0], frames[1]] is None
    for target, start in ((2, 1), (3, 2), (4, 2), (5, 4), (7, 4)):
        expected = decode(encode(measured[frames[0], frames[start]]))
        np.testing.assert_array_equal(begun[frames[0], frames[target]], expected)
    np.testing.assert_array_equal(begun[frames[7], frames[1]], decode(encode(measured[frames[7], frames[3]])))


def test_keyframes_are_picked_by_the_clips_own_motion(project: Project) -> None:
    # (2, 1) working pixels per frame are (8, 5.3) = 9.6 at 256 x 256: 16 are passed in 2 frames, a keyframe lasts 3.
    compute_flow(project, settings(pairs="keyframe"))
    assert list(read(project)) == select_pairs("keyframe", 8, lambda: Keyframes([0, 3, 6, 7], []))


@pytest.fixture
def long_from_seven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the clip's 8 frames count as a long shot."""
    for module in (pairs, flow_pairs):
        monkeypatch.setattr(module, "LONG_SHOT", 6)


def test_a_long_shot_is_matched_by_keyframes_of_itself_and_that_is_said(
    project: Project, long_from_seven: None
) -> None:
    recorder = Recorder()
    report = compute_flow(project, settings(), recorder)
    assert list(read(project)) == select_pairs("keyframe", 8, lambda: Keyframes([0, 3, 6, 7], []))
    assert recorder.notes == [
        f"8 frames are matched by keyframes, {report.pairs} pairs in all; --set flow.pairs=log matches them evenly"
    ]
    again = Recorder()
    assert compute_flow(project, settings(), again).computed == 0 and again.notes == []
    compute_flow(project, settings(pairs="log"), again)
    assert set(select_pairs("log", 8)) <= set(read(project)) and again.notes == []


def test_a_long_clip_keeps_the_pairs_that_an_earlier_version_made(
    project: Project, request: pytest.FixtureRequest
) -> None:
    compute_flow(project, settings())  # stamped as by earlier versions, for clips of every length
    made = flow_stamp(project, settings().flow)
    request.getfixturevalue("long_from_seven")
    assert flow_stamp(project, settings().flow) == made
    assert compute_flow(project, settings()).computed == 0
    assert flow_stamp(another(project), settings().flow) != made


def test_keyframes_that_show_the_same_place_are_found_by_features_where_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Brightness:
        """One cell, whose direction depends on the mean of the frame's red channel."""

        name, identity, threshold, batch_frames = "brightness", "1", 0.5, 4

        def extract(self, frames: Any) -> list[NDArray[np.float32]]:
            angles = [frame[..., 0].mean() / 20 for frame in frames]
            return [np.array([[[np.cos(a), np.sin(a)]]], np.float32) for a in angles]

    monkeypatch.setitem(features.BUILT_IN, "brightness", lambda *_: Brightness())
    scene = translating_scene((0.0, 0.0), (48, 48), 120)
    shown = [np.clip(scene.frame(0).astype(int) + 30 * (t // 40 == 1), 0, 255).astype(np.uint8) for t in range(120)]
    plain = settings(pairs="keyframe")
    chosen = replace(plain, features=replace(plain.features, extractor="brightness"))
    init_from_frames(shown, tmp_path / "clip", chosen, 24.0, "clip")
    project = Project(tmp_path / "clip")
    asked: list[list[int]] = []
    alike = keyframes.alike_frames
    monkeypatch.setattr(keyframes, "alike_frames", lambda looks: asked.append(looks.shape[1]) or alike(looks))
    pairs = selected_pairs(project, chosen)
    assert asked == [2], "two channels"
    assert [t for t in range(120) if (0, t) in pairs][-1] >= 80, "bright as at first"
    with FeatureStore(project) as store:
        assert store.features(50).shape == (1, 1, 2)


def test_far_frames_without_the_power_of_two_between_them_begin_anew() -> None:
    asked: list[tuple[tuple[int, int], bool]] = []

    class Spy:
        batch_pairs, concurrent = 1, True

        def estimate_pairs(self, pairs: Any, initial: Any) -> Any:
            asked.extend((pair, start is not None) for pair, start in zip(pairs, initial, strict=True))
            return [FlowEstimate(np.zeros((4, 4, 2), np.float32)) for _ in pairs]

    job = FlowJob([(0, 128), (0, 100), (0, 3)], Spy(), "spy", (4, 4), True, threading.Event())
    with h5py.File("part", "w", driver="core", backing_store=False) as part:
        job.write(part)
        assert set(part) == {"000000_000128", "000000_000100", "000000_000003"}
    assert sorted(asked) == sorted(
        [((0, 1), False), ((0, 100), False), *(((0, gap), True) for gap in (2, 3, 4, 8, 16, 32, 64, 128))]
    )


def test_tiny_frames(tmp_path: Path, textured_clip: Callable[..., NDArray[np.uint8]]) -> None:
    for size in ((16, 16), (40, 30)):
        root = tmp_path / f"{size[0]}"
        init_from_frames(textured_clip(3, size, (1, 0)), root, Settings(), 10.0, "clip")
        compute_flow(Project(root), Settings())
        assert read(Project(root))[0, 1].shape == (size[1], size[0], 2)


# --- existing flow ----------------------------------------------------------------------------------------------
def test_a_second_run_computes_nothing_and_touches_nothing(project: Project) -> None:
    compute_flow(project, Settings())
    before = project.product_path("flow").stat()
    recorder = Recorder()
    report = compute_flow(project, Settings(), recorder)
    assert (report.pairs, report.computed, report.skipped) == (34, 0, 34)
    assert recorder.tasks == []
    after = project.product_path("flow").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_further_pairs_are_added_to_those_that_are_there(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    compute_flow(project, settings(pairs="window:1", warm_start=False, **PLAIN))
    first = read(project)
    fake = use(monkeypatch, lambda call: None)
    report = compute_flow(project, settings(pairs="window:2", warm_start=False, **PLAIN), pairs=[(0, 7)])
    flows = read(project)
    assert (report.pairs, report.computed, report.skipped) == (27, 13, 14)
    assert fake.calls == 13
    assert set(flows) == set(select_pairs("window:2", 8)) | {(0, 7)}
    assert_same({pair: flows[pair] for pair in first}, first)
    with FlowStore(project) as store:
        assert (store.flow_stamp or {})["settings"]["pairs"] == "window:2"


def test_what_was_made_from_the_flow_stays_as_it_is(project: Project) -> None:
    compute_flow(project, settings(pairs="window:1"))
    filtered = filtered_file(project)
    parts = filtered.parts({})
    parts.write(0, lambda file: file.create_group("000000"))
    parts.merge({"inputs": {"flow": "x"}}, [])
    before = filtered.path.read_bytes()
    compute_flow(project, settings(pairs="window:2"))
    compute_flow(project, settings(pairs="window:2", dis__finest_scale=1))
    assert filtered.path.read_bytes() == before


def test_other_settings_discard_the_flow_with_a_note(project: Project) -> None:
    compute_flow(project, settings(pairs="window:2"))
    recorder = Recorder()
    report = compute_flow(project, settings(pairs="window:1", dis__finest_scale=1), recorder)
    assert report.computed == 14
    assert list(read(project)) == select_pairs("window:1", 8)
    assert len(recorder.notes) == 1 and "other frames or settings" in recorder.notes[0]


def test_other_frames_discard_the_flow_with_a_note(project: Project) -> None:
    compute_flow(project, settings(pairs="window:1"))
    write_meta(project.frames_dir, replace(project.meta, fingerprint="other"))
    recorder = Recorder()
    assert compute_flow(Project(project.root), settings(pairs="window:1"), recorder).computed == 14
    assert len(recorder.notes) == 1


def test_the_stamp_holds_what_changes_the_flow_and_nothing_else(project: Project) -> None:
    base = flow_stamp(project, settings().flow)
    assert base["inputs"] == {"frames": project.meta.fingerprint}
    assert flow_stamp(project, settings(workers=7).flow) == base
    assert flow_stamp(project, settings(dis__patch_stride=4).flow) != base
    other = flow_stamp(project, settings(estimator="mine").flow)
    assert other == flow_stamp(project, settings(estimator="mine", dis__patch_stride=4).flow)
    plain = flow_stamp(project, settings(descriptors__network="none").flow)
    assert flow_stamp(project, settings(descriptors__network="none", descriptors__margin=0.3).flow) == plain != base
    assert flow_stamp(project, settings(descriptors__network="patches").flow) == base
    assert flow_stamp(project, settings(descriptors__margin=0.3).flow) not in (plain, base)
    assert base["settings"]["descriptors"]["axes"] == "discriminant"
    corrected = flow_stamp(project, settings(descriptors__network="alike").flow)
    assert corrected["inputs"].keys() - base["inputs"].keys() == {"descriptor_weights"}
    assert flow_stamp(project, settings(descriptors__network="alike", descriptors__margin=0.3).flow) != corrected


@pytest.mark.parametrize("spoil", ["truncated", "foreign", "version", "incomplete"])
def test_a_file_that_is_wrong_is_made_again(project: Project, spoil: str) -> None:
    compute_flow(project, settings(pairs="window:1"))
    expected, path = read(project), project.product_path("flow")
    if spoil == "truncated":
        path.write_bytes(path.read_bytes()[:-2000])
    elif spoil == "foreign":
        path.write_text("not HDF5")
    else:
        with h5py.File(path, "r+") as file:
            if spoil == "version":
                file.attrs["format"] = 99
            else:
                del file["000003_000004"].attrs["complete"]
    recorder = Recorder()
    report = compute_flow(project, settings(pairs="window:1"), recorder)
    assert report.computed == 14
    assert len(recorder.warnings) == 1
    assert_same(read(project), expected)


# --- interruptions ----------------------------------------------------------------------------------------------
def test_ctrl_c_keeps_finished_frames_and_the_next_run_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting(Recorder):
        def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
            class Pressed(Task):
                def advance(self, steps: int = 1, **values: float | str) -> None:
                    pressed.set()
                    raise KeyboardInterrupt

            return Pressed()

    pressed = threading.Event()
    use(monkeypatch, lambda call: None if call < 10 else pressed.wait(60) and None)
    with pytest.raises(KeyboardInterrupt):
        compute_flow(project, settings(workers=1, **PLAIN), Interrupting())
    left = parts_left(project)
    assert 1 <= len(left) < 8
    assert not project.product_path("flow").exists()
    with pytest.raises(OmnitrackError, match="there is no flow yet"):
        FlowStore(project)
    fake, recorder = use(monkeypatch, lambda call: None), Recorder()
    report = compute_flow(project, settings(**PLAIN), recorder)
    assert report.skipped >= 3 * len(left)  # every source has at least three targets
    assert fake.calls == report.computed == 34 - report.skipped
    assert recorder.tasks == [("flow", 34, report.skipped)]
    assert f"{len(left)} source frames are done" in recorder.notes[0]
    monkeypatch.undo()
    other = another(project)
    compute_flow(other, settings(**PLAIN))
    assert_same(read(project), read(other))


KILLED = """
import sys, time
from omnitrack.correspondence.estimators.contract import FlowEstimate
from omnitrack.correspondence.estimators.dis import DisEstimator
from omnitrack.project.project import Project
from omnitrack.settings import DisSettings
from omnitrack.config import load_settings
from omnitrack.correspondence import estimators, features, keyframes
from omnitrack.stages import flow

class Hanging(DisEstimator):
    calls = 0
    def estimate(self, *arguments):
        self.calls += 1
        if self.calls > 20:
            print("hanging", flush=True)
            time.sleep(60)
        return super().estimate(*arguments)

estimators.get_estimator = lambda name, settings: Hanging(DisSettings())
chosen = load_settings(overrides={"flow.workers": 1, "flow.descriptors.network": "none"})
flow.compute_flow(Project(sys.argv[1]), chosen)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_process_loses_only_the_frame_it_was_at(project: Project) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(project.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "hanging\n"
    process.kill()
    process.wait()
    process.stdout.close()
    # By hand: frames 0 to 3 have 3 later targets each and 0, 1, 2, 2 earlier ones, 17 pairs; the 21st is in frame 4.
    assert parts_left(project) == [f"{index:06d}.h5" for index in range(4)]
    report = compute_flow(project, settings(**PLAIN))
    assert (report.computed, report.skipped) == (17, 17)
    other = another(project)
    compute_flow(other, settings(**PLAIN))
    assert_same(read(project), read(other))
    assert not (project.products_dir / "flow.parts").exists()


# --- failures ---------------------------------------------------------------------------------------------------
def failure(project: Project, **flow: object) -> OmnitrackError:
    with pytest.raises(OmnitrackError) as caught:
        compute_flow(project, settings(pairs="window:1", workers=1, **flow))
    return caught.value


def broken(value: float) -> NDArray[np.float32]:
    flow = np.zeros((48, 64, 2), np.float32)
    flow[3, 4, 1] = flow[3, 4, 0] = flow[7, 7, 0] = value
    return flow


def assert_first_two_frames_stay(project: Project) -> None:
    left = parts_left(project)  # the worker may have gone on to frame 3 before it was stopped
    assert left[:2] == ["000000.h5", "000001.h5"] and "000002.h5" not in left


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (broken(float("nan")), "not finite at 2 pixels"),
        (broken(float("-inf")), "not finite at 2 pixels"),
        (np.zeros((64, 48, 2), np.float32), "shape (64, 48, 2), not (48, 64, 2)"),
        ([[0.0]], "shape (1, 1), not (48, 64, 2)"),
        (None, "out of ideas"),
    ],
)
def test_a_failing_estimator_is_named_with_the_pair_and_finished_frames_stay(
    project: Project, monkeypatch: pytest.MonkeyPatch, answer: object, cause: str
) -> None:
    def answer_in_time(call: int) -> object:
        if call != 5:  # by hand: 0 -> 1; 1 -> 0, 1 -> 2; 2 -> 1, 2 -> 3
            return None
        if answer is None:
            raise RuntimeError("out of ideas")
        return answer

    use(monkeypatch, answer_in_time)
    error = failure(project, estimator="mine", **PLAIN)
    assert "'mine'" in error.message and "2 -> 3" in error.message and cause in error.message
    assert_first_two_frames_stay(project)


def test_a_full_disk_keeps_finished_frames(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    write, writes = flow_jobs.write_flow, []

    def until_full(group: h5py.Group, encoded: Any, confidence: Any) -> None:
        writes.append(group.name)
        if len(writes) == 5:
            raise OSError(28, "No space left on device")
        write(group, encoded, confidence)

    monkeypatch.setattr(flow_jobs, "write_flow", until_full)
    error = failure(project)
    assert error.message.endswith("000002.h5: no space left on device")
    assert f"omnitrack flow {project.root}" in (error.hint or "")
    assert_first_two_frames_stay(project)
    monkeypatch.undo()
    assert compute_flow(project, settings(pairs="window:1")).skipped >= 3


def test_a_missing_frame_is_named(project: Project) -> None:
    project.frame_path(4).unlink()
    assert "frame 4" in failure(project).message


def test_one_frame_is_not_enough(project: Project) -> None:
    write_meta(project.frames_dir, replace(project.meta, count=1, indices=[0]))
    assert "single frame" in failure(Project(project.root)).message


@pytest.mark.parametrize("pair", [(0, 0), (-1, 0), (3, 8)])
def test_a_pair_that_is_not_one_is_refused(project: Project, pair: Pair) -> None:
    with pytest.raises(OmnitrackError) as caught:
        compute_flow(project, settings(), pairs=[pair])
    assert str(pair) in caught.value.message
    assert "0 to 7" in (caught.value.hint or "")


def test_bad_settings_are_refused_before_anything_is_done(project: Project) -> None:
    for flow in ({"pairs": "some"}, {"estimator": "nobody"}):
        with pytest.raises(OmnitrackError):
            compute_flow(project, settings(**flow))
    assert not list(project.root.glob("corr*"))
