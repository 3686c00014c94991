"""Learning-rate schedules: the factor of every step, at points worked by hand."""

import math
from itertools import product

import numpy as np
import pytest
from recorded import arrays

from mlp.base.naming import subclasses
from mlp.nn import Constant, Cosine, Exponential, OneCycle, Schedule, Step


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        (Constant(), 0, 1.0),
        (Constant(), 99, 1.0),
        (Cosine(), 0, 1.0),
        (Cosine(), 25, 0.5 + math.sqrt(0.125)),
        (Cosine(), 50, 0.5),
        (Cosine(), 75, 0.5 - math.sqrt(0.125)),
        (Cosine(final=0.2), 0, 1.0),
        (Cosine(final=0.2), 50, 0.6),
        (Cosine(final=1.0), 50, 1.0),
        (Cosine(warmup=0.2), 20, 1.0),  # the shape begins where the warm-up ends
        (Cosine(warmup=0.2), 60, 0.5),
        (Cosine(warmup=0.2, final=0.5), 60, 0.75),
        (OneCycle(warmup=0.3, initial=0.2), 0, 0.2 + 0.4 * (1 - math.cos(math.pi / 31))),  # the first of 30
        (OneCycle(warmup=0.29, initial=0.2), 14, 0.6),  # half way up
        (OneCycle(warmup=0.3), 30, 1.0),
        (OneCycle(warmup=0.3, final=0.5), 65, 0.75),  # half way down
    ],
)
def test_factor_of_a_step_of_a_hundred(schedule: Schedule, step: int, expected: float) -> None:
    assert schedule.factor(step, 100) == pytest.approx(expected, rel=1e-12)


def test_cosine_ends_next_to_its_final_factor() -> None:
    assert Cosine(final=0.1).factor(999, 1000) == pytest.approx(0.1, abs=1e-5)


@pytest.mark.parametrize(
    "kind", [kind for kind in subclasses(Schedule) if kind is not OneCycle], ids=lambda k: k.name
)
def test_warmup_rises_linearly_to_one(kind: type[Schedule]) -> None:
    schedule = kind(warmup=0.04)
    assert [schedule.factor(step, 100) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0], rel=1e-12)


@pytest.mark.parametrize("kind", subclasses(Schedule), ids=lambda kind: kind.name)
def test_factors_of_short_runs_stay_above_zero_and_at_most_one(kind: type[Schedule]) -> None:
    for total, warmup in product([1, 2, 3, 7], [0.0, 0.3, 0.99]):
        factors = [kind(warmup=warmup).factor(step, total) for step in range(total)]
        assert all(0 < factor <= 1 for factor in factors), (total, warmup)


def test_one_cycle_has_the_curves_of_pytorch() -> None:
    """PyTorch's reach from the first step, 0, to the top, 11, and on to the last one, 39."""
    cycle, recorded = OneCycle(), arrays("schedules")["one_cycle"]
    curves = [cycle.rise(step / 11) if step < 11 else cycle.shape((step - 11) / 28) for step in range(40)]
    np.testing.assert_allclose(curves, recorded, rtol=1e-12)


@pytest.mark.parametrize("drops", [2, 3, 21, 99])
def test_steps_fall_at_the_step_and_not_one_later(drops: int) -> None:
    schedule, pieces = Step(gamma=0.5, drops=drops), drops + 1
    factors = [schedule.factor(step, 3 * pieces) for step in range(3 * pieces)]
    assert factors == [0.5**k for k in range(pieces) for _ in range(3)]


def test_steps_and_exponential_fall_as_worked_by_hand() -> None:
    steps = [Step(gamma=0.5, drops=3).factor(step, 8) for step in range(8)]
    assert steps == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    assert [Exponential(final=0.0001).factor(step, 4) for step in range(4)] == pytest.approx([1, 0.1, 0.01, 0.001])
