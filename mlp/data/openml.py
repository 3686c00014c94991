"""Datasets from openml.org, by scikit-learn, which keeps what it has downloaded in ~/scikit_learn_data."""

import functools
import logging
import socket
import warnings
from collections.abc import Sequence

import numpy as np

from mlp.base.errors import UserError

log = logging.getLogger(__name__)


def load_from_openml(number: int, missing: str, otherwise: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, d) and labels (n,) of a dataset, uint8, in the order that it has there.

    The last source: an error says what was `missing` before, and how to get it `otherwise`.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(before or 30)  # a network that swallows what it is sent must not stop the program
    try:
        return fetch(number)
    except Exception as error:  # of a network, of a file that is none: of any kind
        raise UserError(
            f"{missing}; and https://www.openml.org/d/{number} cannot be loaded: {str(error).rstrip('.')}."
            " Ways to get the data:" + "".join(f"\n  - {way}" for way in otherwise)
        ) from error
    finally:
        socket.setdefaulttimeout(before)


@functools.lru_cache(maxsize=1)  # for the pixels and the labels of both parts: it takes 10 s
def fetch(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels, from the network only the first time."""
    from sklearn.datasets import fetch_openml

    log.info("Loading https://www.openml.org/d/%d; it is kept for all later runs.", number)
    with warnings.catch_warnings():  # that it tries again: what it says in the end is in the error
        warnings.simplefilter("ignore")
        found = fetch_openml(data_id=number, as_frame=False, parser="liac-arff", n_retries=1)
    return found.data.astype(np.uint8), found.target.astype(np.uint8)
