"""A picture of what an augmentation does to images: the first row as stored, the others as training sees them."""

import numpy as np
from matplotlib.figure import Figure

from mlp.base.errors import UserError
from mlp.data import Augmentation, Dataset
from mlp.data.pictures import is_picture
from mlp.report import style
from mlp.report.figures.wall import Wall, as_bytes

IMAGES, DRAWS = 10, 3


def augmented(dataset: Dataset, augmentation: Augmentation, title: str, seed: int = 0) -> Figure:
    """One image of each of the first classes, and `DRAWS` changed versions of it below."""
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
