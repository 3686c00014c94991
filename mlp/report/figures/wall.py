"""Walls of pictures, with words below each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from mlp.base.errors import UserError
from mlp.base.text import percent, shorten
from mlp.data import Augmentation, Dataset
from mlp.data.pictures import as_pictures, is_picture
from mlp.report import style
from mlp.report.read import Array

MOST_PICTURES = 100
IMAGES, DRAWS = 10, 3  # that show an augmentation


class Wall:
    """Pictures in rows. All of them are one image, and the words lie on it: an axes for each would take seconds.

    Args:
        pictures: (k, h, w), (k, h, w, 1) or (k, h, w, 3), of any range.
        columns: in a row.
        size: of a picture's longer side, in inches, like all lengths here.
        beside, below: room on the right of each picture, and for the words under it.
        left, above: room beside and over the wall.
        least_width: of the figure.
    """

    def __init__(
        self, pictures: Array, columns: int, *, size: float = 1.15, beside: float = 0.2, below: float = 0.45,
        left: float = 0.2, above: float = 0.85, least_width: float = 6.0,
    ) -> None:  # fmt: skip
        rows = math.ceil(len(pictures) / columns)
        self.height, self.width = pictures.shape[1:3]
        self.columns, self.pixel = columns, size / max(self.height, self.width)
        self.pitch_y = self.height + math.ceil(below / self.pixel)
        self.pitch_x = max(self.height, self.width) + math.ceil(beside / self.pixel)
        wall = np.full((rows * self.pitch_y, columns * self.pitch_x, 3), 255, np.uint8)
        for place, picture in enumerate(as_rgb(pictures)):
            x, y = self.corner(place)
            wall[y : y + self.height, x : x + self.width] = picture
        wide, high = wall.shape[1] * self.pixel, wall.shape[0] * self.pixel
        self.figure = style.new_figure(max(least_width, left + wide + 0.2), high + above)
        self.figure.set_layout_engine("none")  # all places are known
        inches_x, inches_y = self.figure.get_size_inches()
        self.ax = self.figure.add_axes((left / inches_x, 0, wide / inches_x, high / inches_y))
        self.ax.set_axis_off()
        extent = (0, wall.shape[1], wall.shape[0], 0)
        self.ax.imshow(wall, extent=extent, interpolation="nearest", aspect="auto")

    def corner(self, place: int) -> tuple[int, int]:
        """Where the picture of this number begins, x and y in pixels from the top left of the wall."""
        row, column = divmod(place, self.columns)
        return column * self.pitch_x, row * self.pitch_y

    def caption(self, place: int, words: str, *, down: float = 0.05, **look: Any) -> None:
        """Words under a picture, `down` inches below it."""
        x, y = self.corner(place)
        look = {"ha": "center", "va": "top", "fontsize": 9, "linespacing": 1.1, "parse_math": False, **look}
        self.ax.text(x + self.width / 2, y + self.height + down / self.pixel, words, **look)

    def label(self, rows: Sequence[str], columns: Sequence[str], upright: bool = False) -> None:
        """Names beside the rows and over the columns, there `upright` if they are long."""
        look: dict[str, Any] = {"fontsize": style.LABEL, "rotation_mode": "anchor", "parse_math": False}
        for row, name in enumerate(rows):
            y = self.corner(row * self.columns)[1] + self.height / 2
            self.ax.text(-0.12 / self.pixel, y, name, ha="right", va="center", **look)
        for column, name in enumerate(columns):
            x = self.corner(column)[0] + self.width / 2
            ha, va = ("left", "center") if upright else ("center", "bottom")
            self.ax.text(x, -0.1 / self.pixel, name, ha=ha, va=va, rotation=90 * upright, **look)

    def frame(self, place: int, color: str, linewidth: float = 4.0) -> None:
        box: dict[str, Any] = {"fill": False, "color": color, "linewidth": linewidth, "clip_on": False}
        self.ax.add_patch(Rectangle(self.corner(place), self.width, self.height, **box))


def as_rgb(images: Array) -> NDArray[np.uint8]:
    """(k, h, w), (k, h, w, 1) or (k, h, w, 3) of any range -> (k, h, w, 3) of bytes."""
    if images.dtype != np.uint8:
        values = np.nan_to_num(images.astype(np.float64))
        low, high = values.min(), values.max()
        images = ((values - low) * (255 / (high - low or 1.0))).astype(np.uint8)
    images = images if images.ndim == 4 else images[..., None]
    return np.broadcast_to(images, (*images.shape[:3], 3))


def as_bytes(inputs: Array, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Inputs of a network, (n, d) of 0 to 1, as pictures of bytes: (n, h, w), coloured ones (n, h, w, 3)."""
    pictures = as_pictures(np.clip(np.round(255 * inputs), 0, 255).astype(np.uint8), shape)
    return pictures[..., 0] if pictures.shape[-1] == 1 else pictures


