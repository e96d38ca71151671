"""Which hard cuts are missed, and which are false?

False cuts are counted in the clips themselves at strides 1, 2, 4 and 8, and in clips with a disturbance in the middle
that is not a cut: flashes, black frames, a covered lens, an exposure jump, noise, a fade. Missed cuts are counted where
six frames of every clip precede six of every other one, in both orders and at strides 1, 2 and 4, and at cuts through a
black frame, between noisy frames, and of shots of two frames. A clip is wrong unless exactly its cuts are found;
precision and recall are over all cuts. `--known` names the cuts that a clip itself contains.

    python tests/benchmarks/cuts.py tapvid_davis32_dev.pkl clips/*.mp4 --known sintel:2,76

`--json FILE` also writes the rows.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
from common import Columns, Report, parser_of
from numpy.typing import NDArray

from omnitrack.evaluation.tapvid import load_tapvid
from omnitrack.synthetic import demo_scene
from omnitrack.synthetic.everyday import aquarium_scene, harbour_scene, street_scene
from omnitrack.synthetic.random_scenes import random_scene
from omnitrack.video.cuts import CutDetector
from omnitrack.video.reading import open_video

WIDTH = 256  # of the frames, to save memory; the detector reduces them to 64 anyway
SIDE = 6  # frames before and after a cut
COLUMNS: Columns = {name: "{" + name + "}" for name in ("case", "clips", "cuts", "missed", "false", "wrong", "which")}
Image = NDArray[np.uint8]
Clip = list[Image]
Case = tuple[str, str, Sequence[Image], list[int]]  # name of the case, name of the clip, frames, cuts


def clips(paths: Sequence[Path], known: dict[str, list[int]]) -> dict[str, Clip]:
    """Return every shot of the given clips, and synthetic clips."""
    found: dict[str, Clip] = {}
    for path in paths:
        if path.suffix == ".pkl":
            found |= {video.name: [_small(frame) for frame in video.frames] for video in load_tapvid(path)}
            continue
        with open_video(path) as reader:
            frames = [_small(frame) for frame in reader]
        bounds = [0, *known.get(path.stem, []), len(frames)]
        shots = [frames[first:stop] for first, stop in itertools.pairwise(bounds)]
        found |= {path.stem + "'" * number: shot for number, shot in enumerate(shots) if len(shot) >= SIDE}
    scenes = {"park": demo_scene(), "street": street_scene(), "harbour": harbour_scene(), "aquarium": aquarium_scene()}
    scenes |= {f"random{seed}": random_scene((208, 160), 24, seed) for seed in range(4)}
    return found | {name: [_small(frame) for frame in scene.frames()] for name, scene in scenes.items()}


def _small(frame: Image) -> Image:
    size = (WIDTH, round(WIDTH * frame.shape[0] / frame.shape[1]))
    return np.asarray(cv2.resize(np.ascontiguousarray(frame), size, interpolation=cv2.INTER_AREA), np.uint8)


def whole_clips(found: dict[str, Clip]) -> Iterator[Case]:
    """Yield clips without a cut."""
    for stride, (name, frames) in itertools.product((1, 2, 4, 8), found.items()):
        yield f"no cut, stride {stride}", name, frames[::stride], []


def pairs_of_clips(found: dict[str, Clip]) -> Iterator[Case]:
    """Yield clips with one cut."""
    for stride, (a, b) in itertools.product((1, 2, 4), itertools.permutations(found, 2)):
        before, after = found[a][-SIDE * stride :: stride][-SIDE:], found[b][: SIDE * stride : stride]
        yield f"one cut, stride {stride}", f"{a} | {b}", _joined(before, after), [len(before)]


def disturbed(found: dict[str, Clip]) -> Iterator[Case]:
    """Yield clips with a disturbance that is not a cut, and clips with cuts that are hard to find."""
    rng, names = np.random.default_rng(0), list(found)
    for number, name in enumerate(names):
        frames = np.stack(found[name][:16]).astype(np.float32)
        half, ones = len(frames) // 2, np.ones((len(frames), 1, 1, 1), np.float32)

        def levels(values: NDArray[np.floating]) -> Clip:
            return list(np.clip(values, 0, 255).astype(np.uint8))

        for length in (1, 2):
            there = ones.copy()
            there[half : half + length] = 0.2
            yield f"flash, {length} frames", name, levels(255 + (frames - 255) * there), []
            yield f"black, {length} frames", name, levels(frames * (there == 1)), []
        there = ones.copy()
        there[half : half + 4] = 0
        yield "lens covered, 4 frames", name, levels(50 + (frames - 50) * there), []
        yield (
            "exposure x 0.5",
            name,
            levels(frames * np.where(np.arange(len(frames)) < half, 1, 0.5)[:, None, None, None]),
            [],
        )
        yield "noise of 25 levels", name, levels(frames + rng.normal(0, 25, frames.shape)), []
        yield (
            "fade to black",
            name,
            levels(frames * np.linspace(1.2, -0.2, len(frames)).clip(0, 1)[:, None, None, None]),
            [],
        )
        a, b, c = (found[names[(number + step) % len(names)]][:SIDE] for step in (0, 1, 2))
        yield "through a black frame", name, _joined(a, [a[0] * 0], b), [len(a) + 1]
        yield "shot of two frames", name, _joined(a, b[:2], c), [len(a), len(a) + 2]
        noisy = np.stack(_joined(a, b)) + rng.normal(0, 20, (len(a) + len(b), *a[0].shape))
        yield "cut under noise", name, levels(noisy), [len(a)]


def _joined(first: Clip, *others: Clip) -> Clip:
    """Join clips one after another, at the size of the first."""
    size = (first[0].shape[1], first[0].shape[0])
    return first + [np.asarray(cv2.resize(frame, size), np.uint8) for other in others for frame in other]


@dataclass
class Outcome:
    """Totals of a case: numbers of clips, cuts, missed cuts and false cuts, and the names of the wrong clips."""

    clips: int = 0
    cuts: int = 0
    missed: int = 0
    false: int = 0
    which: list[str] = field(default_factory=list)

    def add(self, name: str, cuts: set[int], seen: set[int]) -> None:
        """Add a clip."""
        self.clips, self.cuts = self.clips + 1, self.cuts + len(cuts)
        self.missed, self.false = self.missed + len(cuts - seen), self.false + len(seen - cuts)
        self.which += [name] * (seen != cuts)


def main(arguments: argparse.Namespace) -> None:
    known = {
        name: [int(cut) for cut in cuts.split(",")] for name, cuts in (word.split(":") for word in arguments.known)
    }
    found = clips(arguments.clips, known)
    outcomes: dict[str, Outcome] = defaultdict(Outcome)
    count, seconds = 0, 0.0
    for case, name, frames, cuts in itertools.chain(whole_clips(found), pairs_of_clips(found), disturbed(found)):
        begin, detector = time.perf_counter(), CutDetector()
        for frame in frames:
            detector.push(frame)
        seen = detector.finish()
        seconds, count = seconds + time.perf_counter() - begin, count + len(frames)
        outcomes[case].add(name, set(cuts), set(seen))
    report = Report(arguments.json)
    table = report.table("cuts", COLUMNS)
    for case, outcome in outcomes.items():
        table.add({"case": case, **asdict(outcome), "wrong": len(outcome.which), "which": ", ".join(outcome.which)})
    cuts, missed, false = (sum(getattr(o, name) for o in outcomes.values()) for name in ("cuts", "missed", "false"))
    hit = cuts - missed
    print(f"precision {hit / (hit + false):.4f}, recall {hit / cuts:.4f} of {cuts} cuts in {len(found)} clips")
    report.keep("all", [{"precision": hit / (hit + false), "recall": hit / cuts, "cuts": cuts}])
    print(f"{1000 * seconds / count:.2f} ms a frame")
    report.keep("time", [{"ms_per_frame": 1000 * seconds / count}])
    report.write()


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP", help="TAP-Vid pickles and videos")
    parser.add_argument("--known", nargs="*", default=[], metavar="STEM:T,T", help="cuts that a video has")
    main(parser.parse_args())
