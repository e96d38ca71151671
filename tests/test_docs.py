"""The documentation is true: docstrings exist, and commands named in texts exist and parse."""

from __future__ import annotations

import ast
import pkgutil
import re
import shlex
from collections.abc import Callable, Collection, Iterator
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from source_trees import source_tree

from omnitrack.settings import Settings

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "omnitrack").rglob("*.py"))
TEXTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "examples").glob("*.py"))]
ENTRY_POINTS = {"omnitrack.flow_estimators", "omnitrack.feature_extractors", "omnitrack.export_formats"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def public(nodes: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
    """Yield the functions and classes among `nodes` with public names."""
    for node in nodes:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def decorators(node: Function) -> set[str]:
    return {ast.unparse(decorator) for decorator in node.decorator_list}


@cache
def documented_methods() -> set[str]:
    """Return the methods that a class or protocol of the package documents: implementations need not repeat it."""
    trees = (source_tree(path) for path in MODULES)
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {node.name for owner in classes for node in public(owner.body) if ast.get_docstring(node)}


def undocumented(tree: ast.Module) -> list[str]:
    """Return public functions, classes and methods without a docstring; properties and implementations need none."""
    bare = [node.name for node in public(tree.body) if not ast.get_docstring(node)]
    for owner in (node for node in public(tree.body) if isinstance(node, ast.ClassDef)):
        for node in public(owner.body):
            plain = isinstance(node, Function) and not decorators(node) & {"property", "cached_property"}
            stub = (
                isinstance(node, Function) and ast.unparse(node.body[-1]) == "..."
            )  # a protocol's stub of a method that others document
            if plain and not stub and node.name not in documented_methods() and not ast.get_docstring(node):
                bare.append(f"{owner.name}.{node.name}")
    return bare if ast.get_docstring(tree) else ["the module", *bare]


def unannotated(tree: ast.Module) -> list[str]:
    """Return functions with an argument or a result without annotation; `self` and `cls` need none."""
    methods = {
        id(node): "staticmethod" not in decorators(node)
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef)
        for node in owner.body
        if isinstance(node, Function)
    }
    found = []
    for node in (node for node in ast.walk(tree) if isinstance(node, Function)):
        arguments = [*node.args.posonlyargs, *node.args.args][methods.get(id(node), False) :]
        arguments += [*node.args.kwonlyargs, *filter(None, [node.args.vararg, node.args.kwarg])]
        if node.returns is None or any(argument.annotation is None for argument in arguments):
            found.append(f"{node.name} (line {node.lineno})")
    return found


def in_files(paths: list[Path], wrong: Callable[[Path], Collection[str]]) -> dict[str, Collection[str]]:
    """Return what is wrong, by file."""
    return {name_of(path): found for path in paths if (found := wrong(path))}


def test_public_names_are_documented() -> None:
    assert in_files(MODULES, lambda path: undocumented(source_tree(path))) == {}


def test_functions_are_annotated() -> None:
    files = [*MODULES, *sorted((ROOT / "examples").glob("*.py"))]
    assert in_files(files, lambda path: unannotated(source_tree(path))) == {}


def test_the_checks_can_fail() -> None:
    source = (
        "def a(x: int) -> int: return x\n"
        "class B:\n    '''Text.'''\n    def c(self, y): '''Text.'''\n    def d(self) -> None: pass\n"
        "    @property\n    def e(self) -> int: return 1\n    def _f(self) -> None: pass\n"
    )
    assert undocumented(ast.parse(source)) == ["the module", "a", "B.d"]
    assert unannotated(ast.parse(source)) == ["c (line 4)"]


# --- commands named in texts ------------------------------------------------------------------------------------
@cache
def command_line() -> Any:
    from typer.main import get_command

    from omnitrack.cli.app import app

    return get_command(app)


def code_blocks(text: str) -> str:
    """Return the fenced blocks of a Markdown text, with lines continued by a backslash joined."""
    blocks = re.findall(r"^ *(?:```|~~~)[^\n]*\n(.*?)^ *(?:```|~~~) *$", text, re.DOTALL | re.MULTILINE)
    return "\n".join(blocks).replace("\\\n", " ")


def command_lines(code: str) -> list[list[str]]:
    """Return the words after `omnitrack` of each call in a shell block, up to the next pipe, redirection or `&&`."""
    found = []
    for line in code.splitlines():
        if not re.match(r"[ \t]*(?:[$>] +)?(?:.*?(?:&&|;|\|) *)?(?:python3? -m )?omnitrack(?: |$)", line):
            continue
        words = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars=True)
        words.whitespace_split = True
        current: list[str] | None = None
        for word in words:
            if set(word) <= set("();<>|&"):
                current = None
            elif current is not None:
                current.append(word)
            elif word == "omnitrack":
                current = []
                found.append(current)
    return found


def wrong_line(words: list[str]) -> str | None:
    """Return why the command line would refuse these words; None if it would not."""
    import typer

    from omnitrack.cli.failures import explain
    from omnitrack.config import load_settings, parse_assignments

    root = command_line()
    name = words[0] if words else "-h"
    if not name.startswith("-") and name not in root.commands:
        return f"there is no command {name!r}"
    try:  # parses and checks, runs nothing
        whole = root.make_context("omnitrack", list(words or ["-h"]))
        given = root.commands[name].make_context(name, list(words[1:]), parent=whole).params
        load_settings(overrides=parse_assignments(given.get("assignments") or []))
    except typer.Exit:  # --help or --version
        return None
    except Exception as error:
        return f"omnitrack {shlex.join(words)}: {explain(error, words).message}"
    return None


