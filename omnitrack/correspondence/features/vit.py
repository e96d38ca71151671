"""Patch features of DINO (ViT-S/16) and DINOv2 (ViT-S/14), through timm or from an ONNX file.

Source:
    Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021 (OmniMotion's features);
    Oquab et al., DINOv2, TMLR 2024 (CaDeX++'s). The papers use the tokens of the last block after the final
    normalisation, without the class token. For DINOv2 the sixth block is the default: it separates correct positions
    from lost ones better (AUC 0.95, the last block 0.93, on davis25 at gap 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnitrack.correspondence.features.contract import (
    ONNX_SUFFIX,
    PUBLISHED_THRESHOLD,
    FeatureExtractor,
    unit_length,
)
from omnitrack.correspondence.features.network_input import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    network_input,
    network_size,
)
from omnitrack.correspondence.features.onnx_model import OnnxExtractor
from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress
from omnitrack.settings import FeatureSettings, OnnxFeatureSettings
from omnitrack.torch_file import load_torch
from omnitrack.weights import identity, import_extra, locate

EXTRA = "features"
GPU_BATCH = 8
WEIGHTS_SETTING = "features.weights"
CHANNELS = 384
LAST_BLOCK = 11
OWN_BLOCK = -1  # value of the setting that selects the model's own block


@dataclass(frozen=True)
class Model:
    """A transformer that timm provides.

    Attributes:
        timm: Its name in timm.
        patch: Side of a patch in pixels.
        checkpoint: File that its authors publish.
        block: Block whose tokens are the features by default; the tokens of the last block are normalised.
        threshold: Threshold of these tokens, see `FeatureExtractor`.
    """

    timm: str
    patch: int
    checkpoint: str
    block: int
    threshold: float = PUBLISHED_THRESHOLD


MODELS = {
    "dino": Model("vit_small_patch16_224.dino", 16, "dino_deitsmall16_pretrain.pth", LAST_BLOCK),
    "dinov2": Model("vit_small_patch14_dinov2.lvd142m", 14, "dinov2_vits14_pretrain.pth", 5, threshold=0.6),
}


def open_vit(settings: FeatureSettings, device: str, progress: Progress) -> FeatureExtractor:
    """Open one of `MODELS`: through timm, or from an ONNX file, which gives the tokens of the block it ends with.

    Raises:
        OmnitrackError: No such file, no such block, or a block is set for an ONNX file.
    """
    if settings.block > LAST_BLOCK:
        raise OmnitrackError(
            f"features.block: {settings.extractor} has no block {settings.block}", f"name one from 0 to {LAST_BLOCK}"
        )
    if not settings.weights.endswith(ONNX_SUFFIX):
        return VitExtractor(settings, device, progress)
    if settings.block != OWN_BLOCK:
        raise OmnitrackError(
            f"features.block: {settings.weights} gives the tokens of the block that it ends with, and of no other",
            "leave features.block alone, or name weights that timm reads",
        )
    model = MODELS[settings.extractor]
    fed = OnnxFeatureSettings("", model.patch, 1.0, IMAGENET_MEAN, IMAGENET_STD)
    return OnnxExtractor(settings, device, settings.extractor, fed, CHANNELS, model.threshold)


class VitExtractor:
    """A `FeatureExtractor` around one of `MODELS`.

    Args:
        settings: Names the model and a file of weights; without a file, timm downloads its own.
        device: Device to compute on.
        progress: Receives a message about the download.

    Raises:
        OmnitrackError: No such file.
    """

    def __init__(self, settings: FeatureSettings, device: str, progress: Progress) -> None:
        self.name = settings.extractor
        self.batch_frames = GPU_BATCH if device.startswith("cuda") else 1
        self._model = MODELS[self.name]
        self._side, self._device, self._progress = settings.side, device, progress
        self._path = locate(settings.weights, {}, setting=WEIGHTS_SETTING) if settings.weights else None
        self._block = self._model.block if settings.block == OWN_BLOCK else settings.block
        self.threshold = self._model.threshold if self._block == self._model.block else PUBLISHED_THRESHOLD
        weights = identity(settings.weights, {}) if settings.weights else f"timm {self._model.timm}"
        self.identity = weights if self._block == LAST_BLOCK else f"{weights} block {self._block}"

    def extract(self, frames: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Return one map (h, w, `CHANNELS`) of unit vectors per frame, one cell per patch; see `FeatureExtractor`."""
        patch = self._model.patch
        width, height = network_size((frames[0].shape[1], frames[0].shape[0]), self._side, patch)
        images = network_input(frames, (width, height), IMAGENET_MEAN, IMAGENET_STD)
        network = self._network
        with torch.inference_mode():
            tokens = network.forward_features(torch.from_numpy(images).to(self._device))
        tokens = tokens[:, network.num_prefix_tokens :].float().cpu().numpy()
        maps = unit_length(tokens.reshape(len(frames), height // patch, width // patch, -1))
        return list(maps)

    @cached_property
    def _network(self) -> Any:
        timm = import_extra("timm", EXTRA)
        # dynamic_img_size: position embeddings are interpolated for image sizes other than that of the training
        arguments = {"num_classes": 0, "dynamic_img_size": True}
        if self._path is not None:
            network = timm.create_model(self._model.timm, pretrained=False, **arguments)
            self._load(network, self._path)
        else:
            self._progress.note(f"{self.name}: timm looks for the weights {self._model.timm}, and downloads them")
            try:
                network = timm.create_model(self._model.timm, pretrained=True, **arguments)
            except Exception as error:  # from timm, huggingface_hub or the network
                raise OmnitrackError(
                    f"timm cannot get the weights {self._model.timm}: {str(error).partition(chr(10))[0]}",
                    f"get {self._model.checkpoint} by hand and name it: --set {WEIGHTS_SETTING}=FILE",
                ) from error
        if self._block < LAST_BLOCK:  # later blocks are not needed
            network.blocks, network.norm = network.blocks[: self._block + 1], torch.nn.Identity()
        return network.eval().to(self._device)

    def _load(self, network: Any, path: Path) -> None:
        state = network_weights(path)
        try:
            network.load_state_dict(state)
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            expected = network.state_dict()
            lost = [key for key in expected if key not in state]
            unequal = [key for key in expected if key in state and state[key].shape != expected[key].shape]
            what = f"it lacks {lost[0]}" if lost else f"{unequal[0]} has another shape" if unequal else "it has more"
            raise OmnitrackError(
                f"{path} has the weights of another network than {self.name} ({self._model.timm}): {what}",
                f"name {self._model.checkpoint} or timm's file: --set {WEIGHTS_SETTING}=FILE",
            ) from error


def network_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights of a transformer, by timm's names, from a checkpoint of its authors or of timm.

    Raises:
        OmnitrackError: The file is not a file of weights, or is truncated.
    """
    try:
        if path.suffix == ".safetensors":
            state = import_extra("safetensors.torch", EXTRA).load_file(path)
        else:
            state = load_torch(path)
        for key in ("state_dict", "model", "teacher"):  # where training checkpoints keep them
            state = state.get(key, state)
        return _plain_names(state)
    except OmnitrackError:
        raise
    except Exception as error:  # other files fail in any way, in torch, pickle or safetensors
        raise OmnitrackError(
            f"{path} is not a file of weights that torch can read, or is cut short",
            f"get it again, or name another: --set {WEIGHTS_SETTING}=FILE",
        ) from error


def _plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the name prefixes of training wrappers, the weights of the heads, and the mask token."""
    plain = {}
    for name, value in state.items():
        for prefix in ("module.", "backbone."):
            name = name.removeprefix(prefix)
        if name != "mask_token" and not name.startswith(("head.", "dino_head.", "ibot_head.")):
            plain[name] = value
    return plain
