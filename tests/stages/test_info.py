"""What info reports about a project: every state of every product, with its reason and the command that renews it."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.config import as_dict, fingerprint, load_settings
from omnitrack.errors import OmnitrackError
from omnitrack.project.checkpoint import save_checkpoint
from omnitrack.project.filtered import filtered_file
from omnitrack.project.project import Project
from omnitrack.project.renders import read_renders, record_render
from omnitrack.project.stamps import make_stamp
from omnitrack.settings import Settings
from omnitrack.stages.filter import filter_flow
from omnitrack.stages.fit import fit_stamp
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.info import InfoReport, inspect_project
from omnitrack.stages.init import init_from_frames
from omnitrack.stages.products import Product
from omnitrack.stages.render_edit import read_drawing
from omnitrack.stages.render_inputs import RenderInputs
from omnitrack.stages.tracker import query_stamp
from omnitrack.tracks.files import save_tracks
from omnitrack.tracks.tracks import Tracks

SETTINGS = load_settings(overrides={"flow.pairs": "window:1", "filter.grid_points": 64, "filter.gaps": [1]})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with real flow and real filtered correspondences."""
    root = tmp_path_factory.mktemp("info") / "clip"
    frames = np.random.default_rng(0).integers(0, 255, (3, 32, 40, 3), np.uint8)
    init_from_frames(frames, root, Settings(), 25.0, "clip.mp4")
    project = Project(root)
    compute_flow(project, SETTINGS)
    filter_flow(project, SETTINGS)
    return root


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Project:
    shutil.copytree(prepared, tmp_path / "clip")
    return Project(tmp_path / "clip")


def add_fit(project: Project, step: int, settings: Settings = SETTINGS, seed: int = 0) -> dict[str, Any]:
    """Save a checkpoint with a stamp; its field is not read here."""
    stamp = fit_stamp(filtered_file(project).stamp() or {}, settings.fit, seed)
    save_checkpoint(project, stamp, 1.0, {"step": step})
    return stamp


def add_tracks(project: Project, stamp: dict[str, Any], name: str = "tracks.npz") -> None:
    count = np.zeros((1, 3), np.float32)
    tracks = Tracks(
        queries=count,
        tracks=np.zeros((1, 3, 2), np.float32),
        visible=np.ones((1, 3), bool),
        confidence=count,
        depth=count,
        frames=np.arange(3),
        size=(40, 32),
        fps=25.0,
        meta={"stamp": query_stamp(stamp, SETTINGS.query)},
    )
    save_tracks(tracks, project.tracks_dir / name)


def add_render(project: Project, stamp: dict[str, Any], name: str = "trails.mp4") -> None:
    path = project.renders_dir / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"film")
    record_render(project, path, make_stamp({"fit": fingerprint(stamp)}, SETTINGS.render))


def add_edit(project: Project, stamp: dict[str, Any], drawing: Path, name: str = "edit.mp4") -> None:
    path = project.renders_dir / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"film")
    inputs = {"fit": fingerprint(stamp), "drawing": read_drawing(project, drawing, 1).fingerprint}
    settings = {**as_dict(SETTINGS.render), "frame": 1, "style": "edit"}
    record_render(project, path, make_stamp(inputs, settings), drawing)


def draw(path: Path, red: int, *options: int) -> Path:
    image = np.zeros((32, 40, 4), np.uint8)
    image[8:20, 8:20] = (0, 0, red, 255)
    assert cv2.imwrite(str(path), image, options)
    return path


def states(report: InfoReport) -> dict[str, str]:
    return {product.name: product.state for product in report.products}


def product(report: InfoReport, name: str) -> Product:
    return next(product for product in report.products if product.name == name)


