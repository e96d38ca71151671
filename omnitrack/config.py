"""Settings to TOML and back: defaults or preset of the method < omnitrack.toml < flags; unknown keys are refused."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import hashlib
import json
import math
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from omnitrack.errors import OmnitrackError
from omnitrack.presets import preset_settings
from omnitrack.settings import MOVED, Settings

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

T = TypeVar("T")
MOST_BYTES = 1 << 20  # of a settings file; ours have 20,000


def load_settings(
    path: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    base: Settings | None = None,
    preset: str | None = None,
) -> Settings:
    """Read a project's settings.

    Args:
        path: An ``omnitrack.toml``; None or a missing file gives the defaults.
        overrides: Dotted keys from the command line, ``{"fit.steps": 500}``; None values are ignored. A value given
            as text is read as TOML if possible (``"true"``, ``"0.5"``, ``"[1, 2]"``).
        base: Settings that the file and the overrides are applied to; None: those of `preset`.
        preset: Name of a preset (`omnitrack.presets`) of the method that the file and the overrides choose; None: the
            defaults of that method.

    Raises:
        OmnitrackError: An unreadable file, an unknown key or preset, or a value of the wrong type or range.
    """
    if base is None:
        base = preset_settings(preset, _layered(Settings(), path, overrides).fit.method)
    return _layered(base, path, overrides)


def _layered(settings: Settings, path: Path | None, overrides: Mapping[str, object] | None) -> Settings:
    if path is not None and path.exists():
        settings = _merge(settings, read_toml(path), "", str(path))
    for key, value in (overrides or {}).items():
        if value is not None:
            nested: Any = value
            for part in reversed(key.split(".")):
                nested = {part: nested}
            settings = _merge(settings, nested, "", "")
    return settings


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file; an invalid file raises an `OmnitrackError` that names the line."""
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            raise OmnitrackError(f"{path} is not a file of settings", "remove it: without one the defaults hold")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise OmnitrackError(f"{path} is nested too deeply", "no setting is a list of lists") from error
    except ValueError as error:  # invalid TOML or UTF-8, or a number with thousands of digits
        raise OmnitrackError(f"{path} is not valid TOML: {error}", "correct that line") from error
    except OSError as error:
        raise OmnitrackError(f"{path} cannot be read: {error.strerror}", "check its permissions") from error


def dump_settings(settings: Settings) -> str:
    """Write settings as commented TOML, every key with its explanation; `load_settings` reads it back.

    A setting at its default is written commented out, so that the file overrides a preset only on purpose.
    """
    lines = [
        "# omnitrack settings. A line like #key = value shows the default (for cadex): remove the # to change it.",
        "# Flags on the command line win over this file, and this file wins over --preset.",
    ]
    _dump_table(settings, "", lines)
    return "\n".join(lines) + "\n"


def as_dict(settings: Any) -> dict[str, Any]:
    """Convert a dataclass of settings to plain JSON values (tuples become lists)."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(settings)))
    return plain


def fingerprint(*parts: object) -> str:
    """Return a short stable hash of plain values, such as those that a product was made from."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def parse_assignments(assignments: list[str]) -> dict[str, str]:
    """Split the command line's repeated ``--set a.b=c`` into ``{"a.b": "c"}``."""
    pairs = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip():
            raise OmnitrackError(f"--set {assignment!r} is not KEY=VALUE", "for example --set fit.steps=500")
        pairs[key.strip()] = value.strip()
    return pairs


def _merge(settings: T, values: Any, prefix: str, path: str) -> T:
    """Apply nested `values` to `settings`; `prefix` is the position in the tree, `path` their file, if any."""
    if not isinstance(values, Mapping):
        raise _wrong(path, f"{prefix.rstrip('.') or 'the file'} must be a table of settings, not {values!r}")
    hints = typing.get_type_hints(type(settings))
    fields = {f.name: f for f in dataclasses.fields(settings)}  # type: ignore[arg-type]
    changes = {}
    for key, value in values.items():
        if key not in fields:
            if prefix + key in MOVED:
                raise _wrong(path, f"{prefix}{key} is called {MOVED[prefix + key]} now", "use the new name")
            close = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
            hint = f"did you mean {prefix}{close[0]}?" if close else f"known here: {', '.join(fields)}"
            raise _wrong(path, f"unknown setting {prefix}{key}", hint)
        current = getattr(settings, key)
        if dataclasses.is_dataclass(current):
            changes[key] = _merge(current, value, f"{prefix}{key}.", path)
        else:
            changes[key] = _convert(value, hints[key], fields[key].metadata, prefix + key, path)
    return dataclasses.replace(settings, **changes)  # type: ignore[type-var]


def _wrong(path: str, message: str, hint: str | None = None) -> OmnitrackError:
    return OmnitrackError(f"{path}: {message}" if path else message, hint)


def _convert(value: Any, kind: Any, metadata: Mapping[str, Any], key: str, path: str) -> Any:
    """Check one value against its declared type, choices and lowest value; text is read as TOML first."""
    if isinstance(value, str) and kind is not str:
        with contextlib.suppress(ValueError, RecursionError):  # stays text: the check below names the expected type
            value = tomllib.loads(f"value = {value}")["value"]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and is_number:
        value = float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)  # 1e4 is how people write large step counts
    origin = typing.get_origin(kind) or kind
    if origin is tuple and isinstance(value, list):
        value = tuple(_convert(item, typing.get_args(kind)[0], {}, key, path) for item in value)
    right_type = isinstance(value, origin) and not (isinstance(value, bool) and origin is not bool)
    if not right_type or (isinstance(value, float) and not math.isfinite(value)):
        raise _wrong(path, f"{key} must be {_expected(kind)}, not {value!r}")
    if metadata.get("choices") and value not in metadata["choices"]:
        raise _wrong(path, f"{key} must be one of {', '.join(metadata['choices'])}, not {value!r}")
    if metadata.get("low") is not None and value < metadata["low"]:
        raise _wrong(path, f"{key} must be at least {metadata['low']:g}, not {value!r}")
    return value


def _expected(kind: Any) -> str:
    if typing.get_origin(kind) is tuple:
        return f"a list, each {_expected(typing.get_args(kind)[0])}"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]


def _dump_table(settings: Any, prefix: str, lines: list[str]) -> None:
    nested = []
    for f in dataclasses.fields(settings):
        value = getattr(settings, f.name)
        if dataclasses.is_dataclass(value):
            nested.append((f, value))
        else:
            lines.append(f"# {f.metadata['text']}")
            mark = "#" if value == f.default else ""
            lines.append(f"{mark}{f.name} = {json.dumps(value, ensure_ascii=False)}")
    for f, value in nested:
        lines += ["", f"# {f.metadata['text']}", f"[{prefix}{f.name}]"]
        _dump_table(value, f"{prefix}{f.name}.", lines)
