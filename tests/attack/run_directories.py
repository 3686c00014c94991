"""Run directories of strangers, resumed, drawn, measured, listed, run again, packed and removed: one message, no
traceback, nothing written outside."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from attack import programs

CANARY = "canary-3f7a91"
OUTSIDE = "outside"  # a folder beside the run directory, that nothing may touch
SMALL = ("-d", "digits", "-sz", "8", "-e", "1", "-b", "256", "tracker=none", "plots=false", "hydra.run.dir=run")

IN = ("--in", ".")
#: Command lines, and what else than the run directory they may write beside it.
PROGRAMS: Mapping[tuple[str, ...], set[str]] = {
    ("train", "resume=run", "plots=false"): set(),
    ("train", "resume=run", "plots=false", "training.epochs=2"): set(),
    ("report", "run", "run"): set(),
    ("inference", "-mp", "run/best_model.npy"): set(),
    ("mlp", "summary", "run"): set(),
    ("runs", "list", "."): set(),
    ("runs", "show", "run"): set(),
    ("runs", "compare", "run", "run", "--plot", "plot.png"): {"plot.png"},
    ("runs", "verify", "run", "--epochs", "1"): set(),
    ("runs", "page", "."): {"runs.html"},
    ("runs", "send", "trackio", ".", "--project", "p"): {"trackio"},
    ("runs", "rm", *IN, "--where", "state!=x", "--yes"): set(),
    ("runs", "rm", "run", "--checkpoints", "--yes"): set(),
    ("runs", "archive", *IN, "run", "--yes"): {"archive"},
}
FILES = (
    "config.yaml", "checkpoint.npz", "best_config.json", "summary.json", "metrics.csv", "predictions.npz",
    "best_model.npy", "overrides.yaml", "train.log",
)  # fmt: skip
FOLDERS = ("plots", "wandb", "tensorboard")
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, -5, 1.5, 1e308, float("nan"), float("inf"), 2**31, 2**63, 2**200, 10**4000, "", "1",
    "x" * 5000, "\x1b[31mred\x07", "\u202eevil", "${oc.env:CANARY}", "${seed}", "${", "../../x", "/dev/zero", [], {},
    [[]], [{}], {"a": {"b": 1}}, ["relu"] * 1000, [1] * 1000, {"_target_": "os.system"}, {"value": 5}, "mlp.nn.Adam",
)  # fmt: skip
TARGETS = (
    "os.system", "numpy.load", "numpy.ndarray", "subprocess.Popen", "builtins.open", "mlp", "mlp.", "mlp..", "",
    ".", "mlp.nn", "mlp.nn.optimizers.Optimizer", "mlp.nn.MLP", "mlp.nn.Adam", "mlp.nn.ReLU", "mlp.data.MNIST",
    "mlp.data.NPZ", "mlp.data.Dataset", "mlp.data.samples.Samples", "mlp.training.Trainer", "mlp.training.Callback",
    "mlp.training.Run", "mlp.training.callbacks.CallbackOptions", "mlp.training.callbacks.ProgressBar",
    "mlp.tracking.MLflowTracker", "mlp.tracking.TrackioTracker", "mlp.tracking.Tracker", "mlp.base.streams._Lasting",
    "mlp.base.files.Path", "mlp.nn.\0", "mlp/x", "mlp.graded.NeuralNetwork", "mlp.api.Model", "mlp.nn.types.np",
    "mlp.nn.layers.Dropout", "mlp.base.errors.UserError", 5,
)  # fmt: skip
YAML = (
    b"", b"\0", b"\xff\xfe\0", "seed: é\n".encode("utf-16"), b"seed: \xe9\n", b"[1, 2", b"a: b: c", b"{",
    b"- 1\n- 2\n", b"5", b"null", b"text", b"seed: 1\nseed: 2\n", b"? [a]\n: 1\n", b"? {a: 1}\n: 2\n",
    b"a: !!python/name:os.system\n", b"!!python/object/apply:os.system [id]",
    b"a: !!python/object/new:os.system []", b"a: !!set {x}", b"a: !!binary aGk=", b"a: 2001-01-01",
    b"a: &x [1]\nb: *x\n", b"&x {a: *x}", b"a: *nothing", b"<<: {seed: 1}\n", b"<<: [1]", b"a: !x 1", b"[" * 50_000,
    b"{a: " * 20_000, b"- " * 30_000, b"a: " + b"1:" * 40_000 + b"1", b"a: 0x" + b"f" * 100_000,
    b"a: " + b"9" * 9_000, b"a: |\n" + b" x\n" * 40_000, b"%YAML 9.9\n---\na: 1", b"--- 1\n--- 2\n", b"\t- x",
    b"\xef\xbb\xbfa: 1",
    b"a: &a [" + b"x, " * 9 + b"x]\n" + b"".join(
        f"b{i}: &b{i} [{', '.join([f'*b{i - 1}' if i else '*a'] * 9)}]\n".encode() for i in range(20)),
)  # fmt: skip
JSON = (
    b"", b"\0" * 100, b"{", b"[]", b"5", b"null", b'"text"', b"NaN", b'{"a": NaN}', b"[" * 100_000,
    b'{"a":' * 100_000, b'{"status": ' + b"9" * 5_000 + b"}", b"\xff\xfe{\0}\0", b"{}", b'{"status": []}',
    b'{"status": "completed"}', b'{"activation_options": 5}', b'{"activation": {"name": "relu", "a": 1}}',
    b'{"hidden_size": {}}', b'{"dataset": []}', b'{"activation": "\\u001b[31m"}', b'{"class_names": 5}',
    b'{"class_names": [1, [2], null]}', b'{"loss": null}', b'{"input_scaling": {"divide_by": "x"}}',
    b'{"input_scaling": []}', b'{"own_classes": {"loss": ["os.system"]}}', b'{"own_classes": 5}',
    b'{"num_layers": -1}', b'{"num_layers": 1e308}', b'{"feature_names": [[]]}', b'{"\\ud800": 1}',
    b'{"test_accuracy": "x", "environment": 5, "best_epoch": [], "timing": 1}', b'{"best_epoch": 1e400}',
)  # fmt: skip

ARRAYS = (
    np.zeros(3), np.zeros((0,)), np.array("x"), np.array(-1), np.full(5, np.nan), np.array([None]), np.zeros(7, "S3"),
    np.zeros(2, "m8[s]"), np.zeros(2, [("a", "i4")]), np.zeros(3, "c16"), np.array(True), np.zeros((2, 2, 2)),
    np.array(["\x1b[31m"]), np.array([]),
)  # fmt: skip
HEAD = b"epoch,learning_rate,train_loss,train_accuracy,train_f1\n"
TABLES = (
    b"", b"\0" * 50, b"epoch\n", b"epoch,learning_rate\n1,2\n", b"\xff\n1\n", b",,,\n,,\n", b"a,a\n1,2\n",
    HEAD + b"1,2,3,4,5\n", HEAD + b"nan,,,,\n", HEAD + b"x,1,1,1,1\n", HEAD + b"1e999,-1,inf,2,3\n", HEAD + b"1,2\n",
    HEAD + b"1,1,1,1,1\n" * 20_000, b"epoch," * 50_000 + b"\n",
)  # fmt: skip
WITH_JSON = (("best_config.json", JSON), ("summary.json", JSON))

Case = tuple[str, Callable[[Path], None]]


def cases(seed: int) -> Iterator[Case]:
    """What is done to a run directory, in words, and what does it, without end."""
    rng = random.Random(seed)
    while True:
        (kind,) = rng.choices(list(KINDS), list(KINDS.values()))
        yield kind(random.Random(rng.getrandbits(64)))


def _whole(rng: random.Random) -> Case:
    """A file with another content."""
    name, contents = rng.choice((*[("config.yaml", YAML)] * 3, ("metrics.csv", TABLES), *WITH_JSON))
    content = rng.choice(contents)
    return f"{name} is {content[:60]!r}", lambda run: _write(run / name, content)


def _json(rng: random.Random) -> Case:
    (name, _), value, place = rng.choice(WITH_JSON), rng.choice(ODD), rng.getrandbits(32)

    def change(run: Path) -> None:
        facts = json.loads((run / name).read_text())
        _replace(facts, place, value)
        _write(run / name, json.dumps(facts).encode("utf-8", "surrogatepass"))

    return f"{name} has {value!r:.60}", change


def _values(rng: random.Random) -> Case:
    """A well-formed configuration with one or two values that cannot be."""
    kinds = [TARGETS if rng.random() < 0.4 else ODD for _ in range(rng.choice((1, 1, 2)))]
    changes = [(rng.getrandbits(32), rng.choice(options)) for options in kinds]
    extra = rng.choice(({}, {}, {"save": {"model_path": f"{OUTSIDE}/stolen.npy", "config_path": None}},
                        {"tracker": {"_target_": "mlp.tracking.MLflowTracker", "tracking_uri": f"{OUTSIDE}/x"}},
                        {"dataset": {"_target_": "mlp.data.NPZ", "path": "${oc.env:CANARY}"}},
                        {"unknown": 1}, {5: 6}, {"choices": []}, {"plots": "yes"}))  # fmt: skip

    def change(run: Path) -> None:
        config = yaml.safe_load((run / "config.yaml").read_text())
        for place, value in changes:
            _replace(config, place, value, "_target_" if value in TARGETS[1:] and isinstance(value, str) else None)
        text = yaml.safe_dump({**config, **extra}, allow_unicode=True)
        _write(run / "config.yaml", text.encode("utf-8", "surrogatepass"))

    return f"config.yaml has {[value for _, value in changes]!r:.80} and {extra}", change


def _checkpoint(rng: random.Random) -> Case:
    """A checkpoint with another array, or with something else in its progress."""
    place, value, kind = rng.getrandbits(32), rng.choice(ODD), rng.randrange(9)
    made: Any = rng.choice(ARRAYS)

    def change(run: Path) -> None:
        path = run / "checkpoint.npz"
        with np.load(path) as file:
            arrays = dict(file)
        names = sorted(arrays)
        name = names[place % len(names)]
        if kind < 4:
            progress = json.loads(arrays["progress"].item())
            _replace(progress, place, value)
            arrays["progress"] = np.array(json.dumps(progress))
        elif kind == 4:
            del arrays[name]
        elif kind == 5:
            arrays[name] = made
        elif kind == 6:
            arrays["unknown" if place % 2 else "optimizer.x"] = made
        elif arrays[name].ndim:
            like = arrays[name]
            alike = like[:-1], like.reshape(-1, 1), np.full_like(like, np.nan), -like
            arrays[name] = (*alike, like.astype(">f4"), like.astype("f8"))[place // 7 % 6]
        np.savez(path, **arrays)
        if kind == 8:
            _repack(path, place)

    return f"checkpoint: kind {kind}, place {place}, {value!r:.40} or {made!r:.40}", change


def _repack(path: Path, place: int) -> None:
    """Write an archive with another method, or with a header that declares more than there is."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    method = (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED)[place % 3]
    header = io.BytesIO()
    claim = {"descr": "<f4", "fortran_order": False, "shape": (10 ** (place % 19),)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, header.getvalue() if name == "state.npy" and place % 2 else content)
        if place % 5 == 0:
            archive.writestr("bomb.npy", b"\0" * 2**28)


