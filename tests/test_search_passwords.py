"""The password of a database is neither written nor printed, however it is given."""

import os
from pathlib import Path

import pytest
import runs
from forks import python
from searches import DIRECTORY
from test_search_any_program import APP

from hydra_trials.passwords import hidden_in, hidden_word, without_password

CANARY = "hush-7Zq"
WORDS = ("-m", "-d", "digits", "-e", "1", "-sz", "8", "-o", "sgd,adam", "search.name=s", "search.workers=1")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg://me:s%40:e/c@host:5432/db", "postgresql+psycopg://me@host:5432/db"),
        ("redis://:secret@host", "redis://@host"),
        ("sqlite:////tmp/a.db -o adam user@host", "sqlite:////tmp/a.db -o adam user@host"),
        ("http://host:8080/a", "http://host:8080/a"),
        ("postgresql://me@host/db?sslmode=require&password=X", "postgresql://me@host/db?sslmode=require"),
        ("postgresql://me@host/db?p%61ssword=X", "postgresql://me@host/db"),
        ("mysql://host/db?passwd=X", "mysql://host/db"),
        ("mysql+pymysql://me:X@host/db?charset=utf8mb4", "mysql+pymysql://me@host/db?charset=utf8mb4"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3Da%3BPWD%3DX", "mssql+pyodbc:///"),
        ("postgresql://me:se cret@host/db", "postgresql://me@host/db"),
        ("postgresql://me:se@cret@host/db", "postgresql://hidden"),
        ("postgresql://me:se@cr/et@host/db", "postgresql://hidden"),
        ("postgresql://me:secret@host:port/db", "postgresql://hidden"),
        ("search.storage='postgresql://me:X@host/db'", "search.storage='postgresql://me@host/db'"),
        ("hydra.searchpath=[file:///a/b]", "hydra.searchpath=[file:///a/b]"),
        ("'a://me@host:1' is wrong: it can't be", "'a://me@host:1' is wrong: it can't be"),
        ("search.storage='me:X@host/db'", "search.storage='hidden'"),
        ("search.storage=me:X@host/db", "search.storage=hidden"),
        (f"{'a' * 100}://me:X@host/db", f"{'a' * 100}://me@host/db"),
        ("a" * 2**20, "a" * 2**20),  # minutes, if each letter were tried as the beginning of a scheme without end
    ],
    ids=lambda text: text[:20],
)
def test_a_url_without_its_password(text: str, shown: str) -> None:
    assert without_password(text) == shown


@pytest.mark.parametrize(
    ("word", "hidden"),
    [
        ("search.storage=postgresql://me:X@host/db", "search.storage='postgresql://me@host/db'"),
        ("++a={storage:postgresql://me:X@h/d,b:[null,1]}", "++a={storage:'postgresql://me@h/d',b:[null,1]}"),
        ("search.storage=${oc.env:DB}", "search.storage=${oc.env:DB}"),
        ("a=postgresql://me:X@h,b", "a=postgresql://me@h,b"),
        ("search.storage=me:X@host/db", "search.storage='hidden'"),
    ],
)
def test_an_override_without_its_password_can_be_parsed(word: str, hidden: str) -> None:
    assert hidden_word(word) == hidden


def test_what_a_driver_says_has_no_password() -> None:
    url = "postgresql://me:s%20e@host/db?password=X%21"
    assert hidden_in(f"no {url}: s e, X!, s e", url) == "no postgresql://me@host/db: ***, ***, ***"
    assert "%40" in hidden_in("could not translate host name e@host", "postgresql://me:s@e@host/db")


def assert_hidden(place: Path, *texts: str) -> None:
    """The canary is neither in the texts nor in a file of `place`, but for the database and the program."""
    for text in texts:
        assert CANARY not in text
    files = [path for path in place.rglob("*") if path.is_file() and path.suffix not in (".db", ".py")]
    assert len(files) > 10
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("spelling", ["quoted", "encoded", "environment"])
def test_no_file_of_a_search_has_it(spelling: str, tmp_path: Path) -> None:
    # SQLite has no passwords, and takes no notice of what it does not know.
    name = "p%61ssword" if spelling == "encoded" else "password"
    url = f"sqlite:///file:{tmp_path}/study.db?uri=true&{name}={CANARY}"
    word = "search.storage=${oc.env:DB}" if spelling == "environment" else f"search.storage='{url}'"
    more = [word, "plots=false", "tracker=wandb" if spelling == "quoted" else "tracker=none"]
    done = python(str(runs.ROOT / "train.py"), *WORDS, *more, cwd=tmp_path, env={**os.environ, "DB": url})
    assert done.returncode == 0, done.stderr
    assert "2 done" in done.stdout
    assert (tmp_path / DIRECTORY / "search.html").exists()
    assert (tmp_path / "study.db").exists()
    assert_hidden(tmp_path, done.stdout, done.stderr)


