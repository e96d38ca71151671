"""Every failure ends as one `error:` and one `hint:`, with the exit status that the contract promises."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from omnitrack.cli.failures import explain, resume_command
from omnitrack.cli.progress import make_progress
from omnitrack.cli.session import Session
from omnitrack.errors import OmnitrackError, UsageError

Cli = Callable[..., tuple[int, str, str]]


def raise_from_flow(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `omnitrack flow` fail with `error`."""

    def compute_flow(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("omnitrack.stages.flow.compute_flow", compute_flow)


def test_a_known_error_is_told_with_its_hint(cli: Cli, tmp_path: Path) -> None:
    status, out, err = cli("flow", str(tmp_path / "nowhere"))
    assert status == 1
    assert out == ""
    assert err == (
        f"error: there is no project at {tmp_path}/nowhere\n\nhint: make one: omnitrack init VIDEO PROJECT\n"
    )


def test_an_error_without_a_hint_is_one_line(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raise_from_flow(monkeypatch, OmnitrackError("the sky is falling"))
    assert cli("flow", str(project)) == (1, "", "error: the sky is falling\n")


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["flow", "--pears", "log"], "no such option: --pears", "did you mean --pairs?"),
        (["flow", "--xyzzy"], "no such option: --xyzzy", "see what it takes: omnitrack flow --help"),
        (["init"], "missing argument 'VIDEO'", "see what it takes: omnitrack init --help"),
        (
            ["fit", "--preset", "fats"],
            "invalid value for '--preset': 'fats' is not one of fast, accurate, paper",
            "did you mean fast?",
        ),
        (
            ["flow", "--device", "tpu"],
            "invalid value for '--device': 'tpu' is not auto, cpu, cuda or cuda:N",
            "see what it takes: omnitrack flow --help",
        ),
        (["eval", "x.pkl", "--resolution", "big"], "--resolution 'big' is not WxH", None),
        (["eval", "x.pkl", "--predictions", "mine"], "--predictions 'mine' is not NAME=DIR", None),
    ],
)
def test_usage_errors(cli: Cli, arguments: list[str], error: str, hint: str | None) -> None:
    status, out, err = cli(*arguments)
    assert status == 2
    assert out == ""
    first, blank, last = err.replace("'{VIDEO}'", "'VIDEO'").splitlines()  # some releases of typer write braces
    assert first == f"error: {error}"
    assert blank == ""
    assert last == f"hint: {hint}" if hint else last.startswith("hint: ")


def test_a_word_where_a_number_belongs(cli: Cli) -> None:
    status, _, err = cli("fit", "--steps", "many")
    assert status == 2
    assert err.startswith("error: invalid value for '--steps': ")
    assert err.endswith("\n\nhint: see what it takes: omnitrack fit --help\n")


def test_an_unknown_command(cli: Cli) -> None:
    status, _, err = cli("flwo")
    assert status == 2
    assert err.startswith("error: no such command 'flwo'\n\nhint: ")


def test_a_setting_nobody_knows(cli: Cli, project: Path) -> None:
    status, _, err = cli("flow", str(project), "--set", "flow.pair=log")
    assert (status, err) == (1, "error: unknown setting flow.pair\n\nhint: did you mean flow.pairs?\n")


