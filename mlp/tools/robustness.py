"""How a model fares on test images that are not quite like those it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mlp.base.errors import UserError
from mlp.data.augmentation import CHUNK, interpolate
from mlp.data.pictures import as_pictures
from mlp.data.pixel_augmentation import blur, stroke
from mlp.nn.types import Array, Labels

Image = tuple[int, ...]
Forward = Callable[[Array], Array]


def changed_images(X: Array, shape: Image, rng: np.random.Generator) -> Iterator[tuple[str, Array]]:
    """What is done to the images, and the result (n, d), once for each direction; X (n, d) is in 0..1."""
    yield "as they are", X
    for pixels in (1, 2, 3):
        for direction in [(pixels, 0), (-pixels, 0), (0, pixels), (0, -pixels)]:
            yield f"shifted by {pixels} px", moved(X, shape, shift=direction)
    for degrees in (10, 20, 30):
        for sign in (-1, 1):
            yield f"rotated by {degrees}°", moved(X, shape, angle=np.radians(sign * degrees))
    for zoom in (0.8, 1.2):
        yield f"{zoom:g} times as large", moved(X, shape, zoom=zoom)
    for deviation in (0.1, 0.2, 0.3):
        noise = rng.normal(0, deviation, X.shape)
        yield f"with noise, standard deviation {deviation:g}", np.clip(X + noise, 0, 1)
    for summand in (-0.2, 0.2):
        yield "darker or brighter by 0.2", np.clip(X + summand, 0, 1)
    for factor in (0.6, 1.4):
        yield "contrast times 0.6 or 1.4", np.clip(factor * X, 0, 1)
    yield "blurred, mean of 3 x 3 pixels", _looking(X, shape, blur, 1 / 3)
    yield "strokes thicker, half dilated", _looking(X, shape, stroke, 0.5)
    yield "strokes thinner, half eroded", _looking(X, shape, stroke, -0.5)
    yield "inverted", 1 - X


def _looking(X: Array, shape: Image, change: Callable[[Array, float], None], strength: float) -> Array:
    out = X.copy()
    change(as_pictures(out, shape), strength)
    return out


def moved(X: Array, shape: Image, shift: tuple[float, float] = (0, 0), angle: float = 0, zoom: float = 1) -> Array:
    """The images shifted by (columns, rows), turned by `angle` and enlarged `zoom` times about their middle."""
    pictures, out = as_pictures(X, shape), np.empty(X.shape, X.dtype)
    changed, (_, height, width, _) = as_pictures(out, shape), pictures.shape
    row, column = np.meshgrid(np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij")
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    x = (cos * column - sin * row).ravel() + (width - 1) / 2 - shift[0]
    y = (sin * column + cos * row).ravel() + (height - 1) / 2 - shift[1]
    for start in range(0, len(X), CHUNK):
        part = pictures[start : start + CHUNK]
        all_of_them = (len(part), 1)
        interpolate(part, np.tile(x, all_of_them), np.tile(y, all_of_them), changed[start : start + CHUNK])
    return out


def accuracies(forward: Forward, X: Array, labels: Labels, shape: Image, seed: int = 0) -> list[tuple[str, float]]:
    """The accuracy for each change, the mean over its directions, and last that of all changes but "as they are".

    `forward` turns (n, d) into logits (n, c).

    Raises UserError for pixels beyond 0..1.
    """
    if X.min() < 0 or X.max() > 1:
        raise UserError(f"--robustness needs pixels from 0 to 1. These are from {X.min():g} to {X.max():g}")
    found: dict[str, list[float]] = {}
    for name, images in changed_images(X, shape, np.random.default_rng(seed)):
        found.setdefault(name, []).append(float((forward(images).argmax(axis=1) == labels).mean()))
    table = [(name, float(np.mean(values))) for name, values in found.items()]
    return [*table, ("mean of the changes", float(np.mean([accuracy for _, accuracy in table[1:]])))]
