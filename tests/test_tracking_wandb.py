"""The W&B tracker: real runs in their own processes, without account or network, read back from their files."""

import base64
import hashlib
import json
import os
import pty
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import wandb_file
from wandb_server import answering_server, environment, silent_server

from mlp.tracking import WandbTracker
from mlp.tracking.session import reachable

EPOCHS = [
    {"epoch": epoch, "learning_rate": 1e-3 / epoch, "train_loss": 0.1 * 3 / epoch, "val_loss": 2 / 7 / epoch,
     "grad_norm_1": 1e-300 * epoch, "grad_norm_2": 1 / 3}
    for epoch in range(1, 6)
]  # fmt: skip
CONFIG = {
    "seed": 7,
    "optimizer": {"_target_": "mlp.nn.Adam", "learning_rate": 1e-3},
    "model": {"hidden_sizes": [8, 4]},
}

# A process that does what the trainer does. ARGUMENTS, STATUS and EXIT_CODE may be set before, code added after.
PROGRAM = """
import logging, os, signal, sys
from dataclasses import dataclass, field
from pathlib import Path

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")  # to stderr

@dataclass
class Run:
    directory: Path
    config: dict
    step: int = 0
    epoch: int = 0
    metrics: dict = field(default_factory=dict)
    history: list = field(default_factory=list)
    status: str = "running"
    exit_code: int = 0
    summary: dict = field(default_factory=dict)

def train(tracker, run, epochs, status="completed", exit_code=0, summary=()):
    tracker.on_run_start(run)
    for metrics in epochs:
        run.epoch, run.metrics = metrics["epoch"], metrics
        tracker.on_batch_end(run)
        run.history.append(dict(metrics))
        tracker.on_epoch_end(run)
    run.status, run.exit_code, run.summary = status, exit_code, dict(summary)
    tracker.on_run_end(run)

from mlp.tracking import WandbTracker
directory = Path("run")
directory.mkdir(exist_ok=True)
EPOCHS, CONFIG = {epochs!r}, {config!r}
"""
TRAIN = "train(WandbTracker(), Run(directory, CONFIG), EPOCHS)"


@dataclass
class Finished:
    """A process that has ended, and the W&B files it left."""

    place: Path
    stdout: str
    stderr: str

    @property
    def directory(self) -> Path:
        return self.place / "run"

    @property
    def files(self) -> list[Path]:
        return wandb_file.find(self.directory)

    @property
    def content(self) -> wandb_file.WandbFile:
        (file,) = self.files
        return wandb_file.read(file)

    @property
    def lines(self) -> list[str]:
        return self.stderr.splitlines()


def command(code: str) -> list[str]:
    prefix = PROGRAM.replace("{epochs!r}", repr(EPOCHS)).replace("{config!r}", repr(CONFIG))
    return [sys.executable, "-c", prefix + textwrap.dedent(code)]


def execute(place: Path, code: str = TRAIN, **variables: str) -> Finished:
    process = subprocess.run(
        command(code),
        cwd=place, env=environment(place, **variables), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return Finished(place, process.stdout, process.stderr)


NOWHERE = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}


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
    assert run.run_id == (finished.directory / "wandb_id.txt").read_text().strip()


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
    assert [path for path in outside if path.suffix != ".log"] == []


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
        time.sleep(5)
        process.kill()
    content = wandb_file.read(*wandb_file.find(tmp_path / "run"))
    assert content.rows("train_loss") == EPOCHS
    assert content.exit_code is None


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
    assert [process.wait(60) for process in both] == [0, 0]
    for name in ("one", "two"):
        content = wandb_file.read(*wandb_file.find(tmp_path / name))
        assert content.config["name"] == name
        assert content.rows("train_loss") == EPOCHS
        assert content.exit_code == 0


