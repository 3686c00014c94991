"""Gradient-descent rules on one flat parameter vector, with the same results as `torch.optim`.

In the docstrings g is the gradient, θ the parameters, η the learning rate, λ the weight decay, t = 1, 2, ... the
step. Add a rule: a class here, its name in `mlp/nn/__init__.py`, and a file in `conf/optimizer/`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from mlp.base.naming import Named
from mlp.nn import checks
from mlp.nn.types import Array

#: Steps between two sweeps that clear what has decayed to almost nothing.
SWEEP_EVERY = 128


class Optimizer(Named, ABC):
    """Weight decay acts on the weights, the first `num_weights` entries of θ, never on the biases:

    coupled (default)   g <- g + λ θ            L2 regularisation, seen by the rule's moments
    decoupled           θ <- θ - η λ θ          before the rule's own step (Loshchilov & Hutter 2019)

    `learning_rate` may be changed between steps (schedules do). The gradient given to `step` is left as it is.

    A running mean decays geometrically where its gradient stays zero, as at a pixel that is black in all images but
    one. Shortly before it reaches the subnormal numbers, which take a processor many times as long, it becomes zero.
    """

    #: Names of the attributes that hold one number per parameter and start at zero.
    slots: ClassVar[tuple[str, ...]] = ()
    #: Those of them that decay, and the attribute that says by which factor per step.
    decays: ClassVar[Mapping[str, str]] = {}
    #: Names of the further attributes that change from step to step.
    counters: ClassVar[tuple[str, ...]] = ("t",)

    def __init__(self, learning_rate: float, weight_decay: float = 0.0, decoupled_weight_decay: bool = False) -> None:
        self.learning_rate = checks.number("learning_rate", learning_rate, gt=0)
        self.weight_decay = checks.number("weight_decay", weight_decay, ge=0)
        self.decoupled_weight_decay = bool(decoupled_weight_decay)
        self.t = 0
        self._scratch = np.empty((2, 0))

    def step(self, theta: Array, grad: Array, num_weights: int) -> None:
        """One update of `theta` (p,) in place, from the gradient `grad` (p,)."""
        if self._scratch.shape[1] != theta.size or self._scratch.dtype != theta.dtype:
            self._allocate(theta)
        self.t += 1
        if self.t % SWEEP_EVERY == 0:
            self._sweep(self._scratch[0])
        if self.weight_decay:
            weights = theta[:num_weights]
            if self.decoupled_weight_decay:
                weights *= 1 - self.learning_rate * self.weight_decay
            else:
                decayed = self._scratch[1]
                np.multiply(weights, self.weight_decay, out=decayed[:num_weights])
                decayed[num_weights:] = 0
                decayed += grad
                grad = decayed
        self.update(theta, grad, self._scratch[0])

    @abstractmethod
    def update(self, theta: Array, g: Array, scratch: Array) -> None:
        """The rule itself. `scratch` (p,) has undefined content and may be overwritten; g may not."""

    def _sweep(self, scratch: Array) -> None:
        """Set to zero what would decay into a subnormal number before the next sweep."""
        smallest = float(np.finfo(scratch.dtype).tiny)
        for name, decay in self.decays.items():
            mean = getattr(self, name)
            np.abs(mean, out=scratch)
            # A mean that decays faster than by 2^-40 between two sweeps is better slow than wrong.
            np.greater(scratch, smallest / max(getattr(self, decay) ** SWEEP_EVERY, 2.0**-40), out=scratch)
            mean *= scratch

    def state(self) -> dict[str, Array]:
        """Everything that a later `load_state` needs to go on as if there had been no interruption."""
        return {name: np.array(getattr(self, name)) for name in self.counters + (self.slots if self.t else ())}

    def load_state(self, state: dict[str, Array]) -> None:
        """Take over what `state` returned. Raises KeyError where something is missing."""
        self.reset()
        for name in self.counters:
            setattr(self, name, state[name].item())
        if self.t:
            for name in self.slots:
                if not self._scratch.size:
                    self._allocate(state[name])
                getattr(self, name)[...] = state[name]

    def reset(self) -> None:
        """Forget all steps taken, as for a new network."""
        self.t = 0
        self._scratch = np.empty((2, 0))

    def _allocate(self, like: Array) -> None:
        self._scratch = np.empty((2, like.size), like.dtype)
        for name in self.slots:
            setattr(self, name, np.zeros_like(like))


class SGD(Optimizer):
    """Stochastic gradient descent (Robbins & Monro 1951).

    θ <- θ - η g
    """

    def __init__(
        self, learning_rate: float = 0.1, weight_decay: float = 0.0, decoupled_weight_decay: bool = False
    ) -> None:
        super().__init__(learning_rate, weight_decay, decoupled_weight_decay)

    def update(self, theta: Array, g: Array, scratch: Array) -> None:
        np.multiply(g, self.learning_rate, out=scratch)
        theta -= scratch


class Momentum(Optimizer):
    """SGD with heavy-ball momentum (Polyak 1964; Sutskever et al. 2013), η outside the velocity.

    v <- μ v + g
    θ <- θ - η v
    """

    slots = ("v",)
    decays: ClassVar[Mapping[str, str]] = {"v": "momentum"}
    v: Array

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(learning_rate, weight_decay, decoupled_weight_decay)
        self.momentum = checks.number("momentum", momentum, ge=0, lt=1)

    def update(self, theta: Array, g: Array, scratch: Array) -> None:
        self.v *= self.momentum
        self.v += g
        np.multiply(self.v, self.learning_rate, out=scratch)
        theta -= scratch


class NAG(Momentum):
    """Nesterov's accelerated gradient (Nesterov 1983), in the form of Sutskever et al. 2013, section 3.

    v <- μ v + g
    θ <- θ - η (g + μ v)
    """

    aliases = ("nesterov", "nesterov_accelerated_gradient")

    def update(self, theta: Array, g: Array, scratch: Array) -> None:
        self.v *= self.momentum
        self.v += g
        np.multiply(self.v, self.momentum, out=scratch)
        scratch += g
        scratch *= self.learning_rate
        theta -= scratch


class RMSprop(Optimizer):
    """Steps divided by a running root mean square of the gradient (Tieleman & Hinton 2012, lecture 6.5).

    v <- β v + (1 - β) g²
    θ <- θ - η g / (√v + ε)

    Kept is V = v / (1 - β): V <- β V + g², and √v + ε = s (√V + ε / s) with s = √(1 - β); two passes fewer.
    """

    name = "rmsprop"
    slots = ("V",)
    decays: ClassVar[Mapping[str, str]] = {"V": "beta"}
    V: Array

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta: float = 0.99,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(learning_rate, weight_decay, decoupled_weight_decay)
        self.beta = checks.number("beta", beta, ge=0, lt=1)
        self.epsilon = checks.number("epsilon", epsilon, gt=0)

    def update(self, theta: Array, g: Array, scratch: Array) -> None:
        s = math.sqrt(1 - self.beta)
        np.multiply(g, g, out=scratch)
        self.V *= self.beta
        self.V += scratch
        np.sqrt(self.V, out=scratch)
        scratch += self.epsilon / s
        np.divide(g, scratch, out=scratch)
        scratch *= self.learning_rate / s
        theta -= scratch


class Adam(Optimizer):
    """Adaptive moment estimation (Kingma & Ba 2015), ε outside the bias-corrected root.

    m <- β₁ m + (1 - β₁) g
    v <- β₂ v + (1 - β₂) g²
    θ <- θ - η m̂ / (√v̂ + ε),   m̂ = m / (1 - β₁ᵗ),  v̂ = v / (1 - β₂ᵗ)

    Kept are M = m / (1 - β₁) and V = v / (1 - β₂), so that M <- β₁ M + g and V <- β₂ V + g². The constant
    factors meet in two numbers: with s = √((1 - β₂) / (1 - β₂ᵗ)),  √v̂ + ε = s (√V + ε / s). Three of thirteen
    passes over the parameters go.
    """

    slots = ("M", "V")
    decays: ClassVar[Mapping[str, str]] = {"M": "beta1", "V": "beta2"}
    M: Array
    V: Array

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(learning_rate, weight_decay, decoupled_weight_decay)
        self.beta1 = checks.number("beta1", beta1, ge=0, lt=1)
        self.beta2 = checks.number("beta2", beta2, ge=0, lt=1)
        self.epsilon = checks.number("epsilon", epsilon, gt=0)

    def update(self, theta: Array, g: Array, scratch: Array) -> None:
        self._update_moments(g, scratch)
        s = self._root(scratch)
        np.divide(self.M, scratch, out=scratch)
        scratch *= self.learning_rate * (1 - self.beta1) / (1 - self.beta1**self.t) / s
        theta -= scratch

    def _update_moments(self, g: Array, scratch: Array) -> None:
        self.M *= self.beta1
        self.M += g
        np.multiply(g, g, out=scratch)
        self.V *= self.beta2
        self.V += scratch

    def _root(self, scratch: Array) -> float:
        """scratch <- (√v̂ + ε) / s; returns s."""
        s = math.sqrt((1 - self.beta2) / (1 - self.beta2**self.t))
        np.sqrt(self.V, out=scratch)
        scratch += self.epsilon / s
        return s


class Nadam(Adam):
    """Adam with Nesterov's look-ahead and a momentum schedule (Dozat 2016); ψ is `momentum_decay`.

    μₜ = β₁ (1 - 0.96^(t ψ) / 2),   Πₜ = μ₁ μ₂ ... μₜ
    θ <- θ - η (μₜ₊₁ m / (1 - Πₜ₊₁) + (1 - μₜ) g / (1 - Πₜ)) / (√v̂ + ε),   m, v and v̂ as in Adam
    """

    counters = ("t", "mu_product")

    def __init__(
        self,
        learning_rate: float = 0.002,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        momentum_decay: float = 0.004,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, epsilon, weight_decay, decoupled_weight_decay)
        self.momentum_decay = checks.number("momentum_decay", momentum_decay, ge=0)
        self.mu_product = 1.0
        self._look_ahead = np.empty(0)

    def update(self, theta: Array, g: Array, scratch: Array) -> None:
        mu, mu_next = self._mu(self.t), self._mu(self.t + 1)
        self.mu_product *= mu
        self._update_moments(g, scratch)
        s = self._root(scratch)
        # Both terms over the factor of g, which joins the factors at the end.
        of_m = mu_next * (1 - self.beta1) / (1 - self.mu_product * mu_next)
        of_g = (1 - mu) / (1 - self.mu_product)
        blend = self._look_ahead
        np.multiply(self.M, of_m / of_g, out=blend)
        blend += g
        np.divide(blend, scratch, out=scratch)
        scratch *= self.learning_rate * of_g / s
        theta -= scratch

    def reset(self) -> None:
        super().reset()
        self.mu_product = 1.0

    def _mu(self, t: int) -> float:
        return self.beta1 * (1 - 0.5 * float(0.96 ** (t * self.momentum_decay)))

    def _allocate(self, like: Array) -> None:
        super()._allocate(like)
        self._look_ahead = np.empty_like(like)
