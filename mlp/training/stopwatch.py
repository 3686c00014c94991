"""A stopwatch around the parts of a training step, put on and taken off from outside while the trainer trains."""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from mlp.nn import MLP, Optimizer, Schedule
from mlp.nn.layers import Dense
from mlp.nn.types import Array
from mlp.training.callbacks import Callback
from mlp.training.run import Run

MOST_PER_READING = 1e-6  # seconds that noting the time can cost; where steps are long, more is their own variation
KINDS = ("plain", "parts", "products")
BATCH, METRICS, REST = "batch: gather and scale", "training metrics", "Python between the parts"
TURN = 0.02  # seconds: long beside the switch, short beside what else the machine does

Seconds = dict[str, float]


class TimeIsUp(Exception):
    """All is measured: the way out of the trainer in the middle of an epoch."""


class Stopwatch(Callback):
    """Measures the steps of a run in three kinds that take turns, so that all see the same state of the machine:

    plain      nothing is wrapped: the step as it is
    parts      methods note the time when they begin and when they end
    products   each matrix product is done once more, and timed, just before the layer does it, with the layer's
               arrays as the step has left them in the caches; the layer then writes the same numbers again

    Every step is a real one. TimeIsUp ends the training when `seconds` are over and every kind has been measured; the
    first `warm_up` seconds, the first step of each turn and the last, perhaps shorter one of an epoch are not.
    """

    def __init__(
        self,
        network: MLP,
        optimizer: Optimizer,
        schedule: Schedule,
        seconds: float = math.inf,
        warm_up: float = 0.0,
    ) -> None:
        self.steps: dict[str, list[Seconds]] = {kind: [] for kind in KINDS}
        self.names = [BATCH]
        self._intervals: dict[str, int] = {}  # of each part, between two readings of the clock
        self._products_in: dict[str, list[str]] = {}  # the part whose method computes them: products
        self._wrapped: dict[str, list[tuple[Any, str, Callable[..., Any]]]] = {kind: [] for kind in KINDS}
        self._notes: list[tuple[str, float]] = []
        self._wrap(network, optimizer, schedule)
        now = time.perf_counter()
        self._warm_until, self._end = now + warm_up, now + seconds
        self._turns = itertools.cycle(self.steps)
        self._kind, self._turn_ends = next(self._turns), now
        self._settled = self._kept = False  # in this turn: is the first step over, has one been measured

    def _wrap(self, network: MLP, optimizer: Optimizer, schedule: Schedule) -> None:
        """Make the wrappers, and `names`: the parts in the order in which a step goes through them."""
        parts = self._wrapped["parts"]
        forward: list[str] = []
        backward: list[str] = []
        for i, layer in enumerate(network.layers, 1):
            own = f"layer {i} forward: "
            names = [f"{own}product X W", f"{own}bias"]
            parts.append((layer, "forward", self._noting(layer.forward, names[1], REST)))
            forward += names
            back = f"layer {i} backward: "
            back_names = [f"{back}weight gradient Xᵀ D", f"{back}input gradient D Wᵀ", f"{back}bias gradient"]
            parts.append((layer, "backward", self._noting(layer.backward, back_names[2], REST)))
            self._wrapped["products"] += [
                (layer, "forward", self._multiplying_forward(layer, names[0])),
                (layer, "backward", self._multiplying_backward(layer, *back_names[:2])),
            ]
            if i == 1:
                del back_names[1]  # nobody asks for the gradient of the pixels
            self._products_in |= {names[1]: names[:1], back_names[-1]: back_names[:-1]}
            if layer.activation is not None:
                layer.activation = f = copy.copy(layer.activation)  # layers may share one
                forward.append(f"{own}{f.name}")
                back_names.insert(0, f"{back}{f.name} derivative")
                parts += [
                    (f, "forward", self._noting(f.forward, forward[-1], names[1])),
                    (f, "backward", self._noting(f.backward, back_names[0], REST)),
                ]
            backward = back_names + backward
        loss, update = f"loss: {network.loss.name}", f"optimizer: {optimizer.name}"
        self.names += [*forward, loss, *backward, METRICS, update]
        parts += [
            (network, "loss_and_gradients", self._noting(network.loss_and_gradients, REST, METRICS)),
            (network.loss, "value_and_gradient", self._noting(network.loss.value_and_gradient, loss, REST)),
            # What the trainer does between the gradients and the learning rate of the step are its metrics.
            (schedule, "factor", self._noting(schedule.factor, REST, REST)),
            (optimizer, "step", self._noting(optimizer.step, update, REST)),
        ]

    def _noting(self, method: Callable[..., Any], during: str, after: str) -> Callable[..., Any]:
        """`method`, which also notes when `during` begins, and when it ends and `after` begins."""
        notes, clock = self._notes, time.perf_counter

        def noting(*arguments: Any) -> Any:
            notes.append((during, clock()))
            result = method(*arguments)
            notes.append((after, clock()))
            return result

        return noting

    def _multiply(self, name: str, left: Array, right: Array, out: Array) -> None:
        started = time.perf_counter()
        np.matmul(left, right, out=out)
        self._notes.append((name, time.perf_counter() - started))

    def _multiplying_forward(self, layer: Dense, name: str) -> Callable[..., Any]:
        method = layer.forward

        def forward(X: Array, Z: Array, *others: Any) -> Any:
            self._multiply(name, X, layer.W, Z)
            return method(X, Z, *others)

        return forward

    def _multiplying_backward(self, layer: Dense, of_weights: str, of_input: str) -> Callable[..., Any]:
        method = layer.backward

        def backward(D: Array, X: Array, D_in: Array | None, *others: Any) -> Any:
            self._multiply(of_weights, X.T, D, layer.grad_W)
            if D_in is not None:
                self._multiply(of_input, D, layer.W.T, D_in)
            return method(D, X, D_in, *others)

        return backward

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
            if now > self._end and all(self.steps.values()):
                self._switch("plain")
                raise TimeIsUp
            self._switch(next(self._turns))
            self._turn_ends = now + TURN
        self._begin_step()

    def on_epoch_end(self, run: Run) -> None:
        self._begin_step()  # what came between the epochs is no part of it

    def _begin_step(self) -> None:
        self._notes.clear()
        self._notes.append((BATCH, time.perf_counter()))

    def _keep(self, now: float) -> None:
        (_, started), *products = self._notes
        step: Seconds = {}
        if self._kind == "plain":
            step["step"] = now - started
        elif self._kind == "products":
            step |= products
        else:
            for (part, begin), (_, end) in itertools.pairwise([*self._notes, ("", now)]):
                step[part] = step.get(part, 0.0) + end - begin
            self._intervals = Counter(part for part, _ in self._notes)
        self.steps[self._kind].append(step)
        self._kept = True

    def _switch(self, kind: str) -> None:
        for owner, method, _ in self._wrapped[self._kind]:
            delattr(owner, method)  # the class's own comes to light again
        for owner, method, wrapper in self._wrapped[kind]:
            setattr(owner, method, wrapper)
        self._kind, self._settled, self._kept = kind, False, False

    def breakdown(self) -> Breakdown:
        """What the steps so far say."""
        measured = Breakdown.of(self.steps, self._intervals, self._products_in, clock_latency())
        return Breakdown(
            measured.step, {n: measured.parts.get(n, 0.0) for n in [*self.names, REST]}, measured.products
        )


