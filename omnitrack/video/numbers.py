"""Numbers in the names of an image series: their order, number patterns, and missing numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from statistics import mode

MOST_RANGES = 8  # in a message
_DIGITS = re.compile(r"([0-9]+)")
_PATTERN = re.compile(r"%0?(\d*)d|#+")


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Sort paths so that 2 comes before 10; paths with equal numbers are sorted by name."""

    def key(path: Path) -> tuple[list[tuple[int, str]], str]:
        return [(int(part), "") if part.isdigit() else (0, part) for part in _DIGITS.split(str(path))], str(path)

    return sorted(paths, key=key)


def is_number_pattern(name: str) -> bool:
    """Whether a file name has one placeholder for a number: ``shot.%04d.png``, ``shot.%d.png`` or ``shot.####.png``."""
    return len(_PATTERN.findall(name)) == 1


def pattern_files(pattern: Path) -> list[Path]:
    """Return the files that match a number pattern, in order; numbers may have more digits than the pattern."""
    found = _PATTERN.search(pattern.name)
    assert found is not None
    before, after = pattern.name[: found.start()], pattern.name[found.end() :]
    wanted = re.compile(f"{re.escape(before)}[0-9]{{{_digits(found)},}}{re.escape(after)}")
    folder = pattern.parent
    return natural_order(path for path in folder.iterdir() if wanted.fullmatch(path.name)) if folder.is_dir() else []


def numbered_name(name: str, number: int) -> str:
    """Return the file name of a pattern for `number`."""
    return _PATTERN.sub(lambda found: f"{number:0{_digits(found)}d}", name)


def _digits(found: re.Match[str]) -> int:
    """Return the least number of digits of a pattern."""
    return len(found[0]) if found[0].startswith("#") else int(found[1] or 1)


def pattern_name(name: str) -> str:
    """Return the name of a pattern's series: ``shot`` for ``shot.%04d.png``, empty if there is only the number."""
    return _PATTERN.sub("", Path(name).stem).strip(" ._-")


def frame_numbers(paths: list[Path]) -> list[int] | None:
    """Return the frame number in each name of a series; None if names are of several kinds or have no such number.

    It is the only number that differs between names, or the last one if none differs; all other text must be equal.
    """
    parts = [_DIGITS.split(path.stem) for path in paths]
    if len({tuple(part[::2]) for part in parts}) != 1:
        return None
    columns = [[part[place] for part in parts] for place in range(1, len(parts[0]), 2)]
    varying = [column for column in columns if len({int(digits) for digits in column}) > 1]
    if len(varying) > 1 or not columns:
        return None  # a date, or a shot and a frame: not a frame number
    return [int(digits) for digits in (varying or columns)[-1]]


def irregularities(paths: list[Path], numbers: list[int] | None, name: str) -> list[str]:
    """Return possible problems of a series, one line each: missing or duplicate numbers, names of several kinds."""
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
    """Return the numbers missing from a series with a steady step; none without one, as for time stamps."""
    steps = [after - before for before, after in pairwise(numbers)]
    if not steps:
        return []
    step = mode(steps)
    if steps.count(step) * 2 <= len(steps) or (numbers[-1] - numbers[0]) // step > 100 * len(numbers):
        return []
    return [number for before, after in pairwise(numbers) for number in range(before + step, after, step)]


def ranges(numbers: list[int]) -> str:
    """Abbreviate ascending numbers: ``3, 1005-1006``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    text = ", ".join("-".join(map(str, run)) for run in runs[:MOST_RANGES])
    return text if len(runs) <= MOST_RANGES else f"{text} and more"
