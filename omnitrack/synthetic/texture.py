"""The appearance of a layer: a continuous function of layer coordinates, stored as a fine grid of texels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnitrack.synthetic.maps import Points

TEXELS_PER_PIXEL = 2.0
FINEST_WAVELENGTH_PX = 2.5  # of the noise: finer detail would alias in a frame
Canvas = NDArray[np.floating]  # (h, w) coordinates or (h, w, 3) colours


@dataclass(frozen=True)
class Texture:
    """Bilinear interpolation of a grid that is finer than the frames.

    Attributes:
        image: (h, w, 3) float32 RGB in [0, 255].
        origin: (x, y) layer coordinates of texel (0, 0).
    """

    image: NDArray[np.float32]
    origin: tuple[float, float]

    def sample(self, points: Points) -> NDArray[np.float32]:
        """Sample RGB (h, w, 3) float32 at layer points (h, w, 2); the image is mirrored beyond its edges."""
        import cv2

        texels = ((points - np.array(self.origin, points.dtype)) * TEXELS_PER_PIXEL).astype(np.float32)
        image = cv2.remap(
            self.image, texels[..., 0], texels[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        return np.asarray(image, np.float32)


def paint(left: float, top: float, right: float, bottom: float, painter: Callable[[Canvas, Canvas], Canvas]) -> Texture:
    """Evaluate `painter(x, y) -> (h, w, 3)` colours in [0, 1] on the texel grid that spans a rectangle in pixels."""
    x = np.arange(left, right, 1 / TEXELS_PER_PIXEL, dtype=np.float32)
    y = np.arange(top, bottom, 1 / TEXELS_PER_PIXEL, dtype=np.float32)
    image = painter(*np.meshgrid(x, y))
    return Texture(np.clip(image * 255, 0, 255).astype(np.float32), (left, top))


def fractal_noise(
    shape: tuple[int, ...], rng: np.random.Generator, slope: float = 1.0, stretch: tuple[float, float] = (1.0, 1.0)
) -> Canvas:
    """Noise with the spectrum of natural images, amplitude ``1 / f**slope``, zero mean and unit deviation.

    Args:
        shape: (h, w) texels.
        rng: Source of the phases.
        slope: 1 is as in natural images; larger is smoother, 0 is white noise.
        stretch: Factors by which features are longer along x and y.
    """
    height, width = shape[:2]
    fx = np.fft.rfftfreq(width)[None] * stretch[0]
    fy = np.fft.fftfreq(height)[:, None] * stretch[1]
    frequency = np.hypot(fx, fy)
    amplitude = np.where(frequency > 0, 1 / np.maximum(frequency, 1 / max(height, width)) ** slope, 0.0)
    seen = np.hypot(np.fft.rfftfreq(width)[None], np.fft.fftfreq(height)[:, None]) * TEXELS_PER_PIXEL
    amplitude *= np.exp(-((seen * FINEST_WAVELENGTH_PX) ** 4))
    spectrum = amplitude * np.fft.rfft2(rng.standard_normal((height, width)))
    noise = np.fft.irfft2(spectrum, s=(height, width))
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)


def mottled(colour: tuple[float, float, float], contrast: float, rng: np.random.Generator) -> Callable[..., Canvas]:
    """Return a painter of one colour in [0, 1] with natural variation of brightness and a little of hue."""

    def painter(x: Canvas, y: Canvas) -> Canvas:
        light = contrast * (0.6 * fractal_noise(x.shape, rng, 1.1) + 0.6 * fractal_noise(x.shape, rng, 0.4))
        hue = 0.4 * contrast * np.stack([fractal_noise(x.shape, rng, 1.2) for _ in range(3)], -1)
        return np.asarray(np.array(colour, np.float32) * (1 + light[..., None]) + hue, np.float32)

    return painter
