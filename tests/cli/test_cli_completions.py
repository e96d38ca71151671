"""What Tab offers, and the scripts in completions/ that request it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from omnitrack.cli import complete, options
from omnitrack.cli.completions import SCRIPTS, write_scripts
from omnitrack.settings import Settings

ROOT = Path(__file__).parents[2]


def test_the_scripts_are_as_the_program_writes_them(tmp_path: Path) -> None:
    write_scripts(tmp_path)
    assert sorted(SCRIPTS) == sorted(path.name for path in (ROOT / "completions").iterdir())
    for name in SCRIPTS:
        assert (ROOT / "completions" / name).read_bytes() == (tmp_path / name).read_bytes(), (
            "renew it: python -m omnitrack.cli.completions completions"
        )


def test_projects_are_directories_with_frames(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cloud").mkdir()
    monkeypatch.chdir(tmp_path)
    assert complete.projects("") == ["clip"]
    assert complete.projects("cl") == ["clip"]
    assert complete.projects("x") == []
    assert complete.projects("./c") == ["./clip"]
    assert complete.projects(f"{tmp_path}/c") == [str(project)]
    assert complete.projects("nowhere/") == []


def test_settings_are_offered_as_assignments() -> None:
    assert complete.setting_keys("init.s") == ["init.start=", "init.stride="]
    assert complete.setting_keys("flow.dis.f") == ["flow.dis.finest_scale="]
    tables = {f.name for f in dataclasses.fields(Settings)}
    assert {key.partition(".")[0] for key in complete.setting_keys("")} == tables


def test_choices_are_those_that_the_stages_know() -> None:
    from omnitrack.correspondence.estimators import BUILT_IN, ENTRY_POINTS
    from omnitrack.optimize.methods import METHODS
    from omnitrack.stages.render_styles import STYLES

    assert set(STYLES) == set(options.STYLES)
    assert set(METHODS) == set(options.METHODS)
    assert complete.ESTIMATOR_ENTRY_POINTS == ENTRY_POINTS
    assert set(complete.estimators("")) >= set(BUILT_IN)


def tab_in_bash(line: str, directory: Path) -> list[str]:
    """Return what bash offers after `line` with our script; the program is this source tree."""
    script = (
        f'omnitrack() {{ "{sys.executable}" -m omnitrack "$@"; }}\n'
        "compopt() { :; }\n"
        f'. "{ROOT}/completions/omnitrack.bash"\n'
        'COMP_LINE=$1 COMP_POINT=${#1}\n_omnitrack\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", line],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("omnitrack fi", ["filter", "fit"]),
        ("omnitrack fit --preset ", ["fast", "accurate", "paper"]),
        ("omnitrack flow cl", ["clip"]),
        ("omnitrack flow clip --pairs window:", ["8"]),
        ("omnitrack fit clip --device cuda:", ["0"]),
        ("omnitrack flow --set flow.dis.patch_si", ["flow.dis.patch_size="]),
        ("omnitrack render clip --st", ["--style"]),
        ("omnitrack render clip --style tr", ["trails"]),
    ],
)
def test_tab_in_bash(line: str, offered: list[str], project: Path) -> None:
    assert tab_in_bash(line, project.parent) == offered
