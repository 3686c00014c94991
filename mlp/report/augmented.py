"""A picture of what an augmentation does to images: the first row as stored, the others as training sees them."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mlp.data import Augmentation, Dataset
from mlp.data.pictures import as_pictures, is_picture
from mlp.errors import UserError
from mlp.report import style

IMAGES, DRAWS = 10, 3


def augmented(dataset: Dataset, augmentation: Augmentation, title: str, seed: int = 0) -> Figure:
    """One image of each of the first classes, and `DRAWS` changed versions of it below."""
    shape = dataset.image_shape
    if not is_picture(shape):
        raise UserError(f"{dataset.name} has no images to show")
    x, y = dataset.load("train")
    rows = [int(np.flatnonzero(y == label)[0]) for label in range(min(IMAGES, dataset.num_classes))]
    stored, rng = x[rows], np.random.default_rng(seed)
    targets = np.eye(len(rows), dtype=np.float32)
    table = [stored.astype(np.float32)]
    for _ in range(DRAWS):
        changed = np.empty(stored.shape, np.float32)
        augmentation.apply(stored, targets.copy(), shape, rng, changed)
        table.append(changed)
    figure = style.new_figure(len(rows) * 0.95 + 0.7, (1 + DRAWS) * 0.95 + 0.5)
    axes = figure.subplots(1 + DRAWS, len(rows), squeeze=False)
    figure.subplots_adjust(0.075, 0.01, 0.995, 0.9, 0.06, 0.06)
    figure.suptitle(title, fontsize=style.TITLE, x=0.01, ha="left")
    for line, images in zip(axes, table, strict=True):
        for ax, image in zip(line, images, strict=True):
            picture = np.clip(as_pictures(image[None], shape)[0] / dataset.divisor, 0, 1)
            ax.imshow(picture, cmap="gray_r" if picture.shape[-1] == 1 else None, vmin=0, vmax=1)
            ax.set_xticks([])
            ax.set_yticks([])
    axes[0, 0].set_ylabel("stored", fontsize=style.SMALL)
    axes[1, 0].set_ylabel("in training", fontsize=style.SMALL)
    return figure


def draw(dataset: Dataset, augmentation: Augmentation, name: str, out: Path) -> list[Path]:
    """Write the picture to `out`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    return [style.save(augmented(dataset, augmentation, f"augment={name} on {dataset.name}"), out)]
