"""`omnitrack eval --ablation`: names, settings and table; and several methods with settings of their own."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.cli import eval as eval_command
from omnitrack.cli.complete import values
from omnitrack.evaluation.ablations import ABLATIONS, NAMES

Cli = Callable[..., tuple[int, str, str]]
NO_RESULTS = {"dataset": "x", "query_mode": "strided", "resolution": "256x256", "methods": {}}


@dataclass(frozen=True)
class EvalReport:
    results: dict[str, Any]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The calls of the evaluation, which evaluates nothing."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def evaluate(*arguments: Any, **named: Any) -> EvalReport:
        calls.append((arguments, named))
        return EvalReport(NO_RESULTS)

    monkeypatch.setattr("omnitrack.stages.evaluate.evaluate", evaluate)
    return calls


# --- which rows -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ([], ["cadex", "chain"]),
        (["--ablation", "cadex/no-long-range"], ["cadex/field-alone", "cadex/no-long-range"]),
        (["--ablation", "cadex"], [row for row in ABLATIONS if row.startswith("cadex/")]),
        (
            ["--method", "chain", "--method", "cadex", "--ablation", "cadex/affine-couplings"],
            ["chain", "cadex", "cadex/field-alone", "cadex/affine-couplings"],
        ),
        (
            ["--ablation", "cadex/affine-couplings", "--ablation", "omnimotion/no-flow"],
            ["cadex/field-alone", "cadex/affine-couplings", "omnimotion/field-alone", "omnimotion/no-flow"],
        ),
        (["--method", "cadex", "--method", "omnimotion"], ["cadex", "omnimotion"]),
    ],
)
def test_rows(cli: Cli, called: list[Any], words: list[str], rows: list[str]) -> None:
    assert cli("eval", "x.pkl", *words)[0] == 0
    ((arguments, _),) = called
    assert arguments[1] == rows


def test_an_ablation_nobody_knows(cli: Cli, called: list[Any]) -> None:
    assert cli("eval", "x.pkl", "--ablation", "cadex/no-depth") == (
        1,
        "",
        "error: there is no ablation cadex/no-depth\n\nhint: did you mean cadex/no-depth-prior?\n",
    )
    assert called == []


# --- at which settings ------------------------------------------------------------------------------------------
def test_flags_presets_and_settings_are_for_all_rows_below_what_a_row_must_have(cli: Cli, called: list[Any]) -> None:
    words = ["--set", "fit.anchors=77", "--set", "fit.longest_gap=20", "--set", "query.fuse=true", "--steps", "9"]
    assert cli("eval", "x.pkl", "--ablation", "cadex", *words)[0] == 0
    ((_, named),) = called
    for row, gap in (("cadex/affine-couplings", 20), ("cadex/no-long-range", 9)):
        settings = named["settings_for"](ABLATIONS[row].overrides)
        assert (settings.fit.anchors, settings.fit.steps, settings.fit.longest_gap) == (77, 9, gap)
        assert settings.query.fuse is False
    assert named["settings_for"]({"fit.method": "cadex"}).query.fuse is True


@pytest.mark.parametrize(("method", "steps"), [("cadex", 22_000), ("omnimotion", 200_000)])
def test_presets_are_the_method_s_own(cli: Cli, called: list[Any], method: str, steps: int) -> None:
    assert cli("eval", "x.pkl", "--method", method, "--preset", "paper", "--set", "fit.regions=3")[0] == 0
    ((_, named),) = called
    settings = named["settings_for"]({"fit.method": method})
    assert (settings.fit.method, settings.fit.steps, settings.fit.regions) == (method, steps, 3)


# --- help and Tab -----------------------------------------------------------------------------------------------
def test_tab_offers_methods_and_ablations() -> None:
    complete = values(*NAMES)
    assert complete("cadex/no-") == ["cadex/no-depth-prior", "cadex/no-long-range"]
    assert complete("omni")[0] == "omnimotion"
    (option,) = eval_command.Ablations.__metadata__  # type: ignore[attr-defined]
    assert option.autocompletion("cadex/a") == ["cadex/affine-couplings"]


@pytest.mark.parametrize(
    ("arguments", "variables", "shown"),
    [
        (["eval", "--help"], {}, "--ablation NAME"),
        (
            [],
            {
                "_OMNITRACK_COMPLETE": "complete_bash",
                "COMP_WORDS": "omnitrack eval --ablation cadex/no-d",
                "COMP_CWORD": "3",
            },
            "cadex/no-depth-prior",
        ),
    ],
    ids=["help", "completion"],
)
def test_help_and_tab_import_nothing_heavy(arguments: list[str], variables: dict[str, str], shown: str) -> None:
    program = (
        "import atexit, sys\n"
        "heavy = {'torch', 'cv2', 'h5py', 'numpy'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        "from omnitrack.__main__ import main\n"
        f"sys.argv = ['omnitrack', *{arguments!r}]\n"
        "main()\n"
    )
    environment = {**os.environ, **variables}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert shown in done.stdout
    assert done.stderr == "[]\n"


# --- from the dataset to the table ------------------------------------------------------------------------------
def test_from_a_dataset_to_a_table(cli: Cli, tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    starts = np.array([[10, 12], [30, 20], [45, 30], [20, 35]])
    pixels = starts[:, None] + np.array([2, 1]) * np.arange(8)[:, None]  # the motion of the fixture `clip`
    points = ((pixels + 0.5) / (64, 48)).astype(np.float32)
    entry = {"video": clip, "points": points, "occluded": np.zeros((4, 8), bool)}
    dataset, output = tmp_path / "tiny_davis.pkl", tmp_path / "results.json"
    dataset.write_bytes(pickle.dumps({"pan": entry}))
    small = ["--steps", "2", "--set", "fit.anchors=64", "--set", "fit.cadex.hidden=[8, 8]", "--resolution", "native"]
    words = ["--ablation", "cadex/affine-couplings", "--method", "chain", "--work", str(tmp_path / "work"), *small]
    status, out, err = cli("eval", str(dataset), *words, "--device", "cpu", "-o", str(output))
    assert (status, out) == (0, "")
    header, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in err.splitlines() if "|" in line]
    assert header[-4:] == ["published AJ", "published delta_avg", "published OA", "published TC"]
    assert [row[0] for row in rows] == ["chain", "cadex/field-alone", "cadex/affine-couplings"]
    assert [row[-4:] for row in rows] == [[*"----"], ["48.6", "65.7", "80.1", "1.14"], [*"----"]]
    assert "not like for like" in err
    results = json.loads(output.read_text())
    assert list(results["published"]) == ["cadex/field-alone", "cadex/affine-couplings"]
    assert list(results["methods"]["cadex/affine-couplings"]) == ["mean", "videos"]
    assert json.loads(cli("eval", str(dataset), *words, "--device", "cpu", "--json")[1]) == results  # all resumed
