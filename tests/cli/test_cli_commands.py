"""Each command passes its arguments to its stage and shows what comes back; the stages have tests of their own."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from omnitrack.config import load_settings
from omnitrack.presets import preset_settings
from omnitrack.settings import Settings
from omnitrack.tracks.files import load_tracks, save_tracks
from omnitrack.tracks.tracks import Tracks

Cli = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class Report:
    """Stands in for the report of a stage."""

    pairs: int = 3
    seconds: float = 1.23456
    bytes: int = 1500
    size: tuple[int, int] = (64, 48)


class Stage:
    """Replaces a stage and records its arguments."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.arguments: tuple[Any, ...] = ()
        self.named: dict[str, Any] = {}

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.arguments, self.named = arguments, named
        return self.answer(*arguments) if callable(self.answer) else self.answer


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stage]:
    """Replace ``stages.MODULE.FUNCTION`` by a `Stage`."""

    def replace(path: str, answer: Any = None) -> Stage:
        stage = Stage(Report() if answer is None else answer)
        monkeypatch.setattr(f"omnitrack.stages.{path}", stage)
        return stage

    return replace


def sample_tracks(count: int = 2, length: int = 12) -> Tracks:
    zeros = np.zeros((count, length), np.float32)
    points = np.ones((count, length, 2), np.float32)
    queries = np.array([[0, 1, 1]] * count, np.float32)
    return Tracks(queries, points, zeros > -1, zeros + 0.5, zeros, np.arange(length), (128, 96), 25.0)


# --- what every command does ------------------------------------------------------------------------------------
def test_a_report_is_lines_on_stderr(cli: Cli, project: Path, replaced: Callable[..., Stage]) -> None:
    replaced("flow.compute_flow")
    status, out, err = cli("flow", str(project))
    assert (status, out) == (0, "")
    assert err == (
        f"  pairs    3\n  seconds  1.235\n  bytes    1.5 kB\n  size     64x48\nnext: omnitrack filter {project}\n"
    )


def test_quiet_says_nothing(cli: Cli, project: Path, replaced: Callable[..., Stage]) -> None:
    replaced("flow.compute_flow")
    assert cli("flow", str(project), "-q") == (0, "", "")


