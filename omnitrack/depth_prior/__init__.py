"""Sources of depth maps by name, with one contract: files in a folder, an ONNX network, a transformers model."""

from __future__ import annotations

from importlib.util import find_spec

from omnitrack.depth_prior.contract import DepthClip, DepthSource
from omnitrack.errors import OmnitrackError
from omnitrack.settings import DepthSettings
from omnitrack.weights import import_extra

NONE = "none"
_WHAT = {
    "folder": "the folder of the depth maps",
    "onnx": "the file of an ONNX depth network",
    "transformers": "the name or folder of a depth model",
}

# Package and extra of each source that is a network.
NEEDED = {"onnx": ("onnxruntime", "onnx"), "transformers": ("transformers", "depth")}


def open_source(settings: DepthSettings, clip: DepthClip) -> DepthSource:
    """Open the source that the settings name; a network is loaded on first use.

    Raises:
        OmnitrackError: No path, nothing at the path, maps that do not match the clip, or an unknown kind of depth.
    """
    _need_path(settings)
    if settings.source == "folder":
        from omnitrack.depth_prior.folder import DepthFolder

        return DepthFolder(settings, clip)
    if settings.source == "onnx":
        from omnitrack.depth_prior.onnx_model import OnnxDepth

        return OnnxDepth(settings, clip)
    from omnitrack.depth_prior.transformers_model import TransformersDepth

    return TransformersDepth(settings, clip)


def source_identity(settings: DepthSettings) -> str:
    """Return what a stamp records of a source: a hash of its files, or a model's name; nothing is loaded or downloaded.

    Raises:
        OmnitrackError: No path.
    """
    _need_path(settings)
    if settings.source == "folder":
        from omnitrack.depth_prior.folder import folder_identity

        return folder_identity(settings.path)
    if settings.source == "onnx":
        from omnitrack.weights import identity

        return identity(settings.path, {})
    from omnitrack.depth_prior.transformers_model import model_identity

    return model_identity(settings.path)


def check_source(settings: DepthSettings) -> None:
    """Check, before the hours of flow that precede depth, that a source's files or the package it needs are present.

    Raises:
        OmnitrackError: No path, nothing at the path, or a missing extra.
    """
    _need_path(settings)
    if settings.source == "folder":
        from omnitrack.depth_prior.folder import usable_files

        usable_files(settings.path)
    elif find_spec(NEEDED[settings.source][0]) is None:
        import_extra(*NEEDED[settings.source])  # raises


def _need_path(settings: DepthSettings) -> None:
    if not settings.path:
        raise OmnitrackError(
            f"the depth source {settings.source} needs {_WHAT[settings.source]}", "name it: --set depth.path=PATH"
        )
