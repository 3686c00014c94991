"""A user's own files by real command lines: training, searches, resuming, and inference that mixes up no classes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Command, once
from forks import python
from PIL import Image

import mlp
from mlp.base.arrays import read_npz
from mlp.data import CSV, Digits

NAMES = ("setosa", "rosa", "iris b")
FAST = ("-e", "6", "-sz", "16", "-lr", "0.05", "-b", "16", "--no_wandb")
RUN = ("-d", "csv", "dataset.path=mine.csv", "dataset.test_fraction=0.25", *FAST, "hydra.run.dir=run")


def table(names: tuple[str, ...] = NAMES, rows: int = 120, scale: float = 1.0) -> str:
    """Two features that tell `names` apart, whose own numbers are their places in NAMES."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(rows):
        k = i % len(names)
        place = NAMES.index(names[k]) if names[k] in NAMES else k
        a, b = scale * (np.array([np.cos(2 * place), np.sin(2 * place)]) + rng.normal(0, 0.1, 2))
        lines.append(f"{a:.5f},{b:.5f},{names[k]}\n")
    return "a,b,plant\n" + "".join(lines)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLP_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "mine.csv").write_text(table())


@pytest.fixture
def trained(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A run of RUN in tmp_path, which trains once."""

    def make(place: Path) -> None:
        (place / "mine.csv").write_text(table())
        assert python(str(ROOT / "train.py"), *RUN, "plots=false", cwd=place).returncode == 0

    shutil.copytree(once(tmp_path_factory, "own", make) / "run", tmp_path / "run")


def summary(tmp_path: Path, run: str = "run") -> dict[str, object]:
    found: dict[str, object] = json.loads((tmp_path / run / "summary.json").read_text())
    return found


def classes(output: str) -> list[str]:
    """The lines of the table of classes."""
    lines = output.splitlines()
    return lines[next(i for i, line in enumerate(lines) if line.startswith("class ")) + 1 :]


def accuracy(output: str) -> float:
    return float(output.partition("accuracy ")[2].split()[0])


def test_class_names_are_those_of_the_file_in_everything_that_a_run_leaves(
    tmp_path: Path, train: Command, infer: Command
) -> None:
    out = train(*RUN, check=True).stdout
    assert "csv: 81 training and 9 validation samples." in out
    assert "Note: the labels are in column 'plant' of mine.csv." in out
    found = summary(tmp_path)
    assert found["test_accuracy"] == 1
    assert found["data_sha256"].keys() == {"train", "test"}  # type: ignore[attr-defined]
    config = json.loads((tmp_path / "run" / "best_config.json").read_text())
    assert config["class_names"] == ["iris b", "rosa", "setosa"]
    predictions = read_npz(tmp_path / "run" / "predictions.npz")
    assert predictions["class_names"].tolist() == ["iris b", "rosa", "setosa"]
    assert (
        predictions["y_true"].tolist() == CSV(path=str(tmp_path / "mine.csv"), test_fraction=0.25).test().y.tolist()
    )
    measured = infer("-mp", "run/best_model.npy", "dataset.path=mine.csv", "dataset.test_fraction=0.25", check=True)
    assert [line.split("  ")[0].strip() for line in classes(measured.stdout)] == ["iris b", "rosa", "setosa"]
    assert accuracy(measured.stdout) == 1
    assert measured.stderr == ""


@pytest.mark.parametrize("names", [("setosa", "iris b"), ("rosa", "setosa"), ("setosa", "iris b", "rosa")])
@pytest.mark.usefixtures("trained")
def test_inference_finds_the_classes_by_their_names(tmp_path: Path, infer: Command, names: tuple[str, ...]) -> None:
    (tmp_path / "new.csv").write_text(table(names, 40))
    files = ("dataset.path=new.csv", "dataset.test_path=new.csv")
    measured = infer("-mp", "run/best_model.npy", "-d", "csv", *files, check=True)
    assert accuracy(measured.stdout) == 1
    rows = {line[:6].strip(): int(line[6:].split()[3]) for line in classes(measured.stdout)}
    assert {name for name, count in rows.items() if count} == set(names)
    assert list(rows) == ["iris b", "rosa", "setosa"]


@pytest.mark.usefixtures("trained")
def test_inference_refuses_classes_that_the_model_does_not_know(tmp_path: Path, infer: Command) -> None:
    (tmp_path / "new.csv").write_text(table((*NAMES[:2], "tulip")))
    measure = ("-mp", "run/best_model.npy", "dataset.path=new.csv", "dataset.test_fraction=0.5")
    refused = infer(*measure)
    assert refused.returncode == 2
    assert refused.stderr == (
        "Error: new.csv: the model knows the classes iris b, rosa, setosa; those of the data are rosa, setosa, "
        "tulip\n"
    )
    numbers = table().replace("iris b", "1").replace("rosa", "2").replace("setosa", "3")
    (tmp_path / "new.csv").write_text(numbers)
    refused = infer(*measure, "dataset.label_column=plant")
    assert refused.returncode == 2
    remedy = "If they are the same in this order: dataset.class_names=[iris b,rosa,setosa]\n"
    assert refused.stderr.endswith(f"those of the data are 1, 2, 3. {remedy}")
    named = infer(*measure, "dataset.label_column=-1", "dataset.class_names=[iris b,rosa,setosa]", check=True)
    assert accuracy(named.stdout) == 1


@pytest.mark.usefixtures("trained")
def test_inference_refuses_columns_in_another_order(tmp_path: Path, infer: Command) -> None:
    rows = [line.split(",") for line in table().splitlines()]
    (tmp_path / "new.csv").write_text("".join(f"{b},{a},{name}\n" for a, b, name in rows))
    measure = ("-mp", "run/best_model.npy", "dataset.path=new.csv", "dataset.test_fraction=0.5")
    refused = infer(*measure)
    assert refused.returncode == 2
    assert refused.stderr.endswith("takes the columns a, b, in this order. Those of the data: b, a\n")
    (tmp_path / "new.csv").write_text("".join(f"{a},{name},{b}\n" for a, b, name in rows))  # only the labels moved
    assert accuracy(infer(*measure, check=True).stdout) == 1


def test_class_numbers_of_an_npz_are_named_by_the_model(tmp_path: Path, train: Command, infer: Command) -> None:
    data = CSV(path=str(tmp_path / "mine.csv"), test_fraction=0.25)
    x, y = data.load("train")
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    line = ("dataset.path=mine.npz", "dataset.test_fraction=0.25")
    train("-d", "npz", *line, "dataset.class_names=[one,two,three]", *FAST, "hydra.run.dir=run", check=True)
    measured = infer("-mp", "run/best_model.npy", *line, check=True)
    assert [row.split()[0] for row in classes(measured.stdout)] == ["one", "two", "three"]
    assert accuracy(measured.stdout) == summary(tmp_path)["test_accuracy"] == 1
    np.savez(tmp_path / "mine.npz", x=x, y=np.array(["two", "three", "one"])[y])  # other classes, known names
    train("-d", "npz", *line, *FAST, "hydra.run.dir=other", check=True)
    assert json.loads((tmp_path / "other" / "best_config.json").read_text())["class_names"] == ["one", "three", "two"]
    assert accuracy(infer("-mp", "run/best_model.npy", *line, check=True).stdout) == 0
    np.savez(tmp_path / "mine.npz", x=x, y=y, class_names=["two", "three", "four"])
    refused = infer("-mp", "run/best_model.npy", *line)
    assert refused.returncode == 2
    assert "those of the data are two, three, four" in refused.stderr


def test_a_run_goes_on_with_moved_files_and_not_with_other_names(tmp_path: Path, train: Command) -> None:
    test = tmp_path / "test.csv"
    test.write_text(table(rows=30))
    line = [word for word in RUN if "test_fraction" not in word]
    train(*line, "dataset.test_path=test.csv", check=True)
    odd = tmp_path / "it's [here], 100%"
    odd.mkdir()
    shutil.move(tmp_path / "mine.csv", odd / "a b=c.csv")
    shutil.move(test, odd / "t.csv")
    moved = [f"dataset.path={odd}/a b=c.csv", f"dataset.test_path={odd}/t.csv"]
    train("resume=run", *moved, "-e", "7", check=True)
    assert summary(tmp_path)["epochs"] == 7
    for file in (odd / "a b=c.csv", odd / "t.csv"):
        file.write_text(file.read_text().replace("setosa", "sunflower"))
    refused = train("resume=run", "-e", "8")
    assert refused.returncode == 2
    assert refused.stderr.startswith("Error: the data changed since ")


def test_inference_scales_a_table_as_the_training_did(tmp_path: Path, train: Command, infer: Command) -> None:
    (tmp_path / "mine.csv").write_text(table(scale=100))
    train(*RUN, "dataset.divide_by=100", check=True)
    files = ("-mp", "run/best_model.npy", "dataset.path=mine.csv", "dataset.test_fraction=0.25")
    assert accuracy(infer(*files, check=True).stdout) == summary(tmp_path)["test_accuracy"] == 1
    noted = infer(*files, "dataset.divide_by=1", check=True)
    assert noted.stderr == (
        "Note: in training, inputs were divided by 100; these are divided by 1 (dataset.divide_by=).\n"
    )


def test_a_search_over_a_table_measures_all_trials_on_the_same_rows(tmp_path: Path, train: Command) -> None:
    line = [word for word in RUN if "run.dir" not in word]
    train("-m", *line, "search.name=s", "seed=0,1", "search.workers=1", "plots=null", check=True)
    runs = [read_npz(tmp_path / "multirun_outputs" / "s" / str(i) / "predictions.npz") for i in range(2)]
    np.testing.assert_array_equal(runs[0]["y_true"], runs[1]["y_true"])
    sums = [summary(tmp_path, f"multirun_outputs/s/{i}")["data_sha256"] for i in range(2)]
    assert sums[0] == sums[1]


def test_a_fault_ends_a_run_before_it_trains(tmp_path: Path, train: Command) -> None:
    (tmp_path / "mine.csv").write_text(table() + "1,,rosa\n")
    refused = train(*RUN)
    assert refused.returncode == 2
    assert refused.stderr == (
        "Error: mine.csv, line 122: a value is missing in column 'b': fill it in, or drop the row\n"
    )
    assert not (tmp_path / "run").exists()


def test_a_test_file_that_is_the_training_file_is_noted(train: Command) -> None:
    line = [word for word in RUN if "test_fraction" not in word]
    assert (
        "Note: the test part is the training part." in train(*line, "dataset.test_path=mine.csv", check=True).stdout
    )


def pictures(folder: Path) -> None:
    """Write folder/dark/*.png and folder/bright/*.png."""
    for i in range(60):
        file = folder / ("dark", "bright")[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 100, (6, 6), np.uint8)
        Image.fromarray(noise + np.uint8(150 * (i % 2))).save(file)


def test_pictures_in_folders(tmp_path: Path, train: Command, infer: Command) -> None:
    pictures(tmp_path / "pictures")
    line = ("dataset.path=pictures", "dataset.test_fraction=0.2", "dataset.image_size=4")
    train("-d", "folder", *line, *FAST, "hydra.run.dir=run", check=True)
    measured = infer("-mp", "run/best_model.npy", *line, "--plots", "plots", check=True)
    assert accuracy(measured.stdout) == summary(tmp_path)["test_accuracy"] == 1
    assert [row.split()[0] for row in classes(measured.stdout)[:2]] == ["bright", "dark"]


def test_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = mlp.train(*RUN[:-1], directory="run")
    assert run.summary["test_accuracy"] == 1
    x, y = CSV(path="mine.csv", test_fraction=0.25).load("test")
    assert run.model.predict(x).tolist() == y.tolist()
    assert run.model.class_names == ["iris b", "rosa", "setosa"]
    with pytest.raises(mlp.UserError, match="a test part is needed"):
        mlp.train("-d", "csv", "dataset.path=mine.csv", *FAST)


def test_models_divide_as_their_training_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text(table(scale=100))
    run = mlp.train(*RUN[:-1], "dataset.divide_by=100", "-lr", "0.001", directory="run")
    x, y = CSV(path="mine.csv", test_fraction=0.25).load("test")
    assert run.summary["test_loss"] > 0.5
    assert run.model.evaluate(x, y)["loss"] == pytest.approx(run.summary["test_loss"], rel=1e-4)
    digits = mlp.train("-d", "digits", *FAST, directory="digits")
    samples = Digits().test()
    assert samples.x.dtype == np.uint8
    measured = digits.model.evaluate(samples.x, samples.labels)
    assert measured["loss"] == pytest.approx(digits.summary["test_loss"], rel=1e-4)


def test_a_study_of_own_pictures_reads_them_where_its_runs_did(tmp_path: Path, train: Command) -> None:
    pictures(tmp_path / "pictures")
    line = ("dataset.path=pictures", "dataset.test_fraction=0.2", "training.epochs=1", "search.workers=1")
    train("+experiment=data_exploration", "-d", "folder", *line, "--no_wandb", check=True)
    words = ["-m", "mlp.report", "studies", "--only", "data_exploration", "-d", "folder", "--no-run"]
    ended = python(*words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "report" / "index.html").read_text()
    assert "bright" in page
    assert "dark" in page