def _predictions(rng: random.Random) -> Case:
    place, kind, number = rng.getrandbits(32), rng.randrange(5), rng.choice((-1, 10**6, 2**62, 0))
    made: Any = rng.choice(ARRAYS)

    def change(run: Path) -> None:
        path = run / "predictions.npz"
        with np.load(path) as file:
            arrays = dict(file)
        name = sorted(arrays)[place % len(arrays)]
        if kind == 0:
            del arrays[name]
        elif kind < 3:
            arrays[name] = made
        elif arrays[name].dtype.kind in "iuf":
            arrays[name] = np.full_like(arrays[name], np.array(number).astype(arrays[name].dtype))
        np.savez(path, **arrays)
        if kind == 4:
            _repack(path, place)

    return f"predictions: kind {kind}, place {place}, {made!r:.40}", change


def _bytes(rng: random.Random) -> Case:
    """Any file, cut off, or with other bytes in it."""
    name, own = rng.choice(FILES), random.Random(rng.getrandbits(64))

    def change(run: Path) -> None:
        data = bytearray((run / name).read_bytes())
        for _ in range(own.choice((0, 1, 3, 30))):
            data[own.randrange(len(data))] = own.choice((0, 255, 0x27, 0x80, own.randrange(256)))
        if own.random() < 0.3:
            del data[own.randrange(len(data)) :]
        _write(run / name, bytes(data))

    return f"{name} with other bytes", change


