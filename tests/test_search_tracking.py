"""Every trial of a search is a run of W&B, in the search's group and with the state it ended in."""

from pathlib import Path

import pytest
import runs
import wandb_file

STATES = {"0": ("completed", 0, 4), "1": ("pruned", 0, 1), "2": ("diverged", 3, 0)}  # exit code, epochs


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search with a good trial, a hopeless one, and one whose loss becomes infinite."""
    place = tmp_path_factory.mktemp("place")
    runs.run(
        place, "-m", "-d", "digits", "-e", "4", "-o", "sgd", "-lr", "0.5,1e-6,1e30", "-wp", "studies",
        "search.name=three", "search.workers=1", "search.pruner=successive_halving",
    )  # fmt: skip
    return place / "multirun_outputs" / "three"


def content(search: Path, trial: str) -> wandb_file.WandbFile:
    (file,) = wandb_file.find(search / trial)
    return wandb_file.read(file)


def test_all_trials_are_in_the_group_of_the_search(search: Path) -> None:
    labels = {trial: content(search, trial).run for trial in STATES}
    assert {(run.project, run.run_group, run.job_type) for run in labels.values()} == {("studies", "three", "train")}
    assert {trial: run.display_name for trial, run in labels.items()} == {trial: f"three/{trial}" for trial in STATES}
    assert len({run.run_id for run in labels.values()}) == 3


@pytest.mark.parametrize("trial", STATES)
def test_its_state_its_exit_code_and_its_epochs_are_there(search: Path, trial: str) -> None:
    state, code, epochs = STATES[trial]
    kept = content(search, trial)
    assert kept.summary["status"] == state == runs.summary(search / trial)["status"]
    assert kept.exit_code == code
    assert [row["epoch"] for row in kept.rows("val_accuracy")] == list(range(1, epochs + 1))


def test_a_pruned_trial_says_why_and_keeps_its_scores(search: Path) -> None:
    summary = content(search, "1").summary
    assert summary["reason"].startswith("pruned after epoch 1: val_accuracy")
    assert summary["test_accuracy"] == runs.summary(search / "1")["test_accuracy"]


def test_what_was_varied_can_be_compared(search: Path) -> None:
    rates = [content(search, trial).config["optimizer"]["learning_rate"] for trial in STATES]
    assert rates == [0.5, 1e-6, 1e30]
