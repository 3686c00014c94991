"""The comparison with other programs: its table is complete, its contenders do the same work, errors show."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from forks import python

OURS = ("ours", "matmul-only", "numpy-preallocated", "numpy-naive")
OPTIMIZERS = ("sgd", "momentum", "nag", "rmsprop", "adam", "nadam")


class Outcome:
    """What a call of compare.py printed and wrote."""

    def __init__(self, *arguments: str, folder: Path, benchmarks: Path = ROOT / "benchmarks") -> None:
        file = folder / "result.json"
        command = [sys.executable, "compare.py", "--peers-python", sys.executable, "--json", str(file), *arguments]
        result = subprocess.run(command, cwd=benchmarks, capture_output=True, text=True, timeout=500, check=False)
        self.code, self.text, self.errors = result.returncode, result.stdout, result.stderr
        self.json: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}

    def results(self, **fields: Any) -> list[dict[str, Any]]:
        return [r for r in self.json["results"] if all(r[key] == value for key, value in fields.items())]


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Few steps of our own contenders, and of two that the project's environment never has."""
    contenders = (*OURS, "pytorch-eager", "jax")
    return Outcome(
        "--quick", "--batches", "32", "64", "--contenders", *contenders, folder=tmp_path_factory.mktemp("t")
    )


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    arguments = (
        "--check",
        "--batches",
        "32",
        "--contenders",
        "numpy-preallocated",
        "numpy-naive",
        "--optimizers",
        *OPTIMIZERS,
    )
    return Outcome(*arguments, folder=tmp_path_factory.mktemp("c"))


@pytest.fixture
def altered(tmp_path: Path) -> Callable[[str, str, str], Path]:
    """Copy benchmarks/ with `old` replaced by `new` in one of its files."""

    def alter(file: str, old: str, new: str) -> Path:
        copy = shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks")
        text = (copy / file).read_text()
        assert text.count(old) == 1, f"{old!r} in {file}"
        (copy / file).write_text(text.replace(old, new))
        return copy

    return alter


def test_the_table_of_estimators_is_that_of_its_single_figures(tmp_path: Path) -> None:
    words = ["--data", "digits", "--seeds", "2", "--max_iter", "3", "--hidden", "8", "--json"]
    done = python(str(ROOT / "benchmarks" / "estimators.py"), *words, "result.json", cwd=tmp_path)
    head, _, *rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("|")]
    assert head[:4] == ["data", "early_stopping", "contender", "test accuracy %"]
    runs = json.loads((tmp_path / "result.json").read_text())
    assert list(runs) == [f"{data}, early_stopping={stop}, {name}" for data, stop, name, *_ in rows]
    assert len(rows) == 8
    for (first, second), row in zip(runs.values(), rows, strict=True):
        assert {first["epochs"], second["epochs"]} == {3}
        mean, spread = map(float, row[3].split(" ± "))
        assert mean == pytest.approx((first["accuracy"] + second["accuracy"]) / 2, abs=0.0051)
        assert spread == pytest.approx(abs(first["accuracy"] - second["accuracy"]) / 2**0.5, abs=0.0051)
        assert min(first["accuracy"], second["accuracy"]) > 0


@pytest.mark.parametrize("batch", [32, 64])
@pytest.mark.parametrize("contender", OURS)
def test_every_contender_has_a_median_of_its_rounds(timed: Outcome, contender: str, batch: int) -> None:
    assert timed.code == 0, timed.errors
    [result] = timed.results(contender=contender, batch=batch)
    [ours] = timed.results(contender="ours", batch=batch)
    measured = result["microseconds"]
    assert len(measured["rounds"]) == 3
    assert measured["median"] == sorted(measured["rounds"])[1] > 0
    assert [measured["min"], measured["max"]] == [min(measured["rounds"]), max(measured["rounds"])]
    assert result["ratio"] == pytest.approx(measured["median"] / ours["microseconds"]["median"])
    assert result["steps"] == 20


def test_the_table_prints_the_medians_and_ratios_of_the_json(timed: Outcome) -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in timed.text.splitlines() if line[:1] == "|"]
    head, _, *body = rows
    assert head == ["optimizer", "contender", "batch 32", "batch 64"]
    assert [row[:2] for row in body] == [["adam", contender] for contender in OURS]
    for row in body:
        for batch, cell in zip((32, 64), row[2:], strict=True):
            [result] = timed.results(contender=row[1], batch=batch)
            found = re.fullmatch(r"(\d+) \((\d+)\.\.(\d+)\) (\d+\.\d\d)x", cell)
            assert found is not None, cell
            shown = [float(number) for number in found.groups()]
            t = result["microseconds"]
            assert shown[:3] == [round(value) for value in (t["median"], *t["quartiles"])]
            assert shown[3] == pytest.approx(result["ratio"], abs=0.00501)