def _links(rng: random.Random) -> Case:
    """Something else in the place of a file or of a folder."""
    name = rng.choice((*FILES, *FOLDERS, ".config.yaml.x.mlp-tmp", "checkpoint.npz"))
    kind = rng.choice(("file", "new file", "folder", "device", "fifo", "directory", "loop", "nothing", "inside"))

    def change(run: Path) -> None:
        path, outside = run / name, run.parent / OUTSIDE
        if kind in ("file", "inside") and path.is_file():
            (outside if kind == "file" else run).joinpath("copy").write_bytes(path.read_bytes())
        _remove(path)
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "directory":
            path.mkdir()
        elif kind != "nothing":
            targets = {"file": outside / "copy", "new file": outside / "new", "folder": outside}
            targets |= {"device": Path("/dev/zero"), "loop": path, "inside": run / "copy"}
            path.symlink_to(targets[kind])

    return f"{name} is a link or pipe: {kind}", change


def _replace(node: Any, place: int, value: Any, key: str | None = None) -> None:
    """Put `value` in the place of one of the values below `node`, of those called `key` if that is given."""
    places = []

    def walk(node: Any) -> None:
        for name in list(node) if isinstance(node, dict) else range(len(node)):
            if key in (None, name):
                places.append((node, name))
            if isinstance(node[name], dict | list):
                walk(node[name])

    walk(node)
    if places:
        owner, name = places[place % len(places)]
        owner[name] = value


