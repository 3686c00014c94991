"""A running average of the network while it trains, which usually classifies better than the network itself."""

import numpy as np

from mlp.nn.network import MLP
from mlp.nn.types import Array


class WeightAverage:
    """Exponential moving average of a network's state (Polyak & Juditsky 1992; Tarvainen & Valpola 2017).

    S <- d S + (1 - d) state, with d = min(decay, (1 + t) / (10 + t)) after t = 0, 1, ... steps, so that the start
    is soon forgotten. The running statistics of normalised layers are averaged too.

    `kept` is a S + (1 - a) S_0 with the initial state S_0: in fine-tuning such a mean is often as accurate as the
    start and as robust as the end (Wortsman et al. 2022, "WiSE-FT"). `initial_share` is 1 - a.
    """

    def __init__(self, network: MLP, decay: float, initial_share: float = 0.0) -> None:
        self.decay, self.initial_share = decay, initial_share
        self.t = 0
        self.initial: Array = network.state.copy() if initial_share else network.state
        self.state: Array = network.state.copy()
        self._scratch = np.empty_like(self.state)

    @property
    def kept(self) -> Array:
        """What is validated, and saved."""
        if not self.initial_share:
            return self.state
        return self.state + self.state.dtype.type(self.initial_share) * (self.initial - self.state)

    def update(self, network: MLP) -> None:
        """Take in the network as it is after a step."""
        decay = min(self.decay, (1 + self.t) / (10 + self.t))
        self.t += 1
        np.subtract(network.state, self.state, out=self._scratch)
        self._scratch *= 1 - decay
        self.state += self._scratch
