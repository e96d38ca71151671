"""Settings: TOML round trip, did-you-mean, types, ranges and precedence."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from omnitrack.config import as_dict, dump_settings, fingerprint, load_settings, parse_assignments, read_toml
from omnitrack.errors import OmnitrackError
from omnitrack.optimize.methods import METHODS
from omnitrack.presets import DEFAULTS
from omnitrack.settings import MOVED, FitSettings, FlowSettings, InitSettings, Settings


def changed_settings() -> Settings:
    """Return settings in which every table differs from the defaults."""
    base = Settings()
    return dataclasses.replace(
        base,
        init=InitSettings(start=3, end=40, stride=2, max_size=320, fps=12.5),
        flow=FlowSettings(estimator='my "own" ünit 🎞', pairs="window:8", warm_start=False),
    )


def leaves(settings: object, prefix: str = "") -> dict[str, object]:
    """Return every setting as a dotted key: value."""
    found: dict[str, object] = {}
    for f in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, f.name)
        if dataclasses.is_dataclass(value):
            found.update(leaves(value, f"{prefix}{f.name}."))
        else:
            found[prefix + f.name] = value
    return found


@pytest.mark.parametrize("settings", [Settings(), changed_settings()], ids=["defaults", "changed"])
def test_dump_reads_back_as_the_same_settings(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "omnitrack.toml"
    path.write_text(dump_settings(settings), encoding="utf-8")
    assert load_settings(path) == settings


def test_dump_leaves_defaults_commented_out_so_that_a_preset_shows_through(tmp_path: Path) -> None:
    text = dump_settings(changed_settings())
    assert "\n# take every n-th frame\nstride = 2\n" in text
    assert "\n#workers = 0\n" in text
    path = tmp_path / "omnitrack.toml"
    path.write_text(dump_settings(Settings()), encoding="utf-8")
    assert load_settings(path, base=changed_settings()) == changed_settings()


def test_uncommented_defaults_read_back_too(tmp_path: Path) -> None:
    path = tmp_path / "omnitrack.toml"
    lines = dump_settings(Settings()).splitlines()
    active = [line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in lines]
    path.write_text("\n".join(active), encoding="utf-8")
    assert load_settings(path) == Settings()
    assert len(active) - sum(line.startswith(("#", "[")) or not line for line in active) == len(leaves(Settings()))


def test_every_setting_has_an_explanation() -> None:
    def explained(settings: object) -> bool:
        fields = dataclasses.fields(settings)  # type: ignore[arg-type]
        values = [getattr(settings, f.name) for f in fields]
        return all(f.metadata.get("text") for f in fields) and all(
            explained(value) for value in values if dataclasses.is_dataclass(value)
        )

    assert explained(Settings())


def test_every_default_passes_its_own_checks() -> None:
    settings = Settings()
    for key, value in leaves(settings).items():
        assert load_settings(overrides={key: list(value) if isinstance(value, tuple) else value}) == settings, key


def test_flags_win_over_the_file_which_wins_over_the_base(tmp_path: Path) -> None:
    path = tmp_path / "omnitrack.toml"
    path.write_text("[init]\nstride = 2\nstart = 5\n", encoding="utf-8")
    base = dataclasses.replace(Settings(), init=InitSettings(start=1, stride=1, max_size=100))
    settings = load_settings(path, {"init.start": 9, "init.end": None}, base=base)
    assert settings.init == InitSettings(start=9, stride=2, max_size=100, end=0)


def test_a_missing_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "absent.toml") == Settings()


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("flow.warm_start", "false", False),
        ("flow.workers", "3", 3),
        ("flow.workers", "1e4", 10000),
        ("init.fps", "25", 25.0),
        ("init.fps", "0.5", 0.5),
        ("flow.pairs", "log", "log"),
        ("flow.dis.patch_size", "12", 12),
    ],
)
def test_text_is_read_as_the_type_of_the_setting(key: str, text: str, value: object) -> None:
    found = leaves(load_settings(overrides={key: text}))[key]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("flow.workers", "many", "flow.workers must be a whole number, not 'many'"),
        ("flow.workers", "1.5", "flow.workers must be a whole number, not 1.5"),
        ("flow.workers", True, "flow.workers must be a whole number, not True"),
        ("flow.warm_start", "1", "flow.warm_start must be true or false, not 1"),
        ("init.fps", "nan", "init.fps must be a number, not nan"),
        ("init.fps", "inf", "init.fps must be a number, not inf"),
        ("flow.pairs", 3, "flow.pairs must be text, not 3"),
        ("init.stride", "0", "init.stride must be at least 1, not 0"),
        ("init", "3", "init must be a table of settings, not '3'"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(key: str, value: object, message: str) -> None:
    with pytest.raises(OmnitrackError) as caught:
        load_settings(overrides={key: value})
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("init.strid", "did you mean init.stride?"),
        ("flwo.pairs", "did you mean flow?"),
        ("flow.dis.patchsize", "did you mean flow.dis.patch_size?"),
        ("init.xyzzy", "known here: start, end, stride, max_size, fps, levels, cuts"),
    ],
)
def test_an_unknown_key_is_an_error_with_a_suggestion(key: str, hint: str) -> None:
    with pytest.raises(OmnitrackError, match="unknown setting") as caught:
        load_settings(overrides={key: 1})
    assert caught.value.hint == hint


def test_an_error_in_the_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "omnitrack.toml"
    path.write_text("[init]\nstrid = 2\n", encoding="utf-8")
    with pytest.raises(OmnitrackError) as caught:
        load_settings(path)
    assert caught.value.message == f"{path}: unknown setting init.strid"


@pytest.mark.parametrize("content", [b"[init\n", b"\xff\xfe"], ids=["syntax", "encoding"])
def test_a_broken_file_is_one_clear_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "omnitrack.toml"
    path.write_bytes(content)
    with pytest.raises(OmnitrackError, match="is not valid TOML"):
        read_toml(path)


def test_assignments() -> None:
    assert parse_assignments(["fit.steps=500", "flow.pairs = a=b "]) == {"fit.steps": "500", "flow.pairs": "a=b"}
    for wrong in ("fit.steps", "=5"):
        with pytest.raises(OmnitrackError, match="is not KEY=VALUE"):
            parse_assignments([wrong])


def test_fingerprint_depends_on_values_and_not_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert len(fingerprint()) == 16


def test_as_dict_is_plain_json() -> None:
    plain = as_dict(Settings())
    assert plain["flow"]["dis"]["patch_size"] == 8
    assert plain["init"] == {
        "start": 0,
        "end": 0,
        "stride": 1,
        "max_size": 854,
        "fps": 0.0,
        "levels": "auto",
        "cuts": "auto",
    }


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_an_old_name_says_the_new_one(old: str, new: str) -> None:
    with pytest.raises(OmnitrackError, match=f"{old} is called {new} now"):
        load_settings(overrides={old: 0.5})
    table, key = new.rsplit(".", 1)
    found: Any = Settings()
    for part in table.split("."):
        found = getattr(found, part)
    assert hasattr(found, key)


def test_every_method_has_a_table_of_its_name_with_a_learning_rate() -> None:
    for name, method in METHODS.items():
        assert method.name == name
        assert getattr(FitSettings(), name).learning_rate > 0
        assert name in DEFAULTS


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("a = " + "9" * 5000, "not valid TOML"),
        ("fit.steps = 1\nfit.steps = 2\n", "not valid TOML"),
        ("# " + "x" * (1 << 20), "not a file of settings"),
        ("[fit]\nsteps = nan\n", "must be a whole number"),
    ],
)
def test_absurd_files_are_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "omnitrack.toml").write_text(text)
    with pytest.raises(OmnitrackError, match=told):
        load_settings(tmp_path / "omnitrack.toml")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes")
def test_a_pipe_is_no_file_of_settings(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "omnitrack.toml")
    with pytest.raises(OmnitrackError, match="not a file of settings"):
        load_settings(tmp_path / "omnitrack.toml")


def test_an_absurd_assignment_is_refused() -> None:
    with pytest.raises(OmnitrackError, match="must be a whole number"):
        load_settings(overrides={"fit.steps": "[" * 100_000})
