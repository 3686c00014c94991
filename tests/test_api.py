"""From Python: the same runs as the command line's, as objects, in a process that does not change."""

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from forks import python

import mlp
from mlp.data import Digits

WORDS = ("dataset=digits", "training.epochs=2", "tracker=none")


OWN_CLASS_PROGRAM = """
import mlp
import numpy as np
from mlp.runs.detail import again

words = ("dataset=digits", "training.epochs=1", "tracker=none", "activation=twice")
run = mlp.train(*words, config_dir="conf", allow=["apimine"])
print(run.model.predict(np.zeros((1, 64))).shape)
for refused in (lambda: mlp.train(*words, config_dir="conf"), lambda: mlp.load(run.directory).model):
    try:
        refused()
    except mlp.UserError as error:
        print("refused" if "--allow apimine" in str(error) else error)
print(mlp.load(run.directory, allow=["apimine"]).model is not None)
print(again(run))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_from_python_has_the_bits_of_the_command_lines(train, folder: Path) -> None:  # type: ignore[no-untyped-def]
    train(*WORDS, "optimizer=nadam", "hydra.run.dir=shell", check=True)
    run = mlp.train(*WORDS, "-o", "NAdam")
    there = mlp.load(folder / "shell")
    assert run.summary["weights_sha256"] == there.summary["weights_sha256"]
    np.testing.assert_array_equal(run.metrics["val_loss"], there.metrics["val_loss"])
    assert run.config["optimizer"] == there.config["optimizer"]
    written, wanted = ({path.name for path in each.directory.iterdir()} for each in (run, there))
    assert written == wanted
    assert "Test accuracy" in (run.directory / "train.log").read_text()


def test_the_model_predicts_what_the_summary_says() -> None:
    run = mlp.train(*WORDS)
    test = Digits().test()
    X = test.inputs(dtype=np.float64)
    predicted = run.model.predict(X)
    assert (predicted == test.labels).mean() == pytest.approx(run.summary["test_accuracy"])
    assert run.model.evaluate(X, test.labels)["accuracy"] == pytest.approx(run.summary["test_accuracy"])
    probabilities = run.model.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert run.model.class_names[3] == "3"
    assert repr(run.model) == "Model(64-128-128-128-10, classes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)"
    ensemble = mlp.load([run.directory, run.directory])
    np.testing.assert_allclose(ensemble.predict_proba(X), probabilities, rtol=1e-12)
    assert repr(ensemble).startswith("Model(mean of 2, 64-10, classes 0, 1")
    with pytest.raises(mlp.UserError, match="Got an empty list"):
        mlp.load([])
    X[1, 2] = np.nan
    with pytest.raises(ValueError, match="X must be finite"):
        run.model.predict(X)


def test_a_run_goes_on_from_python() -> None:
    mlp.train(*WORDS, directory="outputs/day/a")
    run = mlp.train("resume=last", "training.epochs=4")
    whole = mlp.train(*WORDS, "training.epochs=4", directory="b")
    assert run.directory.samefile("outputs/day/a")
    assert run.summary["epochs"] == 4
    assert run.summary["weights_sha256"] == whole.summary["weights_sha256"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimizer=adm"], "did you mean 'adam'"),
        (["optimizer.momentum=3"], "key 'optimizer.momentum' is unknown"),
        (["-e", "0"], "epochs must be an integer >= 1. Got 0"),
        (["resume=nowhere"], "no run to continue"),
        (["--multirun"], "--multirun is for the command line"),
        (["training.epochs=[1"], "training.epochs=[1"),
        (["optimizer._target_=os.system"], "_target_ must be a class of the package mlp"),
    ],
)
def test_mistakes_are_exceptions_with_the_texts_of_the_command_line(
    words: list[str],
    message: str,
    train,
    folder: Path,  # type: ignore[no-untyped-def]
) -> None:
    for _ in range(2):  # the second mistake is as clear as the first
        with pytest.raises(mlp.UserError) as error:
            mlp.train("dataset=digits", "tracker=none", *words)
        assert message in str(error.value)
    assert not list(folder.rglob("train.log"))
    if "--multirun" not in words:
        assert str(error.value) in train("dataset=digits", "tracker=none", *words).stderr


@pytest.mark.parametrize(
    ("words", "further", "message"),
    [
        ([["optimizer=adam"]], {}, "overrides must be texts, such as"),
        (["--help"], {}, "--help is for the command line"),
        ([], {"allow": "mine"}, "allow must be a list of modules, such as ['mine']"),
        ([], {"config_dir": "nowhere"}, "config_dir=nowhere is no folder"),
        ([], {"callbacks": [3]}, "callbacks must have a method of mlp.training.Callback (on_run_start, "),
        ([], {"directory": "file"}, "File exists: file"),
    ],
)
def test_arguments_in_another_form_are_refused(
    words: list[Any], further: dict[str, Any], message: str, folder: Path
) -> None:
    (folder / "file").touch()
    with pytest.raises(mlp.UserError) as error:
        mlp.train(*WORDS, *words, **further)
    assert message in str(error.value)
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_divergence_is_an_exception_and_leaves_its_directory() -> None:
    with pytest.raises(mlp.Diverged, match="learning rate"):
        mlp.train(*WORDS, "-o", "sgd", "-lr", "1e9", directory="d")
    assert mlp.Run(Path("d")).summary["status"] == "diverged"


def test_nothing_of_the_process_changes(capsys: pytest.CaptureFixture[str]) -> None:
    def state() -> list[Any]:
        root, own = logging.getLogger(), logging.getLogger("mlp")
        return [
            list(sys.argv), dict(os.environ), os.getcwd(), signal.getsignal(signal.SIGINT),
            signal.getsignal(signal.SIGTERM),
            list(root.handlers), root.level, list(own.handlers), own.level, own.propagate, threading.active_count(),
        ]  # fmt: skip

    mlp.train(*WORDS)  # what is imported for the first time may change something of its own
    before = state()
    mlp.train(*WORDS)
    with pytest.raises(mlp.UserError):
        mlp.train("dataset=digts")
    assert state() == before
    capsys.readouterr()
    mlp.train(*WORDS, verbose=True)
    assert "epoch 2/2" in capsys.readouterr().out
    assert state() == before


def test_a_process_without_a_console_may_be_verbose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert mlp.train(*WORDS, verbose=True).summary["epochs"] == 2


def test_runs_in_threads_are_those_one_after_another() -> None:
    found: dict[int, str] = {}

    def work(seed: int) -> None:
        found[seed] = mlp.train(*WORDS, f"seed={seed}", directory=f"thread{seed}").summary["weights_sha256"]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(3):
        alone = mlp.train(*WORDS, f"seed={seed}", directory=f"alone{seed}")
        assert alone.summary["weights_sha256"] == found[seed]
        log = Path(f"thread{seed}/train.log").read_text()
        assert log.count("Test accuracy") == 1  # no line of another thread


def test_callbacks_hear_of_every_epoch_and_may_stop() -> None:
    class Stop:
        def on_epoch_end(self, run) -> None:  # type: ignore[no-untyped-def]
            run.stop = run.epoch == 2

    run = mlp.train("dataset=digits", "training.epochs=9", "tracker=none", callbacks=[Stop()])
    assert run.summary["epochs"] == 2


def test_a_search_returns_its_leaderboard_and_its_best_run() -> None:
    found = mlp.search("dataset=digits", "tracker=none", "training.epochs=1,2", "search.name=s", "plots=false")
    assert found.directory == Path("multirun_outputs/s")
    rows = found.leaderboard
    assert [row["state"] for row in rows] == ["done", "done"]
    assert rows[0]["val_accuracy"] >= rows[1]["val_accuracy"]
    assert found.best.summary["val_accuracy"] == rows[0]["val_accuracy"]
    assert found.best.model.predict(np.zeros((2, 64))).shape == (2,)
    with pytest.raises(mlp.UserError, match="did you mean 'adam'"):
        mlp.search("dataset=digits", "optimizer=adm,sgd")


def test_a_notebook_has_one_output_for_the_status_of_a_search(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []
    display = ModuleType("IPython.display")
    display.display = lambda data, **_: (
        shown.append(data["text/plain"])
        or SimpleNamespace(  # type: ignore[attr-defined]
            update=lambda data, **_: shown.append(data["text/plain"])
        )
    )
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr("mlp.api.in_jupyter", lambda: True)
    found = mlp.search(
        "dataset=digits", "optimizer=sgd,adam", "training.epochs=1", "tracker=none", "plots=false", verbose=True
    )
    lines = capsys.readouterr().out.splitlines()
    assert shown[-1].splitlines()[0] == "2 done  0 running  0 pruned  0 failed  0 left"
    assert "best trial" in shown[-1]
    assert [line.partition(": ")[0] for line in lines if line.startswith("trial ")] == [
        "trial 0 done",
        "trial 1 done",
    ]
    assert not [line for line in lines if "\x1e" in line or " left" in line]
    assert len(found.leaderboard) == 2


def test_a_search_says_where_it_is_and_why_none_of_its_trials_ended_well() -> None:
    with pytest.raises(mlp.UserError, match=r"no trial ended well: .*search show here says why"):
        mlp.search(*WORDS, "-o", "sgd", "-lr", "1e9", "hydra.sweep.dir=here")
    with pytest.raises(mlp.UserError, match="directory=there contradicts here"):
        mlp.search(*WORDS, "hydra.sweep.dir=here", directory="there")


def test_own_classes_are_allowed_for_a_call(folder: Path) -> None:
    (folder / "apimine.py").write_text("from mlp.nn import Tanh\n\n\nclass Twice(Tanh):\n    pass\n")
    (folder / "conf" / "activation").mkdir(parents=True)
    (folder / "conf" / "activation" / "twice.yaml").write_text("_target_: apimine.Twice\n")
    (folder / "program.py").write_text(OWN_CLASS_PROGRAM)
    done = python("program.py", cwd=folder)  # in a process of its own, where the class stays known
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:4] == ["(1,)", "refused", "refused", "True"]
    assert " --allow apimine --config-dir=conf dataset=digits " in done.stdout


def test_what_holds_no_run_is_not_loaded(folder: Path) -> None:
    with pytest.raises(mlp.UserError, match=r"has no config\.yaml"):
        mlp.load(folder)


def test_the_public_face_is_complete_and_lazy() -> None:
    for name in mlp.__all__:
        assert getattr(mlp, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mlp.nothing  # noqa: B018


def test_a_run_has_one_blas_thread_as_the_programs_have(folder: Path) -> None:
    code = """
import numpy, threadpoolctl
import mlp

def threads():
    return max(library["num_threads"] for library in threadpoolctl.threadpool_info())

class Look:
    def on_epoch_end(self, run):
        print(threads())

before = threads()
run = mlp.train("dataset=digits", "training.epochs=1", "tracker=none", callbacks=[Look()], directory="threads")
print(threads() == before, run.summary["environment"]["blas_threads"])
"""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_THREADS")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env={**kept, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "True", "1"], done.stderr
