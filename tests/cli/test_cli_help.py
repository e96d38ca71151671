"""Every command and option is documented, and help, version and completion respond without the heavy imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from omnitrack import __version__
from omnitrack.cli.app import COMMANDS, app

Cli = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[2]
NAMES = [module.__name__.rpartition(".")[2] for module in COMMANDS]
COMMON = ["--verbose", "-v", "--quiet", "-q", "--json", "--device", "--seed"]
# the contract: every option in the documented list of commands
CONTRACT = {
    "init": ["--start", "--end", "--stride", "--max-size", "--fps", "--set"],
    "flow": ["--estimator", "--pairs", "--set"],
    "filter": ["--set"],
    "fit": ["--method", "--preset", "--steps", "--resume", "--set"],
    "query": ["--point", "--points", "--grid", "--mask", "--dense", "--frames", "-o", "--format", "--set"],
    "render": [
        *["--style", "--tracks", "--frame", "--edit", "--point", "--mask", "--labels", "-o", "--fps"],
        *["--remove-camera-motion", "--side-by-side", "--set"],
    ],
    "export": [
        *[
            "--tracks",
            "-o",
            "--as",
            "--first-frame",
            "--hidden",
            "--min-confidence",
            "--names",
            "--labels",
            "--scale",
            "--unit",
        ],
    ],
    "plot": ["--of", "--tracks", "--results", "--labels", "--scale", "--unit", "-o"],
    "eval": [
        *["--query-mode", "--resolution", "--method", "--predictions", "--ablation"],
        *["--videos", "--work", "--jobs", "-o", "--plot", "--preset", "--set"],
    ],
    "run": [
        "--into",
        "--jobs",
        "--cluster",
        "--pairs",
        "--method",
        "--preset",
        "--steps",
        "--grid",
        "--style",
        "-o",
        "--max-size",
        "--set",
    ],
    "view": ["--port", "--no-browser", "--no-fit", "--start", "--end", "--max-size", "--preset", "--set"],
    "demo": ["--set"],
    "info": [],
    "doctor": [],
}


def command(name: str) -> Any:
    return get_command(app).commands[name]  # type: ignore[attr-defined]


def test_the_commands_of_the_contract_are_all_there() -> None:
    assert " ".join(NAMES) == "init flow filter fit query render export plot eval run view demo info doctor"


@pytest.mark.parametrize("name", NAMES)
def test_every_option_of_the_contract_is_there_and_documented(name: str) -> None:
    options = {text: param for param in command(name).params for text in param.opts}
    assert {*CONTRACT[name], *COMMON} <= set(options)
    for text, param in options.items():
        assert param.help, text
        assert param.help.endswith("."), text


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("name", NAMES)
def test_help_has_examples_that_show_the_command(cli: Cli, name: str, flag: str) -> None:
    status, out, err = cli(name, flag)
    assert status == 0
    assert err == ""
    before, _, examples = out.partition("\nExamples:\n")
    assert before.startswith(f"Usage: omnitrack {name} ")
    assert "\nCommon options:\n" in before
    assert examples
    assert all(line.startswith(f"  omnitrack {name}") for line in examples.splitlines())
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_root_help_lists_every_command_with_its_whole_summary(cli: Cli, arguments: list[str]) -> None:
    status, out, err = cli(*arguments)
    assert (status, err) == (0, "")
    commands = out.partition("\nCommands:\n")[2].partition("\n\n")[0]
    assert [line.split()[0] for line in commands.splitlines()] == NAMES
    assert all(line.endswith(".") and not line.endswith("...") for line in commands.splitlines())
    assert "\nExamples:\n  omnitrack demo" in out


def test_version(cli: Cli) -> None:
    assert cli("--version") == (0, f"omnitrack {__version__}\n", "")


def test_readme_mentions_every_command() -> None:
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("this source tree has no README.md")
    text = readme.read_text(encoding="utf-8")
    assert [name for name in NAMES if f"omnitrack {name}" not in text] == []


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["--help"], {}),
        (["fit", "--help"], {}),
        (["--version"], {}),
        ([], {"_OMNITRACK_COMPLETE": "complete_bash", "COMP_WORDS": "omnitrack fit --me", "COMP_CWORD": "2"}),
    ],
    ids=["help", "help of a command", "version", "completion"],
)
def test_nothing_heavy_is_imported_before_a_command_runs(arguments: list[str], variables: dict[str, str]) -> None:
    program = (
        "import atexit, json, sys\n"
        "def tell():\n"
        "    print(json.dumps([name.split('.')[0] for name in sys.modules]), file=sys.stderr)\n"
        "atexit.register(tell)\n"
        "from omnitrack.__main__ import main\n"
        f"sys.argv = ['omnitrack', *{arguments!r}]\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    assert done.stdout
    imported = set(json.loads(done.stderr))
    assert "typer" in imported
    assert imported.isdisjoint({"torch", "cv2", "h5py", "numpy", "imageio", "imageio_ffmpeg"})