def named_commands(text: str) -> set[str]:
    """Return words after `omnitrack` where a sentence names a command: in backquotes, or in a hint after a colon."""
    return set(re.findall(r"(?:`|: )omnitrack ([a-z][a-z-]*)", text))


def unknown_settings(text: str) -> list[str]:
    """Return unknown `table.key`s of ``--set table.key=`` in a text; ``--set a.b=c`` names no table."""
    settings = Settings()
    keys = re.findall(r"--set ([a-z_]+(?:\.[a-z_]+)+)=", text)
    return [key for key in keys if hasattr(settings, key.partition(".")[0]) and not has_setting(settings, key)]


def has_setting(settings: Settings, key: str) -> bool:
    try:
        attrgetter(key)(settings)
    except AttributeError:
        return False
    return True


@cache
def literals(path: Path) -> str:
    """Return all text in a module's strings."""
    tree = source_tree(path)
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return "\n".join(node.value for node in nodes)


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_command_lines_of_texts_parse(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    code = code_blocks(text) if path.suffix == ".md" else text
    assert [wrong for words in command_lines(code) if (wrong := wrong_line(words))] == []
    assert named_commands(text) <= set(command_line().commands)
    assert unknown_settings(text) == []


def test_examples_of_the_help_parse() -> None:
    for name, command in command_line().commands.items():
        # two spaces separate an example from its explanation
        lines = [re.split(" {2,}", line.strip())[0] for line in command.epilog.splitlines()]
        examples = command_lines("\n".join(lines))
        assert examples, name
        assert [wrong for words in examples if (wrong := wrong_line(words))] == []


def test_hints_name_commands_and_settings_that_exist() -> None:
    commands = set(command_line().commands)
    assert in_files(MODULES, lambda path: named_commands(literals(path)) - commands) == {}
    assert in_files(MODULES, lambda path: unknown_settings(literals(path))) == {}


def test_wrong_command_lines_are_found() -> None:
    text = (
        "# Title\n```sh\npip install . && omnitrack demo\n$ omnitrack init clip.mp4 clip --max-size 480  # half\n"
        "omnitrack query clip --point 1,2@0 -o - \\\n  | head\n```\nomnitrack nonsense in prose\n"
        "```python\nimport omnitrack\nomnitrack.open('clip')\n```\n"
    )
    lines = command_lines(code_blocks(text))
    assert lines == [
        ["demo"],
        ["init", "clip.mp4", "clip", "--max-size", "480"],
        ["query", "clip", "--point", "1,2@0", "-o", "-"],
    ]
    assert [wrong_line(words) for words in lines] == [None, None, None]
    assert wrong_line(["--version"]) is None and wrong_line([]) is None and wrong_line(["fit", "-h"]) is None
    assert wrong_line(["fti"]) == "there is no command 'fti'"
    assert "--stpes" in str(wrong_line(["fit", "clip", "--stpes", "5"]))
    assert "VIDEO" in str(wrong_line(["init"]))
    assert "fit.stpes" in str(wrong_line(["fit", "clip", "--set", "fit.stpes=5"]))
    assert unknown_settings("--set a.b=c --set fit.steps=1 --set flow.dis.patch=8") == ["flow.dis.patch"]
    assert named_commands("see `omnitrack info`, or make one: omnitrack init VIDEO") == {"info", "init"}


# --- files and names that texts refer to ------------------------------------------------------------------------
@pytest.mark.parametrize("path", [path for path in TEXTS if path.suffix == ".md"], ids=name_of)
def test_files_that_texts_name_exist(path: Path) -> None:
    known = {file.name for room in ("omnitrack", "tests", "examples") for file in (ROOT / room).rglob("*")}
    named = set(re.findall(r"`(?:[\w./-]*/)?([a-z_0-9]+\.(?:py|toml|npz))`", path.read_text(encoding="utf-8")))
    yours = {"omnitrack.toml", "NAME.py", "pyproject.toml", "tracks.npz"}
    assert named - known - yours == set()


def exists(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (AttributeError, ModuleNotFoundError):  # an attribute of a dataclass or a protocol
        owner, attribute = name.rsplit(".", 1)
        return attribute in getattr(pkgutil.resolve_name(owner), "__annotations__", {})
    return True


def unknown_names(path: Path) -> list[str]:
    """Return names in backquotes that are neither in the package nor an entry point."""
    named = re.findall(r"`(omnitrack(?:\.\w+)+)`", path.read_text(encoding="utf-8"))
    return [name for name in named if name not in {*ENTRY_POINTS, "omnitrack.toml"} and not exists(name)]


def test_names_that_docstrings_point_at_exist(tmp_path: Path) -> None:
    assert in_files(MODULES, unknown_names) == {}
    sample = tmp_path / "sample.py"
    sample.write_text("`omnitrack.units.raster_scale`, `omnitrack.units.nothing`, `omnitrack.toml`", encoding="utf-8")
    assert unknown_names(sample) == ["omnitrack.units.nothing"]
