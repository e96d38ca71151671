"""The cost model multiplies measurements, and nothing else: checked by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "benchmarks"))
import cost_model

# Seconds 2 + 0.5 T in all stages but flow, which takes 1 + 0.25 P for P = 6 T - 10 pairs; 100 MB + 0.1 T; disk 3 T.
ROWS = [
    {
        "frames": frames,
        "pairs": 6 * frames - 10,
        **{f"{stage}_s": 2 + 0.5 * frames for stage in cost_model.STAGES},
        "flow_s": 1 + 0.25 * (6 * frames - 10),
        **{f"{stage}_peak": 100 + 0.1 * frames for stage in cost_model.STAGES},
        "filter_peak": {10: 50.0, 20: 99.0, 40: 100.0}[frames],  # a cache that is full
        **dict.fromkeys(cost_model.DISK.values(), 0.75 * frames),
    }
    for frames in (10, 20, 40)
]


def many(milliseconds: float) -> dict[str, list[dict[str, object]]]:
    by = {"one by one": 1, "processes": 2, "Ray 2.50": 2}
    clips = [{"by": name, "workers": workers, "overhead": 4.0 + workers} for name, workers in by.items()]
    return {"clips": clips, "empty tasks": [{"by": name, "milliseconds": milliseconds} for name in by]}


def test_a_scenario_by_hand() -> None:
    """20 frames: 4 stages of 12 s, flow of 110 pairs in 28.5 s, 6 s of overhead: 82.5 s per clip, 60 MB."""
    found = cost_model.scenario(cost_model.costs_of(ROWS, many(10.0)), "ten clips", 10, 20, 4)
    assert found["core_hours"] == pytest.approx(10 * 82.5 / 3600)
    assert found["wall_hours"] == pytest.approx(3 * 82.5 / 3600)  # three rounds of four workers
    assert (found["flow"], found["beside"]) == pytest.approx((28.5 / 82.5, 6 / 82.5))
    assert (found["disk_gb"], found["peak"], found["beyond"]) == pytest.approx((0.6, 102, 0.5))
    assert found["written"] == pytest.approx(600 / (3 * 82.5))
    assert found["scheduler"] == pytest.approx(0.1 / (3 * 82.5))
    assert found["bottleneck"] == "the seconds of flow"


def test_what_gives_out_first() -> None:
    costs = cost_model.costs_of(ROWS, many(500.0))
    crowd = cost_model.scenario(costs, "a crowd", 1_000_000, 20, 1000)
    assert crowd["bottleneck"] == "the scheduler: 2 tasks a second"
    assert crowd["wall_hours"] == pytest.approx(500_000 / 3600)  # it starts tasks no faster
    long = cost_model.scenario(costs, "one long clip", 1, 4000, 1)
    assert long["bottleneck"].startswith("memory of init, 100 kB a frame; then the seconds of flow")


def test_clips_of_one_length_are_no_line() -> None:
    with pytest.raises(SystemExit, match="clips of one length say nothing of others"):
        cost_model.costs_of(ROWS[:1] * 2, many(1.0))
