"""Random changes of how images look, pixel by pixel, while everything stays in its place: what cameras and pens do.

Each class is an option of `augment=`; `augment=[mnist,noise,blur]` has several, after the geometric changes.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from mlp.data.augmentation import CHUNK, Augmentation
from mlp.nn import checks
from mlp.nn.types import Array


class Appearance(Augmentation):
    """Changes a share of the images, each by a strength of its own, and keeps pixels from 0 to `white`.

    Args:
        share: probability that an image is changed.
        strengths: of the change; with all at 0, images stay as they are.
    """

    def __init__(self, share: float, *strengths: float) -> None:
        super().__init__()
        self.share = checks.number("share", share, ge=0, le=1)
        self._strong = any(strengths)

    @property
    def needs_images(self) -> bool:
        return self._strong and self.share > 0

    def change(self, pictures: Array, rng: np.random.Generator, white: float) -> None:
        chosen = np.flatnonzero(rng.random(len(pictures)) < self.share)
        for start in range(0, len(chosen), CHUNK):
            rows = chosen[start : start + CHUNK]
            part = pictures[rows]
            part /= part.dtype.type(white)
            self.alter(part, rng)
            np.clip(part, 0, 1, out=part)
            part *= part.dtype.type(white)
            pictures[rows] = part

    @abstractmethod
    def alter(self, pictures: Array, rng: np.random.Generator) -> None:
        """Change pictures (n, height, width, channels), from 0 to 1, in place; what leaves that range is cut off."""


def drawn(low: float, high: float, pictures: Array, rng: np.random.Generator) -> Array:
    """A number for each picture, uniform from low to high: (n, 1, 1, 1)."""
    return rng.uniform(low, high, (len(pictures), 1, 1, 1)).astype(pictures.dtype)


class Noise(Appearance):
    """Adds Gaussian noise, independent for each pixel.

    Args:
        deviation: largest standard deviation, where 1 is from black to white; uniform from 0.
    """

    def __init__(self, deviation: float = 0.3, share: float = 0.5) -> None:
        self.deviation = checks.number("deviation", deviation, ge=0)
        super().__init__(share, self.deviation)

    def alter(self, pictures: Array, rng: np.random.Generator) -> None:
        noise = rng.standard_normal(pictures.shape, pictures.dtype.type)
        noise *= drawn(0, self.deviation, pictures, rng)
        pictures += noise


class Brightness(Appearance):
    """Pixels <- contrast * pixels + brightness.

    Args:
        brightness: largest summand, of either sign, where 1 is from black to white; uniform.
        contrast: largest difference of the factor from 1; uniform.
    """

    def __init__(self, brightness: float = 0.2, contrast: float = 0.3, share: float = 0.5) -> None:
        self.brightness = checks.number("brightness", brightness, ge=0)
        self.contrast = checks.number("contrast", contrast, ge=0, le=1)
        super().__init__(share, self.brightness, self.contrast)

    def alter(self, pictures: Array, rng: np.random.Generator) -> None:
        pictures *= drawn(1 - self.contrast, 1 + self.contrast, pictures, rng)
        pictures += drawn(-self.brightness, self.brightness, pictures, rng)


class Blur(Appearance):
    """Convolves with the 3 x 3 kernel k kᵀ, k = (w, 1 - 2 w, w); pixels at the border are continued outwards.

    Args:
        weight: largest w, at most 1/3, the mean of nine pixels; uniform from 0.
    """

    def __init__(self, weight: float = 1 / 3, share: float = 0.3) -> None:
        self.weight = checks.number("weight", weight, ge=0, le=1 / 3)
        super().__init__(share, self.weight)

    def alter(self, pictures: Array, rng: np.random.Generator) -> None:
        blur(pictures, drawn(0, self.weight, pictures, rng))


class Stroke(Appearance):
    """Thickens or thins what is bright: a blend with the largest, or the smallest, of the 3 x 3 pixels around.

    Grey dilation and erosion (Serra 1982).

    Args:
        width: largest weight of the dilated or eroded image, at most 1; uniform, each in half of the cases.
    """

    def __init__(self, width: float = 0.7, share: float = 0.3) -> None:
        self.width = checks.number("width", width, ge=0, le=1)
        super().__init__(share, self.width)

    def alter(self, pictures: Array, rng: np.random.Generator) -> None:
        stroke(pictures, drawn(-self.width, self.width, pictures, rng))


def blur(pictures: Array, weight: float | Array) -> None:
    """Pictures (n, height, width, channels) <- convolved with k kᵀ, k = (w, 1 - 2 w, w); w may be (n, 1, 1, 1)."""
    for axis in (1, 2):
        before, after = _neighbours(pictures, axis)
        before += after
        before -= 2 * pictures
        before *= weight
        pictures += before


def stroke(pictures: Array, width: float | Array) -> None:
    """Pictures (n, height, width, channels) <- blends with their dilation, or for negative widths their erosion.

    `width` is one number or (n, 1, 1, 1), from -1 to 1.
    """
    widths = np.broadcast_to(width, (len(pictures), 1, 1, 1))
    for sign, extreme in ((1, np.maximum), (-1, np.minimum)):
        rows = np.flatnonzero(sign * widths[:, 0, 0, 0] > 0)
        part = pictures[rows]
        found = part.copy()
        for axis in (1, 2):
            before, after = _neighbours(found, axis)
            extreme(found, before, out=found)
            extreme(found, after, out=found)
        found -= part
        found *= np.abs(widths[rows])
        pictures[rows] += found


def _neighbours(pictures: Array, axis: int) -> tuple[Array, Array]:
    """The pixel before and the pixel after each along an axis, which at the border is itself; copies."""
    last = pictures.shape[axis] - 1
    steps = np.arange(last + 1)
    return pictures.take(np.maximum(steps - 1, 0), axis), pictures.take(np.minimum(steps + 1, last), axis)
