"""Numbers in the names of a series of images: their order, patterns that stand for them, and what is missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from statistics import mode

MOST_RANGES = 8  # that a message names
_DIGITS = re.compile(r"([0-9]+)")
_PATTERN = re.compile(r"%0?(\d*)d|#+")


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Paths sorted so that 2 comes before 10; where numbers are equal, by name."""

    def key(path: Path) -> tuple[list[tuple[int, str]], str]:
        return [(int(part), "") if part.isdigit() else (0, part) for part in _DIGITS.split(str(path))], str(path)

    return sorted(paths, key=key)


def is_number_pattern(name: str) -> bool:
    """Whether a file name has a place for a number: ``shot.%04d.png``, ``shot.%d.png`` or ``shot.####.png``."""
    return len(_PATTERN.findall(name)) == 1


def pattern_files(pattern: Path) -> list[Path]:
    """The files that a pattern of numbers stands for, in order; their numbers may have more digits than it asks for."""
    found = _PATTERN.search(pattern.name)
    assert found is not None
    before, after = pattern.name[: found.start()], pattern.name[found.end() :]
    wanted = re.compile(f"{re.escape(before)}[0-9]{{{_digits(found)},}}{re.escape(after)}")
    folder = pattern.parent
    return natural_order(path for path in folder.iterdir() if wanted.fullmatch(path.name)) if folder.is_dir() else []


def numbered_name(name: str, number: int) -> str:
    """The file name that a pattern stands for at `number`."""
    return _PATTERN.sub(lambda found: f"{number:0{_digits(found)}d}", name)


def _digits(found: re.Match[str]) -> int:
    """The fewest digits that a pattern gives to a number."""
    return len(found[0]) if found[0].startswith("#") else int(found[1] or 1)


def pattern_name(name: str) -> str:
    """What a pattern calls its series: ``shot`` of ``shot.%04d.png``, empty where the number is all."""
    return _PATTERN.sub("", Path(name).stem).strip(" ._-")


def frame_numbers(paths: list[Path]) -> list[int] | None:
    """The number in each name of a series; None where names are of several kinds or hold none that counts.

    It is the last number that is not the same in all names, if all names agree in what stands around it.
    """
    parts = [_DIGITS.split(path.stem) for path in paths]
    if len({tuple(part[::2]) for part in parts}) != 1:
        return None
    columns = [[part[place] for part in parts] for place in range(1, len(parts[0]), 2)]
    varying = [column for column in columns if len({int(digits) for digits in column}) > 1]
    if len(varying) > 1 or not columns:
        return None  # a date, or a shot and a frame: no count of frames
    return [int(digits) for digits in (varying or columns)[-1]]


def irregularities(paths: list[Path], numbers: list[int] | None, name: str) -> list[str]:
    """What may be wrong with a series, one line each: numbers that are missing or there twice, names of two kinds."""
    if numbers is None:
        kinds = Counter("#".join(_DIGITS.split(path.stem)[::2]) for path in paths)
        if len(kinds) == 1 or len(kinds) == len(paths):
            return []
        listed = ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common(3))
        return [f"{name} mixes names of {len(kinds)} kinds: {listed}; choose one with a glob"]
    lines = []
    times = Counter(numbers)
    twice = [path.name for path, number in zip(paths, numbers, strict=True) if times[number] > 1]
    if twice:
        listed = ", ".join(twice[:4]) + (", ..." if len(twice) > 4 else "")
        lines.append(f"{name} has more than one image of a number: {listed}; choose with a glob")
    missing = _missing(sorted(set(numbers)))
    if missing:
        lines.append(f"{name} has no image {ranges(missing)}: the frames around a gap are taken as neighbours")
    return lines


def _missing(numbers: list[int]) -> list[int]:
    """What a series leaves out of its step; nothing where it has no steady step, as time stamps have none."""
    steps = [after - before for before, after in pairwise(numbers)]
    if not steps:
        return []
    step = mode(steps)
    if steps.count(step) * 2 <= len(steps) or (numbers[-1] - numbers[0]) // step > 100 * len(numbers):
        return []
    return [number for before, after in pairwise(numbers) for number in range(before + step, after, step)]


def ranges(numbers: list[int]) -> str:
    """Ascending numbers in few words: ``3, 1005-1006``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    text = ", ".join("-".join(map(str, run)) for run in runs[:MOST_RANGES])
    return text if len(runs) <= MOST_RANGES else f"{text} and more"