def _write(path: Path, content: bytes) -> None:
    _remove(path)
    path.write_bytes(content)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


#: What is done, and how often.
KINDS = {_whole: 6, _values: 5, _checkpoint: 6, _json: 2, _predictions: 2, _bytes: 4, _links: 3}


def fault(case: Case, words: tuple[str, ...], template: Path, place: Path) -> str:
    """What is wrong with how a program treats a run directory; empty where nothing is."""
    what, change = case
    for path in place.iterdir():
        _remove(path)
    run, outside = place / "run", place / OUTSIDE
    shutil.copytree(template, run)
    outside.mkdir()
    change(run)
    before = _content(outside)
    ended = programs.run(place, *words, env={"CANARY": CANARY, "TRACKIO_DIR": str(place / "trackio")})
    wrong = programs.fault(ended)
    if _content(outside) != before or {path.name for path in place.iterdir()} - {"run", OUTSIDE} - PROGRAMS[words]:
        wrong = f"written outside: {os.listdir(place)}, {os.listdir(outside)}"
    elif CANARY in ended.output or any(CANARY.encode() in content for content in _content(run).values()):
        wrong = "a secret"
    return wrong and f"{what}: {' '.join(words)}: {wrong}"


def _content(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def make_template(place: Path) -> Path:
    """A run directory as a small run leaves it."""
    ended = programs.run(place, "train", *SMALL, seconds=60)
    assert ended.exit_code == 0, ended.output
    return place / "run"