@pytest.mark.parametrize("source", ["environment", "netrc", "settings"])
def test_logged_in_without_a_network_is_offline_and_says_why(tmp_path: Path, source: str) -> None:
    variables = dict(NOWHERE)
    key = variables["WANDB_API_KEY"]
    if source != "environment":
        del variables["WANDB_API_KEY"]
    if source == "netrc":
        (tmp_path / "netrc").write_text(f"machine 127.0.0.1:9 login user password {key}\n")
        variables["NETRC"] = str(tmp_path / "netrc")
    if source == "settings":
        (tmp_path / "settings").write_text(f"[default]\napi_key = {key}\n")
        variables["WANDB_CONFIG_DIR"] = str(tmp_path)
    run = execute(tmp_path, **variables)
    assert run.stdout == ""
    (line,) = run.lines
    assert line.startswith("INFO W&B is offline (no connection to http://127.0.0.1:9). Upload with: wandb sync /")
    assert run.content.rows("train_loss") == EPOCHS


@pytest.mark.parametrize("wish", [{"WANDB_MODE": "dryrun"}, {}], ids=["variable", "argument"])
def test_an_offline_run_opens_no_connection_even_when_logged_in(tmp_path: Path, wish: dict[str, str]) -> None:
    code = TRAIN if wish else TRAIN.replace("WandbTracker()", "WandbTracker(mode='offline')")
    with silent_server() as (url, connections):
        run = execute(tmp_path, code, WANDB_API_KEY="0" * 40, WANDB_BASE_URL=url, **wish)
        assert connections == []
    assert "(as configured)" in run.stderr
    assert run.content.exit_code == 0


def test_an_online_run_sends_every_epoch_and_the_exit_code(tmp_path: Path) -> None:
    with answering_server() as (url, received):
        code = """
        rows = [{"epoch": row["epoch"], "train_loss": row["train_loss"]} for row in EPOCHS]
        train(WandbTracker(), Run(directory, CONFIG), rows, "interrupted", 130)
        """
        run = execute(tmp_path, code, WANDB_API_KEY="0" * 40, WANDB_BASE_URL=url)
    assert run.stdout == ""
    assert run.lines == [
        f"INFO W&B: {url}/someone/numpy-mlp/runs/{run.content.run.run_id} (files: {run.files[0].parent})"
    ]
    sent = [request.get("files", {}).get("wandb-history.jsonl", {}).get("content", []) for request in received]
    rows = [json.loads(line) for lines in sent for line in lines]
    assert [(row["epoch"], row["train_loss"]) for row in rows] == [
        (row["epoch"], row["train_loss"]) for row in EPOCHS
    ]
    assert [request["exitcode"] for request in received if request.get("complete")] == [130]


def test_a_resumed_online_run_asks_the_server_for_where_it_was(tmp_path: Path) -> None:
    with answering_server() as (url, received):
        code = """
        (directory / "wandb_id.txt").write_text("earlier1")
        train(WandbTracker(), Run(directory, CONFIG), [])
        """
        execute(tmp_path, code, WANDB_API_KEY="0" * 40, WANDB_BASE_URL=url)
    asked = [request for request in received if "RunResumeStatus" in request.get("query", "")]
    assert [request["variables"]["name"] for request in asked] == ["earlier1"]


def test_a_server_that_never_answers_costs_the_timeout_and_no_data(tmp_path: Path) -> None:
    code = TRAIN.replace("WandbTracker()", "WandbTracker(timeout=2.0)")
    with silent_server() as (url, connections):
        run = execute(tmp_path, code, WANDB_API_KEY="0" * 40, WANDB_BASE_URL=url)
        assert connections
    assert run.stdout == ""
    (line,) = run.lines
    assert line.startswith("WARNING W&B is offline (the run is refused: ")
    (kept,) = [file for file in run.files if file.parent.name.startswith("offline")]
    assert wandb_file.read(kept).rows("train_loss") == EPOCHS


def test_a_process_of_wandb_that_does_not_start_in_time_costs_the_tracking_only(tmp_path: Path) -> None:
    run = execute(tmp_path, TRAIN.replace("WandbTracker()", "WandbTracker(timeout=1e-3)"), WANDB_MODE="offline")
    (line,) = run.lines
    assert line.startswith("WARNING W&B could not start; the run goes on without it. ServicePollForTokenError: ")