def test_ctrl_c_names_the_command_that_goes_on(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raise_from_flow(monkeypatch, KeyboardInterrupt())
    status, out, err = cli("flow", str(project), "--pairs", "window:8")
    assert status == 130
    assert out == ""
    assert err == (
        "error: interrupted; nothing was finished yet\n\n"
        f"hint: start again with: omnitrack flow {project} --pairs window:8\n"
    )


def test_resume_commands() -> None:
    assert resume_command(["fit", "my clip"]) == "omnitrack fit 'my clip' --resume"
    assert resume_command(["fit", "clip", "--resume"]) == "omnitrack fit clip --resume"
    assert resume_command(["flow", "clip"]) == "omnitrack flow clip"


def test_an_unexpected_error_asks_for_the_traceback(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raise_from_flow(monkeypatch, ZeroDivisionError("division by zero"))
    status, _, err = cli("flow", str(project))
    assert status == 1
    assert err.startswith("error: unexpected ZeroDivisionError: division by zero\n\nhint: ")
    assert "-v" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("flag", ["-v", "--verbose"])
def test_verbose_shows_the_traceback(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    raise_from_flow(monkeypatch, ZeroDivisionError("division by zero"))
    status, _, err = cli("flow", str(project), flag)
    assert status == 1
    assert err.startswith("Traceback (most recent call last)")
    assert "\nerror: unexpected ZeroDivisionError: division by zero\n" in err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/clip.h5"), "the disk is full: /data/clip.h5"),
        (OSError("Can't write data (errno = 28, error message = 'No space left on device')"), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/data"), "no permission to use this path: /data"),
        (MemoryError(), "the computer is out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "the computer is out of memory"),
    ],
)
def test_a_full_computer(error: BaseException, message: str) -> None:
    failure = explain(error, ["fit"])
    assert failure.message == message
    assert failure.hint
    assert failure.exit_status == 1


def test_a_full_gpu() -> None:
    torch = pytest.importorskip("torch")
    failure = explain(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), ["fit"])
    assert failure.message == "the GPU is out of memory"
    assert "--device cpu" in str(failure.hint)


def test_exit_statuses_of_our_own_errors() -> None:
    assert explain(OmnitrackError("x"), []).exit_status == 1
    assert explain(UsageError("x"), []).exit_status == 2
    assert explain(KeyboardInterrupt(), ["flow"]).exit_status == 130


def test_cuda_without_a_gpu(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    status, _, err = cli("flow", str(project), "--device", "cuda")
    assert status == 1
    assert err.startswith("error: device cuda is not there: torch sees 0 GPUs\n\nhint: use --device cpu")


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = "import sys; sys.argv = ['omnitrack', 'doctor', '--json']; from omnitrack.__main__ import main; main()"
    stub = (
        "import omnitrack.stages.doctor as doctor\n"
        "doctor.examine = lambda: doctor.DoctorReport({str(i): 'x' * 99 for i in range(9999)}, {}, {}, {})\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", stub + program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


HOSTILE = "a\x1b[31m\x1b]0;owned\x07\r\n[red]\\[/]\u202eb\x9b2J\udcff"
SPELLED = r"a\x1b[31m\x1b]0;owned\x07\r\n[red]\[/]\u202eb\x9b2J\udcff"


def test_names_and_texts_never_act_on_the_terminal(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raise_from_flow(monkeypatch, OmnitrackError(HOSTILE, HOSTILE))
    assert cli("flow", str(project)) == (1, "", f"error: {SPELLED}\n\nhint: {SPELLED}\n")
    raise_from_flow(monkeypatch, RuntimeError(HOSTILE))
    told = cli("flow", str(project), "-v")[2]
    assert "Traceback" in told and SPELLED in told and "\x1b" not in told and "\x07" not in told
    assert SPELLED in cli("info", HOSTILE)[2]
    told = cli("query", str(project), "--grid", HOSTILE)[2]
    assert r"\x1b[31m" in told and "\x1b" not in told


def test_progress_and_tables_show_names_as_they_are() -> None:
    told = io.StringIO()
    console = Console(file=told, force_terminal=True, width=300, no_color=True, highlight=False)
    session = Session(False, False, False, "cpu", 0)
    session.console = console
    with make_progress(console, quiet=False, verbose=True).task(HOSTILE, 1) as task:
        task.advance()
    row: dict[str, object] = dict.fromkeys(
        ["average_jaccard", "average_pts_within_thresh", "occlusion_accuracy", "temporal_coherence"]
    )
    video = {"videos": {HOSTILE: {**row, "seconds": {}}}, "mean": row}
    session.table({"dataset": HOSTILE, "query_mode": "first", "resolution": "raw", "methods": {HOSTILE: video}})
    session.report({HOSTILE: {HOSTILE: HOSTILE}})
    assert told.getvalue().count(SPELLED) >= 6
    assert "\x07" not in told.getvalue() and "\x9b" not in told.getvalue() and "\x1b[31m" not in told.getvalue()
