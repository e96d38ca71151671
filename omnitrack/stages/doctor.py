"""`omnitrack doctor`: which versions, devices, extras and estimators this computer has."""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, metadata, version

import omnitrack
from omnitrack.errors import OmnitrackError
from omnitrack.video.ffmpeg import describe_program, find_program
from omnitrack.weights import DISTRIBUTION

MODULES = ("torch", "numpy", "cv2", "h5py", "imageio", "typer", "rich")


@dataclass(frozen=True)
class DoctorReport:
    """What was found: mappings from names to descriptions.

    Attributes:
        versions: Versions of omnitrack, Python, the system, every required module and ffmpeg, or why one is missing.
        devices: Devices that ``--device`` accepts: name and memory.
        extras: The optional extras of the package: present, or the command that installs them.
        estimators: Estimators that ``--estimator`` accepts: where each comes from.
    """

    versions: dict[str, str]
    devices: dict[str, str]
    extras: dict[str, str]
    estimators: dict[str, str]


def examine() -> DoctorReport:
    """Examine the installation; missing parts are reported, not raised."""
    return DoctorReport(_versions(), _devices(), _extras(), _estimators())


def _versions() -> dict[str, str]:
    found = {"omnitrack": omnitrack.__version__, "python": sys.version.split()[0], "system": platform.platform()}
    return found | {name: _module_version(name) for name in MODULES} | {"ffmpeg": _ffmpeg()}


def _module_version(name: str) -> str:
    try:
        module = import_module(name)
    except (ImportError, OSError) as error:  # OSError: one of its shared libraries does not load
        return f"cannot be imported: {error}"
    return str(getattr(module, "__version__", "")) or version(name)


def _ffmpeg() -> str:
    try:
        program = find_program()
    except OmnitrackError as error:
        return f"{error.message} ({error.hint})"
    return f"{describe_program()} ({program})"


def _devices() -> dict[str, str]:
    try:
        import torch

        from omnitrack.device import usable_cores
    except (ImportError, OSError):
        return {}
    found = {"cpu": f"{platform.machine()}, {usable_cores()} cores, {_compiled_core('cpu')}"}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found[f"cuda:{index}"] = (
            f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB, {_compiled_core('cuda')}"
        )
    return found


def _compiled_core(kind: str) -> str:
    from omnitrack.correspondence import compiled
    from omnitrack.motion.fused.fused import trouble

    if why_not := trouble(kind):
        return f"without the compiled core: {why_not}"
    if kind == "cpu" and (why_not := compiled.trouble()):
        return f"compiled core in use, but flow and filter are slower than they could be: {why_not}"
    return "compiled core in use"


def _extras() -> dict[str, str]:
    """Return the extras that the installed package declares; a source tree that is not installed declares none."""
    try:
        declared = metadata(DISTRIBUTION)
    except PackageNotFoundError:
        return {}
    requirements = [line.replace("'", '"') for line in declared.get_all("Requires-Dist") or []]
    found = {}
    for extra in declared.get_all("Provides-Extra") or []:
        names = [_distribution(line) for line in requirements if f'extra == "{extra}"' in line]
        missing = [name for name in names if not _installed(name)]
        found[extra] = f'without {", ".join(missing)}: pip install "{DISTRIBUTION}[{extra}]"' if missing else "present"
    return found


def _distribution(requirement: str) -> str:
    """Return the name at the start of a requirement such as ``pytest>=7; extra == "test"``."""
    name = re.match(r"[\w.-]+", requirement)
    return name[0] if name else requirement


def _installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _estimators() -> dict[str, str]:
    try:
        from omnitrack.correspondence.estimators import BUILT_IN, ENTRY_POINTS
    except (ImportError, OSError):
        return {}
    return dict.fromkeys(BUILT_IN, "built in") | {entry.name: entry.value for entry in entry_points(group=ENTRY_POINTS)}
