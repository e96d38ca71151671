"""Depth from a model of the package transformers: Depth Anything V2, ZoeDepth and others of its depth-estimation task.

Images are prepared here according to the model's own ``preprocessor_config.json``, because the image processors of
transformers require torchvision. ZoeDepth's mirrored border is left out.
"""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from omnitrack.config import fingerprint
from omnitrack.correspondence.features.network_input import IMAGENET_MEAN, IMAGENET_STD, network_input, network_size
from omnitrack.depth_prior.contract import DEPTH, INVERSE, DepthClip, one_channel
from omnitrack.errors import OmnitrackError
from omnitrack.settings import DepthSettings
from omnitrack.weights import identity, import_extra

EXTRA = "depth"
USUAL_SIDE, USUAL_MULTIPLE = 518, 14  # Depth Anything's
KNOWN = {"zoedepth": DEPTH, "depth_pro": DEPTH, "glpn": DEPTH, "dpt": INVERSE}  # by the model_type of its config
EXAMPLE = "depth-anything/Depth-Anything-V2-Small-hf"


class TransformersDepth:
    """A `DepthSource` around ``AutoModelForDepthEstimation``.

    Args:
        settings: Names the model: a local folder, or a name on the Hugging Face hub, which is downloaded.
        clip: Contains the device.

    Raises:
        OmnitrackError: transformers is not installed.
    """

    def __init__(self, settings: DepthSettings, clip: DepthClip) -> None:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # it logs to the terminal on import
        self._transformers = import_extra("transformers", EXTRA)
        self._settings, self._device = settings, clip.device
        self._size = clip.size

    @property
    def kind(self) -> str:
        """See `DepthSource`.

        Raises:
            OmnitrackError: It is not known whether larger is nearer.
        """
        if self._settings.kind != "auto":
            return self._settings.kind
        config = self._model.config
        if config.model_type == "depth_anything":
            return DEPTH if getattr(config, "depth_estimation_type", "relative") == "metric" else INVERSE
        if config.model_type not in KNOWN:
            raise OmnitrackError(
                f"it is not known whether larger values of {self._settings.path} are farther or nearer",
                "say it: --set depth.kind=depth (larger is farther) or --set depth.kind=inverse",
            )
        return KNOWN[config.model_type]

    def depth(self, t: int, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `DepthSource`."""
        asked = self._preprocessing
        side = self._settings.side or _shorter_side(asked.get("size")) or USUAL_SIDE
        size = network_size((frame.shape[1], frame.shape[0]), side, _multiple(asked, self._model.config))
        mean, std = asked.get("image_mean", IMAGENET_MEAN), asked.get("image_std", IMAGENET_STD)
        image = torch.from_numpy(network_input([frame], size, mean, std)).to(self._device)
        try:
            with torch.inference_mode():
                output = self._model(pixel_values=image).predicted_depth
        except (RuntimeError, ValueError, AttributeError) as error:  # a model of another task, or with another input
            cause = str(error).partition("\n")[0]
            raise OmnitrackError(
                f"the model {self._settings.path} fails on an image of {size[0]}x{size[1]}: {cause}",
                f"name a depth model, for example --set depth.path={EXAMPLE}",
            ) from error
        values = one_channel(output.float().cpu().numpy())
        if values is None:
            raise OmnitrackError(
                f"the model {self._settings.path} gives no depth map, but the shape {list(output.shape)}",
                f"name a depth model, for example --set depth.path={EXAMPLE}",
            )
        return values

    @cached_property
    def _model(self) -> Any:
        path = self._settings.path
        try:
            load = self._transformers.AutoModelForDepthEstimation.from_pretrained
            model, found = load(_place(path), output_loading_info=True)
        except Exception as error:  # from the hub, safetensors or the config: they share no class
            cause = str(error).strip().partition("\n")[0]
            there = Path(path).expanduser().is_dir()
            raise OmnitrackError(
                f"cannot load the depth model {path}: {cause}",
                "name a folder with config.json and the weights of a depth model, all of them whole"
                if there
                else f"give a folder, or a name on the hub such as {EXAMPLE} where that can be reached",
            ) from error
        if found["missing_keys"]:  # they would be initialised at random
            raise OmnitrackError(
                f"the weights in {path} are not those of its config: {min(found['missing_keys'])} is missing",
                "get the model again, config.json and weights together",
            )
        return model.to(self._device).eval()

    @cached_property
    def _preprocessing(self) -> dict[str, Any]:
        """The model's own image settings; empty if their file is missing or unreadable."""
        try:
            found = self._transformers.utils.cached_file(_place(self._settings.path), "preprocessor_config.json")
            return dict(json.loads(Path(found).read_text(encoding="utf-8"))) if found else {}
        except (OSError, ValueError):
            return {}


def model_identity(path: str) -> str:
    """Return a hash of the files of a local model, or the name of a model on the hub."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return path
    files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    return fingerprint([[file.name, identity(str(file), {})] for file in files])


def _place(path: str) -> str:
    folder = Path(path).expanduser()
    return str(folder) if folder.is_dir() else path


def _shorter_side(size: Any) -> int:
    """Return the shorter side that a processor's ``size`` asks for; 0 if it has none."""
    if isinstance(size, int):
        return size
    sides = [side for side in (size or {}).values() if isinstance(side, int)]
    return min(sides, default=0)


def _multiple(asked: dict[str, Any], config: Any) -> int:
    """Return the number of pixels of which the sides of the input are multiples."""
    backbone = getattr(config, "backbone_config", None)
    for found in (
        asked.get("ensure_multiple_of"),
        getattr(backbone, "patch_size", None),
        getattr(config, "patch_size", 0),
    ):
        if isinstance(found, int) and found > 0:
            return found
    return USUAL_MULTIPLE
