"""What a trial costs must not grow with the search: what is looked at, and what is left out."""

import random
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import event

from hydra_trials.compat import database
from hydra_trials.samplers import SAMPLERS
from hydra_trials.tpe import BEST, LATEST, RecentTPESampler, _Recent

SPACE = {"x": FloatDistribution(-1, 1)}
OPTIONS: Any = {key: value for key, value in SAMPLERS["tpe"].items() if key != "_target_"}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def study_of(trials: int, direction: str = "minimize") -> optuna.Study:
    """Trials whose values come in no order."""
    study, draw = optuna.create_study(direction=direction), random.Random(0)
    for x in (draw.uniform(-1, 1) for _ in range(trials)):
        study.add_trial(optuna.trial.create_trial(value=x, params={"x": x}, distributions=SPACE))
    return study


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("trials", [0, 30, BEST + LATEST])
def test_up_to_five_hundred_trials_tpe_draws_as_optuna_does(trials: int) -> None:
    drawn = []
    for cls in (TPESampler, RecentTPESampler):
        study = study_of(trials)
        study.sampler = cls(seed=1, **OPTIONS)
        drawn.append(study.ask().suggest_float("x", -1, 1))
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_later_it_sees_the_best_and_the_latest_in_their_order(direction: str) -> None:
    study = study_of(2000, direction)
    view, (*early,) = _Recent(study), study.trials[:-LATEST]
    found = view._get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    early.sort(key=lambda trial: trial.value, reverse=direction == "maximize")
    assert {t.number for t in found} == {t.number for t in [*early[:BEST], *study.trials[-LATEST:]]}
    assert [t.number for t in found] == sorted(t.number for t in found)
    running = study.ask()
    again = view._get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING))
    assert [t.number for t in again] == [*(t.number for t in found), running.number]


def test_where_few_are_completed_it_sees_the_best_of_the_others_too() -> None:
    study, create = optuna.create_study(), partial(optuna.trial.create_trial, params={"x": 0}, distributions=SPACE)
    study.add_trial(create(value=1))
    for step in range(BEST // 2):
        study.add_trial(create(state=TrialState.PRUNED, intermediate_values={step: 1}))
    for excess in range(BEST):
        study.add_trial(create(value=0, system_attrs={"constraints": [BEST - excess]}))
    study.add_trial(create(state=TrialState.RUNNING))
    for _ in range(LATEST):
        study.add_trial(create(value=2))
    running = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    found = [trial.number for trial in _Recent(study)._get_trials(deepcopy=False, states=running)]
    mildest = range(BEST + 2, BEST // 2 + BEST + 1)  # the last of those that break the constraint
    assert found == [*range(1 + BEST // 2), *mildest, *range(mildest.stop, len(study.trials))]


def test_more_random_trials_than_it_would_see_come_to_an_end() -> None:
    many, study = BEST + LATEST + 1, study_of(BEST + LATEST + 1)
    with warnings.catch_warnings(action="ignore"):
        study.sampler = RecentTPESampler(seed=1, n_startup_trials=many)
    drawn = [study.ask().suggest_float("x", -1, 1) for _ in range(5)]
    assert all(abs(x + 1) < 0.2 for x in drawn)  # TPE is at work


def _close(*storages: Any) -> None:
    """Their connections, which Python 3.13 complains of."""
    for storage in storages:
        storage.remove_session()
        storage.engine.dispose()


def test_a_database_is_seen_as_it_is_and_waiting_trials_are_read_once(tmp_path: Path) -> None:
    url, draw = f"sqlite:///{tmp_path}/study.db", random.Random(0)
    others = RDBStorage(url)
    other = optuna.create_study(storage=others, study_name="s")
    own = database(url)
    mine = optuna.load_study(study_name="s", storage=own)
    rows: list[int] = []
    event.listen(own.engine, "before_cursor_execute", lambda *a: rows.append(len(a[3] or ())))  # type: ignore[attr-defined]
    running: list[optuna.Trial] = []
    for _ in range(40):
        study = draw.choice([other, mine])
        action = draw.choice(["enqueue", "enqueue", "ask", "tell", "note"])
        if action == "enqueue":
            study.enqueue_trial({"x": draw.random()}, user_attrs={"point": draw.random()})
        elif action == "ask":
            running.append(study.ask())
            running[-1].suggest_float("x", -1, 1)
        elif running and action == "tell":
            other.tell(running.pop(draw.randrange(len(running))), draw.random())
        elif running:
            draw.choice(running).set_user_attr("note", draw.random())
        fresh = RDBStorage(url)
        assert mine.get_trials() == optuna.load_study(study_name="s", storage=fresh).get_trials()
        _close(fresh)
    for _ in range(100):
        other.enqueue_trial({})
    assert len(mine.get_trials()) == len(other.get_trials())
    rows.clear()
    mine.get_trials()
    assert max(rows) < 100  # no list of all that wait
    _close(others, own)