#: As Ray's and Slurm's launchers do, which write what their workers are to do into files.
PICKLING = """
from pathlib import Path
try:
    from joblib.externals import cloudpickle
except ImportError:  # joblib 1.6 has it as a package of its own
    import cloudpickle
from hydra_plugins.hydra_trials.launcher import LocalLauncher

class Pickling(LocalLauncher):
    def launch(self, job_overrides, initial_job_idx):
        content = cloudpickle.dumps((self.hydra_context, self.task_function, self.config, job_overrides))
        Path("engine.pickle").write_bytes(content)
        return super().launch(job_overrides, initial_job_idx)
"""
REGISTERED = """
from hydra.core.plugins import Plugins
from hydra_plugins.engine import Pickling

Plugins.instance().register(Pickling)
"""


@pytest.mark.parametrize("launcher", ["local", "pickling", pytest.param("joblib", marks=pytest.mark.slow)])
def test_no_file_of_another_program_has_it(launcher: str, tmp_path: Path) -> None:
    """Hydra writes .hydra/hydra.yaml into each job's directory, with the settings of the sweeper."""
    url = f"sqlite:///file:{tmp_path}/study.db?uri=true&password={CANARY}"
    program = APP.replace("config_path=None", "config_path='.', config_name='app'")
    (tmp_path / "app.py").write_text((REGISTERED if launcher == "pickling" else "") + program)
    (tmp_path / "app.yaml").write_text(
        f"defaults: [{{override hydra/sweeper: trials}}, _self_]\nx: 1\nhydra: {{sweeper: {{storage: '{url}'}}}}\n"
    )
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins/engine.py").write_text(PICKLING)
    chosen = ["hydra/launcher=local", "hydra.launcher._target_=hydra_plugins.engine.Pickling"]
    words = [
        "-m",
        *(chosen if launcher == "pickling" else [f"hydra/launcher={launcher}"]),
        "hydra.sweeper.name=s",
        "hydra.sweeper.sampler=grid",
        "x=1,2",
    ]
    if launcher == "local":
        words += [f"hydra.sweeper.storage='{url}'"]
    done = python("app.py", *words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(runs.ROOT)})
    assert done.returncode == 0, done.stderr
    assert "trial 1 is the best" in done.stdout
    (tmp_path / "app.yaml").unlink()
    assert launcher != "pickling" or b"study.db?uri=true" in (tmp_path / "engine.pickle").read_bytes()
    assert_hidden(tmp_path, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "word",
    [
        f"search.storage=postgresql://me:{CANARY}@host/db?a=b",  # cannot be parsed
        f"search.storage=postgresql://me:a {CANARY}@host/db",
        f"search.storage=postgresql://me:{CANARY}@host/a,postgresql://me:{CANARY}@host/b",
        f"search.storage=[postgresql://me:{CANARY}@host/db]",
        f"++search={{storage:'postgresql://me:{CANARY}@host/db'}}",
        f"search.storge=postgresql://me:{CANARY}@host/db",
        f"search.storage.url=postgresql://me:{CANARY}@host/db",
        f"search.storage=nonsense://me:{CANARY}@host/db",
        f"search.storage=postgresql:me:{CANARY}@host/db",
        f"search.storage=me:{CANARY}@host/a,b",
        f"search.storge=me:{CANARY}@host/db",
        f"search.storage='postgresql://me:{CANARY}@127.0.0.1:1/db?connect_timeout=1'",
    ],
)
def test_no_message_has_it(word: str, tmp_path: Path) -> None:
    done = runs.run(tmp_path, *WORDS, "tracker=none", word, code=2)
    assert CANARY not in done.out + done.err
    assert done.err.startswith("Error: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("scheme", ["postgresql://", ""])
def test_a_single_run_does_not_write_it(scheme: str, tmp_path: Path) -> None:
    word = f"search.storage={scheme}me:{CANARY}@host/db"
    done = runs.run(tmp_path, "-d", "digits", "-e", "1", "-sz", "8", "tracker=wandb", "hydra.run.dir=run", word)
    assert_hidden(tmp_path, done.out, done.err)
