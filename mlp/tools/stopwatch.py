"""Where the time of a training step goes: the clock is read between its parts, while the trainer trains."""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import numpy as np

from mlp.nn import MLP, Activation, Layer, Linear, Schedule
from mlp.nn.types import Array
from mlp.training.run import Callback, Run

MOST_PER_READING = 1e-6  # seconds that a reading of the clock can cost; where steps are long, more is their own noise
BATCH, METRICS, REST = "batch: gather and scale", "metrics, clipping, learning rate", "Python between the layers"
PRODUCT, OF_WEIGHTS, OF_INPUT = "product X W", "weight gradient Xᵀ D", "input gradient D Wᵀ"
TURN = 0.02  # seconds: long beside the switch, short beside what else the machine does

Seconds = dict[str, float]
Mark = Callable[[str], None]  # notes the time at which a part begins


class TimedLayer(Layer):
    """A layer that marks its passes."""

    def __init__(self, layer: Layer, number: int, mark: Mark) -> None:
        self.layer, self.mark = layer, mark
        derivative = " derivative" if isinstance(layer, Activation) else ""
        self.forward_parts = [f"layer {number} forward: {layer.name}"]
        self.backward_parts = [f"layer {number} backward: {layer.name}{derivative}"]

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
    """The passes of `Linear`, with marks between the products; `after_...` is the part that follows a pass."""

    def __init__(self, layer: Linear, number: int, mark: Mark) -> None:
        super().__init__(layer.W, layer.b, layer.grad_W, layer.grad_b, layer.first, layer.adds_bias)
        self.mark, self.after_forward, self.after_backward = mark, REST, REST
        self.forward_parts = [f"layer {number} forward: {part}" for part in (PRODUCT, "bias")]
        self.backward_parts = [f"layer {number} backward: {part}" for part in (OF_WEIGHTS, OF_INPUT, "bias gradient")]

    def forward(self, X: Array, training: bool = False) -> Array:
        if len(X) != self.rows:
            self._resize(X)
        self._X, Y = X, self._buffers[0]
        self.mark(self.forward_parts[0])
        np.matmul(X, self._W, out=Y)
        if self.adds_bias:
            self.mark(self.forward_parts[1])
            Y += self._b
        self.mark(self.after_forward)
        return Y

    def backward(self, D: Array) -> Array:
        _, D_in, ones = self._buffers
        self.mark(self.backward_parts[0])
        np.matmul(self._X.T, D, out=self._grad_W)
        if not self.first:
            self.mark(self.backward_parts[1])
            np.matmul(D, self._W.T, out=D_in)
        if self.adds_bias:
            self.mark(self.backward_parts[2])
            np.matmul(ones, D, out=self._grad_b)
        self.mark(self.after_backward)
        return D_in


class TimedSchedule:
    """A schedule that marks what follows it, the optimizer's step."""

    def __init__(self, schedule: Schedule, mark: Mark, following: str) -> None:
        self.schedule, self.mark, self.following = schedule, mark, following

    def factor(self, step: int, total_steps: int) -> float:
        factor = self.schedule.factor(step, total_steps)
        self.mark(self.following)
        return factor


class MeasuringDone(Exception):
    """The way out of the trainer in the middle of an epoch."""


class Stopwatch(Callback):
    """Measures the steps of a run: plain ones take turns with timed ones, so that both see the same machine.

    Every step is a real one. MeasuringDone ends the training when `seconds` are over and both kinds have been
    measured; the first step of each turn and the last, perhaps shorter one of an epoch are not.
    """

    def __init__(self, network: MLP, seconds: float = math.inf) -> None:
        self.plain: list[float] = []  # seconds of each step
        self.timed: list[Seconds] = []  # of the parts of each step
        self._marks: list[tuple[str, float]] = []
        self._readings: Counter[str] = Counter()  # of the clock in a step, by part
        self._network, self._plain_layers = network, network.modules
        layers: list[TimedLayer | TimedLinear] = []
        linear: list[TimedLinear] = []
        for layer in network.modules:
            if isinstance(layer, Linear):
                linear.append(TimedLinear(layer, len(linear) + 1, self._mark))
                layers.append(linear[-1])
            else:
                layers.append(TimedLayer(layer, len(linear), self._mark))
        linear[-1].after_forward, linear[0].after_backward = f"loss: {network.loss.name}", METRICS
        self._timed_layers = layers
        self._turn_ends = time.perf_counter()
        self._end = self._turn_ends + seconds
        # In this turn: are its steps timed, is the first one over, has one been kept?
        self._is_timed = self._settled = self._kept = False

    def _mark(self, part: str) -> None:
        self._marks.append((part, time.perf_counter()))

    def on_run_start(self, run: Run) -> None:
        update = f"optimizer: {run.optimizer.name}{' and weight average' if run.average else ''}"
        run.schedule = TimedSchedule(run.schedule, self._mark, update)  # type: ignore[assignment]
        self._settled = False  # the first step allocates
        self._begin_step()

    def on_batch_end(self, run: Run) -> None:
        now = time.perf_counter()
        short = run.steps_per_epoch > 1 and run.step % run.steps_per_epoch == 0  # or may be
        if self._settled and not short:
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

    def switch(self, timed: bool) -> None:
        """Let the next steps be timed ones or plain ones."""
        self._network.modules = [*self._timed_layers] if timed else self._plain_layers
        self._is_timed, self._settled, self._kept = timed, False, False

    def _begin_step(self) -> None:
        self._marks.clear()
        self._mark(BATCH)

    def _keep(self, now: float) -> None:
        self._kept = True
        if not self._is_timed:
            self.plain.append(now - self._marks[0][1])
            return
        step: Seconds = {}
        for (part, begin), (_, end) in itertools.pairwise([*self._marks, ("", now)]):
            step[part] = step.get(part, 0.0) + end - begin
        self._readings = Counter(part for part, _ in self._marks)
        self.timed.append(step)

    def parts(self) -> Seconds:
        """Seconds of the parts of a step, which sum to it."""
        return breakdown(self.plain, self.timed, self._readings)


def breakdown(plain: Sequence[float], timed: Sequence[Seconds], readings: Mapping[str, int]) -> Seconds:
    """The parts of a step, from the measured steps of both kinds, by medians.

    What timed steps take longer than plain ones is the clock's; each of the `readings` has the same share in it.
    Medians do not quite add up, so the parts are then scaled to the step.
    """
    step = median(plain)
    surplus = median(sum(s.values()) for s in timed) - step
    share = min(max(0.0, surplus / sum(readings.values())), MOST_PER_READING)
    parts = {part: max(0.0, median(s[part] for s in timed) - n * share) for part, n in readings.items()}
    if REST in parts:
        parts[REST] = parts.pop(REST)  # the last one
    scale = step / sum(parts.values())
    return {part: seconds * scale for part, seconds in parts.items()}
