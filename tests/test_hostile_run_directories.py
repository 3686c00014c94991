"""A run directory may be a stranger's: it is resumed, loaded and drawn as data, or refused in one message."""

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from attack.run_directories import JSON, YAML
from conftest import once

import mlp
from mlp.api import Model
from mlp.base.errors import UserError
from mlp.cli.flags import HYDRA_SWITCHES
from mlp.config.build import build
from mlp.config.values import FromEnvironment, used
from mlp.report import draw_run
from mlp.report.read import read_facts
from mlp.runs import detail, page, verify
from mlp.runs import read as run_rows
from mlp.tools.summary import of_file

SMALL = ("-d", "digits", "-sz", "4", "-e", "1", "-b", "256", "tracker=none")
CANARY = "canary-5f2c"


UNKNOWN = (b"a: 2001-01-01", b"\xef\xbb\xbfa: 1")  # what is YAML, and no configuration


@pytest.fixture
def run(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run, in the folder `run` of the current one."""
    made = once(tmp_path_factory, "hostile", lambda place: mlp.train(*SMALL, directory=place / "run") and None)
    shutil.copytree(made / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def refused(work: Callable[[], Any], *parts: str) -> None:
    with pytest.raises(UserError) as error:
        work()
    message = str(error.value)
    assert len(message) < 2000
    assert [part for part in parts if part not in message] == []


def resume(*words: str) -> mlp.Run:
    return mlp.train("resume=run", *words)


def configured(run: Path, changes: dict[Any, Any]) -> None:
    """Change top-level keys of the run's configuration."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(config | changes))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("content", YAML, ids=lambda content: repr(content[:20]))
def test_a_configuration_that_is_none_is_one_message(run: Path, content: bytes) -> None:
    (run / "config.yaml").write_bytes(content)
    for work in (resume, lambda: of_file(run)):
        refused(work, "key 'a' is unknown" if content in UNKNOWN else "config.yaml")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"optimizer": {"_target_": "os.system", "command": "id"}}, "_target_ must be a class of the package mlp"),
        (
            {"optimizer": {"_target_": "mlp.base.streams._Lasting", "file": "x", "mode": "w"}},
            "_target_ must be a class",
        ),
        ({"activation": {"_target_": "mlp.nn.Adam"}}, "is no Activation"),
        ({"tracker": {"_target_": "mlp.nn.MLP", "input_size": 1, "output_size": 1}}, "must be a Callback"),
        ({"tracker": [1]}, "tracker is missing"),
        ({"seed": -1}, "seed must be an integer >= 0"),
        ({"seed": [1] * 5000}, "seed must be an integer"),
        ({"optimizer_options": 5}, "optimizer_options is missing"),
        ({"unknown": 1}, "key 'unknown' is unknown"),
        ({5: 1}, "key '5' is unknown"),
        ({"plots": "yes"}, "plots must be true or false or null"),
        ({"dataset": {"_target_": "mlp.data.NPZ", "path": "/dev/zero"}}, "is not a file"),
    ],
)
def test_what_it_cannot_say_is_one_message(run: Path, changes: dict[Any, Any], part: str) -> None:
    configured(run, changes)
    refused(resume, part)
    assert {path.name for path in run.parent.iterdir()} == {"run"}


@pytest.mark.parametrize(
    "kind", ["mlp.base.streams._Lasting", "mlp.nn.Adam", "mlp.data.Digits", "mlp.training.run.Run"]
)
def test_an_object_inside_must_be_of_the_kind_that_its_place_takes(run: Path, kind: str) -> None:
    training = yaml.safe_load((run / "config.yaml").read_text())["training"]
    configured(run, {"training": {**training, "callbacks": {"x": {"_target_": kind}}}})
    refused(resume, "_target_ must be a class" if kind.startswith("mlp.base.") else "is no Callback")


def test_it_writes_nothing_outside_unless_the_command_line_says_so(run: Path) -> None:
    tracker = {"_target_": "mlp.tracking.MLflowTracker", "tracking_uri": "http://127.0.0.1:9"}
    configured(run, {"save": {"model_path": "out/m.npy", "config_path": "c.json"}, "tracker": tracker})
    resume("-e", "2")
    assert {path.name for path in run.parent.iterdir()} == {"run"}
    log = (run / "train.log").read_text()
    assert "save.model_path=out/m.npy" in log
    assert "mlp.tracking.MLflowTracker writes outside the run directory: left out" in log
    resume("-e", "3", "save.model_path=out/m.npy")
    assert {path.name for path in (run.parent / "out").iterdir()} == {"m.npy", "m_config.json"}


def test_what_its_configuration_leaves_open_has_its_default(run: Path) -> None:
    model = yaml.safe_load((run / "config.yaml").read_text())["model"]
    configured(run, {"model": {"_target_": model["_target_"], "hidden_sizes": model["hidden_sizes"]}})
    assert resume("-e", "2").summary["epochs"] == 2


