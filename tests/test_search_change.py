"""A search that goes on with something changed: what was measured counts for what it is, and for nothing else."""

import csv
import json
import shutil
import statistics
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial
from runs import run, summary
from searches import DIRECTORY, SMALL, assert_whole, finished, states, trials

from hydra_trials.migration import Migration, first_change
from hydra_trials.space import Space
from mlp.searches.hooks import MlpSearch

GRID = (*SMALL, "-e", "1", "-o", "sgd")
ACCEPT = "search.on_mismatch=accept"


@pytest.fixture(scope="module")
def two_rates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of two trials, for copies."""
    cwd = tmp_path_factory.mktemp("two")
    run(cwd, *GRID, "-lr", "0.1,0.2")
    return cwd


@pytest.fixture
def cwd(two_rates: Path, tmp_path: Path) -> Path:
    shutil.copytree(two_rates, tmp_path, dirs_exist_ok=True)
    return tmp_path


def board(cwd: Path) -> list[dict[str, str]]:
    with (cwd / DIRECTORY / "leaderboard.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def measured(cwd: Path, number: int, name: str) -> Any:
    return summary(cwd / DIRECTORY / str(number))[name]


def aside(cwd: Path) -> list[FrozenTrial]:
    return [trial for trial in trials(cwd / DIRECTORY) if trial.user_attrs.get("lost")]


# Another objective


@pytest.mark.parametrize("name", ["test_accuracy", "val_loss"])  # of the same direction, and of the other one
def test_trials_are_ranked_by_the_new_objective_with_the_numbers_of_their_summaries(cwd: Path, name: str) -> None:
    before = {number: (cwd / DIRECTORY / number / "summary.json").read_bytes() for number in "01"}
    ended = run(cwd, *GRID, "-lr", "0.1,0.2", f"search.objectives=[{name}]", ACCEPT)
    assert "nothing is left to run" in ended.out
    assert f'"study:metric_names":["{name}"]' in (cwd / DIRECTORY / "journal.log").read_text()
    assert [trial.value for trial in assert_whole(cwd / DIRECTORY, 2)] == [measured(cwd, i, name) for i in (0, 1)]
    rows = {row["trial"]: float(row[name]) for row in board(cwd)}
    assert rows == {str(i): measured(cwd, i, name) for i in (0, 1)}
    assert {number: (cwd / DIRECTORY / number / "summary.json").read_bytes() for number in "01"} == before


def test_a_trial_without_the_new_number_leaves_the_ranking_and_its_point_runs_again(cwd: Path) -> None:
    path = cwd / DIRECTORY / "0" / "summary.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "test_f1"}))
    run(cwd, *GRID, "-lr", "0.1,0.2", "search.objectives=[test_f1]", ACCEPT)
    first, second = assert_whole(cwd / DIRECTORY, 2)
    assert (first.number, second.number) == (2, 1)
    assert first.params == {"optimizer.learning_rate": 0.1}
    assert (first.value, second.value) == (measured(cwd, 2, "test_f1"), measured(cwd, 1, "test_f1"))
    (gone,) = aside(cwd)
    assert gone.number == 0
    (row,) = [row for row in board(cwd) if row["trial"] == "0"]
    assert (row["rank"], row["state"]) == ("", "lost")
    assert row["reason"] == "set aside: its runs have not recorded test_f1"


def test_the_mean_over_the_seeds_is_that_of_the_new_objective(tmp_path: Path) -> None:
    line = (*GRID, "-lr", "0.1", "search.seeds=2")
    run(tmp_path, *line)
    run(tmp_path, *line, "search.objectives=[val_loss]", ACCEPT)
    (trial,) = assert_one(tmp_path)
    runs = [summary(tmp_path / DIRECTORY / "0" / f"seed_{seed}")["val_loss"] for seed in (0, 1)]
    assert trial.value == statistics.fmean(runs)


def assert_one(cwd: Path) -> list[FrozenTrial]:
    found = finished(cwd / DIRECTORY)
    assert states(found) == ["COMPLETE"]
    return found


def test_a_trial_that_only_lacked_its_objective_counts_once_the_objective_is_one_that_it_has(cwd: Path) -> None:
    """As earlier versions left it: trained to its end, then failed, as val_accuracy did not exist."""
    directory = cwd / DIRECTORY
    before = json.loads((directory / "search.json").read_text())
    reason = "search.objectives: val_accuracy is no number of summary.json"
    trial = create_trial(state=TrialState.FAIL, user_attrs={"point": 0, "reason": reason})
    trial.number = 0
    now = SimpleNamespace(
        objectives=("test_accuracy",), seeds=1, retry_failed=False, space=Space([]), hooks=MlpSearch()
    )
    now.described = lambda: {**before, "objectives": ["test_accuracy"]}
    carried = Migration(directory, before, now).migrate(trial)  # type: ignore[arg-type]
    assert (carried.state, carried.values) == (TrialState.COMPLETE, [measured(cwd, 0, "test_accuracy")])
    assert carried.user_attrs == {"point": 0, "objectives": ["test_accuracy"]}


@pytest.mark.parametrize(
    ("state", "changed", "why"),
    [
        (TrialState.COMPLETE, {"seeds": 2}, "set aside: it was run with one seed, the search has 2 seeds"),
        (
            TrialState.PRUNED,
            {"objectives": ["test_accuracy"]},
            "set aside: it was pruned by another objective than test_accuracy",
        ),
        (TrialState.COMPLETE, {"objectives": ["test_accuracy"]}, ""),
        (TrialState.PRUNED, {}, ""),
    ],
)
def test_why_a_trial_counts_no_longer(cwd: Path, state: TrialState, changed: dict[str, Any], why: str) -> None:
    before = json.loads((cwd / DIRECTORY / "search.json").read_text())
    described = {**before, **changed}
    now = SimpleNamespace(
        objectives=tuple(described["objectives"]), seeds=described["seeds"], retry_failed=False, space=Space([])
    )
    now.hooks, now.described = MlpSearch(), lambda: described
    trial = create_trial(state=state, value=0.5, user_attrs={"point": 0})
    trial.number = 0
    assert Migration(cwd / DIRECTORY, before, now).reason(trial) == why  # type: ignore[arg-type]


# Other fixed values


def test_results_with_other_fixed_values_do_not_stand_for_the_new_ones(cwd: Path) -> None:
    ended = run(cwd, *GRID, "-lr", "0.1,0.2", "-b", "128", ACCEPT)
    found = assert_whole(cwd / DIRECTORY, 2)
    assert [trial.number for trial in found] == [2, 3]
    assert all("training.batch_size=128" in trial.user_attrs["overrides"] for trial in found)
    assert {row["trial"] for row in board(cwd) if row["rank"]} == {"2", "3"}
    assert "set aside: it was run with" in ended.out
    assert len(aside(cwd)) == 2


# The same search


def test_a_grid_gains_values_in_any_order_and_keeps_what_is_done(cwd: Path) -> None:
    before = {trial.number: trial.value for trial in finished(cwd / DIRECTORY)}
    run(cwd, *GRID, "-lr", "0.3,0.2,0.1")
    found = {trial.number: trial for trial in assert_whole(cwd / DIRECTORY, 3)}
    assert {number: trial.value for number, trial in found.items() if number < 2} == before
    assert [trial.params["optimizer.learning_rate"] for _, trial in sorted(found.items())] == [0.1, 0.2, 0.3]


def test_a_search_of_an_earlier_version_goes_on(cwd: Path) -> None:
    path = cwd / DIRECTORY / "search.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in facts.items() if k not in ("parameters", "study")}))
    ended = run(cwd, *GRID, "-lr", "0.1,0.2")
    assert "nothing is left to run" in ended.out
    assert json.loads(path.read_text()) == facts


def test_a_key_that_was_renamed_is_no_other_search(tmp_path: Path) -> None:
    run(tmp_path, *GRID, "-lr", "0.1", "training.max_grad_norm=1")
    facts = json.loads((tmp_path / DIRECTORY / "search.json").read_text())
    assert "training.clip_norm=1" in facts["fixed"]  # as in the records of earlier versions
    assert "nothing is left to run" in run(tmp_path, *GRID, "-lr", "0.1", "training.clip_norm=1").out


def test_the_trials_of_a_searched_key_that_was_renamed_count(tmp_path: Path) -> None:
    beta = "optimizer_options.beta1"
    line = (*SMALL, "-e", "1", "-o", "adam")
    run(tmp_path, *line, f"{beta}=0.8,0.9")
    for path in (tmp_path / DIRECTORY / name for name in ("search.json", "journal.log")):
        path.write_text(path.read_text().replace(beta, "coefficients.beta1"))  # as an earlier version wrote it
    assert "nothing is left to run" in run(tmp_path, *line, "coefficients.beta1=0.8,0.9").out
    run(tmp_path, *line, f"{beta}=0.7,0.8,0.9")
    found = {trial.number: trial.params for trial in assert_whole(tmp_path / DIRECTORY, 3)}
    assert [found[number] for number in range(3)] == [{beta: value} for value in (0.8, 0.9, 0.7)]
    assert sorted(row[beta] for row in board(tmp_path)) == ["0.7", "0.8", "0.9"]


def test_a_waiting_point_of_a_renamed_key_is_run_by_its_present_name() -> None:
    now = SimpleNamespace(hooks=MlpSearch(), space=Space([]), described=dict)
    trial = create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": {"coefficients.beta1": 0.8}})
    carried = Migration(Path(), {}, now).migrate(trial)  # type: ignore[arg-type]
    assert carried.system_attrs == {"fixed_params": {"optimizer_options.beta1": 0.8}}


def test_without_a_name_the_order_of_choices_is_no_other_search(tmp_path: Path) -> None:
    line = [word for word in GRID if word != "search.name=s"]
    said = [run(tmp_path, *line, "-lr", rates, "search.dry_run=true").out for rates in ("0.1,0.2", "0.2,0.1", "0.2")]
    first, second, other = (text.split()[1] for text in said)
    assert first == second != other


def test_prose_is_not_what_tells_two_searches_apart(cwd: Path) -> None:
    facts = json.loads((cwd / DIRECTORY / "search.json").read_text())
    assert not first_change({**facts, "space": dict.fromkeys(facts["space"], "said otherwise")}, facts)
    assert 300 < len(first_change({**facts, "sampler": "x" * 10**6}, facts)) < 400


def test_the_order_of_parameters_is_no_other_search_and_the_message_names_what_is(tmp_path: Path) -> None:
    line = (*SMALL, "-e", "1")
    run(tmp_path, *line, "-lr", "0.1,0.2", "-b", "64,128")
    assert "nothing is left to run" in run(tmp_path, *line, "training.batch_size=128,64", "-lr", "0.2,0.1").out
    said = run(tmp_path, *line, "-lr", "0.2,0.1", "-b", "64,128", "-o", "sgd,adam", code=2).err
    assert "(space: optimizer was not there, now sgd or adam)" in said


# Trials that failed


def test_failed_trials_run_again_when_that_is_asked_for(tmp_path: Path) -> None:
    line = (*GRID, "-lr", "0.1,1e30")
    run(tmp_path, *line)
    assert states(assert_whole(tmp_path / DIRECTORY, 2)) == ["COMPLETE", "FAIL"]
    assert "0 to run (1 done, 1 failed" in run(tmp_path, *line, "search.dry_run=true").out
    assert "1 to run (1 done)" in run(tmp_path, *line, "search.dry_run=true", "search.retry_failed=true").out
    assert "nothing is left to run" in run(tmp_path, *line).out
    run(tmp_path, *line, "search.retry_failed=true")
    found = assert_whole(tmp_path / DIRECTORY, 2)
    assert [(trial.number, trial.state.name) for trial in found] == [(0, "COMPLETE"), (2, "FAIL")]
    assert found[1].params == {"optimizer.learning_rate": 1e30}
    (row,) = [row for row in board(tmp_path) if row["trial"] == "1"]
    assert row["reason"].startswith("failed before: the training loss became ")


# What would be lost or ignored

REFUSED = {
    "+experiment=optimizer_showdown,transfer": "+experiment=optimizer_showdown brings sweeps",
    "dataset.validation_fraction=0,0.1 -lr 0.1": "there is no val_accuracy without validation data",
    "-o momentum optimizer.momentum=0.8,0.9 --momentum 0.5": "optimizer_options.momentum (--momentum) would replace",
    "activation=relu,tanh model.activations=[tanh]": "model.activations names the activation of each layer",
    "-lr 0.1,0.2 -msp best.npy": "best multirun_outputs/s --install --to FOLDER",
    "-lr 0.1 search.seeds=2 --config_save_path best.json": "save.config_path: each trial would replace the model",
    "search=tpe,random": "what a search is cannot be varied within a search",
    "hydra.sweep.subdir=x -lr 0.1,0.2": "hydra.sweep.subdir=x is not possible in a search",
    f"-lr 0.1,0.2 search.name={'a' * 101}": "at most 100 characters. Got 101",
    f"-lr 0.1,0.2 search.name={'é' * 60}": "at most 100 bytes. Got 120",
    "-lr 0.1,0.2 search.objectives=[val_loss,val_loss]": "names val_loss twice",
    "-lr 0.1,0.2 search.objectives=[accuracy]": "search.objectives",
    "optimizer.learning_rate=interval(0.1,0.2)": "a grid cannot enumerate optimizer.learning_rate=0.1 to 0.2",
    "-lr 0.1,0.2 search.storage=3": "search.storage must be a URL of Optuna, or null. Got 3",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_a_search_cannot_give_is_refused_before_it_begins(tmp_path: Path, words: str) -> None:
    ended = run(tmp_path, *SMALL, *words.split(), code=2)
    assert REFUSED[words] in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "multirun_outputs").exists()


def test_a_dataset_that_is_not_there_is_said_once_and_no_trial_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HOME", "KERAS_HOME", "MLP_CACHE_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "empty"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    ended = run(tmp_path, *SMALL, "dataset=digits,cifar10", code=2)
    assert f"\nError: cifar10 is not in {tmp_path / 'empty'}" in ended.err
    assert "(at a point of the search: dataset=cifar10" in ended.err
    assert not (tmp_path / "multirun_outputs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "-lr 0.1 -msp a.npy",  # the only trial
        "-lr 0.1,0.2 save.model_path=a.npy,b.npy",
        "-lr 0.1,0.2 save.model_path=${optimizer.learning_rate}.npy",
    ],
)
def test_a_model_that_no_other_trial_replaces_may_be_saved(tmp_path: Path, words: str) -> None:
    assert "to run (0 done)" in run(tmp_path, *GRID, *words.split(), "search.dry_run=true").out


def test_a_list_of_activations_leaves_none_to_a_space_of_a_file(tmp_path: Path) -> None:
    words = ("-m", "-d", "digits", "search=tpe", "-sz", "8", "16", "-a", "tanh", "relu", "search.dry_run=true")
    out = run(tmp_path, *words).out
    assert "  init: random or xavier\n" in out
    assert "activation:" not in out


def test_an_identity_of_one_run_is_not_given_to_all_trials(tmp_path: Path) -> None:
    line = (*GRID, "-lr", "0.1,0.2", "search.dry_run=true")
    ended = run(tmp_path, *line, env={"WANDB_RUN_ID": "abc", "PATH": "/usr/bin:/bin"})
    assert ended.err == "Note: WANDB_RUN_ID is ignored in a search: each trial is a run of its own.\n"