def samples(predictions: Mapping[str, Array]) -> Figure:
    """Pictures with their true and predicted class, the wrong ones first, framed and crossed."""
    rows = predictions["image_rows"]
    y_true, y_pred = predictions["y_true"][rows], predictions["y_pred"][rows]
    names = [shorten(str(name), 13) for name in predictions["class_names"]]
    shown = np.argsort(y_true == y_pred, kind="stable")[:MOST_PICTURES]
    called = [f"{names[y_true[i]]} → {names[y_pred[i]]}" for i in shown]
    one_line = style.text_width(called, 9) < 1.2
    columns = min(10, math.ceil(math.sqrt(1.6 * len(shown))))
    pictures = predictions["images"][shown].astype(np.float64)  # bytes need not reach 255: those of digits end at 16
    wall = Wall(pictures, columns, below=0.45 if one_line else 0.6)
    for place, i in enumerate(shown):
        words = called[place] if one_line else called[place].replace(" → ", "\n→ ")
        confidence = percent(predictions["confidence"][rows[i]], 0)
        if y_true[i] == y_pred[i]:
            wall.caption(place, f"{words}\n✓ {confidence}")
        else:
            wall.frame(place, style.VERMILION)
            wall.caption(place, f"{words}\n✗ {confidence}", color=style.VERMILION, weight="bold")
    title = "true class → predicted class, probability of the predicted class\nframe and ✗: wrong"
    inches_x, inches_y = wall.figure.get_size_inches()
    wall.figure.text(0.2 / inches_x, 1 - 0.2 / inches_y, title, va="top", fontsize=style.TITLE)
    return wall.figure


def augmented(dataset: Dataset, augmentation: Augmentation, title: str, seed: int = 0) -> Figure:
    """What an augmentation makes of images: one of each of the first classes as stored, and below it `DRAWS` versions
    as the training sees them."""
    if not is_picture(dataset.image_shape):
        raise UserError(f"{dataset.name} has no images to show")
    x, y = dataset.load("train")
    stored = x[[int(np.flatnonzero(y == label)[0]) for label in range(min(IMAGES, dataset.num_classes))]]
    targets, rng = np.eye(len(stored), dtype=np.float32), np.random.default_rng(seed)
    rows = np.stack([stored.astype(np.float32)] * (1 + DRAWS))
    for changed in rows[1:]:
        augmentation.apply(changed, targets.copy(), dataset.image_shape, rng, dataset.divisor)
    pictures = as_bytes(rows.reshape(-1, x.shape[1]) / dataset.divisor, dataset.image_shape)
    pictures = pictures if pictures.ndim == 4 else 255 - pictures  # grey ones dark on paper
    wall = Wall(pictures, len(stored), size=0.9, beside=0.08, below=0.08, left=1.1, above=0.5)
    for place in range(len(pictures)):
        wall.frame(place, style.BLACK, 0.8)
    wall.label(["stored", *["in training"] * DRAWS], [])
    wall.figure.suptitle(title, fontsize=style.TITLE, x=0.01, ha="left")
    return wall.figure
