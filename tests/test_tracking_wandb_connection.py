"""The W&B tracker and what stands between it and the server: logins, settings, networks, failures."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest
import wandb_file
from wandb_runs import EPOCHS, NOWHERE, TRAIN, command, execute
from wandb_server import answering_server, environment, silent_server

from mlp.tracking.wandb_session import reachable

SLOW = [pytest.param(source, marks=pytest.mark.slow) for source in ("netrc", "settings")]


@pytest.mark.parametrize("source", ["environment", *SLOW])
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
        WandbTracker().store_id(directory, "earlier1")
        train(WandbTracker(), Run(directory, CONFIG), [])
        """
        execute(tmp_path, code, WANDB_API_KEY="0" * 40, WANDB_BASE_URL=url)
    asked = [request for request in received if "RunResumeStatus" in request.get("query", "")]
    assert [request["variables"]["name"] for request in asked] == ["earlier1"]


def test_a_server_that_never_answers_costs_the_timeout_and_no_data(tmp_path: Path) -> None:
    code = TRAIN.replace("WandbTracker()", "WandbTracker(timeout=5.0)")
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
    assert line.startswith(
        "WARNING W&B failed in on_run_start and is switched off; the run goes on. ServicePollForTokenError: "
    )


def test_online_without_a_login_does_not_ask_on_a_terminal(tmp_path: Path) -> None:
    terminal, end = pty.openpty()
    code = TRAIN.replace("WandbTracker()", "WandbTracker(mode='online')")
    process = subprocess.Popen(
        command(code), cwd=tmp_path, env=environment(tmp_path), stdin=end, stdout=end, stderr=end
    )
    os.close(end)
    printed = b""
    try:
        process.wait(300)
        printed = os.read(terminal, 100_000)
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert process.returncode == 0
    assert printed.startswith(b"WARNING W&B is offline (not logged in).")
    assert printed.count(b"\n") == 1
    assert wandb_file.read(*wandb_file.find(tmp_path / "run")).exit_code == 0


@pytest.mark.parametrize("arguments", ["", "mode='disabled'"])
def test_disabled_leaves_no_trace_and_imports_nothing(tmp_path: Path, arguments: str) -> None:
    code = TRAIN.replace("WandbTracker()", f"WandbTracker({arguments})") + '\nassert "wandb" not in sys.modules'
    env = environment(tmp_path, **({} if arguments else {"WANDB_MODE": "disabled"}))
    done = subprocess.run(command(code), cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert list((tmp_path / "run").iterdir()) == []


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
    (line,) = run.lines
    assert line.startswith(
        "WARNING W&B failed in on_run_start and is switched off; the run goes on. OSError: [Errno 28] No space left"
    )
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
        pytest.param({"HOME": ""}, "INFO W&B is offline (not logged in). ", marks=pytest.mark.slow),
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
    assert content.run.run_id == (run.directory / "wandb_id.txt").read_text().split()[0] != "mine"


def test_an_id_with_blanks_costs_no_model(tmp_path: Path) -> None:
    run = execute(tmp_path, '(directory / "best_model.npy").write_text("weights")\n' + TRAIN, WANDB_RUN_ID="a b")
    assert len(run.lines) == 1
    assert [artifact.name for artifact in run.content.artifacts if artifact.type == "model"] == ["model-a-b"]


def test_a_dying_service_is_one_warning_and_the_next_run_gets_another(tmp_path: Path) -> None:
    code = """
    import subprocess
    run, wandb = Run(directory, CONFIG), WandbTracker()
    tracker = TrackerCallback(wandb, "W&B")
    tracker.on_run_start(run)
    children = subprocess.run(["pgrep", "-P", str(os.getpid()), "wandb-core"], capture_output=True, check=True)
    os.kill(int(children.stdout), signal.SIGKILL)
    for epoch in EPOCHS:
        run.metrics = epoch
        tracker.on_epoch_end(run)
    tracker.on_run_end(run)
    (directory / "next").mkdir()
    train(wandb, Run(directory / "next", CONFIG), EPOCHS)
    """
    run = execute(tmp_path, code)
    assert run.stdout == ""
    assert [line.split()[0] for line in run.lines] == ["INFO", "WARNING", "INFO"]
    assert run.lines[1].startswith("WARNING W&B failed in on_epoch_end and is switched off; the run goes on. ")
    assert wandb_file.read(*wandb_file.find(run.directory / "next")).rows("train_loss") == EPOCHS


def test_broken_results_do_not_lose_the_end_of_the_run(tmp_path: Path) -> None:
    run = execute(tmp_path, '(directory / "predictions.npz").write_text("not a zip file")\n' + TRAIN)
    assert [line.split(";")[0] for line in run.lines[1:]] == ["WARNING W&B failed in on_run_end and is switched off"]
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
