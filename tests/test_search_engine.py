"""What a search runs, prunes, averages, refuses and shares: real command lines on the digits."""

import json
import math
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState
from runs import Ended, finish, fork, run, start, summary
from searches import DIRECTORY, SMALL, assert_complete, assert_whole, finished, states, trials

from hydra_trials.definition import Definition
from hydra_trials.queue import Queue
from hydra_trials.samplers import PRUNERS
from hydra_trials.space import Parameter, Space

RATES = ("search=random", "search/space=none", "optimizer.learning_rate=tag(log,interval(1e-4,1e-1))")


def overrides(trial: FrozenTrial) -> dict[str, str]:
    return dict(word.split("=", 1) for word in trial.user_attrs["overrides"])


# Trials that fail


def test_a_trial_that_fails_is_recorded_with_its_reason_and_the_others_run(tmp_path: Path) -> None:
    ended = run(tmp_path, *SMALL, "-o", "sgd", "-lr", "0.1,1e30", "-b", "64,32")
    found = assert_whole(tmp_path / DIRECTORY, 4)
    ends: dict[str, list[FrozenTrial]] = {}
    for trial in found:
        ends.setdefault(overrides(trial)["optimizer.learning_rate"], []).append(trial)
    assert {rate: states(two) for rate, two in ends.items()} == {"0.1": ["COMPLETE"] * 2, "1e+30": ["FAIL"] * 2}
    assert ended.err == ""
    assert "Traceback" not in ended.out
    rows = (tmp_path / DIRECTORY / "leaderboard.csv").read_text()
    for trial in ends["1e+30"]:
        reason = trial.user_attrs["reason"]
        assert reason.startswith("the training loss became ")
        assert f"trial {trial.number} failed: {reason}" in ended.out
        assert reason in rows


@pytest.mark.parametrize("rates", ["0.1,-1", "0.1,oops", "tag(log,interval(1e-3,oops))"])
def test_a_wrong_value_is_refused_before_anything_runs(tmp_path: Path, rates: str) -> None:
    ended = run(tmp_path, *SMALL, "-o", "sgd", f"optimizer.learning_rate={rates}", code=2)
    assert "-1" in ended.err or "oops" in ended.err
    assert not (tmp_path / DIRECTORY).exists()


