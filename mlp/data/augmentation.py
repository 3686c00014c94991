"""Random changes of training images that leave their class as it is.

Chosen with `augment=`: the files in `conf/augment/` hold one transform each, and the recipes for the two datasets.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from mlp.data.pictures import as_pictures
from mlp.nn import checks
from mlp.nn.types import Array

CHUNK = 32  # images at a time, so that what belongs to them stays in the cache
KNOTS = 7  # of the elastic displacement, in each direction


class Augmentation:
    """Shifts, rotations, scaling, shear, elastic displacement, mirroring, erasing and mixup, of chosen strengths.

    All geometric changes are one affine map per image plus an elastic displacement, drawn anew for every image and
    epoch, and one bilinear interpolation (Simard, Steinkraus & Platt 2003); outside the image all is 0. With all
    strengths at 0, images stay as they are.

    Args:
        shift: largest shift in pixels, in each direction; uniform.
        rotation: largest angle in radians; uniform.
        scale: largest relative change of size, drawn for each axis; uniform.
        shear: largest shear; uniform.
        elastic: standard deviation, in pixels, of the coefficients of cubic B-splines on a grid of 7 x 7 knots, whose
            sum moves the pixels, by about half of that.
        flip: probability of a left-right mirror image.
        erase: probability that a rectangle is set to 0 (Zhong et al. 2020).
        erase_size: largest side of the rectangle in pixels.
        keep: share of the images that no geometric change touches.
        mixup: parameter α of the Beta distribution of the weights of pairs (Zhang et al. 2018); 0: none.

    Raises ValueError for strengths out of range.
    """

    def __init__(
        self,
        shift: float = 0.0,
        rotation: float = 0.0,
        scale: float = 0.0,
        shear: float = 0.0,
        elastic: float = 0.0,
        flip: float = 0.0,
        erase: float = 0.0,
        erase_size: int = 12,
        keep: float = 0.0,
        mixup: float = 0.0,
    ) -> None:
        self.shift = checks.number("shift", shift, ge=0)
        self.rotation = checks.number("rotation", rotation, ge=0)
        self.scale = checks.number("scale", scale, ge=0, lt=1)
        self.shear = checks.number("shear", shear, ge=0)
        self.elastic = checks.number("elastic", elastic, ge=0)
        self.flip = checks.number("flip", flip, ge=0, le=1)
        self.erase = checks.number("erase", erase, ge=0, le=1)
        self.erase_size = checks.integer("erase_size", erase_size, ge=1)
        self.keep = checks.number("keep", keep, ge=0, le=1)
        self.mixup = checks.number("mixup", mixup, ge=0)

    @property
    def moves(self) -> bool:
        """Whether pixels change their places."""
        return any((self.shift, self.rotation, self.scale, self.shear, self.elastic, self.flip))

    @property
    def needs_images(self) -> bool:
        """Whether samples must be images; mixup takes any numbers."""
        return self.moves or bool(self.erase)

    @property
    def active(self) -> bool:
        """Whether anything changes at all."""
        return self.needs_images or bool(self.mixup)

    def apply(
        self, images: Array, targets: Array, shape: tuple[int, ...], rng: np.random.Generator, white: float = 255.0
    ) -> None:
        """Change images (n, d), C-contiguous and of floats, in place; mixup also changes `targets` (n, c).

        `shape` is that of a picture (see `mlp.data.pictures`), whose product is d; for mixup alone it may be any.
        `white` is what the network's input divides pixels by.
        """
        if self.needs_images:
            self.change(as_pictures(images, shape), rng, white)
        if self.mixup:
            self._mix(images, targets, rng)

    def change(self, pictures: Array, rng: np.random.Generator, white: float) -> None:
        """Move and erase in pictures (n, height, width, channels), whose pixels go from 0 to `white`."""
        for start in range(0, len(pictures), CHUNK):
            part = pictures[start : start + CHUNK]
            if self.moves:
                interpolate(part, *self._sources(part.shape, rng, part.dtype), part)
            if self.erase:
                self._erase(part, rng)

    def _sources(
        self, shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype[np.floating]
    ) -> tuple[Array, Array]:
        """Where each pixel comes from: columns x and rows y, both (n, height * width), in pixels.

        A source is linear in (column, row, 1) and in the displacements of the knots, so that all are two products.
        """
        n, height, width, _ = shape
        basis = _basis(height, width, dtype.name)
        x, y = np.zeros((2, n, len(basis)), dtype)
        angle = rng.uniform(-self.rotation, self.rotation, n)
        shear = rng.uniform(-self.shear, self.shear, n)
        zoom_x, zoom_y = rng.uniform(1 - self.scale, 1 + self.scale, (2, n))
        mirror = np.where(rng.random(n) < self.flip, -1, 1)
        cos, sin = np.cos(angle), np.sin(angle)
        x[:, 0], x[:, 1] = mirror * cos / zoom_x, (shear * cos - sin) / zoom_y
        y[:, 0], y[:, 1] = mirror * sin / zoom_x, (shear * sin + cos) / zoom_y
        x[:, 2], y[:, 2] = rng.uniform(-self.shift, self.shift, (2, n))
        if self.elastic:
            x[:, 3:], y[:, 3:] = rng.standard_normal((2, n, KNOTS**2), dtype.type) * dtype.type(self.elastic)
        if self.keep:
            kept = rng.random(n) < self.keep
            x[kept], y[kept] = 0, 0
            x[kept, 0] = y[kept, 1] = 1
        x[:, 2] += (width - 1) / 2
        y[:, 2] += (height - 1) / 2
        if not self.elastic:
            x, y, basis = x[:, :3], y[:, :3], basis[:3]
        return x @ basis, y @ basis

    def _erase(self, pictures: Array, rng: np.random.Generator) -> None:
        """Set a rectangle to 0, in each picture (n, height, width, channels) with probability `erase`."""
        n, height, width, _ = pictures.shape
        sides = rng.integers(1, self.erase_size + 1, (2, n))
        tops = (rng.random(n) * (height + 1 - np.minimum(sides[0], height))).astype(int)
        lefts = (rng.random(n) * (width + 1 - np.minimum(sides[1], width))).astype(int)
        for i in np.flatnonzero(rng.random(n) < self.erase):
            pictures[i, tops[i] : tops[i] + sides[0, i], lefts[i] : lefts[i] + sides[1, i]] = 0

    def _mix(self, images: Array, targets: Array, rng: np.random.Generator) -> None:
        """Each image and its target <- λ of itself and 1 - λ of another one's, λ ~ Beta(α, α)."""
        weights = rng.beta(self.mixup, self.mixup, (len(images), 1)).astype(images.dtype)
        others = rng.permutation(len(images))
        for values in (images, targets):
            second = values[others]
            second -= values
            second *= 1 - weights
            values += second


