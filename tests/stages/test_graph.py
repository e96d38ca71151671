"""The table of products: what each needs, and that run, eval and info follow it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from omnitrack.project.project import Project
from omnitrack.project.store import hops_file
from omnitrack.settings import Settings
from omnitrack.stages.bring_up import bring_up_to
from omnitrack.stages.fit import fit_field
from omnitrack.stages.graph import NODE_OF, NODES, Work, needed_for, wanted_stamps
from omnitrack.stages.info import inspect_project


def names(target: str) -> list[str]:
    return [node.name for node in needed_for(target)]


def test_what_each_product_needs() -> None:
    assert names("flow") == ["features", "flow"]
    assert names("hops") == ["features", "flow", "hops"]
    assert names("filter") == ["features", "flow", "hops", "filter"]
    assert names("matching") == ["features", "matching"]
    assert names("fit") == [node.name for node in NODES]


def test_inputs_come_first() -> None:
    for index, node in enumerate(NODES):
        assert set(node.made_from) <= {earlier.name for earlier in NODES[:index]}


def test_what_was_brought_up_is_what_was_wanted_and_is_called_ready(
    matched_project: Project, small_settings: Settings
) -> None:
    work = Work(matched_project, small_settings, "cpu")
    first = bring_up_to("fit", work)
    assert (first.kept, first.made) == (["flow"], ["hops", "filter", "fit"])
    assert all(seconds > 0 for seconds in first.seconds.values())
    stored = {node.name: node.stored(matched_project).stamp for node in NODES}
    assert stored == wanted_stamps(work)
    assert {product.state for product in inspect_project(matched_project).products} == {"ready"}
    again = bring_up_to("fit", work)
    assert (again.kept, again.made) == (["flow", "hops", "filter", "fit"], [])
    assert again.seconds == first.seconds


def test_the_stages_one_by_one_leave_the_same(filtered_project: Project, small_settings: Settings) -> None:
    fit_field(filtered_project, small_settings, "cpu")
    assert bring_up_to("fit", Work(filtered_project, small_settings, "cpu")).made == []


@pytest.mark.parametrize(("target", "made"), [("hops", ["hops"]), ("filter", ["hops"])])
def test_only_what_lacks_is_made(
    filtered_project: Project, small_settings: Settings, target: str, made: list[str]
) -> None:
    hops_file(filtered_project).remove()
    assert bring_up_to(target, Work(filtered_project, small_settings)).made == made


def test_another_seed_is_another_fit_only(filtered_project: Project, small_settings: Settings) -> None:
    first, second = (wanted_stamps(Work(filtered_project, small_settings, seed=seed)) for seed in (0, 1))
    assert [name for name in first if first[name] != second[name]] == ["fit"]
    other = replace(small_settings, filter=replace(small_settings.filter, window=2))
    third = wanted_stamps(Work(filtered_project, other))
    assert [name for name in first if first[name] != third[name]] == ["filter", "fit"]


def test_every_row_has_a_command_that_makes_it() -> None:
    assert {node.command for node in NODES} == {"flow", "filter", "fit"}
    assert list(NODE_OF) == [node.name for node in NODES]
