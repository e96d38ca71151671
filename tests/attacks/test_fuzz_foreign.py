"""Files of other programs under random damage: read, or refused in one clear sentence, in bounded memory and time."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from foreign import SOUND
from steps import SMALL_LIMIT_BYTES, TIMES, Steps
from zygote import Zygote

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, and their memory is measured")
EACH = 1  # tries per format in a normal test run
NAMES = [*SOUND] if TIMES != 1 else [*SOUND][::3]  # a third of them in a normal test run
MOST_BYTES = 8 * SMALL_LIMIT_BYTES  # a file within the limit is processed, with copies in other types


def damaged(data: bytes, draw: np.random.Generator) -> bytes:
    """Return the file with one to three errors: bits, bytes, extreme numbers, parts lost, doubled or moved."""
    found = bytearray(data)
    for _ in range(draw.integers(1, 4)):
        if len(found) < 16:
            break
        # Sizes are in headers: half of all damage is in the first 200 bytes.
        most = len(found) - 8 if draw.random() < 0.5 else min(len(found) - 8, 200)
        at, length = int(draw.integers(0, most)), int(draw.integers(1, 64))
        kind = draw.integers(0, 7)
        if kind == 0:
            found[at] ^= 1 << int(draw.integers(0, 8))
        elif kind == 1:
            found[at : at + length] = draw.bytes(length)
        elif kind == 2:
            number = draw.choice([0, 1, 0x7F, 0x80, 0xFF])
            found[at : at + 4] = bytes([int(number), *[int(draw.choice([0, 0xFF]))] * 3])
        elif kind == 3:
            del found[at:]
        elif kind == 4:
            del found[at : at + length]
        elif kind == 5:
            found[at:at] = found[at : at + length]
        else:
            other = int(draw.integers(0, len(found)))
            found[at : at + length] = found[other : other + length]
    return bytes(found)


@pytest.mark.parametrize("name", NAMES)
def test_sound_files_are_read(steps: Steps, zygote: Zygote, tmp_path: Path, name: str) -> None:
    """The undamaged files are accepted, so that the readers meet the damage, not a command that fails anyway."""
    write, reads = SOUND[name]
    write(tmp_path / name)
    ended = zygote.command(*reads(steps, tmp_path / name))
    assert ended.is_clear, ended.said
    assert ended.status == 0 or name == "weights.pt", ended.said


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files(steps: Steps, small: Zygote, tmp_path: Path, name: str, tried: Callable[[str], None]) -> None:
    write, reads = SOUND[name]
    write(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    for number in range(max(1, round(EACH * TIMES))):
        folder = tmp_path / str(number)
        folder.mkdir()
        file = folder / name
        file.write_bytes(damaged(data, np.random.default_rng([number, *name.encode()])))
        ended = small.command(*reads(steps, file))
        assert ended.is_clear, f"{name} {number}: {ended.status} {ended.said[-3000:]}"
        assert ended.took < MOST_BYTES, f"{name} {number}: {ended.took / 2**20:.0f} MiB"
        shutil.rmtree(folder)
        tried("damaged foreign files")