class Compose(Augmentation):
    """Augmentations one after the other, in the order of `steps`, which are named for their options' sake.

    Each geometric step interpolates anew: one Augmentation with several strengths does that once, and is sharper.
    """

    def __init__(self, steps: Mapping[str, Augmentation]) -> None:
        for name, step in steps.items():
            if not isinstance(step, Augmentation):
                raise ValueError(f"steps.{name} must be an Augmentation. Got {step!r}")
        super().__init__(mixup=max((step.mixup for step in steps.values()), default=0.0))
        self.steps = list(steps.values())

    @property
    def moves(self) -> bool:
        return any(step.moves for step in self.steps)

    @property
    def needs_images(self) -> bool:
        return any(step.needs_images for step in self.steps)

    def apply(
        self, images: Array, targets: Array, shape: tuple[int, ...], rng: np.random.Generator, white: float = 255.0
    ) -> None:
        for step in self.steps:
            step.apply(images, targets, shape, rng, white)


@functools.lru_cache(maxsize=4)
def _basis(height: int, width: int, dtype: str) -> Array:
    """Column and row of each pixel from the centre, 1, and the spline of each knot: (3 + KNOTS², height * width)."""
    rows, columns = np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    row, column = np.meshgrid(rows, columns, indexing="ij")
    splines = np.einsum("ra,cb->abrc", _splines(height), _splines(width)).reshape(KNOTS**2, -1)
    return np.concatenate([[column.ravel(), row.ravel(), np.ones(row.size)], splines]).astype(dtype)


def _splines(size: int) -> Array:
    """Uniform cubic B-splines (size, KNOTS) over the pixels of one axis; each row sums to 1."""
    pieces = KNOTS - 3
    position = (np.arange(size) + 0.5) / size * pieces
    piece = np.minimum(position.astype(int), pieces - 1)
    u = position - piece
    values = np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3], 1) / 6
    splines = np.zeros((size, KNOTS))
    np.put_along_axis(splines, piece[:, None] + np.arange(4), values, 1)
    return splines


def interpolate(pictures: Array, x: Array, y: Array, out: Array) -> None:
    """out (n, h, w, c) <- pictures (n, h, w, c) at columns x and rows y (n, h * w), bilinear; 0 outside.

    x and y are used up.
    """
    n, height, width, channels = pictures.shape
    margin = 1  # of zeros; sources further outside are moved into it
    padded = np.zeros((n, height + 3 * margin, width + 3 * margin, channels), out.dtype)
    padded[:, margin:-2, margin:-2] = pictures
    stride = width + 3 * margin
    for axis, size in ((x, width), (y, height)):
        axis += margin
        np.clip(axis, 0, np.nextafter(axis.dtype.type(size + margin), axis.dtype.type(0)), out=axis)
    left, place = np.floor(x), np.floor(y)
    x -= left
    y -= place
    place *= stride
    place += left
    index = place.astype(np.intp)
    index += (np.arange(n) * (height + 3 * margin) * stride)[:, None]  # not in `place`: float32 is exact to 2^24 only
    for channel in range(channels):
        flat = np.ascontiguousarray(padded[..., channel]).reshape(-1)
        a, b = flat.take(index, mode="clip"), flat.take(index + 1, mode="clip")
        c, d = flat.take(index + stride, mode="clip"), flat.take(index + (stride + 1), mode="clip")
        b -= a
        b *= x
        a += b
        d -= c
        d *= x
        c += d
        c -= a
        c *= y
        a += c
        out[..., channel] = a.reshape(n, height, width)
