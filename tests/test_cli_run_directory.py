"""A run leaves one directory of its own, with everything in it that the next reader needs, and nothing elsewhere."""

import csv
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import runs
import yaml
from conftest import ROOT, Command

COMMAND = (
    *("-d", "digits", "-e", "3", "-sz", "24", "12", "-o", "nadam", "-wd", "1e-4", "-s", "5", "-wp", "it's mine, 1"),
    *("-msp", "copies/model,1.npy", "--config_save_path", "copies/"),
)
FILES = {
    *("config.yaml", "overrides.yaml", "train.log", "metrics.csv", "best_model.npy", "best_config.json"),
    *("checkpoint.npz", "predictions.npz", "summary.json", "plots", "wandb", "wandb_id.txt"),
}
PLOTS = {
    "curves.png",
    "confusion_counts.png",
    "confusion_normalised.png",
    "per_class.png",
    "reliability.png",
    "samples.png",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which COMMAND was run, and nothing else."""
    place = tmp_path_factory.mktemp("place")
    runs.run(place, *COMMAND, "plots=null")
    return place


@pytest.fixture(scope="module")
def directory(place: Path) -> Path:
    """The run directory."""
    (summary,) = place.glob("outputs/*/*/summary.json")
    return summary.parent


@pytest.fixture(scope="module")
def rows(directory: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv."""
    with (directory / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def strict_json(path: Path) -> dict:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in {path}")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_everything_is_there_and_nothing_else(directory: Path) -> None:
    assert {path.name for path in directory.iterdir()} == FILES
    assert {path.name for path in (directory / "plots").iterdir()} == PLOTS
    for path in (directory / "plots").iterdir():
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_nothing_is_written_outside_but_the_copies_asked_for(place: Path, directory: Path) -> None:
    outside = {path for path in place.rglob("*") if path.is_file() and not path.is_relative_to(directory)}
    model, config = place / "copies/model,1.npy", place / "copies/best_config.json"
    assert outside == {model, config}
    assert model.read_bytes() == (directory / "best_model.npy").read_bytes()
    assert config.read_bytes() == (directory / "best_config.json").read_bytes()


def test_configuration_repeats_the_run(directory: Path, tmp_path: Path) -> None:
    """overrides.yaml is a command line: given to train.py it composes the same configuration and weights."""
    overrides = yaml.safe_load((directory / "overrides.yaml").read_text())
    assert "dataset=digits" in overrides
    again = tmp_path / "again"
    runs.run(tmp_path, *overrides, "hydra.run.dir=again", "tracker.mode=disabled")
    first, second = (yaml.safe_load((path / "config.yaml").read_text()) for path in (directory, again))
    assert first["tracker"]["project"] == "it's mine, 1"
    assert first == second | {"tracker": second["tracker"] | {"mode": "auto"}}
    assert first["optimizer"]["_target_"] == "mlp.nn.Nadam"
    assert (first["seed"], first["model"]["hidden_sizes"]) == (5, [24, 12])
    runs.assert_same_bits(runs.best_model(again), runs.best_model(directory))


def test_metrics_have_a_row_of_numbers_per_epoch(rows: list[dict[str, str]]) -> None:
    columns = "epoch step learning_rate train_loss train_accuracy train_f1 val_loss val_accuracy val_f1 seconds"
    assert {*columns.split(), "grad_norm", "grad_norm_1", "grad_norm_2", "grad_norm_3"} <= rows[0].keys()
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [int(row["step"]) for row in rows] == [math.ceil(1294 / 64) * epoch for epoch in (1, 2, 3)]
    for row in rows:
        numbers = {name: float(cell) for name, cell in row.items()}
        assert all(math.isfinite(number) for number in numbers.values())
        assert all(0 <= numbers[name] <= 1 for name in numbers if "accuracy" in name or "f1" in name)


def test_summary_is_strict_json_and_says_how_it_went(directory: Path, rows: list[dict[str, str]]) -> None:
    summary = strict_json(directory / "summary.json")
    assert (summary["status"], summary["epochs"], summary["dataset"]) == ("completed", 3, "digits")
    assert 0 < summary["training_seconds"] <= summary["total_seconds"]
    assert set(summary["timing"]) == {"data", "start", "training", "validation", "callbacks", "evaluation"}
    assert 0 < sum(summary["timing"].values()) <= summary["total_seconds"] + 0.01
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", summary["started"])
    environment = summary["environment"]
    assert environment["numpy"] == np.__version__
    assert environment["cores"] >= 1
    assert environment["git"] is None or re.fullmatch(r"[0-9a-f]{40}(\+changes)?", environment["git"])
    best = max(rows, key=lambda row: float(row["val_f1"]))
    assert summary["best_epoch"] == int(best["epoch"])
    assert summary["best_value"] == summary["val_f1"] == float(best["val_f1"])


def test_test_scores_are_those_of_the_saved_predictions(directory: Path) -> None:
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    summary = strict_json(directory / "summary.json")
    with np.load(directory / "predictions.npz") as file:
        y_true, y_pred = file["y_true"], file["y_pred"]
    assert len(y_true) == 359
    precision, recall, f1, _ = precision_recall_fscore_support(y_true, y_pred, average="macro", zero_division=0)
    expected = {"accuracy": accuracy_score(y_true, y_pred), "precision": precision, "recall": recall, "f1": f1}
    for name, score in expected.items():
        assert summary[f"test_{name}"] == pytest.approx(score, abs=1e-12)


def test_best_config_has_the_names_of_the_flags(directory: Path) -> None:
    config = strict_json(directory / "best_config.json")
    expected = {
        "dataset": "digits", "hidden_size": [24, 12], "num_layers": 2, "activation": "relu", "weight_init": "xavier",
        "loss": "cross_entropy", "optimizer": "nadam", "learning_rate": 0.002, "weight_decay": 1e-4, "batch_size": 64,
        "epochs": 3, "seed": 5, "schedule": "constant", "normalization": "none", "label_smoothing": 0.0,
        "dropout": 0.0, "ema_decay": None, "max_grad_norm": None, "class_weight": None, "augment": {},
    }  # fmt: skip
    assert {name: config[name] for name in expected} == expected
    summary = strict_json(directory / "summary.json")
    assert {k: config[k] for k in ("test_f1", "test_accuracy", "val_f1")} == {
        k: summary[k] for k in ("test_f1", "test_accuracy", "val_f1")
    }
    assert config["input_scaling"] == {"divide_by": 16}


def test_best_config_names_the_whole_recipe(tmp_path: Path) -> None:
    runs.run(tmp_path, "-d", "digits", "-e", "1", "normalization=batch_norm", "augment=shift",
             "training.ema_decay=0.9", "training.max_grad_norm=2", "model.dropout=0.1", "loss.label_smoothing=0.2",
             "schedule=cosine", "schedule.warmup=0.05", "training.class_weight={3: 2}", "tracker=none",
             "hydra.run.dir=made")  # fmt: skip
    config = strict_json(tmp_path / "made/best_config.json")
    shift = yaml.safe_load((ROOT / "conf/augment/shift.yaml").read_text())
    expected = {
        "normalization": "batch_norm", "augment": {k: v for k, v in shift.items() if k != "_target_" and v},
        "ema_decay": 0.9, "max_grad_norm": 2, "dropout": 0.1, "label_smoothing": 0.2, "schedule": "cosine",
        "warmup": 0.05, "class_weight": {"3": 2},
    }  # fmt: skip
    assert {name: config[name] for name in expected} == expected


def test_best_model_is_the_dictionary_that_graders_read(directory: Path) -> None:
    weights = np.load(directory / "best_model.npy", allow_pickle=True).item()
    assert {name: array.shape for name, array in weights.items()} == {
        "W0": (64, 24), "b0": (24,), "W1": (24, 12), "b1": (12,), "W2": (12, 10), "b2": (10,),
    }  # fmt: skip


def test_log_holds_what_was_said(directory: Path) -> None:
    lines = (directory / "train.log").read_text().splitlines()
    for said in ("1,294 training and 144 validation", "epoch 3/3", "Test accuracy"):
        assert any(said in line and line.startswith("20") for line in lines)


def test_runs_started_in_the_same_second_have_their_own_directories(tmp_path: Path) -> None:
    line = "-d digits -e 1 --no_wandb -s"
    processes = [runs.start(tmp_path, *line.split(), str(seed)) for seed in (0, 1)]
    assert [runs.finish(process).code for process in processes] == [0, 0]
    paths = list(tmp_path.glob("outputs/*/*/config.yaml"))
    assert sorted(yaml.safe_load(path.read_text())["seed"] for path in paths) == [0, 1]
    names = [re.fullmatch(r"\d\d-\d\d-\d\d-([0-9a-f]{6})", path.parent.name) for path in paths]
    assert len({name[1] for name in names if name}) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("-d digits -e 1 --no_wandb hydra.run.dir={}", "already holds a run"),
        ("-d digits -e 1 --no_wandb hydra.run.dir={} resume=null", "already holds a run"),
        ("-d digits -e 1 --no_wandb hydra.run.dir={} resume=", "resume"),
        ("resume={} optimizer=sgd", "optimizer=sgd"),
        ("resume={} -lr 0.1", "optimizer.learning_rate=0.1"),
        ("resume={} seed=1", "seed=1"),
        ("resume={} -e abc", "training.epochs"),
        ("-m resume={} -e 4", "resume"),
    ],
)
def test_existing_run_is_not_touched_by_what_is_refused(
    directory: Path, tmp_path: Path, arguments: str, said: str
) -> None:
    shutil.copytree(directory, tmp_path / "old")
    before = {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()}
    ended = runs.run(tmp_path, *arguments.format(tmp_path / "old").split(), code=2)
    assert said in ended.err
    assert {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()} == before