def test_json_is_the_only_thing_on_stdout(cli: Cli, project: Path, replaced: Callable[..., Stage]) -> None:
    replaced("flow.compute_flow")
    status, out, err = cli("flow", str(project), "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == {"pairs": 3, "seconds": 1.23456, "bytes": 1500, "size": [64, 48]}


def test_json_has_no_nan(cli: Cli, project: Path, replaced: Callable[..., Stage]) -> None:
    replaced("flow.compute_flow", Report(seconds=float("nan")))
    assert json.loads(cli("flow", str(project), "--json")[1])["seconds"] is None


def test_warnings_of_libraries_are_for_the_verbose(cli: Cli, project: Path, replaced: Callable[..., Stage]) -> None:
    replaced("flow.compute_flow", lambda *_: warnings.warn("deep inside", UserWarning, stacklevel=1) or Report())
    assert "deep inside" not in cli("flow", str(project))[2]
    with pytest.warns(UserWarning, match="deep inside"):
        cli("flow", str(project), "-v")


def test_the_project_is_the_current_directory_by_default(
    cli: Cli, project: Path, replaced: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    stage = replaced("flow.compute_flow")
    status, _, err = cli("flow")
    assert status == 0
    assert stage.arguments[0].root == Path()
    assert err.endswith("next: omnitrack filter\n")


def test_flags_win_over_set_which_wins_over_the_file(cli: Cli, project: Path, replaced: Callable[..., Stage]) -> None:
    (project / "omnitrack.toml").write_text(
        '[flow]\npairs = "log"\nworkers = 2\nwarm_start = false\n', encoding="utf-8"
    )
    stage = replaced("flow.compute_flow")
    words = ["--set", "flow.workers=5", "--set", "flow.pairs=exhaustive", "--pairs", "window:3"]
    assert cli("flow", str(project), *words)[0] == 0
    flow = stage.arguments[1].flow
    assert (flow.pairs, flow.workers, flow.warm_start) == ("window:3", 5, False)


# --- each command -----------------------------------------------------------------------------------------------
def test_init(cli: Cli, video_file: Path, tmp_path: Path) -> None:
    root = tmp_path / "made"
    words = ["--start", "1", "--end", "7", "--stride", "2", "--max-size", "32", "--fps", "5"]
    status, out, err = cli("init", str(video_file), str(root), *words, "--json")
    assert status == 0
    assert [line.split(" (")[0] for line in err.splitlines()][-1] == "frames: 100 %"
    report = json.loads(out)
    assert (report["frames"], report["fps"], report["size"], report["original_size"]) == (3, 5.0, [32, 24], [64, 48])
    settings = load_settings(root / "omnitrack.toml")
    assert (settings.init.start, settings.init.end, settings.init.stride) == (1, 7, 2)
    status, _, err = cli("init", str(video_file), str(root))
    assert status == 1
    assert err.startswith(f"error: {root} is already a project\n\nhint: ")


def test_filter(cli: Cli, project: Path, replaced: Callable[..., Stage]) -> None:
    stage = replaced("filter.filter_flow")
    status, _, err = cli("filter", str(project), "--set", "filter.gaps=[1, 3]")
    assert status == 0
    assert stage.arguments[1].filter.gaps == (1, 3)
    assert err.endswith(f"next: omnitrack fit {project}\n")


def test_fit(cli: Cli, project: Path, replaced: Callable[..., Stage]) -> None:
    stage = replaced("fit.fit_field")
    words = ["--method", "cadex", "--steps", "7", "--resume", "--device", "cpu", "--seed", "3"]
    assert cli("fit", str(project), *words)[0] == 0
    _, settings, device, seed, resume, _, pins = stage.arguments
    assert (settings.fit.method, settings.fit.steps, device, seed, resume, pins) == ("cadex", 7, "cpu", 3, True, None)


def test_a_preset_is_under_the_file_and_the_flags(cli: Cli, project: Path, replaced: Callable[..., Stage]) -> None:
    (project / "omnitrack.toml").write_text("[fit]\nanchors = 77\n", encoding="utf-8")
    stage = replaced("fit.fit_field")
    assert cli("fit", str(project), "--preset", "paper", "--set", "fit.targets=2")[0] == 0
    paper, fit = preset_settings("paper", "cadex").fit, stage.arguments[1].fit
    assert (fit.steps, fit.cadex) == (paper.steps, paper.cadex)
    assert (fit.anchors, fit.targets) == (77, 2)


def test_query_writes_the_default_file_and_names_the_next_command(
    cli: Cli, project: Path, replaced: Callable[..., Stage]
) -> None:
    stage = replaced("query.query_tracks", sample_tracks())
    words = ["--point", "1,2@0", "--point", "3.5,4@11", "--grid", "2@5", "--frames", "2:9"]
    status, out, err = cli("query", str(project), *words)
    assert (status, out) == (0, "")
    queries = stage.arguments[1]
    assert queries[:2].tolist() == [[0, 1, 2], [11, 3.5, 4]]
    assert set(queries[2:, 0]) == {5}
    assert stage.arguments[3] == range(2, 9)
    assert len(load_tracks(project / "tracks" / "tracks.npz")) == 2
    assert err.endswith(f"next: omnitrack render {project}\n")


def test_query_to_stdout_is_csv_and_nothing_else(cli: Cli, project: Path, replaced: Callable[..., Stage]) -> None:
    replaced("query.query_tracks", sample_tracks(1, 2))
    status, out, err = cli("query", str(project), "--dense", "0", "-o", "-")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("track,frame,x,y,visible,confidence,query_frame,query_x,query_y,time_s")
    assert [line.split(",")[:2] for line in lines[1:]] == [["0", "0"], ["0", "1"]]
    _, out, _ = cli("query", str(project), "--dense", "0", "-o", "-", "--format", "json")
    assert len(json.loads(out)["tracks"]) == 1


def test_query_takes_files(cli: Cli, project: Path, tmp_path: Path, replaced: Callable[..., Stage]) -> None:
    stage = replaced("query.query_tracks", sample_tracks())
    (tmp_path / "points.csv").write_text("t,x,y\n4,10,20\n", encoding="utf-8")
    output = tmp_path / "out.h5"
    status, _, err = cli("query", str(project), "--points", str(tmp_path / "points.csv"), "-o", str(output))
    assert status == 0
    assert stage.arguments[1].tolist() == [[4, 10, 20]]
    assert output.is_file()
    assert err.endswith(f"next: omnitrack render {project} --tracks {output}\n")


def test_query_takes_pins(cli: Cli, project: Path, tmp_path: Path, replaced: Callable[..., Stage]) -> None:
    """Tracks of a file are numbered after those of --point."""
    stage = replaced("query.query_tracks", sample_tracks())
    (tmp_path / "points.csv").write_text("track,t,x,y\n5,4,10,20\n5,9,11,21\n", encoding="utf-8")
    words = ["--point", "1,2@0", "--points", str(tmp_path / "points.csv"), "--pin", "0,3.5,4@7", "--pin", "1,12,22@11"]
    assert cli("query", str(project), *words)[0] == 0
    assert stage.arguments[1].tolist() == [[0, 1, 2], [4, 10, 20]]
    assert stage.arguments[6].tolist() == [[1, 9, 11, 21], [0, 7, 3.5, 4], [1, 11, 12, 22]]
    for wrong, status, cause in (
        ("3,4@7", 2, "is not TRACK,X,Y@T"),
        ("0,3,4@99", 1, "on a frame that the project lacks"),
    ):
        found, _, err = cli("query", str(project), "--point", "1,2@0", "--pin", wrong)
        assert found == status
        assert f"--pin {wrong}" in err.replace("'", "") and cause in err


def test_query_without_points_is_a_usage_error(cli: Cli, project: Path) -> None:
    status, _, err = cli("query", str(project))
    assert status == 2
    assert err.startswith("error: there is nothing to track\n\nhint: give --point X,Y@T")


def test_render(cli: Cli, project: Path, tmp_path: Path, replaced: Callable[..., Stage]) -> None:
    stage = replaced("render.render")
    save_tracks(sample_tracks(5), tmp_path / "mine.npz")
    words = ["--fps", "8", "--remove-camera-motion", "-o", "film.gif"]
    assert cli("render", str(project), "--style", "points", "--tracks", str(tmp_path / "mine.npz"), *words)[0] == 0
    _, settings, tracks, style, output, device, _, _ = stage.arguments
    assert (settings.render.fps, settings.render.remove_camera) == (8.0, True)
    assert (len(tracks), style, output, device) == (5, "points", Path("film.gif"), "auto")


def test_render_draws_the_last_query_unless_told_otherwise(
    cli: Cli, project: Path, replaced: Callable[..., Stage]
) -> None:
    stage = replaced("render.render")
    assert cli("render", str(project))[0] == 0
    assert stage.arguments[2:5] == (None, "trails", None)
    save_tracks(sample_tracks(4), project / "tracks" / "tracks.npz")
    cli("render", str(project))
    assert len(stage.arguments[2]) == 4
    cli("render", str(project), "--style", "depth")
    assert stage.arguments[2] is None
    cli("render", str(project), "--frame", "6")
    assert stage.arguments[2] is None
    assert stage.arguments[1].render.frame == 6


RESULTS = {
    "dataset": "mini",
    "query_mode": "first",
    "resolution": "128x96",
    "methods": {
        "chain": {
            "mean": {
                "average_jaccard": 0.5,
                "average_pts_within_thresh": 0.625,
                "occlusion_accuracy": 0.75,
                "temporal_coherence": 1.25,
            },
            "videos": {},
        }
    },
}


@dataclass(frozen=True)
class EvalReport:
    results: dict[str, Any]


def test_eval(cli: Cli, tmp_path: Path, replaced: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    stage = replaced("evaluate.evaluate", EvalReport(RESULTS))
    asked: list[Any] = []
    monkeypatch.setattr("omnitrack.evaluation.tapvid.load_tapvid", lambda *words: asked.append(words))
    words = ["--method", "chain", "--predictions", "mine=saved", "--query-mode", "first", "--resolution", "128x96"]
    more = ["--videos", "a,b", "--work", "work", "-o", "results.json", "--steps", "9", "--seed", "2"]
    status, out, err = cli("eval", "data/mini.pkl", *words, *more)
    assert (status, out) == (0, "")
    assert "| chain | 50.0 | 62.5 | 75.0 | 1.25 |" in err
    assert err.endswith("results: results.json\n")
    assert asked == [("data/mini.pkl", ["a", "b"])]
    _, methods, settings, mode, size, predictions, work, device, seed, dataset, _, output = stage.arguments
    assert (methods, mode, size, predictions) == (["chain"], "first", (128, 96), {"mine": Path("saved")})
    assert (work, output, device, seed, dataset) == (Path("work"), Path("results.json"), "auto", 2, "mini")
    assert settings.fit.steps == 9
    status, out, err = cli("eval", "data/mini.pkl", "--json", "--resolution", "native")
    assert (status, err) == (0, "")
    assert json.loads(out) == RESULTS
    assert stage.arguments[1] == ["cadex", "chain"]
    assert stage.arguments[4] is None


def test_run(cli: Cli, tmp_path: Path, replaced: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    from omnitrack.stages.run import RunReport

    monkeypatch.chdir(tmp_path)
    stage = replaced("run.run_all", RunReport("film", 9, [], "t.npz", 4, "o.mp4", 2.0))
    words = ["--end", "9", "--pairs", "log", "--steps", "5", "--grid", "8@1", "--style", "grid", "-o", "o.mp4"]
    status, _, err = cli("run", "some/film.mp4", *words)
    assert status == 0
    video, root, settings, grid, style, output, _, _, _ = stage.arguments
    assert (video, root, grid, style, output) == ("some/film.mp4", Path("film"), "8@1", "grid", Path("o.mp4"))
    assert (settings.init.end, settings.flow.pairs, settings.fit.steps) == (9, "log", 5)
    assert err.endswith("open this: o.mp4\nthen try: omnitrack query film --point X,Y@T\n")


def test_run_reads_the_settings_of_the_project_it_goes_on_with(
    cli: Cli, project: Path, replaced: Callable[..., Stage]
) -> None:
    from omnitrack.stages.run import RunReport

    (project / "omnitrack.toml").write_text("[init]\nstride = 3\n", encoding="utf-8")
    stage = replaced("run.run_all", RunReport("film", 9, [], "t.npz", 4, "o.mp4", 2.0))
    assert cli("run", "clip.mp4", str(project))[0] == 0
    assert stage.arguments[2].init.stride == 3


def test_info(cli: Cli, project: Path) -> None:
    png = cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    for index in range(12):
        (project / "frames" / f"{index:06d}.png").write_bytes(png)
    size = 12 * len(png) + (project / "frames" / "frames.json").stat().st_size
    status, out, err = cli("info", str(project))
    assert (status, out) == (0, "")
    assert err == (
        f"{project}: 12 frames of 64x48 at 25 fps, clip.mp4\n"
        f"  frames  ready       {size / 1000:.3g} kB\n"
        "  flow    missing     not made yet\n"
        "  filter  missing     not made yet\n"
        "  fit     missing     not made yet\n"
        f"  {size / 1000:.3g} kB in all\n"
        f"next: omnitrack flow {project}\n"
    )
    report = json.loads(cli("info", str(project), "--json")[1])
    assert report["next_command"] == f"omnitrack flow {project}"
    assert [product["name"] for product in report["products"]] == ["frames", "flow", "filter", "fit"]


def test_doctor(cli: Cli) -> None:
    status, out, err = cli("doctor", "--json")
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert {"omnitrack", "python", "torch", "numpy", "cv2", "h5py", "ffmpeg"} <= set(report["versions"])
    assert report["versions"]["numpy"] == np.__version__
    assert "cpu" in report["devices"]
    assert report["estimators"]["dis"] == "built in"
    status, out, err = cli("doctor")
    assert (status, out) == (0, "")
    assert f"    numpy      {np.__version__}\n" in err


def test_doctor_survives_what_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    from omnitrack.stages import doctor

    def import_module(name: str) -> Any:
        raise ImportError(f"no {name} here")

    monkeypatch.setattr(doctor, "import_module", import_module)
    assert doctor.examine().versions["cv2"] == "cannot be imported: no cv2 here"


def test_extras_are_those_that_the_package_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    from email.message import Message

    from omnitrack.stages import doctor

    declared = Message()
    for header, value in (
        ("Provides-Extra", "test"),
        ("Provides-Extra", "dev"),
        ("Requires-Dist", "numpy>=1.24"),
        ("Requires-Dist", 'pytest>=7; extra == "test"'),
        ("Requires-Dist", "no-such-package>=1; extra == 'dev'"),
    ):
        declared[header] = value
    monkeypatch.setattr(doctor, "metadata", lambda _: declared)
    assert doctor.examine().extras == {
        "test": "present",
        "dev": 'without no-such-package: pip install "omnitrack-video[dev]"',
    }


def test_settings_for_demo_come_from_flags_alone(cli: Cli, replaced: Callable[..., Stage], tmp_path: Path) -> None:
    stage = replaced("demo.run_demo")
    assert cli("demo", str(tmp_path / "demo"), "--json", "--set", "fit.steps=3", "--seed", "4")[0] == 0
    root, settings, device, seed, _ = stage.arguments
    assert (root, device, seed) == (tmp_path / "demo", "auto", 4)
    assert settings == load_settings(overrides={"fit.steps": 3}, base=Settings())


def test_the_demo_speaks_in_lines(cli: Cli, replaced: Callable[..., Stage], tmp_path: Path) -> None:
    replaced("demo.run_demo")
    err = cli("demo", str(tmp_path / "demo"), "--json")[2]
    assert err.startswith("A ball rolls behind a tree")
    assert "\\n" not in err and len(err.splitlines()) > 6 and max(map(len, err.splitlines())) <= 80
