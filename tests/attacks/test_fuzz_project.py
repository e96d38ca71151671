"""Any file of a project, at any stage, damaged at random: `info` reports it, and the next command is right or refuses.

Right: its output is the same as without the damage. In both cases nothing finished is lost: undamaged files stay, and
damaged files are set aside before they are made again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from contents import contents
from damage import BYTES, OF_FORMAT, Damage, Random, flip, gone
from steps import STAGES, TIMES, Steps
from zygote import Zygote

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
TRIES = max(1, round(2 * TIMES))  # tries per stage
DONE = "done"
LOG = "fit/metrics.jsonl"  # invalid lines are dropped
PRODUCT_OF = {"products/flow.h5": "flow", "products/hops.h5": "hops", "products/filtered.h5": "filter"}
NO_PROJECT = ("frames/frames.json", "omnitrack.toml")  # without these files there is no project


@pytest.fixture(scope="module")
def stages(steps: Steps, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The project before each stage, and after the last one."""
    done = steps.start("render", tmp_path_factory.mktemp("done") / "clip")
    assert zygote.command(*steps.arguments("render", done)).status == 0
    return {**{stage: steps.before[stage] for stage in STAGES}, DONE: done}


def stored(root: Path) -> dict[str, str]:
    """Return a digest of the bytes of each file."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def named_by_info(zygote: Zygote, root: Path, name: str) -> set[str]:
    """Return the products that info reports as damaged; info does not read all values, and always exits properly."""
    ended = zygote.command("info", root, "--json", "-q")
    assert ended.is_clear, ended.said
    if ended.status and name in NO_PROJECT:
        return set()
    assert ended.status == 0, ended.said
    return {product["name"] for product in json.loads(ended.said)["products"] if product["state"] == "damaged"}


def check_same(steps: Steps, stage: str, command: str, root: Path, damaged: str) -> None:
    """Check that the output of a successful command is the same as without the damage."""
    last = list(STAGES)[-1]
    before = {DONE: last, **dict(zip(STAGES, ["init", *STAGES], strict=False))}
    expected = steps.after[command if command == stage else before[stage]]
    names = {name for name in expected if name not in (damaged, LOG)}
    assert contents(root, names) == {name: expected[name] for name in names}


def chosen(random: Random, root: Path) -> tuple[str, Damage]:
    """Return a random file, product files more often than frames, and a random kind of damage."""
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.stat().st_size)
    weights = np.array([0.2 if name.endswith(".png") else 1.0 for name in names])
    name = str(random.choice(names, p=weights / weights.sum()))
    damages = [*BYTES, flip, flip, gone, *OF_FORMAT.get(Path(name).suffix, [])]
    return name, damages[int(random.integers(len(damages)))]


@pytest.mark.parametrize("stage", [*STAGES, DONE])
def test_damage(
    steps: Steps,
    stages: dict[str, Path],
    zygote: Zygote,
    stage: str,
    tmp_path: Path,
    tried: Callable[[str], None],
) -> None:
    order = [*STAGES, DONE]
    random = np.random.default_rng(order.index(stage))
    commands = list(STAGES)[: order.index(stage) + 1]
    for number in range(TRIES):
        root = Path(shutil.copytree(stages[stage], tmp_path / str(number)))
        name, damage = chosen(random, root)
        damage(root / name, random)
        damaged = stored(root)
        known = named_by_info(zygote, root, name)
        assert stored(root) == damaged, "info changes nothing"
        command = str(random.choice(commands))
        case = f"{stage}: {command} after {damage.__name__} of {name}"
        ended = zygote.command(*steps.arguments(command, root))
        assert ended.is_clear, (case, ended.said)
        left = stored(root)
        if PRODUCT_OF.get(name) in known and name in damaged:
            assert damaged[name] in left.values(), (case, "made anew over what is damaged", ended.said)
            assert left.get(name) == damaged[name] or "kept as" in ended.said, (case, ended.said)
        if ended.status:
            kept = {other: value for other, value in damaged.items() if other not in (name, LOG)}
            assert {other: left.get(other) for other in kept} == kept, case
        elif name != "omnitrack.toml" and (damage is not gone or command in ("flow", "filter", "fit")):
            try:
                check_same(steps, stage, command, root, name)
            except AssertionError as error:
                raise AssertionError(case, ended.said) from error
        tried("damaged projects, run")
        shutil.rmtree(root)
