"""A product that another program holds open for writing, or that is unreadable, is neither damaged nor made again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from contents import contents
from steps import TIMES, Steps
from zygote import Zygote

HOLD = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print('held', flush=True); sys.stdin.read()"
COMMANDS = (["flow"], ["filter"], ["fit", "--steps", "3"], ["query", "--grid", "3@0"], ["info"])


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Let another program hold the file open."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.communicate()


@contextmanager
def forbidden(path: Path) -> Iterator[None]:
    """Remove the permission to read the file."""
    path.chmod(0)
    try:
        yield
    finally:
        path.chmod(0o644)


FORBIDDEN = pytest.param(
    forbidden,
    marks=pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"),
)


@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
@pytest.mark.parametrize("taken", [held, FORBIDDEN])
@pytest.mark.parametrize("product", ["hops"] if TIMES == 1 else ["flow", "hops", "filtered"])
def test_nothing_is_touched(
    steps: Steps,
    zygote: Zygote,
    tmp_path: Path,
    product: str,
    taken: Callable[[Path], Iterator[None]],
    tried: Callable[[str], None],
) -> None:
    root = steps.start("query", tmp_path / "clip")
    before = contents(root)
    told = []
    with taken(root / "products" / f"{product}.h5"):  # type: ignore[attr-defined]
        for command, *more in COMMANDS:
            ended = zygote.command(command, root, *more)
            assert ended.status == 0 or "in use by another program" in ended.said or "denied" in ended.said, ended.said
            told += [command] if "in use" in ended.said or "denied" in ended.said else []
            tried("held files")
    assert "info" in told and ("filter" if product == "hops" else "fit") in told
    kept = {name: digest for name, digest in before.items() if name.startswith(("products", "frames"))}
    assert contents(root, kept) == kept