def test_online_without_a_login_does_not_ask_on_a_terminal(tmp_path: Path) -> None:
    terminal, end = pty.openpty()
    code = TRAIN.replace("WandbTracker()", "WandbTracker(mode='online')")
    process = subprocess.Popen(
        command(code), cwd=tmp_path, env=environment(tmp_path), stdin=end, stdout=end, stderr=end
    )
    os.close(end)
    printed = b""
    try:
        process.wait(60)
        printed = os.read(terminal, 100_000)
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert process.returncode == 0
    assert printed.startswith(b"WARNING W&B is offline (not logged in).")
    assert printed.count(b"\n") == 1
    assert wandb_file.read(*wandb_file.find(tmp_path / "run")).exit_code == 0


def test_a_closed_stdin_does_not_matter(tmp_path: Path) -> None:
    shell = ["sh", "-c", 'exec "$@" <&-', "sh", *command(TRAIN)]
    done = subprocess.run(shell, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert Finished(tmp_path, "", done.stderr).content.rows("train_loss") == EPOCHS


@pytest.mark.parametrize(
    "release",
    [
        "",
        "del service_port_file._SLEEP",
        "sys.modules[service_port_file.__name__] = None; del sys.modules['wandb.sdk.lib.service'].service_port_file",
    ],
    ids=["known", "no such function", "no such module"],
)
def test_waiting_for_the_service_is_shortened_where_that_is_known_and_left_alone_elsewhere(release: str) -> None:
    code = f"""
import sys
from wandb.sdk.lib.service import service_port_file
from mlp.tracking.session import service_asked_often
{release}
before = dict(vars(service_port_file))
with service_asked_often():
    assert (vars(service_port_file) == before) is bool({release!r})
assert vars(service_port_file) == before
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_disabled_leaves_no_trace_and_imports_nothing(tmp_path: Path) -> None:
    check = '\nassert "wandb" not in sys.modules'
    run = execute(tmp_path, TRAIN + check, WANDB_MODE="disabled")
    again = execute(tmp_path, TRAIN.replace("WandbTracker()", "WandbTracker(mode='disabled')") + check)
    assert list(run.directory.iterdir()) == []
    assert run.stderr == again.stderr == ""


def test_a_failing_start_is_one_warning_and_the_training_goes_on(tmp_path: Path) -> None:
    code = """
    import wandb
    def init(**_): raise OSError(28, "No space left on device")
    wandb.init = init
    run = Run(directory, CONFIG)
    train(WandbTracker(), run, EPOCHS)
    assert run.history == EPOCHS
    """
    run = execute(tmp_path, code)
    assert run.stdout == ""
    assert run.lines == [
        "WARNING W&B could not start; the run goes on without it. OSError: [Errno 28] No space left on device"
    ]
    assert run.files == []


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"WANDB_MODE": "OFFLINE"}, "INFO W&B is offline (as configured). "),
        pytest.param({"WANDB_MODE": ""}, "INFO W&B is offline (not logged in). ", marks=pytest.mark.slow),
        pytest.param(
            {"WANDB_MODE": "nonsense"},
            "WARNING W&B is offline (its settings are refused: mode: Input should be 'online",
            marks=pytest.mark.slow,
        ),
        (
            {"WANDB_API_KEY": "abc"},
            "WARNING W&B is offline (login failed: AuthenticationError: WANDB_API_KEY invalid",
        ),
        (
            {"WANDB_BASE_URL": "nonsense"},
            "WARNING W&B is offline (its settings are refused: base_url: Input should be",
        ),
        pytest.param(
            {"WANDB_PROJECT": "a/b"},
            "WARNING W&B is offline (its settings are refused: UsageError: Invalid project name",
            marks=pytest.mark.slow,
        ),
        ({"WANDB_RUN_ID": "a/b"}, "WARNING W&B is offline (its settings are refused: UsageError: Run ID cannot"),
        ({"HOME": ""}, "INFO W&B is offline (not logged in). "),
        pytest.param({"HOME": "/proc/nobody"}, "INFO W&B is offline (not logged in). ", marks=pytest.mark.slow),
    ],
    ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_whatever_the_settings_are_there_is_an_offline_record_and_one_note(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    run = execute(tmp_path, **variables)
    (line,) = run.lines
    assert line.startswith(said)
    assert line.endswith(f"Upload with: wandb sync {run.files[0].parent}")
    assert run.content.rows("train_loss") == EPOCHS


def test_every_run_of_a_process_says_that_the_settings_are_refused(tmp_path: Path) -> None:
    code = """
    for name in ("one", "two"):
        (directory / name).mkdir()
        train(WandbTracker(), Run(directory / name, {"name": name}), EPOCHS)
    """
    run = execute(tmp_path, code, WANDB_RUN_ID="a/b")
    for line, name in zip(run.lines, ("one", "two"), strict=True):
        assert line.startswith("WARNING W&B is offline (its settings are refused: UsageError: Run ID cannot")
        assert wandb_file.read(*wandb_file.find(run.directory / name)).config["name"] == name


def test_a_run_that_the_server_refuses_is_kept_offline_under_another_id(tmp_path: Path) -> None:
    with answering_server(refuse="permission denied") as (url, _):
        run = execute(tmp_path, WANDB_API_KEY="0" * 40, WANDB_BASE_URL=url, WANDB_RUN_ID="mine")
    (line,) = run.lines
    assert line.startswith("WARNING W&B is offline (the run is refused: ")
    assert "permission denied" in line
    (kept,) = [file for file in run.files if file.parent.name.startswith("offline")]
    content = wandb_file.read(kept)
    assert content.rows("train_loss") == EPOCHS
    assert content.run.run_id == (run.directory / "wandb_id.txt").read_text().strip() != "mine"


def test_an_id_with_blanks_costs_no_model(tmp_path: Path) -> None:
    run = execute(tmp_path, '(directory / "best_model.npy").write_text("weights")\n' + TRAIN, WANDB_RUN_ID="a b")
    assert len(run.lines) == 1
    assert [artifact.name for artifact in run.content.artifacts if artifact.type == "model"] == ["model-a-b"]


def test_a_dying_service_is_one_warning_and_the_next_run_gets_another(tmp_path: Path) -> None:
    code = """
    import subprocess
    run, tracker = Run(directory, CONFIG), WandbTracker()
    tracker.on_run_start(run)
    children = subprocess.run(["pgrep", "-P", str(os.getpid()), "wandb-core"], capture_output=True, check=True)
    os.kill(int(children.stdout), signal.SIGKILL)
    for epoch in EPOCHS:
        run.metrics = epoch
        tracker.on_epoch_end(run)
    tracker.on_run_end(run)
    (directory / "next").mkdir()
    train(tracker, Run(directory / "next", CONFIG), EPOCHS)
    """
    run = execute(tmp_path, code)
    assert run.stdout == ""
    assert [line.split()[0] for line in run.lines] == ["INFO", "WARNING", "INFO"]
    assert run.lines[1].startswith("WARNING W&B could not log an epoch; the run goes on without it.")
    assert wandb_file.read(*wandb_file.find(run.directory / "next")).rows("train_loss") == EPOCHS


def test_broken_results_do_not_lose_the_end_of_the_run(tmp_path: Path) -> None:
    run = execute(tmp_path, '(directory / "predictions.npz").write_text("not a zip file")\n' + TRAIN)
    assert [line.split(";")[0] for line in run.lines[1:]] == ["WARNING W&B could not log the results"]
    assert run.content.exit_code == 0
    assert run.content.rows("train_loss") == EPOCHS


def test_a_server_is_reachable_when_a_port_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with silent_server() as (url, _):
        assert reachable(url)
    assert not reachable(url)


def test_a_server_behind_a_proxy_is_reachable_when_the_proxy_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with silent_server() as (url, _):
        monkeypatch.setenv("https_proxy", url)
        assert reachable("https://wandb.invalid")
        assert reachable("https://wandb.invalid", proxy=url.removeprefix("http://"))
    assert not reachable("https://wandb.invalid")


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
