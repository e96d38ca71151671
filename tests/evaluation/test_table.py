"""Tables show the results, cell by cell."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from omnitrack.evaluation.ablations import ABLATIONS
from omnitrack.evaluation.table import markdown_table, rich_table, title

KEYS = ("average_jaccard", "average_pts_within_thresh", "occlusion_accuracy", "temporal_coherence")


def values(*numbers: float | None, **seconds: float) -> dict[str, Any]:
    return dict(zip(KEYS, numbers, strict=True)) | {"seconds": seconds}


@pytest.fixture
def results() -> dict[str, Any]:
    cat, dog = values(0.5, 0.6004, 0.7, 1.25, init=1.0, flow=2.0), values(0.7, 0.8, 0.9, 0.756, init=2.0, flow=4.0)
    mean = dict(zip(KEYS, (0.6, 0.7002, 0.8, 1.003), strict=True))
    nothing = dict.fromkeys(KEYS)
    return {
        "dataset": "tapvid_davis",
        "query_mode": "strided",
        "resolution": "256x256",
        "methods": {
            "chain": {"mean": mean, "videos": {"cat": cat, "dog": dog}},
            "my|own[b]": {
                "mean": nothing,
                "videos": {"cat": nothing | {"seconds": {}}, "dog": nothing | {"seconds": {}}},
            },
        },
    }


def test_markdown(results: dict[str, Any]) -> None:
    heading, _, *rows = markdown_table(results).splitlines()
    assert heading.startswith("tapvid_davis: 2 videos, strided queries, 256x256. AJ, delta_avg, OA in per cent")
    assert rows == [
        "| method | AJ | delta_avg | OA | TC | seconds |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| chain | 60.0 | 70.0 | 80.0 | 1.00 | 4.5 |",
        r"| my\|own[b] | - | - | - | - | - |",
    ]


def test_markdown_per_video(results: dict[str, Any]) -> None:
    rows = markdown_table(results, per_video=True).splitlines()[4:7]
    assert rows == [
        "| chain | cat | 50.0 | 60.0 | 70.0 | 1.25 | 3.0 |",
        "| chain | dog | 70.0 | 80.0 | 90.0 | 0.76 | 6.0 |",
        "| chain | mean | 60.0 | 70.0 | 80.0 | 1.00 | 4.5 |",
    ]


def test_published_numbers_on_strided_davis_only(results: dict[str, Any]) -> None:
    table = markdown_table(results, published=True)
    assert "| OmniMotion (published, full-length DAVIS) | 51.7 | 67.5 | 85.3 | 0.74 | - |" in table
    assert "| CaDeX++ (published, full-length DAVIS) | 59.4 | 77.4 | 85.9 | 0.68 | - |" in table
    assert "| DINO-Tracker (published, full-length DAVIS) | 62.3 | 78.2 | 87.5 | - | - |" in table
    assert "| ProTracker (published, full-length DAVIS) | 65.3 | 80.8 | 88.7 | - | - |" in table
    assert "| CaDeX++ (published, full-length DAVIS) | mean | 59.4 |" in markdown_table(results, True, True)
    assert "published" not in markdown_table(results)
    assert "published" not in markdown_table(results | {"query_mode": "first"}, published=True)
    assert "published" not in markdown_table(results | {"dataset": "kinetics"}, published=True)


def test_rich_table_on_a_terminal(results: dict[str, Any]) -> None:
    for per_video in (False, True):
        console = Console(file=StringIO(), width=120)
        console.print(rich_table(results, per_video, published=True))
        text = console.file.getvalue()  # type: ignore[attr-defined]
        lines = [line.replace("│", " ").split() for line in text.splitlines()]
        mean = ["mean"] if per_video else []
        assert ["chain", *mean, "60.0", "70.0", "80.0", "1.00", "4.5"] in lines
        assert ["my|own[b]", *mean, *"-----"] in lines
        assert (["chain", "dog", "70.0", "80.0", "90.0", "0.76", "6.0"] in lines) == per_video


def test_title_of_one_video(results: dict[str, Any]) -> None:
    del results["methods"]["chain"]["videos"]["dog"], results["methods"]["my|own[b]"]
    assert title(results) == "tapvid_davis: 1 video, strided queries, 256x256"


# --- ablations --------------------------------------------------------------------------------------------------
@pytest.fixture
def ablation(results: dict[str, Any]) -> dict[str, Any]:
    """A whole method with all published numbers, an ablation with some of them, one with none, and a baseline."""
    published = {
        "m/field-alone": dict(zip(KEYS, (0.486, 0.657, 0.801, 1.14), strict=True)) | {"source": "the paper of m"},
        "m/no-a": dict(zip(KEYS, (0.4, None, None, None), strict=True)) | {"source": "the paper of m"},
        "m/no-b": None,
    }
    chain = results["methods"]["chain"]
    return results | {"methods": {"chain": chain, **dict.fromkeys(published, chain)}, "published": published}


def test_published_numbers_stand_beside_their_rows(ablation: dict[str, Any]) -> None:
    heading, _, *rows = markdown_table(ablation, published=True).splitlines()
    measured = "60.0 | 70.0 | 80.0 | 1.00 | 4.5"
    assert rows == [
        "| method | AJ | delta_avg | OA | TC | seconds "
        "| published AJ | published delta_avg | published OA | published TC |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        f"| chain | {measured} | - | - | - | - |",
        f"| m/field-alone | {measured} | 48.6 | 65.7 | 80.1 | 1.14 |",
        f"| m/no-a | {measured} | 40.0 | - | - | - |",
        f"| m/no-b | {measured} | - | - | - | - |",
    ]
    assert heading.endswith(
        "METHOD/NAME: the field alone, as in the papers, without fusion with the measured flow; "
        "published, not like for like: the paper of m."
    )


def test_published_numbers_stand_beside_no_video(ablation: dict[str, Any]) -> None:
    rows = markdown_table(ablation, per_video=True, published=True).splitlines()
    assert "| m/no-a | dog | 70.0 | 80.0 | 90.0 | 0.76 | 6.0 | - | - | - | - |" in rows
    assert "| m/no-a | mean | 60.0 | 70.0 | 80.0 | 1.00 | 4.5 | 40.0 | - | - | - |" in rows


def test_other_data_than_the_papers_have_no_published_numbers_beside_them(ablation: dict[str, Any]) -> None:
    first, kinetics = ablation | {"query_mode": "first"}, ablation | {"dataset": "kinetics"}
    for table in (markdown_table(ablation), markdown_table(first, False, True), markdown_table(kinetics, False, True)):
        assert "published" not in table
        assert "METHOD/NAME: the field alone" in table
        assert "| m/field-alone | 60.0 | 70.0 | 80.0 | 1.00 | 4.5 |" in table.splitlines()
    assert "METHOD/NAME" not in markdown_table({key: ablation[key] for key in ablation if key != "published"})


def test_sources_say_what_the_published_numbers_are_of(ablation: dict[str, Any]) -> None:
    published = {row: known.numbers for row, known in ABLATIONS.items()}
    methods = dict.fromkeys(published, ablation["methods"]["chain"])
    heading = markdown_table(ablation | {"methods": methods, "published": published}, published=True).splitlines()[0]
    assert "not like for like" in heading
    assert heading.count("full-length DAVIS at the published size of run") == 2
    assert heading.count("arXiv 2306.05422") == heading.count("arXiv 2403.17931") == 1


def test_ablations_on_a_terminal(ablation: dict[str, Any]) -> None:
    console = Console(file=StringIO(), width=160)
    console.print(rich_table(ablation, published=True))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line.replace("│", " ").split() for line in text.splitlines()]
    assert ["m/field-alone", "60.0", "70.0", "80.0", "1.00", "4.5", "48.6", "65.7", "80.1", "1.14"] in lines
    assert ["m/no-b", "60.0", "70.0", "80.0", "1.00", "4.5", *"----"] in lines
    assert "not like for like" in " ".join(text.split())


def test_nothing_is_cut_off_on_a_narrow_terminal(ablation: dict[str, Any]) -> None:
    console = Console(file=StringIO(), width=80)
    row = "omnimotion/uniform-sampling"
    methods = {row: ablation["methods"]["m/field-alone"]}
    published = {row: ablation["published"]["m/field-alone"]}
    console.print(rich_table(ablation | {"methods": methods, "published": published}, published=True))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line.split() for line in text.splitlines()]
    (first,) = (line for line in lines if "48.6" in line)
    assert first[1:] == ["60.0", "70.0", "80.0", "1.00", "4.5", "48.6", "65.7", "80.1", "1.14"]
    assert first[0] + lines[lines.index(first) + 1][0] == row  # wrapped, if at all
    assert "…" not in text
