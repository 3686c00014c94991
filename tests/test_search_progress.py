"""How long a search still takes, from how long its trials took."""

from datetime import datetime, timedelta

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from mlp.search.progress import time_left

NOW = datetime(2026, 1, 31, 12)


def ended(seconds: float) -> FrozenTrial:
    return create_trial(value=0.5, user_attrs={"seconds": seconds})


def running(seconds: float) -> FrozenTrial:
    trial = create_trial(state=TrialState.RUNNING)
    trial.datetime_start = NOW - timedelta(seconds=seconds)
    return trial


@pytest.mark.parametrize(
    ("trials", "waiting", "workers", "expected"),
    [
        ([running(5), running(5)], 8, 2, 0),  # nothing has ended: nobody knows
        ([ended(10), running(4)], 0, 2, 6),
        ([ended(10), running(0), running(10)], 8, 2, 50),  # two at a time, one of them about to end
        ([ended(10), ended(30), running(5)], 0, 4, 15),
        ([ended(10), running(25)], 3, 1, 30),  # it takes longer than the mean
        ([ended(10), running(1), running(2), running(3)], 0, 1, 9),  # other machines work at it too
    ],
)
def test_time_left(trials: list[FrozenTrial], waiting: int, workers: int, expected: float) -> None:
    assert time_left(trials, waiting, workers, NOW) == pytest.approx(expected)


def test_it_never_climbs_while_nothing_ends() -> None:
    trials = [ended(10), running(3), running(0)]
    times = [time_left(trials, 7, 2, NOW + timedelta(seconds=after)) for after in range(60)]
    assert times == sorted(times, reverse=True)
    assert times[0] - times[5] == pytest.approx(5)
