"""Every kind of file that the programs read, in its place, and what reads it."""

from __future__ import annotations

import gzip
import random
import shutil
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from forks import ROOT, python
from PIL import Image

from attack import mutations
from attack.mutations import Mutation, either

RUN = ("-d", "digits", "-e", "2", "-sz", "8", "--no_wandb", "hydra.run.dir=run", "plots=false")
SEARCH = (
    "-m", "-d", "digits", "-e", "1", "-sz", "8", "--no_wandb", "search.name=s", "search=tpe", "search.trials=3",
    "search.seeds=2", "search.workers=1", "plots=false", "optimizer=sgd,adam",
    "optimizer.learning_rate=tag(log,interval(0.01,0.1))",
)  # fmt: skip
PICTURES = ("png", "jpg", "gif", "tiff", "webp", "pgm", "bmp")


@dataclass(frozen=True)
class Kind:
    """A file of the scene, how it is changed, and who reads it. Readers that write get a scene of their own."""

    path: str
    change: Mutation
    read: Callable[[], Any]
    writes: bool = False


def make_scene(place: Path) -> None:
    """A run, a search and data of each kind in `place`."""
    for words in (RUN, SEARCH):
        ended = python(str(ROOT / "train.py"), *words, cwd=place)
        assert ended.returncode == 0, ended.stderr
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 255, (40, 4, 4), np.uint8), np.repeat(np.arange(4), 10)
    np.savez(place / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    rows = [f"label,{','.join(f'pixel{i}' for i in range(16))}"]
    rows += [f"{label},{','.join(map(str, image.ravel()))}" for label, image in zip(y, x, strict=True)]
    (place / "data.csv").write_text("\n".join(rows) + "\n")
    for part in ("train", "test"):
        for number, image in enumerate(x[:16]):
            folder = place / "pictures" / part / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{number}.png")
    for ending in PICTURES[1:]:
        Image.fromarray(x[0]).save(place / f"pictures/train/a/x.{ending}")
    header = struct.pack(">HBB3I", 0, 8, 3, 40, 4, 4)
    (place / "images.gz").write_bytes(gzip.compress(header + x.tobytes()))
    np.savez(place / "model.npz", W0=np.ones((64, 8)), b0=np.ones(8), W1=np.ones((8, 10)), b1=np.ones(10))


def restore(scene: Path, place: Path) -> None:
    """Make `place` what the scene is."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(scene, place, symlinks=True)


# Readers, called in the scene. They return, or end as programs do: UserError and its like, SystemExit.


def inference(*words: str) -> None:
    from mlp.cli.inference import main

    main(["--no_wandb", *words], [Path("run")])


def train(*words: str) -> None:
    from mlp import api

    api.train(*words, "tracker=none", directory=None if words[0].startswith("resume") else "new")


def dataset(group: str, **options: Any) -> None:
    from mlp.config.build import build
    from mlp.config.files import read_option
    from mlp.data import Dataset

    made = build({**read_option("dataset", group), **options}, "dataset", Dataset)
    train, validation = made.split(np.random.default_rng(0))
    made.test()
    del train, validation


def search(*words: str) -> None:
    from mlp.searches.__main__ import main

    sys.exit(main([*words]))


def search_files() -> None:
    """What a study reads of a search, and what the page says of it."""
    for command in ("show", "best", "report"):
        try:
            search(command, "multirun_outputs/s")
        except SystemExit as end:
            if end.code:
                raise


def continued(*words: str) -> None:
    from mlp.cli.train import main

    sys.argv = ["train.py", *SEARCH, *words]
    main(sys.argv[1:])


def grown() -> None:
    """The search goes on with another trial."""
    continued("search.trials=4")


def changed_search() -> None:
    """The search goes on with another objective, which the files of its trials say."""
    continued("search.objectives=[val_loss]", "search.on_mismatch=accept")


def idx() -> None:
    from mlp.data.idx import read_idx

    read_idx(Path("images.gz"), (40, 4, 4))


def model(name: str) -> None:
    from mlp.model_file import load_weights

    load_weights(name)


def run_plots() -> None:
    from mlp.report.run_plots import plots

    plots(Path("run"))


def studied_search() -> None:
    from mlp.report.trials import read_search

    for trial in read_search(Path("multirun_outputs/s")).ranked:
        str(trial.point)


def loaded_run() -> None:
    from mlp import api

    found = api.load("run")
    for name in ("config", "summary", "metrics", "predictions"):
        getattr(found, name)
    found.model.predict(np.zeros((1, 64)))


S = "multirun_outputs/s"
KINDS: Mapping[str, Kind] = {
    "model.npy": Kind("run/best_model.npy", mutations.of_bytes, lambda: model("run/best_model.npy")),
    "model.npz": Kind("model.npz", either(mutations.of_npz), lambda: model("model.npz")),
    "best_config.json": Kind(
        "run/best_config.json", either(mutations.of_json), lambda: inference("-mp", "run/best_model.npy")
    ),
    "best_config.json of a run": Kind("run/best_config.json", either(mutations.of_json), loaded_run),
    "summary.json": Kind("run/summary.json", either(mutations.of_json), run_plots),
    "metrics.csv": Kind("run/metrics.csv", either(mutations.of_csv), run_plots),
    "predictions.npz": Kind("run/predictions.npz", either(mutations.of_npz), run_plots),
    "config.yaml": Kind("run/config.yaml", either(mutations.of_yaml), lambda: train("resume=run"), writes=True),
    "checkpoint.npz": Kind("run/checkpoint.npz", either(mutations.of_npz), lambda: train("resume=run"), writes=True),
    "metrics.csv of a run that goes on": Kind(
        "run/metrics.csv", either(mutations.of_csv), lambda: train("resume=run", "-e", "3"), writes=True
    ),
    "search.json": Kind(f"{S}/search.json", either(mutations.of_json), search_files),
    "journal.log": Kind(f"{S}/journal.log", either(mutations.of_json_lines), search_files),
    "multirun.yaml": Kind(f"{S}/multirun.yaml", either(mutations.of_yaml), search_files),
    "summary.json of a trial": Kind(f"{S}/1/seed_0/summary.json", either(mutations.of_json), search_files),
    "config.yaml of a trial": Kind(f"{S}/1/seed_0/config.yaml", either(mutations.of_yaml), search_files),
    "journal.log of a search that goes on": Kind(
        f"{S}/journal.log", either(mutations.of_json_lines), continued, writes=True
    ),
    "search.json of a search that goes on": Kind(
        f"{S}/search.json", either(mutations.of_json), continued, writes=True
    ),
    "multirun.yaml of a search that goes on": Kind(
        f"{S}/multirun.yaml", either(mutations.of_yaml), continued, writes=True
    ),
    "journal.log of a search that grows": Kind(
        f"{S}/journal.log", either(mutations.of_json_lines), grown, writes=True
    ),
    **{
        f"{name} of a search that is changed": Kind(f"{S}/{path}", either(change), changed_search, writes=True)
        for name, path, change in (
            ("journal.log", "journal.log", mutations.of_json_lines),
            ("search.json", "search.json", mutations.of_json),
            ("summary.json", "1/seed_0/summary.json", mutations.of_json),
        )
    },
    "leaderboard.csv": Kind(f"{S}/leaderboard.csv", either(mutations.of_csv), studied_search),
    "search.json of a study": Kind(f"{S}/search.json", either(mutations.of_json), studied_search),
    "data.npz": Kind("data.npz", either(mutations.of_npz), lambda: dataset("npz", path="data.npz")),
    "data.csv": Kind(
        "data.csv", either(mutations.of_csv), lambda: dataset("csv", path="data.csv", test_fraction=0.2)
    ),
    "images.gz": Kind("images.gz", either(mutations.of_gzip), idx),
    **{
        f"picture.{ending}": Kind(
            f"pictures/train/a/{'0' if ending == 'png' else 'x'}.{ending}", mutations.of_bytes,
            lambda: dataset("folder", path="pictures", image_size=4),
        ) for ending in PICTURES
    },
}  # fmt: skip


def changed(kind: Kind, original: bytes, seed: int) -> bytes:
    """The content of case `seed`."""
    return kind.change(original, random.Random(seed))
