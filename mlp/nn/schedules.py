"""Learning-rate schedules: a factor on the optimizer's learning rate, for every step of a run.

Add one: a class here and a file in `conf/schedule/`.
"""

import math
from abc import ABC, abstractmethod

from mlp.base.naming import Named
from mlp.nn import checks


class Schedule(Named, ABC):
    """`warmup` is the share of all steps over which the factor first rises linearly from near 0 to 1."""

    def __init__(self, warmup: float = 0.0) -> None:
        self.warmup = checks.number("warmup", warmup, ge=0, lt=1)

    def factor(self, step: int, total_steps: int) -> float:
        """The factor for step `step` (counted from 0) of `total_steps`."""
        warmup_steps = round(self.warmup * total_steps)
        if step < warmup_steps:
            return self.rise((step + 1) / (warmup_steps + 1))
        return self.shape((step - warmup_steps) / max(1, total_steps - warmup_steps))

    def rise(self, progress: float) -> float:
        """The factor during the warm-up, as a function of progress in (0, 1)."""
        return progress

    @abstractmethod
    def shape(self, progress: float) -> float:
        """The factor after the warm-up, as a function of progress in [0, 1)."""


class Constant(Schedule):
    """factor = 1."""

    def shape(self, progress: float) -> float:
        return 1.0


class Step(Schedule):
    """factor = gamma ^ k after k of `drops` drops, at equal distances."""

    def __init__(self, warmup: float = 0.0, gamma: float = 0.1, drops: int = 2) -> None:
        super().__init__(warmup)
        self.gamma = checks.number("gamma", gamma, gt=0, le=1)
        self.drops = checks.integer("drops", drops, ge=1)

    def shape(self, progress: float) -> float:
        rounding = 1e-9  # 15 / 22 * 22 is less than 15
        return float(self.gamma) ** math.floor(progress * (self.drops + 1) + rounding)


class Exponential(Schedule):
    """factor = final ^ progress."""

    def __init__(self, warmup: float = 0.0, final: float = 0.01) -> None:
        super().__init__(warmup)
        self.final = checks.number("final", final, gt=0, le=1)

    def shape(self, progress: float) -> float:
        return float(self.final**progress)


class Cosine(Schedule):
    """factor = final + (1 - final) (1 + cos(π progress)) / 2 (Loshchilov & Hutter 2017)."""

    def __init__(self, warmup: float = 0.0, final: float = 0.0) -> None:
        super().__init__(warmup)
        self.final = checks.number("final", final, ge=0, le=1)

    def shape(self, progress: float) -> float:
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2


class OneCycle(Schedule):
    """From `initial` to 1 and down to `final`, both along a cosine (Smith & Topin 2018).

    As in `torch.optim.lr_scheduler.OneCycleLR` with `cycle_momentum=False`: the momentum stays as it is.
    """

    def __init__(self, warmup: float = 0.3, initial: float = 0.04, final: float = 4e-6) -> None:
        super().__init__(warmup)
        self.initial = checks.number("initial", initial, gt=0, le=1)
        self.final = checks.number("final", final, ge=0, le=1)

    def rise(self, progress: float) -> float:
        return self.initial + (1 - self.initial) * (1 - math.cos(math.pi * progress)) / 2

    def shape(self, progress: float) -> float:
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2