def test_run_names_the_directory_it_wrote(train: Command, tmp_path: Path) -> None:
    result = train("-d", "digits", "-e", "1", "--no_wandb", "hydra.run.dir=deep/er", check=True)
    named = re.search(r"Run directory: (\S+)", result.stdout)
    assert named
    assert (tmp_path / named[1] / "summary.json").is_file()
    assert not (ROOT / "deep").exists()


def test_overrides_are_kept_as_they_were_given(train: Command, tmp_path: Path) -> None:
    train("-d", "digits", "-e", "1", "--no_wandb", "seed=${training.epochs}", "hydra.run.dir=run", check=True)
    assert "seed=${training.epochs}" in yaml.safe_load((tmp_path / "run/overrides.yaml").read_text())
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["seed"] == 1


def test_a_run_with_composed_augmentations_names_their_strengths_and_is_resumed(tmp_path: Path) -> None:
    words = ("-d", "digits", "-e", "1", "augment=[rotation,erasing]", "tracker=none", "plots=false")
    runs.run(tmp_path, *words, "hydra.run.dir=made")
    runs.run(tmp_path, "resume=made", "training.epochs=2", "plots=false")
    steps = {"rotation": {"rotation": 0.2, "erase_size": 12}, "erasing": {"erase": 0.5, "erase_size": 12}}
    config = strict_json(tmp_path / "made/best_config.json")
    assert (config["augment"], config["epochs"]) == ({"steps": steps}, 2)
