"""A run goes on with its own data and no others, wherever they lie."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Command

RUN = ("-d", "npz", "dataset.path=mine.npz", "-sz", "8", "--no_wandb", "hydra.run.dir=run")


@pytest.fixture
def arrays(tmp_path: Path) -> dict[str, np.ndarray]:
    """Of tmp_path/mine.npz, on which a run has trained for an epoch."""
    x, y = np.random.default_rng(0).integers(0, 256, (120, 6, 6), dtype=np.uint8), np.arange(120) % 3
    arrays = {"x_train": x[:90], "y_train": y[:90], "x_test": x[90:], "y_test": y[90:]}
    np.savez(tmp_path / "mine.npz", **arrays)
    return arrays


def losses(directory: Path) -> list[str]:
    return [line.split(",")[3] for line in (directory / "metrics.csv").read_text().splitlines()]


@pytest.mark.parametrize("key", ["x_train", "y_train", "x_test", "y_test"])
def test_changed_data_are_refused(tmp_path: Path, train: Command, arrays: dict[str, np.ndarray], key: str) -> None:
    train(*RUN, "-e", "1", check=True)
    before = {
        path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.suffix in (".npz", ".csv")
    }
    arrays[key] = arrays[key].copy()
    arrays[key][0], arrays[key][1] = arrays[key][1].copy(), arrays[key][0].copy()
    np.savez(tmp_path / "mine.npz", **arrays)
    refused = train("resume=run", "-e", "2")
    assert refused.returncode == 2
    assert refused.stderr.startswith("Error: the data changed since ")
    assert f"(SHA-256 of {key.partition('_')[2]} " in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert {name: (tmp_path / "run" / name).read_bytes() for name in before} == before


@pytest.mark.usefixtures("arrays")
def test_data_of_other_sizes_are_called_changed_data(tmp_path: Path, train: Command) -> None:
    train(*RUN, "-e", "1", check=True)
    x, y = np.zeros((20, 3)), np.arange(20) % 5
    np.savez(tmp_path / "mine.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    refused = train("resume=run", "-e", "2")
    assert refused.returncode == 2
    assert refused.stderr.startswith("Error: the data changed since ")


@pytest.mark.usefixtures("arrays")
def test_a_run_goes_on_with_a_moved_file_and_remembers_it(tmp_path: Path, train: Command) -> None:
    train(*RUN, "-e", "1", check=True)
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "mine.npz", tmp_path / "elsewhere" / "same.npz")
    missing = train("resume=run", "-e", "2")
    assert missing.returncode == 2
    assert "mine.npz does not exist" in missing.stderr
    train("resume=run", "-d", "npz", "dataset.path=elsewhere/same.npz", "-e", "2", check=True)
    train("resume=run", "-e", "3", check=True)
    other = train("resume=run", "-d", "digits", "-e", "4")
    assert other.returncode == 2
    assert "dataset=digits cannot be combined with resume" in other.stderr
    shutil.copy(tmp_path / "elsewhere" / "same.npz", tmp_path / "mine.npz")
    train(*RUN[:-1], "hydra.run.dir=reference", "-e", "3", check=True)
    assert losses(tmp_path / "run") == losses(tmp_path / "reference")
    sums = [
        json.loads((tmp_path / name / "summary.json").read_text())["data_sha256"] for name in ("run", "reference")
    ]
    assert sums[0] == sums[1]


@pytest.mark.usefixtures("arrays")
def test_a_run_without_a_file_takes_no_path(train: Command) -> None:
    train("-d", "digits", "-sz", "8", "--no_wandb", "hydra.run.dir=run", "-e", "1", check=True)
    refused = train("resume=run", "dataset.path=mine.npz", "-e", "2")
    assert refused.returncode == 2
    assert "'dataset.path' is unknown" in refused.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_test": np.zeros((30, 6, 5), np.uint8)}, "the samples of x_test are (6, 5), those of x_train (6, 6)"),
        ({"x_test": np.full((30, 6, 6), np.nan)}, "x_test has NaN or infinity in 30 rows"),
        ({"x_test": np.zeros((30, 6, 6))}, "x_train is uint8 and x_test float64"),
        ({"y_test": np.full(30, 7)}, "y_test has classes that y_train lacks: 7"),
    ],
)
def test_a_fault_of_the_test_part_ends_the_run_before_it_trains(
    tmp_path: Path, train: Command, arrays: dict[str, np.ndarray], change: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "mine.npz", **{**arrays, **change})
    refused = train(*RUN, "-e", "1")
    assert refused.returncode == 2
    assert message in refused.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("folder", ["nowhere", "empty"])
def test_a_data_folder_that_cannot_be_used_ends_the_run(tmp_path: Path, train: Command, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    refused = train("-d", "mnist", f"dataset.data_dir={folder}", "-e", "1", "--no_wandb", "hydra.run.dir=run")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"Error: dataset.data_dir={folder} does not ")
    assert not (tmp_path / "run").exists()
