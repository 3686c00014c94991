"""Two hosts, which share nothing but PostgreSQL, on one search; each is killed in the middle of it."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from conftest import ROOT
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from runs import plotless
from searches import assert_trials, processes, wait_for_quiet
from sqlalchemy.pool import NullPool
from test_search_passwords import CANARY, assert_hidden

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(shutil.which("initdb") or "/nowhere/x").parent]
IS_POSSIBLE = (
    (BINARIES[-1] / "initdb").exists()
    and importlib.util.find_spec("psycopg") is not None
    and shutil.which("unshare") is not None
    and subprocess.run(["unshare", "--uts", "true"], capture_output=True, check=False).returncode == 0
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not IS_POSSIBLE, reason="needs PostgreSQL, psycopg, and the right to unshare a host's name"),
]

HEARTBEAT, GRACE = 0.5, 6.0  # seconds, for 30 and 600
PROGRAM = f"""
import runpy, sys
import hydra_trials.queue as queue
queue.HEARTBEAT_INTERVAL, queue.GRACE_PERIOD = {HEARTBEAT}, {GRACE}
sys.argv = sys.argv[1:]
sys.path[0] = {str(ROOT)!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""
POINTS = 12
SEARCH = (
    "-m", "-d", "digits", "-e", "12", "-sz", "32", "-b", "8", "tracker=none", "search.name=shared",
    "search.workers=2", "-o", "sgd,momentum,nag,adam,nadam,rmsprop", "optimizer.learning_rate=0.01,0.001",
)  # fmt: skip


@dataclass
class Database:
    url: str

    def __post_init__(self) -> None:
        self.storage = RDBStorage(self.url, {"poolclass": NullPool})

    def trials(self) -> list[FrozenTrial]:
        if "shared" not in optuna.get_all_study_names(self.storage):
            return []
        return optuna.load_study(study_name="shared", storage=self.storage).trials

    def running(self, host: str) -> list[FrozenTrial]:
        here = [one for one in self.trials() if one.user_attrs.get("host", "").startswith(f"{host}:")]
        return [one for one in here if one.state == TrialState.RUNNING]


@pytest.fixture
def database() -> Iterator[Database]:
    """A server of its own, which asks for a password."""
    # Its name is short, as that of a socket must be; another user enters no folder of pytest's.
    place = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
    owner = {"user": "postgres"} if os.getuid() == 0 else {}
    if owner:
        os.chown(place, pwd.getpwnam("postgres").pw_uid, -1)
    (place / "password").write_text(CANARY)
    (place / "password").chmod(0o644)
    words = ["-U", "me", "-A", "scram-sha-256", f"--pwfile={place}/password", "--no-sync", "-D", str(place / "data")]
    subprocess.run([BINARIES[-1] / "initdb", *words], check=True, stdout=subprocess.DEVNULL, cwd=place, **owner)
    server = subprocess.Popen(
        [BINARIES[-1] / "postgres", "-D", place / "data", "-k", place, "-c", "listen_addresses="],
        stderr=subprocess.DEVNULL, cwd=place, **owner,
    )  # fmt: skip
    try:
        while subprocess.run([BINARIES[-1] / "pg_isready", "-q", "-h", place], check=False).returncode:
            assert server.poll() is None
            time.sleep(0.1)
        made = Database(f"postgresql+psycopg://me:{CANARY}@/postgres?host={place}")
        yield made
        made.storage.remove_session()
        made.storage.engine.dispose()
    finally:
        server.send_signal(signal.SIGINT)  # fast shutdown
        server.wait(30)
        shutil.rmtree(place, ignore_errors=True)


def start(host: str, place: Path, database: Database) -> subprocess.Popen[str]:
    """The search on a host of this name, in its own folder."""
    (place / host).mkdir(exist_ok=True)
    words = [*SEARCH, f"search.storage='{database.url}'"]
    program = [sys.executable, "-c", PROGRAM, str(ROOT / "train.py"), *plotless(words)]
    with (place / host / "out").open("a") as out:
        return subprocess.Popen(
            ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host, *program],
            cwd=place / host, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, text=True,
        )  # fmt: skip


def kill(process: subprocess.Popen[str]) -> None:
    """All of a host's processes, at once."""
    for number in processes(process.pid):
        os.kill(number, signal.SIGKILL)
    process.wait()
    wait_for_quiet(process.pid)


def wait_for_trials(database: Database, host: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not database.running(host):
        assert process.poll() is None, process.returncode
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_killed_hosts_leave_every_point_done_once(tmp_path: Path, database: Database) -> None:
    hosts = {name: start(name, tmp_path, database) for name in ("one", "two")}
    for name in ("one", "two", "two", "one"):
        wait_for_trials(database, name, hosts[name])
        kill(hosts[name])
        hosts[name] = start(name, tmp_path, database)
    wait_for_trials(database, "one", hosts["one"])
    kill(hosts["one"])  # and stays away: the other host takes its trials over
    lost = [one.number for one in database.running("one")]
    assert lost
    assert hosts["two"].wait(400) == 0, (tmp_path / "two" / "out").read_text()
    found = database.trials()
    assert_trials(found, POINTS)
    for number in lost:
        one = found[number]
        assert one.user_attrs["lost"]
        assert one.datetime_complete is not None
        assert one.datetime_complete.timestamp() - one.user_attrs["alive"] >= GRACE  # no sooner than promised
        print(f"taken over after {one.datetime_complete.timestamp() - one.user_attrs['alive']:.1f} s of silence")
    assert "shared: 12 done" in (tmp_path / "two" / "out").read_text()
    assert_hidden(tmp_path)


def test_reading_names_the_database_on_the_command_line_and_changes_nothing(
    tmp_path: Path, database: Database
) -> None:
    search = start("one", tmp_path, database)
    assert search.wait(300) == 0, (tmp_path / "one" / "out").read_text()
    directory = tmp_path / "one" / "multirun_outputs" / "shared"
    program = [sys.executable, "-m", "mlp.search"]

    def read(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*program, *words], cwd=tmp_path, capture_output=True, text=True, check=False)

    refused = read("show", str(directory))
    assert refused.returncode == 2
    assert "--storage URL" in refused.stderr
    assert CANARY not in refused.stderr
    for command in ("show", "best", "report"):
        ended = read(command, str(directory), "--storage", database.url)
        assert ended.returncode == 0, ended.stderr
        assert CANARY not in ended.stdout + ended.stderr
    empty = database.url.replace("/postgres?", "/template1?")  # a database without studies stays one
    for _ in range(2):
        ended = read("show", str(directory), "--storage", empty)
        assert ended.returncode == 2
        assert "it holds no studies of Optuna" in ended.stderr