def test_its_interpolations_are_not_resolved(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", CANARY)
    configured(run, {"loss": {"_target_": "mlp.nn.CrossEntropy", "label_smoothing": "${oc.env:SECRET}"}})
    with pytest.raises(UserError) as error:
        resume()
    assert "loss.label_smoothing=${oc.env:SECRET}" in str(error.value)
    assert CANARY not in str(error.value)
    for work in (lambda: verify.verify(run_rows.ended_row("run"), None), lambda: of_file(run)):
        refused(work, "loss.label_smoothing must be resolved, which a file cannot ask for")


def test_texts_from_the_environment_are_used_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", CANARY)
    x, y = np.random.default_rng(0).normal(size=(40, 3)).astype("f4"), np.arange(40) % 2
    Path(CANARY).mkdir()
    np.savez(Path(CANARY, "data.npz"), x_train=x, y_train=y, x_test=x, y_test=y)
    words = ("dataset.path=${oc.env:SECRET}/data.npz", "save.model_path=${oc.env:SECRET}/m.npy")
    mlp.train("-d", "npz", *words, "-e", "1", "tracker=tensorboard", directory=tmp_path / "run")
    assert (tmp_path / CANARY / "m.npy").exists()
    assert [path for path, content in contents(tmp_path / "run").items() if CANARY.encode() in content] == []
    assert "path: ${oc.env:SECRET}/data.npz" in (tmp_path / "run" / "config.yaml").read_text()
    refused(resume, "'dataset.path=${oc.env:SECRET}/data.npz'")
    resume("-e", "2", words[0])
    assert [path for path, content in contents(tmp_path / "run").items() if CANARY.encode() in content] == []
    assert "path: ${oc.env:SECRET}/data.npz" in (tmp_path / "run" / "config.yaml").read_text()


def test_an_object_gets_a_text_from_the_environment_as_a_text() -> None:
    """Whose representation, of which some make a key, is its own."""
    text = FromEnvironment("/data/a.csv", "${oc.env:DATA}")
    assert repr(text) == "'${oc.env:DATA}'"
    tracker = build({"_target_": "mlp.tracking.TensorBoardTracker", "group": text}, "tracker")
    assert type(tracker.group) is str
    assert repr(used([text])) == "['/data/a.csv']"


def test_numbers_from_the_environment_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE", "0.25")
    run = mlp.train(*SMALL, "optimizer.learning_rate='${oc.decode:${oc.env:RATE}}'", directory=tmp_path / "run")
    assert run.config["optimizer"]["learning_rate"] == 0.25


@pytest.mark.parametrize("name", ["train.log", "checkpoint.npz", "summary.json", "plots", "config.yaml"])
@pytest.mark.parametrize("kind", ["link", "pipe", "link to a device"])
def test_links_out_of_it_pipes_and_devices_are_refused(run: Path, name: str, kind: str) -> None:
    path, outside = run / name, run.parent / "outside"
    outside.mkdir()
    if path.exists():
        shutil.copy(path, outside / name)
        path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(Path("/dev/zero") if kind != "link" else outside if name == "plots" else outside / name)
    before = contents(outside)
    for work in (resume, lambda: mlp.load("run").config, lambda: draw_run(run)):
        refused(work)
    assert contents(outside) == before


def looks() -> list[Callable[[], Any]]:
    """What `mlp runs` reads of one run."""
    row = run_rows.ended_row("run")
    return [lambda: detail.show(row), lambda: detail.compare([row, row]), lambda: verify.verify(row, None)]


@pytest.mark.parametrize("name", run_rows.SEEN)
@pytest.mark.parametrize("kind", ["link", "pipe", "link to a device", "link to nothing"])
def test_a_look_at_it_reads_no_links_out_of_it_pipes_and_devices(run: Path, name: str, kind: str) -> None:
    path = run / name
    shutil.move(path, run.parent / name)
    targets = {"link": run.parent / name, "link to a device": Path("/dev/zero"), "link to nothing": Path("/none")}
    os.mkfifo(path) if kind == "pipe" else path.symlink_to(targets[kind])
    assert run_rows.row("run")["state"] == "damaged"
    for work in looks():
        refused(work, name)


def test_a_look_at_it_stays_in_it(run: Path) -> None:
    (run / "elsewhere").symlink_to(run.parent)
    (run.parent / "large").write_bytes(bytes(10**7))
    assert "MB" not in detail.show(run_rows.row("run"))


@pytest.mark.parametrize(
    "content",
    [b"- !!python/object/apply:os.system [exit]\n", b"- &a [x]\n- [*a, *a]\n", b"5\n", b"- [\n", b"\xff\n"],
)
def test_overrides_that_are_none_are_one_message(run: Path, content: bytes) -> None:
    (run / "overrides.yaml").write_bytes(content)
    refused(lambda: detail.show(run_rows.row("run")), "overrides.yaml")


def test_what_it_says_moves_no_cursor(run: Path) -> None:
    (run / "overrides.yaml").write_text('- "\\e[31mred\\a"\n')
    other = run.with_name("other")
    shutil.copytree(run, other)
    facts = read_facts(run, "summary.json")
    (run / "summary.json").write_text(json.dumps(facts | {"environment": {"\x1b[31m": "\x1b[32m"}}))
    row = run_rows.row(run)
    texts = [detail.show(row), detail.compare([row, run_rows.row(other)]), verify.verify(row, None)[0]]
    assert [text for text in texts if "\x1b" in text or "\a" in text] == []
    assert "\\x1b[31m" in texts[0]


@pytest.mark.parametrize("threads", ["x", -5, 10**18, [1], True, None])
@pytest.mark.parametrize("hashes", ["x", [1, 2], None])
def test_facts_of_the_wrong_type_are_none(run: Path, threads: Any, hashes: Any) -> None:
    facts = read_facts(run, "summary.json")
    facts |= {"data_sha256": hashes, "environment": {"blas_threads": threads}}
    (run / "summary.json").write_text(json.dumps(facts))
    row = run_rows.row(run)
    assert verify.verify(row, None)[1]
    assert "no difference" in detail.compare([row, row])


@pytest.mark.parametrize("line", ["1,2", "nine" + ",1" * 20, "1" + ",1" * 200, "9" * 200_000])
def test_a_table_that_is_none_cannot_be_verified(run: Path, line: str) -> None:
    header, *_ = (run / "metrics.csv").read_text().splitlines()
    (run / "metrics.csv").write_text(f"{header}\n{line}\n")
    refused(lambda: verify.verify(run_rows.row(run), None), "metrics.csv")


@pytest.mark.parametrize(
    "change",
    [
        {"class_names": None},
        {"class_names": np.array("a")},
        {"class_names": np.zeros(10**6, "u1")},
        {"y_true": np.zeros(359, [("a", "i4")])},
        {"y_true": np.array(["a"] * 359)},
        {"y_true": np.full(359, -1)},
        {"y_true": np.zeros(3)},
    ],
)
def test_a_page_says_which_predictions_are_none(run: Path, change: dict[str, Any]) -> None:
    with np.load(run / "predictions.npz") as file:
        arrays = {name: value for name, value in (dict(file) | change).items() if value is not None}
    np.savez(run / "predictions.npz", **arrays)
    assert "predictions.npz" in problems_of(run)


def problems_of(run: Path) -> str:
    return " ".join(page.content([run_rows.row(run)], run.parent)["problems"])


@pytest.mark.parametrize("name", ["metrics.csv", "predictions.npz"])
def test_a_page_shows_nothing_from_elsewhere(run: Path, name: str) -> None:
    shutil.move(run / name, run.parent / name)
    (run / name).symlink_to(run.parent / name)
    assert "a link" in problems_of(run)


def test_a_link_within_it_is_followed(run: Path) -> None:
    (run / "summary.json").rename(run / "real.json")
    (run / "summary.json").symlink_to("real.json")
    assert resume("-e", "2").summary["epochs"] == 2


@pytest.mark.parametrize("name", ["summary.json", "best_config.json"])
def test_json_that_is_none_is_one_message(run: Path, name: str) -> None:
    for content in JSON:
        (run / name).write_bytes(content)
        for read in (read_facts, Model):
            with suppress(UserError):  # which is one message
                read(run)
        if not is_object(content):
            refused(lambda: read_facts(run), name)


def is_object(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content), dict)
    except (ValueError, RecursionError):
        return False