def test_machine_and_versions_are_told(timed: Outcome) -> None:
    assert timed.json["versions"]["ours"].startswith(f"numpy {np.__version__}")
    for key in ("processor", "cores", "numpy", "blas", "python", "load"):
        assert timed.json["machine"][key] not in ("", None), key
    assert timed.json["machine"]["processor"] in timed.text
    assert timed.json["machine"]["blas"] in timed.text


def test_what_is_not_installed_is_left_out_with_a_line(timed: Outcome) -> None:
    assert timed.json["left_out"] == ["pytorch-eager: No module named 'torch'", "jax: No module named 'jax'"]
    assert "Left out: pytorch-eager: No module named 'torch'" in timed.text
    assert timed.json["failed"] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("contender", "optimizer"),
    [("numpy-naive", name) for name in OPTIMIZERS] + [("numpy-preallocated", "sgd"), ("numpy-preallocated", "adam")],
)
def test_plain_numpy_computes_the_losses_of_ours(checked: Outcome, contender: str, optimizer: str) -> None:
    [ours] = checked.results(contender="ours", optimizer=optimizer, dtype="float64")
    [plain] = checked.results(contender=contender, optimizer=optimizer, dtype="float64")
    assert len(plain["losses"]) == 5
    assert plain["losses"] == pytest.approx(ours["losses"], rel=1e-11)
    [single] = checked.results(contender=contender, optimizer=optimizer, dtype="float32")
    assert single["losses"] == pytest.approx(ours["losses"], rel=5e-2)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_losses_compared_are_those_of_a_network_that_learns(checked: Outcome, optimizer: str) -> None:
    [ours] = checked.results(contender="ours", optimizer=optimizer, dtype="float64")
    assert ours["losses"][-1] < 0.8 * ours["losses"][0] < 0.8 * np.log(10) * 1.1


@pytest.mark.slow
def test_an_optimizer_that_a_contender_lacks_is_named(checked: Outcome) -> None:
    assert checked.code == 0, checked.text
    assert checked.json["left_out"] == ["numpy-preallocated: it has adam and sgd only"]
    assert {r["optimizer"] for r in checked.results(contender="numpy-preallocated")} == {"sgd", "adam"}


@pytest.mark.slow
def test_the_check_fails_for_a_contender_that_computes_something_else(
    altered: Callable[[str, str, str], Path], tmp_path: Path
) -> None:
    benchmarks = altered("contenders/rules.py", "m_hat = m / (1 - beta1**t)", "m_hat = m / (1 - beta1 ** (t + 1))")
    arguments = ("--check", "--batches", "32", "--contenders", "numpy-naive")
    outcome = Outcome(*arguments, folder=tmp_path, benchmarks=benchmarks)
    assert outcome.code == 1
    assert [r["agrees"] for r in outcome.results(contender="numpy-naive", dtype="float64")] == [False]
    assert "more than 1e-09" in outcome.text


@pytest.mark.slow
def test_the_others_go_on_when_a_contender_breaks_down(
    altered: Callable[[str, str, str], Path], tmp_path: Path
) -> None:
    benchmarks = altered("contenders/numpy_preallocated.py", "self.update()", "raise RuntimeError('out of breath')")
    arguments = ("--quick", "--batches", "32", "--contenders", "numpy-preallocated", "matmul-only")
    outcome = Outcome(*arguments, folder=tmp_path, benchmarks=benchmarks)
    assert outcome.code == 1
    assert "Failed: numpy-preallocated: exit code 1: RuntimeError: out of breath" in outcome.text
    assert [r["contender"] for r in outcome.json["results"]] == ["matmul-only"]
    assert outcome.json["results"][0]["ratio"] is None  # there is nothing of ours to compare with


def test_the_products_alone_multiply_as_much_as_a_training_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from contenders.matmul_only import MatmulOnly
    from contenders.protocol import Task

    task = Task("", "", "", 32, 32, "adam", {}, "float32", 1, 0)
    multiplications = [left.shape[0] * left.shape[1] * right.shape[1] for left, right, _ in MatmulOnly(task).products]
    weights = 784 * 128 + 128 * 128 + 128 * 128 + 128 * 10
    # Forward, for the weights, and for the inputs of all layers but the first.
    assert sum(multiplications) == 32 * (3 * weights - 784 * 128)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batches", "0"], "--batches must be in 1..6000"),
        (["--threads", "10000"], "--threads must be in 1.."),
        (["--rounds", "-1"], "--rounds must be >= 1"),
        (["--optimizers", "adm"], "invalid choice: 'adm'"),
        (["--peers-python", "nowhere/python"], "--peers-python nowhere/python does not exist"),
    ],
)
def test_a_wrong_argument_is_explained(arguments: list[str], message: str, tmp_path: Path) -> None:
    program = str(ROOT / "benchmarks" / "compare.py")
    refused = python(program, "--peers-python", sys.executable, *arguments, cwd=tmp_path)
    assert refused.returncode == 2
    assert message in refused.stderr
