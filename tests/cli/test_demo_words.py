"""The demo's text: each line fits a terminal, each measure is explained, plain flow is shown for comparison."""

from __future__ import annotations

from omnitrack.cli.demo_words import MEASURES, STAGES, introduction, measures, verdict
from omnitrack.evaluation.things import Thing

THINGS = {
    "kite": Thing(32, {"cadex": 0.941, "chain": 0.978}, 0, {"cadex": 0, "chain": 0}),
    "ball": Thing(32, {"cadex": 0.42, "chain": 0.372}, 32, {"cadex": 21, "chain": 3}),
}
MEAN = {key: 0.5 for _, key, *_ in MEASURES}
RESULTS = {"methods": {"cadex": {"mean": MEAN}, "chain": {"mean": {**MEAN, "temporal_coherence": None}}}}


def test_the_introduction_names_every_stage_with_its_time() -> None:
    lines = introduction().splitlines()
    for place, (name, _, seconds) in enumerate(STAGES, 1):
        assert any(f"{place} {name} " in line and line.endswith(f" {seconds} s") for line in lines)


def test_things_are_counted_beside_plain_flow() -> None:
    lines = verdict(THINGS, "cadex", 24).splitlines()
    assert lines[0].startswith("64 points")
    assert lines[3].split() == ["kite", "94", "%", "98", "%"]
    assert lines[4].split() == ["ball", "42", "%", "37", "%", "21", "of", "32", "3", "of", "32"]
    assert lines[2].index("omnitrack") == lines[4].index("42 %")
    assert lines[2].index("plain flow") == lines[4].index("37 %")


def test_each_measure_is_explained_in_its_line() -> None:
    lines = measures(RESULTS, "cadex").splitlines()[2:]
    for line, (name, _, factor, words) in zip(lines, MEASURES, strict=True):
        assert line.split()[:2] == [name, "50.0" if factor == 100 else "0.50"]
        assert line.endswith(words)
    assert lines[-1].split()[2] == "-"


def test_all_of_it_fits_a_terminal_of_80_x_24() -> None:
    end = [verdict(THINGS, "cadex", 24), "", measures(RESULTS, "cadex"), "", "open this", "then try"]
    lines = [*introduction().splitlines(), *"\n".join(end).splitlines()]
    assert max(map(len, lines)) <= 80
    assert len("\n".join(end).splitlines()) <= 24 - 1
    assert len(introduction().splitlines()) + len(STAGES) <= 24 - 2
