"""Extractors of learned features by name: the built-in ones and those of installed packages.

A package offers an extractor through an entry point of the group ``omnitrack.feature_extractors``. The user types the
entry point's name; its object is called with the project's `FeatureSettings`, the device and a `Progress` for
downloads, and returns a `FeatureExtractor`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

from omnitrack.correspondence.features.contract import ONNX_SUFFIX, FeatureExtractor
from omnitrack.errors import OmnitrackError, closest_hint
from omnitrack.progress import SILENT, Progress
from omnitrack.settings import FeatureSettings
from omnitrack.weights import import_extra

ENTRY_POINTS = "omnitrack.feature_extractors"
NONE = "none"
Factory = Callable[[FeatureSettings, str, Progress], FeatureExtractor]


def _xfeat(settings: FeatureSettings, device: str, progress: Progress) -> FeatureExtractor:
    from omnitrack.correspondence.features.xfeat import XFeatExtractor

    return XFeatExtractor(settings, device)


def _onnx(settings: FeatureSettings, device: str, progress: Progress) -> FeatureExtractor:
    from omnitrack.correspondence.features.onnx_model import OnnxExtractor

    return OnnxExtractor(settings, device)


def _vit(settings: FeatureSettings, device: str, progress: Progress) -> FeatureExtractor:
    from omnitrack.correspondence.features.vit import open_vit

    return open_vit(settings, device, progress)


BUILT_IN: dict[str, Factory] = {"xfeat": _xfeat, "dinov2": _vit, "dino": _vit, "onnx": _onnx}
# Package and extra; the package is looked up when the extractor is opened, before hours of flow, and imported on use.
NEEDED = {"xfeat": ("onnxruntime", "onnx"), "onnx": ("onnxruntime", "onnx")}
NEEDED |= {"dinov2": ("timm", "features"), "dino": ("timm", "features")}


def open_extractor(settings: FeatureSettings, device: str = "cpu", progress: Progress = SILENT) -> FeatureExtractor:
    """Open the extractor that the settings name; its weights are loaded on first use.

    Args:
        settings: Settings of the extractor, with its name.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        progress: Receives progress updates and messages of downloads.

    Raises:
        OmnitrackError: No such extractor, a plug-in that cannot be loaded, missing weights, or a missing extra.
    """
    name = settings.extractor
    if name in BUILT_IN:
        extractor = BUILT_IN[name](settings, device, progress)
        needs = "onnx" if settings.weights.endswith(ONNX_SUFFIX) else name
        if name in NEEDED and find_spec(NEEDED[needs][0]) is None:
            import_extra(*NEEDED[needs])  # raises
        return extractor
    plug_ins = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name in plug_ins:
        return _load(plug_ins[name], settings, device, progress)
    known = sorted({NONE} | BUILT_IN.keys() | plug_ins.keys())
    raise OmnitrackError(
        f"there is no feature extractor {name!r}",
        f"{closest_hint(name, known, 'installed')} (packages add more through the entry points {ENTRY_POINTS})",
    )


def _load(entry: EntryPoint, settings: FeatureSettings, device: str, progress: Progress) -> FeatureExtractor:
    remedy = "repair or remove the package that offers it, or use --set features.extractor=none"
    try:
        extractor = entry.load()(settings, device, progress)
    except OmnitrackError:
        raise
    except Exception as error:  # a plug-in can fail in any way; its name is what the user needs
        raise OmnitrackError(
            f"the feature extractor {entry.name!r} ({entry.value}) cannot be loaded: {error}", remedy
        ) from error
    if not isinstance(extractor, FeatureExtractor):
        raise OmnitrackError(
            f"the feature extractor {entry.name!r} ({entry.value}) lacks name, identity, threshold, batch_frames or"
            " extract",
            remedy,
        )
    return extractor
