"""Which hops are false, and does the clip reveal it? Trains and checks the regressor of hop reliability.

    python tests/benchmarks/hop_reliability.py train --work work/hops [--scenes 40] [--jobs 2] [--json FILE]
    python tests/benchmarks/hop_reliability.py check --work work/hops [--tapvid tapvid.pkl --projects work/default-256]

`train` films random scenes (`omnitrack.synthetic.random_scenes`, seeds from `FIRST_SEED` on), computes their flow with
default settings, collects the evidence on every hop from every grid place together with its exact ground truth, and
writes the weights that the package contains. `check` compares the predicted probability that a hop is wrong with the
share that is wrong, in ten bins: on scenes left out of training, and at the annotated points of a TAP-Vid file whose
flow `omnitrack eval --work` left in `--projects`; a table and a picture (needs matplotlib).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Columns, Report, parser_of
from numpy.typing import NDArray
from reliability import Reliability, draw_reliability
from torch.nn.functional import binary_cross_entropy_with_logits

import omnitrack.correspondence.hop_reliability as model
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.consistency import take_hop
from omnitrack.correspondence.hop_evidence import NAMES, HopEvidence
from omnitrack.evaluation.tapvid import load_tapvid, raster_to_pixels
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import Settings
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.hops import judge_hops
from omnitrack.stages.init import init_from_frames
from omnitrack.synthetic.random_scenes import filmed_clip
from omnitrack.units import raster_scale

FIRST_SEED = 100
LEFT_OUT = 6  # the last scenes, which training does not use
HIDDEN = 64
BATCH, EPOCHS, LEARNING_RATE, DECAY = 4096, 1.5, 3e-3, 1e-4
FOLDER = Path(__file__).parent / "accuracy"
Pairs = NDArray[np.floating]


def scene_examples(seed: int, work: Path) -> Path:
    """Return the file of evidence (N, F) and error (N,), infinite if occluded, of a scene's hops; made if missing."""
    path = work / f"{seed:03d}.npz"
    if path.exists():
        return path
    clip, root, settings = filmed_clip(seed=seed), work / f"{seed:03d}", Settings()
    if not root.exists():
        settings = replace(settings, init=replace(settings.init, max_size=0))
        init_from_frames(clip.frames, root, settings, 24.0, f"random scene {seed}")
    project = Project(root)
    compute_flow(project, settings)
    with FlowStore(project) as flows:
        evidence = HopEvidence(flows, project.num_frames, BlurredFrames(project.frame, project.size))
        targets: dict[int, list[int]] = {t: [b for a, b in flows.pairs() if a == t] for t in range(project.num_frames)}
        shares = evidence.shares(targets.__getitem__)
        rows, errors = [], []
        for source in range(project.num_frames):
            tracks, visible = clip.tracks(source, evidence.grid.pixels)
            for target, values in evidence.of(source, targets[source], shares).items():
                hop = take_hop(flows, source, target, evidence.grid.pixels)
                error = np.linalg.norm(hop.pixels - tracks[:, target], axis=-1) / raster_scale(flows.size)
                rows.append(values)
                errors.append(np.where(visible[:, target], error, np.inf))
    temporary = path.with_suffix(".part.npz")
    np.savez(temporary, evidence=np.concatenate(rows).astype(np.float32), error=np.concatenate(errors))
    temporary.replace(path)
    return path