def test_a_new_project(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    init_from_frames(clip, tmp_path / "new", Settings(), 12.0, "clip.mp4")
    report = inspect_project(Project(tmp_path / "new"))
    assert states(report) == {"frames": "ready", "flow": "missing", "filter": "missing", "fit": "missing"}
    assert report.next_command == f"omnitrack flow {tmp_path / 'new'}"
    assert (report.frames, report.fps, report.size, report.source) == (8, 12.0, (64, 48), "clip.mp4")
    assert report.bytes == sum(path.stat().st_size for path in (tmp_path / "new").rglob("*") if path.is_file())


def test_the_next_command_goes_through_the_stages(project: Project) -> None:
    def following() -> str:
        return inspect_project(project).next_command.replace(str(project.root), "P")

    assert following() == "omnitrack fit P"
    stamp = add_fit(project, SETTINGS.fit.steps)
    assert following() == "omnitrack query P --grid 20@0"
    add_tracks(project, stamp)
    assert following() == "omnitrack render P"
    add_render(project, stamp)
    assert following() == "omnitrack query P --point X,Y@T"
    assert set(states(inspect_project(project)).values()) == {"ready"}


def test_sizes_are_those_of_the_files(project: Project) -> None:
    report = inspect_project(project)
    flow, filtered = product(report, "flow").bytes, product(report, "filter").bytes
    assert (flow, filtered) == tuple(project.product_path(name).stat().st_size for name in ("flow", "filtered"))


def test_new_flow_makes_everything_behind_it_stale(project: Project) -> None:
    stamp = add_fit(project, SETTINGS.fit.steps)
    add_tracks(project, stamp)
    add_render(project, stamp)
    compute_flow(project, load_settings(overrides={"flow.pairs": "window:2"}))
    report = inspect_project(project)
    assert states(report) == {
        "frames": "ready",
        "flow": "ready",
        "filter": "stale",
        "fit": "stale",
        "tracks/tracks.npz": "stale",
        "renders/trails.mp4": "stale",
    }
    assert product(report, "filter").reason == "made from an earlier flow"
    assert product(report, "fit").reason == "its filter is stale"
    assert report.next_command == f"omnitrack filter {project.root}"


def test_another_fit_makes_tracks_and_renders_stale(project: Project) -> None:
    stamp = add_fit(project, SETTINGS.fit.steps)
    add_tracks(project, stamp)
    add_render(project, stamp)
    add_fit(project, SETTINGS.fit.steps, seed=1)
    report = inspect_project(project)
    tracks, render = product(report, "tracks/tracks.npz"), product(report, "renders/trails.mp4")
    assert (tracks.state, render.state) == ("stale", "stale")
    assert tracks.reason == render.reason == "made from an earlier fit"
    assert render.command == f"omnitrack render {project.root} --style trails -o {project.root}/renders/trails.mp4"


def test_a_stale_edit_is_made_anew_with_its_drawing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stamp = add_fit(project, SETTINGS.fit.steps)
    drawing = draw(Path("my logo.png"), 200)  # a relative path
    add_edit(project, stamp, drawing, "titled.mp4")
    assert states(inspect_project(project))["renders/titled.mp4"] == "ready"
    add_fit(project, SETTINGS.fit.steps, seed=1)
    render = product(inspect_project(project), "renders/titled.mp4")
    assert (render.state, render.reason) == ("stale", "made from an earlier fit")
    words = ["--style", "edit", "--edit", str(tmp_path / "my logo.png"), "--frame", "1"]
    output = ["-o", str(project.root / "renders" / "titled.mp4")]
    assert shlex.split(render.command) == ["omnitrack", "render", str(project.root), *words, *output]


def test_the_pixels_of_a_drawing_count_and_its_file_does_not(project: Project, tmp_path: Path) -> None:
    drawing = draw(tmp_path / "logo.png", 200)
    add_edit(project, add_fit(project, SETTINGS.fit.steps), drawing)

    def found() -> tuple[str, str]:
        render = product(inspect_project(project), "renders/edit.mp4")
        return render.state, render.reason

    before = drawing.read_bytes()
    draw(drawing, 200, cv2.IMWRITE_PNG_COMPRESSION, 0)
    assert drawing.read_bytes() != before
    assert found() == ("ready", "")  # the same image, saved again
    draw(drawing, 201)
    assert found() == ("stale", "made from an earlier drawing")
    drawing.write_bytes(b"no picture")
    assert found() == ("stale", "made from an earlier drawing")
    drawing.unlink()
    assert found() == ("ready", "")  # there is nothing newer to make it from


def test_a_matte_is_made_anew_with_its_mask(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw(Path("cat.png"), 200)
    given = RenderInputs(mask="cat.png@1")  # a relative path
    path = project.renders_dir / "cut.mp4"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"film")
    inputs = {"fit": fingerprint(add_fit(project, SETTINGS.fit.steps)), **given.fingerprints()}
    stamp = make_stamp(inputs, {**as_dict(SETTINGS.render), "style": "matte"})
    record_render(project, path, stamp, words=given.words())

    def found() -> tuple[str, str]:
        render = product(inspect_project(project), "renders/cut.mp4")
        words = ["--style", "matte", "--mask", f"{tmp_path / 'cat.png'}@1", "-o", str(path)]
        assert shlex.split(render.command) == ["omnitrack", "render", str(project.root), *words]
        return render.state, render.reason

    assert found() == ("ready", "")
    draw(Path("cat.png"), 201)
    assert found() == ("stale", "made from an earlier mask")
    Path("cat.png").unlink()
    assert found() == ("ready", "")


@pytest.mark.parametrize("words", [[], 3, "--mask", [["--mask"]], {"--mask": 1}])
def test_words_that_make_no_sense_are_none(project: Project, words: object) -> None:
    project.renders_dir.mkdir()
    (project.renders_dir / "a.mp4").write_bytes(b"film")
    stamp = make_stamp({"fit": "f"}, {**as_dict(SETTINGS.render), "style": "matte"})
    project.renders_index_path.write_text(json.dumps({"a.mp4": {**stamp, "words": words}}))
    command = product(inspect_project(project), "renders/a.mp4").command
    assert "--style matte --mask MASK.png@T -o " in command


def test_an_edit_that_does_not_say_its_drawing(project: Project) -> None:
    project.renders_dir.mkdir()
    (project.renders_dir / "edit.mp4").write_bytes(b"film")
    command = product(inspect_project(project), "renders/edit.mp4").command
    assert "--style edit --edit DRAWING.png --frame T -o " in command


def test_a_setting_named_in_the_file_counts_and_a_flag_does_not(project: Project) -> None:
    add_fit(project, 7, replace(SETTINGS, fit=replace(SETTINGS.fit, steps=7)))
    assert states(inspect_project(project))["fit"] == "ready"
    project.settings_path.write_text("[fit]\nsteps = 9\ncheckpoint_seconds = 1.0\n", encoding="utf-8")
    fit = product(inspect_project(project), "fit")
    assert (fit.state, fit.reason) == ("stale", "made with fit.steps = 7, omnitrack.toml says 9")
    assert fit.command == f"omnitrack fit {project.root}"
    project.settings_path.write_text("[fit]\nsteps = 7\n", encoding="utf-8")
    assert states(inspect_project(project))["fit"] == "ready"
    project.settings_path.write_text("[flow.dis]\npatch_size = 12\n", encoding="utf-8")
    assert (
        product(inspect_project(project), "flow").reason == "made with flow.dis.patch_size = 8, omnitrack.toml says 12"
    )


def test_a_stopped_fit_is_resumed_with_the_settings_it_began_with(project: Project) -> None:
    add_fit(project, 30, replace(SETTINGS, fit=replace(SETTINGS.fit, steps=90)), seed=4)
    fit = product(inspect_project(project), "fit")
    assert (fit.state, fit.reason) == ("unfinished", "stopped at step 30 of 90")
    assert fit.command == f"omnitrack fit {project.root} --resume --set fit.steps=90 --seed 4"


def test_parts_of_an_interrupted_run_are_seen(project: Project) -> None:
    left = project.products_dir / "flow.parts"
    left.mkdir(parents=True)
    (left / "000000.h5").write_bytes(b"")
    assert states(inspect_project(project))["flow"] == "unfinished"


def test_damage_is_reported_and_not_raised(project: Project) -> None:
    project.product_path("flow").write_bytes(b"not hdf5")
    project.frame_path(1).unlink()
    project.checkpoints_dir.mkdir()
    (project.checkpoints_dir / "step_000001.pt").write_bytes(b"not torch")
    project.tracks_dir.mkdir()
    (project.tracks_dir / "tracks.npz").write_bytes(b"not zip")
    report = inspect_project(project)
    assert states(report) == {
        "frames": "damaged",
        "flow": "damaged",
        "filter": "stale",
        "fit": "damaged",
        "tracks/tracks.npz": "damaged",
    }
    assert product(report, "frames").reason == "1 frames are missing, the first is 1"
    assert report.next_command == "omnitrack init clip.mp4 NEW_PROJECT"


def test_a_file_that_does_not_say_where_it_is_from_is_ready(project: Project) -> None:
    stamp = add_fit(project, SETTINGS.fit.steps)
    add_tracks(project, stamp, "tracks.csv")
    project.renders_dir.mkdir()
    (project.renders_dir / "mine.mp4").write_bytes(b"film")
    found = states(inspect_project(project))
    assert (found["tracks/tracks.csv"], found["renders/mine.mp4"]) == ("ready", "ready")


def test_wrong_settings_are_an_error(project: Project) -> None:
    project.settings_path.write_text("[fit]\nstpes = 9\n", encoding="utf-8")
    with pytest.raises(OmnitrackError, match=r"unknown setting fit\.stpes"):
        inspect_project(project)


def test_the_index_of_renders_follows_the_files(project: Project, tmp_path: Path) -> None:
    add_render(project, {"a": 1}, "a.mp4")
    add_render(project, {"b": 1}, "b.gif")
    (project.renders_dir / "a.mp4").unlink()
    add_render(project, {"c": 1}, "c.mp4")
    assert sorted(read_renders(project)) == ["b.gif", "c.mp4"]
    record_render(project, project.renders_dir / "c.mp4", None)
    record_render(project, tmp_path / "elsewhere.mp4", {"x": 1})
    assert sorted(read_renders(project)) == ["b.gif"]
    project.renders_index_path.write_text("[]", encoding="utf-8")
    assert read_renders(project) == {}


@pytest.mark.parametrize("judged_by", [None, "another"])
def test_filtered_data_whose_hops_others_judged_are_stale(project: Project, judged_by: str | None) -> None:
    """Also data of versions that had no hop reliability."""
    assert inspect_project(project).state("filter") == "ready"
    with h5py.File(project.product_path("filtered"), "r+") as file:
        stamp = json.loads(file.attrs["stamp"])
        del stamp["inputs"]["hop_regressor"]
        stamp["inputs"] |= {} if judged_by is None else {"hop_regressor": judged_by}
        file.attrs["stamp"] = json.dumps(stamp)
    found = next(product for product in inspect_project(project).products if product.name == "filter")
    reason = "made from an earlier hop_regressor" if judged_by else "made without hop_regressor"
    assert (found.state, found.reason) == ("stale", reason)
    assert found.command.startswith("omnitrack filter")
