"""A network in ONNX format that takes one image, run by onnxruntime: for features and for depth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.features.network_input import network_input, network_size
from omnitrack.errors import OmnitrackError
from omnitrack.settings import OnnxDepthSettings, OnnxFeatureSettings
from omnitrack.weights import import_extra

INPUT_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True)
class NetworkWords:
    """How error messages refer to a network.

    Attributes:
        what: Noun for the network.
        another: Request to name another network.
        setting: Setting that names its file.
        table: Table of settings that defines its input.
    """

    what: str
    another: str
    setting: str
    table: str


class ImageNetwork:
    """A network that takes one image (1, 3, H, W); loaded on first use.

    Args:
        path: An ONNX file.
        device: ``cuda`` or ``cuda:N`` if this onnxruntime supports CUDA, else the CPU is used.
        words: Wording of error messages.
    """

    def __init__(self, path: Path, device: str, words: NetworkWords) -> None:
        self.path = path
        self._device, self._words = device, words

    def run(
        self,
        frame: NDArray[np.uint8],
        side: int,
        fed: OnnxFeatureSettings | OnnxDepthSettings,
        white: float = 1.0,
        output: str = "",
    ) -> tuple[list[NDArray[Any]], tuple[int, int]]:
        """Run the network on a frame.

        Args:
            frame: (H, W, 3) uint8 RGB.
            side: Shorter side of the input, if the network leaves it open.
            fed: Multiple, mean and std of the input.
            white: Value of 255 in the input before mean and std.
            output: Name of the only output to return; empty returns all.

        Returns:
            The outputs, and the (width, height) of the input.

        Raises:
            OmnitrackError: onnxruntime is not installed, the file is not a complete ONNX network that takes one image,
                or the network fails.
        """
        entry = self._session.get_inputs()[0]
        free = network_size((frame.shape[1], frame.shape[0]), side, fed.multiple)
        height, width = (
            fixed if isinstance(fixed, int) else chosen
            for fixed, chosen in zip(entry.shape[2:], free[::-1], strict=True)
        )
        image = network_input([frame], (width, height), fed.mean, fed.std, white)
        names = [output] if output else None
        try:
            return self._session.run(names, {entry.name: image.astype(INPUT_TYPES[entry.type])}), (width, height)
        except Exception as error:  # onnxruntime's exceptions share no class but Exception
            table = self._words.table
            raise OmnitrackError(
                f"the {self._words.what} {self.path} fails on an image of {width}x{height}: {_first_line(error)}",
                f"see {table}.side and {table}.onnx.multiple for the sizes it is given",
            ) from error

    @property
    def output_names(self) -> list[str]:
        """The names of all outputs."""
        return [output.name for output in self._session.get_outputs()]

    @cached_property
    def _session(self) -> Any:
        session = _open_session(self.path, self._device, self._words.setting)
        inputs = session.get_inputs()
        shape = inputs[0].shape if inputs else []
        takes_image = len(inputs) == 1 and len(shape) == 4 and not (isinstance(shape[1], int) and shape[1] != 3)
        if not takes_image or inputs[0].type not in INPUT_TYPES:
            found = ", ".join(f"{entry.name} {entry.shape} {entry.type}" for entry in inputs)
            raise OmnitrackError(
                f"the network {self.path} does not take one image [1, 3, height, width]: its inputs are {found}",
                f"{self._words.another}: --set {self._words.setting}=FILE",
            )
        return session


def _open_session(path: Path, device: str, setting: str) -> Any:
    """Open an `onnxruntime.InferenceSession` of a file."""
    runtime = import_extra("onnxruntime", "onnx")
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.startswith("cuda") and "CUDAExecutionProvider" in runtime.get_available_providers():
        index = int(device.partition(":")[2] or 0)
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": index}))
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # errors are raised instead
    try:
        return runtime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions share no class but Exception
        cause = _first_line(error).rpartition("failed:")[2].rstrip(".")  # a code and the path come before it
        raise OmnitrackError(
            f"{path} is not a network in the ONNX format, or is cut short: {cause}",
            f"get the file again, or name another: --set {setting}=FILE",
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
