"""Two processes on one project: one continues, the other reports who holds it, and the result is the same."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from contents import contents
from steps import TIMES, Steps
from zygote import Ended, Job, Zygote

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
NO_LOCKS = "#include <errno.h>\nint flock(int fd, int op) { (void)fd; (void)op; errno = ENOLCK; return -1; }\n"
ROUNDS = max(1, round(TIMES))
# Two stages that run at once on a project that is ready for the first one.
PAIRS = [
    ("init", "init"),
    ("flow", "flow"),
    ("filter", "filter"),
    ("fit", "fit"),
    ("filter", "flow"),
    ("fit", "filter"),
]


@pytest.fixture(scope="module", params=["locks", "no locks"])
def either(
    request: pytest.FixtureRequest, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Zygote]:
    """The process, on a file system with locks and on one without."""
    if request.param == "locks":
        yield zygote
        return
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to take the locks away with")
    folder = tmp_path_factory.mktemp("no_locks")
    (folder / "nolocks.c").write_text(NO_LOCKS)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "nolocks.so", folder / "nolocks.c"], check=True)
    with Zygote(LD_PRELOAD=str(folder / "nolocks.so")) as process:
        yield process


@pytest.mark.parametrize(("stage", "rival"), PAIRS, ids=["+".join(pair) for pair in PAIRS])
def test_two_at_once(
    steps: Steps,
    zygote: Zygote,
    either: Zygote,
    stage: str,
    rival: str,
    tmp_path: Path,
    tried: Callable[[str], None],
) -> None:
    if TIMES == 1 and either is not zygote and (stage, rival) != ("flow", "flow"):
        pytest.skip("only where more is asked for")
    for number in range(ROUNDS):
        root = steps.start(stage, tmp_path / str(number))
        jobs = [Job(steps.arguments(name, root)) for name in (stage, rival)]
        ended = either.run(*(jobs if number % 2 else reversed(jobs)))
        check(root, ended)
        if rival != stage:  # the result depends on which came first; one more run leads to the expected one
            assert either.command(*steps.arguments(stage, root)).status == 0
        assert contents(root) == steps.after[stage]
        shutil.rmtree(root)
        tried("pairs of processes")


def test_filter_beside_another_flow(steps: Steps, zygote: Zygote, tmp_path: Path, tried: Callable[[str], None]) -> None:
    """Correspondences filtered from a flow that is being replaced are not taken for those of the new flow."""
    for number in range(ROUNDS):
        root = steps.start("fit", tmp_path / str(number))
        ended = zygote.run(
            Job(["flow", str(root), "--set=flow.pairs=window:2"]),
            Job(["filter", str(root), "--set=filter.grid_points=200"]),
        )
        check(root, ended)
        for stage in ("flow", "filter"):
            assert zygote.command(*steps.arguments(stage, root)).status == 0
        assert contents(root) == steps.after["filter"]
        tried("pairs of processes")


def check(root: Path, ended: list[Ended]) -> None:
    """Check that at least one process succeeded, and that the other one reports why it failed and leaves no files."""
    statuses = [one.status for one in ended]
    assert 0 in statuses, [one.said for one in ended]
    assert set(statuses) <= {0, 1}, [one.said for one in ended]
    for one in ended:
        if one.status:
            assert f"{root} is in use by omnitrack" in one.said or "already a project" in one.said, one.said
    assert not list(root.glob("**/*.part*")) and not (root / ".lock").exists()


def test_readers_go_on_beside_a_writer(
    steps: Steps, zygote: Zygote, tmp_path: Path, tried: Callable[[str], None]
) -> None:
    """A fit that writes a checkpoint after every step, while four processes read the project."""
    for number in range(ROUNDS):
        root = steps.start("query", tmp_path / str(number))
        query = [Job([*steps.arguments("query", root), "-o", str(tmp_path / f"{name}.npz")]) for name in "abc"]
        ended = zygote.run(Job(["fit", str(root), "--steps", "40"]), *query, Job(["info", str(root)]))
        assert {one.status for one in ended} == {0}, [one.said for one in ended if one.status]
        tried("pairs of processes")


def test_the_same_file_written_twice_at_once(
    steps: Steps, zygote: Zygote, tmp_path: Path, tried: Callable[[str], None]
) -> None:
    """Two queries or renders with the same output: the file is complete, and written by one of them."""
    for number in range(ROUNDS):
        root = steps.start("query", tmp_path / str(number))
        ended = zygote.run(*[Job(steps.arguments("query", root))] * 2)
        assert [one.status for one in ended] == [0, 0], [one.said for one in ended]
        assert contents(root) == steps.after["query"]
        ended = zygote.run(*[Job(steps.arguments("render", root))] * 2)
        assert [one.status for one in ended] == [0, 0], [one.said for one in ended]
        assert contents(root) == steps.after["render"]
        tried("pairs of processes")