def examples(paths: Iterable[Path], keep: int = 1) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read the evidence (N, F) and whether a hop is wrong (N,), for every `keep`-th hop of each file."""
    loaded = [np.load(path) for path in paths]
    evidence = np.concatenate([arrays["evidence"][i % keep :: keep] for i, arrays in enumerate(loaded)])
    error = np.concatenate([arrays["error"][i % keep :: keep] for i, arrays in enumerate(loaded)])
    return evidence, error > model.WRONG_PX


def train(evidence: NDArray[np.float32], wrong: NDArray[np.bool_], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Train the regressor and return its weights in the form of `HopRegressor.from_arrays`."""
    torch.manual_seed(seed)
    mean, deviation = evidence.mean(0), evidence.std(0) + 1e-3
    most = model.MOST_STANDARD
    inputs = torch.from_numpy(((evidence - mean) / deviation).clip(-most, most).astype(np.float32))
    labels = torch.from_numpy(wrong.astype(np.float32))
    layers = [torch.nn.Linear(len(NAMES), HIDDEN), torch.nn.Linear(HIDDEN, HIDDEN), torch.nn.Linear(HIDDEN, 1)]
    network = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
    steps = int(EPOCHS * len(inputs)) // BATCH
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps + 1)
    for _ in range(steps):
        rows = torch.randint(0, len(inputs), (BATCH,))
        loss = binary_cross_entropy_with_logits(network(inputs[rows])[:, 0], labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    arrays = {"mean": mean.astype(np.float32), "deviation": deviation.astype(np.float32)}
    for index, layer in enumerate(layers):
        arrays[f"weight{index}"] = layer.weight.detach().numpy()
        arrays[f"bias{index}"] = layer.bias.detach().numpy()
    return arrays


def on_scenes(paths: Iterable[Path]) -> Reliability:
    """Return the reliability over all hops of synthetic scenes."""
    evidence, wrong = examples(paths)
    return Reliability(_probability(model.hop_regressor().log_odds(evidence)), wrong)


def on_tapvid(dataset: Path, projects: Path) -> Reliability:
    """Return the reliability over all measured hops from visible annotated points of a dataset whose flow exists."""
    predicted, wrong = [], []
    for video in load_tapvid(dataset):
        project = Project(projects / video.name)
        judge_hops(project, Settings())
        truth = raster_to_pixels(video.points, project.size).astype(np.float32)
        with FlowStore(project) as flows:
            for source, target in flows.pairs():
                rows = np.flatnonzero(~video.occluded[:, source])
                hop = take_hop(flows, source, target, truth[rows, source])
                error = np.linalg.norm(hop.pixels - truth[rows, target], axis=-1) / raster_scale(flows.size)
                predicted.append(hop.wrong)
                wrong.append((error > model.WRONG_PX) | video.occluded[rows, target])
    return Reliability(np.concatenate(predicted), np.concatenate(wrong))


def _probability(log_odds: Pairs) -> Pairs:
    return np.asarray(1 / (1 + np.exp(-log_odds)))


COLUMNS: Columns = {
    "data": "{data}",
    "hops": "{hops}",
    "wrong": "{wrong:.1f} %",
    "AUC": "{auc:.3f}",
    "calibration error": "{calibration_error:.3f}",
    "predicted: wrong, per cent, by tenths": lambda row: ", ".join(
        f"{100 * p:.0f}: {100 * w:.0f}" for p, w, _ in row["bins"]
    ),
}


def row_of(name: str, of: Reliability) -> dict[str, object]:
    """Return the row of a data set; its bins are (mean prediction, share that is wrong, number of hops)."""
    wrong = 100 * float(of.true.mean())
    found = {"auc": of.area(), "calibration_error": of.calibration_error(), "bins": of.bins()}
    return {"data": name, "hops": len(of.true), "wrong": wrong, **found}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("what", choices=("train", "check"))
    parser.add_argument("--work", type=Path, required=True, help="keeps scenes and their flow")
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=1, help="scenes at once")
    parser.add_argument("--tapvid", type=Path, action="append", default=[], help="check: a TAP-Vid file (repeatable)")
    parser.add_argument(
        "--projects", type=Path, action="append", default=[], help="check: where `omnitrack eval --work` left its flow"
    )
    given = parser.parse_args(arguments)
    given.work.mkdir(parents=True, exist_ok=True)
    report = Report(given.json)
    seeds = range(FIRST_SEED, FIRST_SEED + given.scenes)
    with ProcessPoolExecutor(given.jobs) as pool:
        paths = list(pool.map(scene_examples, seeds, [given.work] * len(seeds)))
    if given.what == "train":
        arrays: dict[str, Any] = {**train(*examples(paths[:-LEFT_OUT], keep=3))}
        np.savez(Path(model.__file__).with_name(model.WEIGHTS_FILE), **arrays)
    found = {f"synthetic scenes left out ({LEFT_OUT})": on_scenes(paths[-LEFT_OUT:])}
    for dataset, projects in zip(given.tapvid, given.projects, strict=True):
        found[dataset.stem] = on_tapvid(dataset, projects)
    table = report.table("reliability", COLUMNS)
    for name, of in found.items():
        table.add(row_of(name, of))
    report.write()
    if given.what == "check":
        title = f"Wrong: over {model.WRONG_PX:g} px at 256 x 256, or hidden in the target"
        labels = ("predicted probability that a hop is wrong", "share that is wrong")
        draw_reliability(found, FOLDER / "hop-reliability.png", title, labels)


if __name__ == "__main__":
    main()