def test_an_archive_that_unpacks_to_more_than_it_may_is_refused_before_it_does(run: Path) -> None:
    header = io.BytesIO()
    claim = {"descr": "<f4", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(header, claim)  # type: ignore[arg-type]
    for method, content in ((zipfile.ZIP_DEFLATED, header.getvalue()), (zipfile.ZIP_BZIP2, bytes(2**20))):
        for name in ("checkpoint.npz", "predictions.npz"):
            with zipfile.ZipFile(run / name, "w", method) as archive:
                archive.writestr("state.npy", content)
        refused(resume, "checkpoint.npz cannot be read as a checkpoint")
        refused(lambda: draw_run(run), "predictions.npz cannot be read")


def test_an_interrupted_run_says_what_brings_its_copies_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    class Failing(mlp.training.Callback):  # type: ignore[name-defined]
        def on_epoch_end(self, run: Any) -> None:
            raise ValueError

    with pytest.raises(mlp.CallbackFailed):
        mlp.train(*SMALL, "save.model_path=m.npy", directory=tmp_path / "run", callbacks=[Failing()])
    assert "resume=run save.model_path=m.npy" in (tmp_path / "run" / "train.log").read_text()


def test_no_switch_unpickles_a_file() -> None:
    assert "--experimental-rerun" not in HYDRA_SWITCHES
