"""The size of an image from its header, compared with what OpenCV decodes; and no header raises."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from omnitrack.errors import OmnitrackError
from omnitrack.image_header import check_image, image_size

SUFFIXES = [".png", ".jpg", ".webp", ".bmp", ".tif", ".ppm", ".pgm", ".jp2"]


def encoded(suffix: str, size: tuple[int, int]) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return bytes(cv2.imencode(suffix, pixels[..., 0] if suffix == ".pgm" else pixels)[1])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("size", [(64, 48), (300, 70), (90, 513)])
def test_sizes(suffix: str, size: tuple[int, int]) -> None:
    assert image_size(encoded(suffix, size)) == size


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_headers_cut_anywhere(suffix: str) -> None:
    data = encoded(suffix, (64, 48))
    for length in (*range(min(len(data), 400)), len(data) - 1):
        assert image_size(data[:length]) in (None, (64, 48)) or length < 64  # a number may be truncated


def test_an_image_over_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITRACK_LIMIT_GIB", "0.00002")  # 21475 bytes, 2684 pixels of 8 bytes
    assert check_image("a", encoded(".png", (50, 53))) == (50, 53)
    with pytest.raises(OmnitrackError, match="a, 50x54 pixels, would take"):
        check_image("a", encoded(".png", (50, 54)))
