"""Where the time of a training step goes: the clock is read around its parts, while the trainer trains."""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from mlp.nn import MLP, Activation, Layer, Linear, Optimizer
from mlp.nn.types import Array
from mlp.training.callbacks import Callback
from mlp.training.run import Run

MOST_PER_READING = 1e-6  # seconds that a reading of the clock can cost; where steps are long, more is their own noise
BATCH, METRICS, REST = "batch: gather and scale", "metrics, clipping, learning rate", "Python between the parts"
TURN = 0.02  # seconds: long beside the switch, short beside what else the machine does

Seconds = dict[str, float]
Mark = Callable[[str], None]  # notes the time at which a part begins


class TimedLayer(Layer):
    """A layer that says when its passes begin and end."""

    def __init__(self, layer: Layer, name: str, mark: Mark) -> None:
        self.layer, self.mark = layer, mark
        derivative = " derivative" if isinstance(layer, Activation) else ""
        self.forward_parts = [f"{name} forward: {layer.name}"]
        self.backward_parts = [f"{name} backward: {layer.name}{derivative}"]

    def forward(self, X: Array, training: bool = False) -> Array:
        self.mark(self.forward_parts[0])
        Y = self.layer.forward(X, training)
        self.mark(REST)
        return Y

    def backward(self, D: Array) -> Array:
        self.mark(self.backward_parts[0])
        D = self.layer.backward(D)
        self.mark(REST)
        return D


class TimedLinear(Linear):
    """The passes of `Linear`, which also say when each product begins and ends."""

    def __init__(self, layer: Linear, name: str, mark: Mark) -> None:
        super().__init__(layer.W, layer.b, layer.grad_W, layer.grad_b, layer.first, layer.adds_bias)
        self.mark = mark
        weights, inputs, bias = "weight gradient Xᵀ D", "input gradient D Wᵀ", "bias gradient"
        self.forward_parts = [f"{name} forward: {part}" for part in ("product X W", "bias")]
        self.backward_parts = [f"{name} backward: {part}" for part in (weights, inputs, bias)]
        self.products = [self.forward_parts[0], *self.backward_parts[: 1 if self.first else 2]]

    def forward(self, X: Array, training: bool = False) -> Array:
        if len(X) != self._rows:
            self._resize(X)
        self._X, Y = X, self._buffers[0]
        product, bias = self.forward_parts
        self.mark(product)
        np.matmul(X, self._W, out=Y)
        if self.adds_bias:
            self.mark(bias)
            Y += self._b
        self.mark(REST)
        return Y

    def backward(self, D: Array) -> Array:
        _, D_in, ones = self._buffers
        weights, inputs, bias = self.backward_parts
        self.mark(weights)
        np.matmul(self._X.T, D, out=self._grad_W)
        if not self.first:
            self.mark(inputs)
            np.matmul(D, self._W.T, out=D_in)
        if self.adds_bias:
            self.mark(bias)
            np.matmul(ones, D, out=self._grad_b)
        self.mark(METRICS if self.first else REST)  # after the first layer the gradients are there
        return D_in


class MeasuringDone(Exception):
    """The way out of the trainer in the middle of an epoch."""


