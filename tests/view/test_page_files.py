"""The page's own files: complete, without a build step, and without external resources."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import omnitrack.view

PAGE = Path(omnitrack.view.__file__).parent / "page"
SCRIPTS = sorted(PAGE.glob("*.js"))
INDEX = (PAGE / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_import_what_there_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for names, source in re.findall(r"^import \{([^}]*)\} from \"\./([\w.]+)\";$", text, re.M):
        other = (PAGE / source).read_text(encoding="utf-8")
        for name in (part.strip() for part in names.split(",")):
            assert re.search(rf"^export (async )?(class|const|function) {name}\b", other, re.M), name
            assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{name} is imported and not used"
    assert len(re.findall(r"^import ", text, re.M)) == len(re.findall(r"^import \{[^}]*\} from \"\./", text, re.M))


@pytest.mark.parametrize("path", sorted(PAGE.iterdir()), ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|//\w+\.\w+/|@import|eval\(|innerHTML", text)
    assert len(text.splitlines()) <= 300


def test_the_page_keeps_to_its_own_content_policy() -> None:
    assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?! type=\"module\" src=)", INDEX)


def test_scripts_name_elements_that_there_are() -> None:
    ids = set(re.findall(r'\sid="([\w-]+)"', INDEX))
    named = {name for path in SCRIPTS for name in re.findall(r'byId\("([\w-]+)"\)', path.read_text(encoding="utf-8"))}
    assert named <= ids and len(named) > 10
    styled = set(re.findall(r"(?m)^#([a-z-]+)", (PAGE / "style.css").read_text(encoding="utf-8")))
    assert styled <= ids
