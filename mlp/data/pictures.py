"""Samples that are pictures: which axis holds the channels."""

import numpy as np

CHANNELS = (1, 3)  # grey, and red, green, blue
PICTURE_SHAPES = "(height, width), (height, width, channels) or (channels, height, width) with 1 or 3 channels"


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether a sample of this shape is a picture with recognisable axes.

    (height, width), (height, width, channels) or (channels, height, width), with 1 or 3 channels. An axis that could
    be either, as the last in (3, 28, 3), makes it no picture.

    >>> is_picture((28, 28)), is_picture((3, 32, 32)), is_picture((3, 28, 3)), is_picture((784, 1))
    (True, True, False, False)
    """
    if len(shape) == 2:
        return 1 not in shape
    return len(shape) == 3 and shape[1] not in CHANNELS and (shape[0] in CHANNELS) != (shape[2] in CHANNELS)


def as_pictures(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Samples (n, d) of this shape as a view (n, height, width, channels). Raises ValueError for other shapes."""
    if not is_picture(shape):
        raise ValueError(f"samples of shape {shape} are not images with recognisable axes")
    pictures = rows.reshape(len(rows), *shape)
    if len(shape) == 2:
        return pictures[..., None]
    return pictures.transpose(0, 2, 3, 1) if shape[0] in CHANNELS else pictures
