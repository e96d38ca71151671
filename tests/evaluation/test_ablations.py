"""Ablations are settings that exist and change what their names say; published numbers appear in their rows only."""

from __future__ import annotations

from typing import Any

import pytest

from omnitrack.config import as_dict, load_settings
from omnitrack.errors import OmnitrackError
from omnitrack.evaluation.ablations import ABLATIONS, NAMES, WHOLE, Ablation, expand_ablations
from omnitrack.evaluation.tapvid import file_stem
from omnitrack.optimize.methods import METHODS
from omnitrack.settings import Settings

# the contract: what each ablation sets besides the method and the field alone
CHANGES: dict[str, dict[str, Any]] = {
    "omnimotion/field-alone": {},
    "omnimotion/no-invertible": {"fit.omnimotion.mapping": "two_networks"},
    "omnimotion/plain-2d": {"fit.method": "plain_2d"},
    "omnimotion/no-flow": {"fit.omnimotion.flow_weight": 0.0},
    "omnimotion/no-photometric": {
        "fit.omnimotion.photometric_weight": 0.0,
        "fit.omnimotion.photometric_gradient_weight": 0.0,
    },
    "omnimotion/uniform-sampling": {"fit.hard_share": 0.0},
    "omnimotion/samples-8": {"fit.omnimotion.samples": 8},
    "omnimotion/samples-16": {"fit.omnimotion.samples": 16},
    "omnimotion/samples-32": {"fit.omnimotion.samples": 32},
    "cadex/field-alone": {},
    "cadex/no-depth-prior": {
        "fit.cadex.depth_start": "flat",
        "fit.cadex.depth_prior_weight": 0.0,
        "fit.cadex.depth_gradient_weight": 0.0,
    },
    "cadex/no-long-range": {"fit.longest_gap": 9},
    "cadex/affine-couplings": {"fit.cadex.coupling": "affine"},
}
# AJ, delta_avg and OA in per cent, TC in px, as the sources in ablations.py print them
PUBLISHED = {
    "omnimotion/field-alone": (51.7, 67.5, 85.3, 0.74),
    "omnimotion/no-invertible": (12.5, None, None, None),
    "omnimotion/no-photometric": (42.3, None, None, None),
    "omnimotion/uniform-sampling": (47.8, None, None, None),
    "cadex/field-alone": (48.6, 65.7, 80.1, 1.14),
    "cadex/no-depth-prior": (42.0, 56.8, 73.3, 1.42),
    "cadex/no-long-range": (45.6, 61.3, 75.5, 1.32),
}


def flat(settings: Settings) -> dict[str, Any]:
    """Return every setting by its dotted key."""
    found: dict[str, Any] = {}

    def walk(table: dict[str, Any], prefix: str) -> None:
        for key, value in table.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")
            else:
                found[prefix + key] = value

    walk(as_dict(settings), "")
    return found


def test_all_ablations_are_there() -> None:
    assert list(ABLATIONS) == list(CHANGES)
    assert ("omnimotion", "cadex", *CHANGES) == NAMES
    assert {ablation.method for ablation in ABLATIONS.values()} <= set(METHODS)


@pytest.mark.parametrize("ablation", ABLATIONS.values(), ids=list(ABLATIONS))
def test_an_ablation_changes_what_it_says_and_nothing_else(ablation: Ablation) -> None:
    base = flat(load_settings(overrides={"fit.method": ablation.method}))
    changed = flat(load_settings(overrides=ablation.overrides))
    expected = {"query.fuse": False, **CHANGES[ablation.row]}
    assert changed == base | expected
    assert changed["fit.method"] == expected.get("fit.method", ablation.method)
    differing = {key for key in base if base[key] != changed[key]}
    assert "query.fuse" in differing
    if ablation.name != WHOLE:
        nothing_new = ablation.name == f"samples-{base['fit.omnimotion.samples']}"  # the row of the default
        assert ("fit" in {key.partition(".")[0] for key in differing}) != nothing_new


def test_an_ablation_wins_over_what_a_person_sets() -> None:
    overrides = {
        "query.fuse": True,
        "fit.longest_gap": 30,
        "fit.steps": 7,
        **ABLATIONS["cadex/no-long-range"].overrides,
    }
    settings = load_settings(overrides=overrides)
    assert (settings.query.fuse, settings.fit.longest_gap, settings.fit.steps) == (False, 9, 7)


def test_rows_have_file_names_of_their_own() -> None:
    stems = [file_stem(row) for row in ABLATIONS]
    assert not any("/" in stem for stem in stems)
    assert len({*stems, *METHODS}) == len(stems) + len(METHODS)


def test_published_numbers() -> None:
    assert {row for row, ablation in ABLATIONS.items() if ablation.numbers} == set(PUBLISHED)
    for row, (*shares, coherence) in PUBLISHED.items():
        numbers = ABLATIONS[row].numbers
        assert numbers is not None
        assert list(numbers) == [
            "average_jaccard",
            "average_pts_within_thresh",
            "occlusion_accuracy",
            "temporal_coherence",
            "source",
        ]
        found = [None if number is None else round(100 * number, 6) for number in list(numbers.values())[:3]]
        assert (found, numbers["temporal_coherence"]) == (shares, coherence)
        arxiv = {"omnimotion": "2306.05422", "cadex": "2403.17931"}[ABLATIONS[row].method]
        assert arxiv in numbers["source"]


# --- names ------------------------------------------------------------------------------------------------------
def test_a_method_stands_for_all_its_ablations() -> None:
    cadex = ["cadex/field-alone", "cadex/no-depth-prior", "cadex/no-long-range", "cadex/affine-couplings"]
    assert expand_ablations(["cadex"]) == cadex
    assert expand_ablations(["omnimotion"]) == [row for row in CHANGES if row.startswith("omnimotion/")]
    assert expand_ablations([]) == []


def test_the_whole_method_comes_first_and_once() -> None:
    assert expand_ablations(["cadex/no-long-range"]) == ["cadex/field-alone", "cadex/no-long-range"]
    assert expand_ablations(["cadex/field-alone"]) == ["cadex/field-alone"]
    assert expand_ablations(["cadex/no-long-range", "omnimotion/no-flow", "cadex/affine-couplings"]) == [
        *["cadex/field-alone", "cadex/no-long-range", "omnimotion/field-alone", "omnimotion/no-flow"],
        "cadex/affine-couplings",
    ]
    assert expand_ablations(["cadex/no-long-range", "cadex"])[1:3] == ["cadex/no-long-range", "cadex/no-depth-prior"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("omnimotion/no-fotometric", "did you mean omnimotion/no-photometric?"),
        ("cadx", "did you mean cadex?"),
        ("cadex/no-depth", "did you mean cadex/no-depth-prior?"),
    ],
)
def test_an_unknown_name(name: str, hint: str) -> None:
    with pytest.raises(OmnitrackError, match=f"there is no ablation {name}$") as caught:
        expand_ablations(["cadex", name])
    assert caught.value.hint == hint


def test_a_name_that_is_near_none() -> None:
    with pytest.raises(OmnitrackError) as caught:
        expand_ablations(["xyz"])
    assert caught.value.hint == f"there is: {', '.join(NAMES)}"