REFUSED = {
    "search.objectives=[val_acuracy]": "did you mean 'val_accuracy'",
    "search.objectives=[val_accuracy,traning_seconds]": "did you mean 'training_seconds'",
    "search.seeds=2 seed=1,2": "leave out the sweep over seed",
    "search.dry_run=nope": "search.dry_run must be true or false",
    "training.batch_size=tag(log,range(1,5))": "a tag belongs to an interval",
    "model.num_layers=1,2 model.hidden_sizes=[8,8]": "at a point of the search: model.num_layers=1",
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_mistake_about_the_search_is_explained_before_it_begins(tmp_path: Path, words: str) -> None:
    ended = run(tmp_path, *SMALL, *words.split(), code=2)
    assert REFUSED[words] in ended.err
    assert not (tmp_path / DIRECTORY).exists()


def test_what_nobody_expected_fails_one_trial_and_the_others_run(tmp_path: Path) -> None:
    ended = run(tmp_path, *SMALL, "save.model_path=kept.npy,/dev/null/kept.npy")
    found = sorted(finished(tmp_path / DIRECTORY), key=lambda trial: trial.number)
    assert states(found) == ["COMPLETE", "FAIL"]
    assert "FileExistsError" in found[1].user_attrs["reason"]
    assert ended.err == ""
    assert (tmp_path / "kept.npy").exists()


# What is run


def test_seeds_are_runs_of_their_own_and_the_objective_is_their_mean(tmp_path: Path) -> None:
    run(tmp_path, *SMALL, "-lr", "0.01,0.02", "search.seeds=3", "-s", "5", "search.objectives=[val_loss]")
    trial_0, trial_1 = trials(tmp_path / DIRECTORY)
    for trial in (trial_0, trial_1):
        runs = [tmp_path / DIRECTORY / str(trial.number) / f"seed_{seed}" for seed in (5, 6, 7)]
        losses = [summary(directory)["val_loss"] for directory in runs]
        assert [yaml.safe_load((path / "config.yaml").read_text())["seed"] for path in runs] == [5, 6, 7]
        assert len(set(losses)) == 3
        assert trial.values == [pytest.approx(statistics.fmean(losses))]
        assert trial.user_attrs["val_loss_std"] == pytest.approx(statistics.stdev(losses))
        for directory in runs:
            assert_complete(directory, "completed")


@pytest.mark.parametrize(
    "pruner",
    [
        "median",
        *(pytest.param(name, marks=pytest.mark.slow) for name in PRUNERS if name not in ("none", "median")),
    ],
)
def test_pruning_ends_hopeless_trials_early_with_a_complete_directory(tmp_path: Path, pruner: str) -> None:
    line = (*SMALL, *RATES, "search.trials=12", f"search.pruner={pruner}", "-e", "9", "-b", "256")
    ended = run(tmp_path, *line)
    found = assert_whole(tmp_path / DIRECTORY, 12)
    pruned = [trial for trial in found if trial.state == TrialState.PRUNED]
    complete = [trial for trial in found if trial.state == TrialState.COMPLETE]
    assert pruned
    assert complete
    assert len(pruned) + len(complete) == 12
    for trial in pruned:
        facts = summary(tmp_path / DIRECTORY / str(trial.number))
        assert facts["epochs"] == max(trial.intermediate_values) < 9
        assert facts["reason"].startswith(f"pruned after epoch {facts['epochs']}")
        assert math.isfinite(facts["test_accuracy"])
        assert f"trial {trial.number} pruned" in ended.out
    assert all(max(trial.intermediate_values) == 9 for trial in complete)
    assert max(trial.values[0] for trial in complete) >= max(trial.values[0] for trial in pruned)


def test_several_objectives_give_a_front(tmp_path: Path) -> None:
    objectives = ["val_accuracy", "num_parameters"]
    ended = run(tmp_path, *SMALL, "model.hidden_sizes=2,8,32", f"search.objectives=[{','.join(objectives)}]")
    found = assert_whole(tmp_path / DIRECTORY, 3)
    for trial in found:
        facts = summary(tmp_path / DIRECTORY / str(trial.number))
        assert trial.values == [facts[name] for name in objectives]
    assert "Pareto front" in ended.out


@pytest.mark.parametrize("number", [8, pytest.param(30, marks=pytest.mark.slow)])
def test_the_space_of_the_assignment_gives_each_optimizer_its_own_coefficients(tmp_path: Path, number: int) -> None:
    own = {
        "momentum": {"momentum", "nag"},
        "beta": {"rmsprop"},
        "beta1": {"adam", "nadam"},
        "beta2": {"adam", "nadam"},
    }
    rates = {"sgd": (1e-2, 0.5), "momentum": (1e-3, 0.2), "nag": (1e-3, 0.2)}
    run(tmp_path, *SMALL[:3], "tracker=none", "search.name=s", "search=random", f"search.trials={number}")
    found = assert_whole(tmp_path / DIRECTORY, number)
    assert {trial.state for trial in found} <= {TrialState.COMPLETE, TrialState.FAIL}
    assert all("the training loss became" in t.user_attrs["reason"] for t in found if t.state == TrialState.FAIL)
    chosen = [overrides(trial) for trial in found]
    optimizers = {point["optimizer"] for point in chosen}
    assert optimizers <= {"sgd", "momentum", "nag", "rmsprop", "adam", "nadam"}
    assert len(optimizers) >= min(6, number // 3)
    for trial, point in zip(found, chosen, strict=True):
        for coefficient, owners in own.items():
            assert (f"optimizer.{coefficient}" in point) == (point["optimizer"] in owners)
        low, high = rates.get(point["optimizer"], (1e-4, 1e-2))
        assert low <= float(point["optimizer.learning_rate"]) <= high
        sizes = json.loads(point["model.hidden_sizes"])
        assert 1 <= len(sizes) <= 6
        assert set(sizes) <= {32, 64, 128}
        config = yaml.safe_load((tmp_path / DIRECTORY / str(trial.number) / "config.yaml").read_text())
        assert config["model"]["hidden_sizes"] == sizes
        assert config["optimizer"]["learning_rate"] == float(point["optimizer.learning_rate"])
    assert len({json.dumps(point) for point in chosen}) == number


@pytest.mark.slow
def test_quasi_random_points_vary_in_all_that_they_may(tmp_path: Path) -> None:
    line = ("search=quasi_random", "search/space=none", "search.trials=6", "-e", "1")
    run(tmp_path, *SMALL, *line, "activation=relu,tanh,sigmoid", "optimizer.learning_rate=interval(0.001,0.1)")
    chosen = [overrides(trial) for trial in assert_whole(tmp_path / DIRECTORY, 6)]
    assert len({point["activation"] for point in chosen}) > 1
    assert len({point["optimizer.learning_rate"] for point in chosen}) == 6


def test_workers_that_draw_at_the_same_moment_get_different_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Space([Parameter("optimizer.learning_rate", FloatDistribution(1e-3, 1e-1))], {})
    definition = Definition(
        name="s", space=space, fixed=(), sampler="quasi_random", trials=6, objectives=("val_accuracy",),
        directions=("maximize",), workers=2,
    )  # fmt: skip
    Queue.open(tmp_path, definition)
    write = JournalStorage.set_study_system_attr

    def slowly(*given: Any) -> None:  # between Optuna's look at the last point's number and its note of the new one
        time.sleep(0.1)
        write(*given)

    monkeypatch.setattr(JournalStorage, "set_study_system_attr", slowly)

    def worker() -> None:
        queue = Queue(tmp_path)
        while (trial := queue.ask(definition)) is not None:
            queue.suggest(trial, definition)
            queue.tell(trial, TrialState.COMPLETE, [0.5])

    children = [fork(worker) for _ in range(2)]
    assert [child() for child in children] == [0, 0]
    drawn = [trial.params["optimizer.learning_rate"] for trial in trials(tmp_path)]
    assert len(set(drawn)) == len(drawn) == 6


def test_a_point_that_two_machines_enqueued_and_one_let_go_waits_again(tmp_path: Path) -> None:
    definition = Definition("s", Space([]), (), "random", 2, ("val_accuracy",), ("maximize",))
    queue = Queue.open(tmp_path, definition)
    for point in (0, 1):
        queue.study.enqueue_trial({}, user_attrs={"point": point})
    queue._remove_duplicates()
    assert queue.ask(definition) is not None
    queue.release()
    waiting = [trial.user_attrs["point"] for trial in trials(tmp_path) if trial.state == TrialState.WAITING]
    assert sorted(waiting) == [0, 1]


def test_hyperband_knows_the_epochs_also_with_another_factor() -> None:
    definition = Definition("s", Space([]), (), "random", 3, ("val_accuracy",), ("maximize",), max_resource=9)
    for more, most in [({}, 9), ({"reduction_factor": 4}, 9), ({"max_resource": 5}, 5)]:
        pruner = replace(definition, pruner={**PRUNERS["hyperband"], **more} if more else "hyperband").make_pruner()
        assert vars(pruner)["_max_resource"] == most


@pytest.mark.slow
def test_workers_have_one_blas_thread_and_share_the_cache(tmp_path: Path) -> None:
    run(tmp_path, *SMALL, "-lr", "0.01,0.02", env=environment(tmp_path))
    for number in "01":
        facts = summary(tmp_path / DIRECTORY / number)
        assert facts["environment"]["blas_threads"] == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1


def environment(tmp_path: Path) -> dict[str, str]:
    threads = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    kept = {name: value for name, value in os.environ.items() if name not in threads}
    return {**kept, "MLP_CACHE_DIR": str(tmp_path / "cache")}


# The same search again, and another one


def test_two_identical_commands_at_once_share_the_trials(tmp_path: Path) -> None:
    line = (*SMALL, "-lr", "0.01,0.02,0.03,0.04,0.05,0.06", "-e", "5")
    ended = [finish(process) for process in [start(tmp_path, *line) for _ in range(2)]]
    assert [(e.code, e.err) for e in ended] == [(0, "")] * 2
    assert states(assert_whole(tmp_path / DIRECTORY, 6)) == ["COMPLETE"] * 6
    assert len(trials(tmp_path / DIRECTORY)) == 6


def refused(ended: Ended, *parts: str) -> None:
    assert ended.code == 2
    assert len([line for line in ended.err.splitlines() if line.startswith("Error: ")]) == 1
    assert "Traceback" not in ended.err
    for part in parts:
        assert part in ended.err


def test_a_search_that_goes_on_with_another_definition_is_refused_unless_that_is_accepted(tmp_path: Path) -> None:
    directory = tmp_path / DIRECTORY
    one = (*SMALL, "-e", "1", *RATES)
    run(tmp_path, *one, "search.trials=2")
    before = (directory / "journal.log").read_bytes()
    wider = (*one[:-1], "optimizer.learning_rate=tag(log,interval(1e-2,1))", "search.trials=4")
    refused(run(tmp_path, *wider, code=2), "optimizer.learning_rate was 0.0001 to 0.1", "search.on_mismatch=accept")
    refused(run(tmp_path, *one, "search.trials=4", "search.objectives=[val_loss]", code=2), "val_loss")
    assert len(finished(directory)) == 2
    run(tmp_path, *one, "search.trials=3")  # more of the same is no change
    run(tmp_path, *wider, "search.changed=accept")
    found = assert_whole(directory, 4)
    assert float(overrides(found[3])["optimizer.learning_rate"]) >= 1e-2
    assert (directory / "journal.log").read_bytes().startswith(before)
    run(tmp_path, *wider, "search.changed=accept", "search.objectives=[val_loss]")
    measured = [json.loads((directory / str(i) / "summary.json").read_text())["val_loss"] for i in range(4)]
    assert [trial.value for trial in assert_whole(directory, 4)] == measured


def test_a_changed_grid_runs_what_is_new(tmp_path: Path) -> None:
    directory = tmp_path / DIRECTORY
    one = (*SMALL, "-e", "1")
    run(tmp_path, *one, "training.batch_size=range(16,49,16)")
    run(tmp_path, *one, "training.batch_size=range(16,81,16)")
    found = assert_whole(directory, 5)
    assert [overrides(trial)["training.batch_size"] for trial in found] == ["16", "32", "48", "64", "80"]
    refused(run(tmp_path, *one, "training.batch_size=16,512", code=2), "batch_size was", "search.on_mismatch=accept")
    run(tmp_path, *one, "training.batch_size=16,512", "search.changed=accept")
    found = assert_whole(directory, 6)
    assert [overrides(trial)["training.batch_size"] for trial in found] == ["16", "32", "48", "64", "80", "512"]
