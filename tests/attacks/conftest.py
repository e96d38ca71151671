"""Fixtures of the attacks: the process that forks command lines, the clip to attack, and the count of tries.

`OMNITRACK_ATTACKS=10 pytest tests/attacks` makes ten times as many tries as the normal test run, and prints the count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from steps import SMALL_LIMIT_BYTES, TIMES, Steps, make_steps
from zygote import Zygote

_tally: Counter[str] = Counter()


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """A process that forks command lines."""
    with Zygote() as process:
        yield process


@pytest.fixture(scope="session")
def small() -> Iterator[Zygote]:
    """A process with a low limit on the memory that a file's content may take."""
    with Zygote(OMNITRACK_LIMIT_GIB=str(SMALL_LIMIT_BYTES / 2**30)) as process:
        yield process


@pytest.fixture(scope="session")
def steps(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Steps:
    """A clip at every stage."""
    return make_steps(tmp_path_factory.mktemp("steps"), zygote)


@pytest.fixture(scope="session")
def tried() -> Callable[[str], None]:
    """Return a function that counts one survived try of a kind."""

    def count(kind: str) -> None:
        _tally[kind] += 1

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the number of tries if more than the normal number were requested."""
    if TIMES != 1 and _tally:
        terminalreporter.section("attacks survived")
        for kind, count in sorted(_tally.items()):
            terminalreporter.line(f"{kind:40} {count:6}")
