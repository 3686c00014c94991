"""What the W&B tracker keeps of a run: real runs in their own processes, read back from their files."""

import base64
import hashlib
import json
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import wandb_file
from runs import wait_until
from wandb_runs import CONFIG, EPOCHS, TRAIN, Finished, command, execute
from wandb_server import environment

from mlp.tracking import WandbTracker


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run with everything in its directory that a run leaves there."""
    return execute(
        tmp_path_factory.mktemp("finished"),
        """
        import json
        import numpy as np
        from PIL import Image
        np.save(directory / "best_model.npy", {"W0": np.ones((3, 2)), "b0": np.zeros(2)}, allow_pickle=True)
        (directory / "best_config.json").write_text(json.dumps({"dataset": "digits"}))
        np.savez(directory / "predictions.npz", y_true=np.array([0, 0, 1, 2, 2, 2]),
                 y_pred=np.array([0, 1, 1, 2, 2, 0], np.int64), class_names=np.array(["cat", "dog", "emu"]))
        (directory / "plots").mkdir()
        Image.new("RGB", (30, 20), "red").save(directory / "plots" / "curves.png")
        before = signal.getsignal(signal.SIGINT), sys.exit, sys.excepthook
        tracker = WandbTracker("studies", "someone", group="search-1", tags=["a", "b"], job_type="trial", notes="why")
        train(tracker, Run(directory, CONFIG), EPOCHS,
              summary={"test_accuracy": 1 / 3, "test_f1": np.float32(0.25), "class_names": ["cat", "dog", "emu"]})
        assert before == (signal.getsignal(signal.SIGINT), sys.exit, sys.excepthook)
        assert "WANDB_DATA_DIR" not in os.environ
        """,
    )


def test_runs_in_threads_leave_the_process_as_it_was(tmp_path: Path) -> None:
    code = """
    import threading
    import mlp, mlp.api, sklearn
    from mlp.tracking.wandb_session import staged_in
    def state():
        return dict(os.environ), sys.exit, sys.excepthook
    def work(name):
        mlp.train("dataset=digits", "training.epochs=1", directory=name)
    def stage():
        with staged_in(directory / "second"):
            staged.append(os.environ["WANDB_DATA_DIR"])
    before = state()
    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert state() == before, {name for name, _ in set(os.environ.items()) ^ set(before[0].items())}
    staged, second = [], threading.Thread(target=stage)
    with staged_in(directory / "first"):
        second.start()
        second.join(0.3)
        assert not staged, "the tables of both runs would go to one folder"
    second.join()
    assert [Path(each).parent.name for each in staged] == ["second"]
    assert state() == before
    """
    execute(tmp_path, code, WANDB_MODE="Offline")
    for name in "abc":
        (kept,) = wandb_file.find(tmp_path / name)
        assert len(wandb_file.read(kept).rows("train_loss")) == 1


def test_every_epoch_is_a_history_row_with_its_exact_values(finished: Finished) -> None:
    assert finished.content.rows("train_loss") == EPOCHS
    assert [row["_step"] for row in finished.content.history[:5]] == [1, 2, 3, 4, 5]


def test_epoch_is_the_x_axis_of_every_metric(finished: Finished) -> None:
    assert {metric.glob_name: metric.step_metric for metric in finished.content.metrics if metric.glob_name} == {
        "*": "epoch"
    }


def test_config_is_the_configuration_of_the_run(finished: Finished) -> None:
    assert {name: value for name, value in finished.content.config.items() if name != "_wandb"} == CONFIG


def test_run_is_labelled_as_asked(finished: Finished) -> None:
    run = finished.content.run
    assert (run.project, run.entity, run.run_group, run.job_type, run.notes) == (
        "studies", "someone", "search-1", "trial", "why",
    )  # fmt: skip
    assert list(run.tags) == ["a", "b"]
    assert run.display_name == f"{finished.place.name}/run"
    assert run.run_id == (finished.directory / "wandb_id.txt").read_text().split()[0]


def test_summary_holds_the_results_and_the_status(finished: Finished) -> None:
    expected = {
        "test_accuracy": 1 / 3, "test_f1": 0.25, "class_names": ["cat", "dog", "emu"], "status": "completed",
        "train_loss": EPOCHS[-1]["train_loss"],
    }  # fmt: skip
    assert expected.items() <= finished.content.summary.items()


def test_exit_code_of_a_completed_run_is_zero(finished: Finished) -> None:
    assert finished.content.exit_code == 0


def test_best_model_is_an_artifact_with_the_digests_of_its_files(finished: Finished) -> None:
    (model,) = [artifact for artifact in finished.content.artifacts if artifact.type == "model"]
    files = {entry.path: entry for entry in model.manifest.contents}
    assert set(files) == {"best_model.npy", "best_config.json"}
    for name, entry in files.items():
        content = (finished.directory / name).read_bytes()
        assert entry.digest == base64.b64encode(hashlib.md5(content).digest()).decode()
        assert entry.size == len(content)
        assert Path(entry.local_path).read_bytes() == content
    assert json.loads(model.metadata)["test_accuracy"] == 1 / 3


def test_confusion_matrix_is_a_table_of_counts(finished: Finished) -> None:
    (table,) = finished.directory.glob("wandb/*/files/media/table/confusion_matrix_table_*.json")
    counts = {(actual, predicted): count for actual, predicted, count in json.loads(table.read_text())["data"]}
    assert len(counts) == 9
    assert {cell: count for cell, count in counts.items() if count} == {
        ("cat", "cat"): 1, ("cat", "dog"): 1, ("dog", "dog"): 1, ("emu", "emu"): 2, ("emu", "cat"): 1,
    }  # fmt: skip


def test_curves_show_train_beside_val_and_the_layers_beside_each_other(finished: Finished) -> None:
    tables = list(finished.directory.glob("wandb/*/files/media/table/curves/*.json"))
    rows = {table.name.split("_table")[0]: json.loads(table.read_text())["data"] for table in tables}
    assert set(rows) == {"loss", "grad_norm"}
    assert rows["loss"] == [[row["epoch"], name, row[name]] for name in ("train_loss", "val_loss") for row in EPOCHS]


def test_plots_are_logged_as_they_are(finished: Finished) -> None:
    (image,) = finished.directory.glob("wandb/*/files/media/images/plots/*.png")
    assert image.read_bytes() == (finished.directory / "plots" / "curves.png").read_bytes()


def test_nothing_is_printed_but_one_log_line_that_says_where_the_files_are(finished: Finished) -> None:
    assert finished.stdout == ""
    (line,) = finished.lines
    assert line == f"INFO W&B is offline (not logged in). Upload with: wandb sync {finished.files[0].parent}"


def test_nothing_is_captured_that_nobody_asked_for(finished: Finished) -> None:
    assert {"history", "exit"} <= finished.content.kinds
    assert not {"output", "output_raw", "stats", "environment", "alert"} & finished.content.kinds
    files = {path.name for path in finished.directory.glob("wandb/*/files/*")}
    assert files <= {"media", "config.yaml", "wandb-summary.json"}


def test_all_data_stays_in_the_run_directory(finished: Finished) -> None:
    outside = [
        path for path in finished.place.rglob("*") if path.is_file() and finished.directory not in path.parents
    ]
    key = finished.place / "home/.cache/numpy-mlp/key"  # of the user, for all runs
    assert [path for path in outside if path.suffix != ".log" and path != key] == []


def test_a_diverged_run_ends_with_its_exit_code_and_without_results(tmp_path: Path) -> None:
    run = execute(
        tmp_path,
        """
        rows = [EPOCHS[0], EPOCHS[1] | {"train_loss": float("nan"), "val_loss": float("inf")}]
        train(WandbTracker(), Run(directory, CONFIG), rows, "diverged", 3)
        """,
    )
    assert run.content.exit_code == 3
    assert run.content.summary["status"] == "diverged"
    assert [str(row["train_loss"]) for row in run.content.rows("train_loss")] == [str(0.1 * 3), "nan"]
    assert len(run.lines) == 1


def test_a_run_that_failed_before_its_first_epoch_is_finished_too(tmp_path: Path) -> None:
    run = execute(tmp_path, 'train(WandbTracker(), Run(directory, CONFIG), [], "failed", 1)')
    assert run.content.exit_code == 1
    assert len(run.lines) == 1


def test_a_resumed_run_continues_under_the_same_id(tmp_path: Path) -> None:
    execute(tmp_path, 'train(WandbTracker(), Run(directory, CONFIG), EPOCHS[:3], "interrupted", 130)')
    code = "train(WandbTracker(), Run(directory, CONFIG | {'epochs': 5}, history=EPOCHS[:3]), EPOCHS[3:])"
    first, second = map(wandb_file.read, execute(tmp_path, code).files)
    assert first.run.run_id == second.run.run_id
    assert (first.exit_code, second.exit_code) == (130, 0)
    assert first.rows("train_loss") + second.rows("train_loss") == EPOCHS
    assert [row["_step"] for row in second.history[:2]] == [4, 5]


def test_a_killed_run_keeps_its_epochs(tmp_path: Path) -> None:
    code = """
    import time
    tracker = WandbTracker()
    tracker.on_run_end = lambda run: time.sleep(60)
    train(tracker, Run(directory, CONFIG), EPOCHS)
    """
    process = subprocess.Popen(
        command(code), cwd=tmp_path, env=environment(tmp_path), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    with process, process.stderr as log:
        log.readline()  # the run has started
        wait_until(process, lambda: written(tmp_path / "run") == EPOCHS)
        process.kill()
    assert wandb_file.read(*wandb_file.find(tmp_path / "run")).exit_code is None


def written(directory: Path) -> list[dict[str, object]]:
    """The epochs that a process which is alive has written; none in the middle of a message."""
    with suppress(AssertionError, struct.error):
        return wandb_file.read(*wandb_file.find(directory)).rows("train_loss")
    return []


def test_runs_of_one_process_are_separate(tmp_path: Path) -> None:
    code = """
    tracker = WandbTracker()
    for number in range(2):
        (directory / str(number)).mkdir()
        train(tracker, Run(directory / str(number), {"number": number}), EPOCHS[number:])
    """
    run = execute(tmp_path, code)
    contents = [wandb_file.read(*wandb_file.find(run.directory / str(number))) for number in range(2)]
    assert [content.config["number"] for content in contents] == [0, 1]
    assert [content.rows("train_loss") for content in contents] == [EPOCHS, EPOCHS[1:]]
    assert contents[0].run.run_id != contents[1].run.run_id


@pytest.mark.slow
def test_runs_of_two_processes_at_once_are_separate(tmp_path: Path) -> None:
    code = """
    directory = Path(sys.argv[1])
    directory.mkdir()
    train(WandbTracker(group="search"), Run(directory, {"name": sys.argv[1]}), EPOCHS)
    """
    both = [
        subprocess.Popen([*command(code), name], cwd=tmp_path, env=environment(tmp_path), stdin=subprocess.DEVNULL)
        for name in ("one", "two")
    ]
    assert [process.wait(300) for process in both] == [0, 0]
    for name in ("one", "two"):
        content = wandb_file.read(*wandb_file.find(tmp_path / name))
        assert content.config["name"] == name
        assert content.rows("train_loss") == EPOCHS
        assert content.exit_code == 0


def test_a_closed_stdin_does_not_matter(tmp_path: Path) -> None:
    shell = ["sh", "-c", 'exec "$@" <&-', "sh", *command(TRAIN)]
    done = subprocess.run(shell, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert Finished(tmp_path, "", done.stderr).content.rows("train_loss") == EPOCHS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "of-line"}, r"mode 'of-line' is unknown; did you mean 'offline'\? Allowed: auto, disabled, off"),
        ({"project": ""}, "project must be 1 to 128 characters"),
        ({"project": "a/b"}, "project .* Got 'a/b'"),
        ({"tags": "abc"}, "tags must be a list of strings .* Got 'abc'"),
        ({"tags": [1]}, "tags must be a list of strings"),
        ({"timeout": 0}, "timeout must be > 0 seconds. Got 0"),
    ],
)
def test_wrong_arguments_are_refused_at_once(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WandbTracker(**arguments)