@dataclass(frozen=True)
class Breakdown:
    """Seconds of a step, of its parts, which sum to it, and of its matrix products, which are among the parts."""

    step: float
    parts: Seconds
    products: float

    @classmethod
    def of(
        cls,
        steps: Mapping[str, Sequence[Seconds]],
        intervals: Mapping[str, int],
        products_in: Mapping[str, Sequence[str]],
        latency: float = 0.0,
    ) -> Breakdown:
        """From the measured `steps` of each kind, by medians.

        What steps with wrappers take longer than plain ones is the stopwatch's own; each of the `intervals` has
        the same share in it. Medians do not quite add up, so the parts are then scaled to the step.
        `products_in` names the products that are timed alone and done within a part.
        """
        step = median(s["step"] for s in steps["plain"]) - latency
        surplus = median(sum(s.values()) for s in steps["parts"]) - step
        share = min(max(0.0, surplus / sum(intervals.values())), MOST_PER_READING)
        parts = {name: max(0.0, _median(steps["parts"], name) - n * share) for name, n in intervals.items()}
        scale = step / sum(parts.values())
        parts = {name: seconds * scale for name, seconds in parts.items()}
        products = 0.0
        for name, inner in products_in.items():
            alone = {product: max(0.0, _median(steps["products"], product) - latency) for product in inner}
            total = sum(alone.values())
            fits = min(1.0, parts[name] / total) if total else 1.0  # where noise says that it takes longer alone
            parts |= {product: seconds * fits for product, seconds in alone.items()}
            parts[name] -= total * fits
            products += total * fits
        return cls(step, parts, products)


def _median(steps: Sequence[Seconds], name: str) -> float:
    return median(step[name] for step in steps)


def clock_latency() -> float:
    """What the clock itself adds to the time between two readings."""
    readings = [time.perf_counter() for _ in range(1000)]
    return median(b - a for a, b in itertools.pairwise(readings))