class Stopwatch(Callback):
    """Measures the steps of a run: plain ones take turns with timed ones, so that both see the same machine.

    Every step is a real one. MeasuringDone ends the training when `seconds` are over and both kinds have been
    measured; the first `warm_up` seconds, the first step of each turn and the last, perhaps shorter one of an epoch
    are not.
    """

    def __init__(self, network: MLP, optimizer: Optimizer, seconds: float = math.inf, warm_up: float = 0.0) -> None:
        self.plain: list[float] = []  # seconds of each step
        self.timed: list[Seconds] = []  # of the parts of each step
        self._marks: list[tuple[str, float]] = []
        self._readings: Mapping[str, int] = {}  # of the clock in a step, by part
        layers = list(timed_layers(network.modules, self._mark))
        loss, update = f"loss: {network.loss.name}", f"optimizer: {optimizer.name}"
        self._network, self._plain_layers, self._timed_layers = network, network.modules, layers
        self._timed_methods: list[tuple[Any, str, Callable[..., Any]]] = [
            (network.loss, "value_and_gradient", self._timing(network.loss.value_and_gradient, loss)),
            (optimizer, "step", self._timing(optimizer.step, update)),
        ]
        forward = [part for layer in layers for part in layer.forward_parts]
        backward = [part for layer in reversed(layers) for part in layer.backward_parts]
        self.names = [BATCH, *forward, loss, *backward, METRICS, update, REST]
        self.products = {part for layer in layers if isinstance(layer, TimedLinear) for part in layer.products}
        now = time.perf_counter()
        self._warm_until, self._end, self._turn_ends = now + warm_up, now + seconds, now
        # In this turn: are its steps timed, is the first one over, has one been kept?
        self._is_timed = self._settled = self._kept = False

    def _mark(self, part: str) -> None:
        self._marks.append((part, time.perf_counter()))

    def _timing(self, method: Callable[..., Any], part: str) -> Callable[..., Any]:
        """`method`, which also says when it begins and ends."""

        def timed(*arguments: Any) -> Any:
            self._mark(part)
            result = method(*arguments)
            self._mark(REST)
            return result

        return timed

    def switch(self, timed: bool) -> None:
        """Let the next steps be timed ones or plain ones."""
        self._network.modules = list(self._timed_layers) if timed else self._plain_layers
        for owner, name, method in self._timed_methods:
            vars(owner).pop(name, None)  # the class's own comes to light again
            if timed:
                vars(owner)[name] = method
        self._is_timed, self._settled, self._kept = timed, False, False

    def on_run_start(self, run: Run) -> None:
        self._settled = False  # the first step allocates
        self._begin_step()

    def on_batch_end(self, run: Run) -> None:
        now = time.perf_counter()
        short = run.steps_per_epoch > 1 and run.step % run.steps_per_epoch == 0  # or may be
        if self._settled and not short and now > self._warm_until:
            self._keep(now)
        self._settled = True
        if self._kept and now > self._turn_ends:
            if now > self._end and self.plain and self.timed:
                self.switch(timed=False)
                raise MeasuringDone
            self.switch(timed=not self._is_timed)
            self._turn_ends = now + TURN
        self._begin_step()

    def on_epoch_end(self, run: Run) -> None:
        self._begin_step()  # what came between the epochs is no part of it

    def _begin_step(self) -> None:
        self._marks.clear()
        self._mark(BATCH)

    def _keep(self, now: float) -> None:
        if self._is_timed:
            step = dict.fromkeys(self.names, 0.0)
            for (part, begin), (_, end) in itertools.pairwise([*self._marks, ("", now)]):
                step[part] += end - begin
            count = Counter(part for part, _ in self._marks)
            self._readings = {part: count[part] for part in self.names if part in count}
            self.timed.append(step)
        else:
            self.plain.append(now - self._marks[0][1])
        self._kept = True

    def breakdown(self) -> Breakdown:
        """What the steps so far say."""
        return Breakdown.of(self.plain, self.timed, self._readings, self.products, clock_latency())


def timed_layers(modules: Sequence[Layer], mark: Mark) -> Iterator[TimedLayer | TimedLinear]:
    """The layers of a network, timed; parts are named after the linear layer that they belong to."""
    count = 0
    for module in modules:
        count += isinstance(module, Linear)
        name = f"layer {count}"
        yield TimedLinear(module, name, mark) if isinstance(module, Linear) else TimedLayer(module, name, mark)


@dataclass(frozen=True)
class Breakdown:
    """Seconds of a step, of its parts, which sum to it, and of its matrix products, which are among the parts."""

    step: float
    parts: Seconds
    products: float

    @classmethod
    def of(
        cls,
        plain: Sequence[float],
        timed: Sequence[Seconds],
        readings: Mapping[str, int],
        products: set[str],
        latency: float = 0.0,
    ) -> Breakdown:
        """From the measured steps of both kinds, by medians.

        What timed steps take longer than plain ones is the clock's; each of the `readings` has the same share in it.
        Medians do not quite add up, so the parts are then scaled to the step.
        """
        step = median(plain) - latency
        surplus = median(sum(s.values()) for s in timed) - step
        share = min(max(0.0, surplus / sum(readings.values())), MOST_PER_READING)
        parts = {part: max(0.0, median(s[part] for s in timed) - n * share) for part, n in readings.items()}
        scale = step / sum(parts.values())
        parts = {part: seconds * scale for part, seconds in parts.items()}
        return cls(step, parts, sum(seconds for part, seconds in parts.items() if part in products))


def clock_latency() -> float:
    """What the clock itself adds to the time between two readings."""
    readings = [time.perf_counter() for _ in range(1000)]
    return median(b - a for a, b in itertools.pairwise(readings))
