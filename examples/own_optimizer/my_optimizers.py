"""Your own optimizer: one class, and one YAML file beside it."""

import numpy as np

from mlp.nn import Optimizer


class SignSGD(Optimizer):
    """theta <- theta - eta sign(g)   (Bernstein et al. 2018, https://arxiv.org/abs/1802.04434)"""

    def update(self, theta: np.ndarray, g: np.ndarray, scratch: np.ndarray) -> None:
        np.sign(g, out=scratch)
        scratch *= self.learning_rate
        theta -= scratch
