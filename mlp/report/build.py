"""From studies to a report: run what is missing, analyse, and write index.html, report.md and the figures."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from mlp.base import paths
from mlp.base.errors import UserError, unknown
from mlp.base.files import write_text
from mlp.config.user_classes import allow_flags, allowed
from mlp.pages.page import PICTURES, shell
from mlp.report import style, templates
from mlp.report.blocks import Analysis, Picture
from mlp.report.figures.parallel import ParallelCoordinates
from mlp.report.plots import plot_of
from mlp.report.read import configured
from mlp.report.studies import STUDIES
from mlp.report.studies.study import Study, StudyRuns, own_studies

RUNS = Path("multirun_outputs")
TITLE = "Ten studies of a multi-layer perceptron"
LINK = "wandb_link.txt"  # in the folder of a report: the address of the same in W&B
HERE = Path(__file__).parent  # of the templates


@dataclass
class Chapter:
    """A study that is answered, or the reason why it is not."""

    study: Study
    command: str  # that makes its runs
    found: StudyRuns
    analysis: Analysis | None
    problem: str = ""

    def __post_init__(self) -> None:
        found = self.analysis or Analysis((), {})
        self.blocks, self.facts, self.charts = found.blocks, found.facts, found.charts

        self.headline = found.headline

    @property
    def setup(self) -> str:
        """The configuration of its runs, and their number, in one line."""
        if not self.analysis:
            return ""
        runs = self.found.all_runs
        datasets = list(dict.fromkeys(run.value("dataset") for run in runs))
        return self._line("setup.j2", varied=configured(runs), judged=self.facts.get("judged"), datasets=datasets)

    @property
    def provenance(self) -> str:
        """Time and machine, in one line."""
        return self._line("provenance.j2") if self.analysis else ""

    def _line(self, template: str, **values: Any) -> str:
        runs = self.found.all_runs
        return " ".join(templates.render(HERE / template, runs=runs, dataset=self.found.dataset, **values).split())


def chosen(names: Sequence[str]) -> list[Study]:
    """The studies with these names, all where none is given, in the order of the report; the user's own come after
    the ten. Raises UserError."""
    studies = [*STUDIES, *own_studies()]
    known = [study.name for study in studies]
    names = [name for word in names for name in word.split(",") if name]
    for name in names:
        if name not in known:
            raise UserError(unknown("study", name, known))
    return [study for study in studies if not names or study.name in names]


def command(study: Study, dataset: str, quick: bool) -> str:
    """What makes the study's runs, as a user types it: a line for each of its experiments."""
    return "\n".join(paths.command("train", *words) for words in _words(study, dataset, quick))


def _words(study: Study, dataset: str, quick: bool) -> list[tuple[str, ...]]:
    """What `train` is given, for each of the study's experiments."""
    return [(*study.switches, *study.overrides(dataset, quick, experiment)) for experiment in study.experiments]


def run(studies: Sequence[Study], dataset: str, quick: bool) -> None:
    """Run what the studies still miss; finished runs are not repeated. A study that fails is reported, and left out.

    Raises KeyboardInterrupt when its training was interrupted: the same command continues.
    """
    commands: dict[tuple[str, ...], Study] = {}
    for study in studies:  # two may share their runs
        for words in _words(study, dataset, quick):
            commands.setdefault(words, study)
    minutes = sum(study.seconds for study in dict.fromkeys(commands.values())) / 60
    size = "the small version" if quick else f"from scratch about {minutes:.0f} minutes on two cores"
    print(f"{len(studies)} studies on {dataset}: {size}; finished runs are not repeated.", flush=True)
    for place, (words, study) in enumerate(commands.items(), 1):
        print(f"\n[{place}/{len(commands)}] {study.title}\n{paths.command('train', *words)}", flush=True)
        started = time.monotonic()
        ended = subprocess.run([sys.executable, "-m", "mlp", "train", *words])
        if ended.returncode in (130, 143, -2, -15):
            raise KeyboardInterrupt
        if ended.returncode:
            print(f"{study.name}: its runs ended with exit code {ended.returncode}", file=sys.stderr, flush=True)
        print(f"{time.monotonic() - started:.0f} s", flush=True)


def print_missing(studies: Sequence[Study], dataset: str, quick: bool) -> None:
    """Print the commands of those experiments that have no finished run yet, and the one that runs them all."""
    commands = dict.fromkeys(
        paths.command("train", *words)
        for study in studies
        for experiment, words in zip(study.experiments, _words(study, dataset, quick), strict=True)
        if not list(study.directory(RUNS, dataset, quick, experiment).glob("*/summary.json"))
    )
    if commands:
        print("No runs yet; these commands make them:", *commands, sep="\n  ")
        options = [*allow_flags(allowed()), *([] if dataset == "mnist" else ["-d", dataset]), *["--quick"] * quick]
        print(f"All at once, and the report: {paths.command('report', 'studies', *options)}")


def chapters(studies: Sequence[Study], dataset: str, quick: bool) -> list[Chapter]:
    """Analyse the studies; one that cannot be answered says why. Raises UserError where none can."""
    made = []
    for study in studies:
        found, analysis, problem = study.find_runs(RUNS, dataset, quick), None, ""
        try:
            analysis = study.analyse(found)
        except (UserError, OSError) as error:
            problem = str(error)
        except Exception as error:  # files that nobody has thought of cost no other study its answer
            problem = f"its runs cannot be analysed: {error!r}"
        if problem:
            print(f"{study.name} is left out: {problem}", file=sys.stderr)
        made.append(Chapter(study, command(study, dataset, quick), found, analysis, problem))
    if not any(chapter.analysis for chapter in made):
        raise UserError(f"no study could be answered from the runs in {os.path.abspath(RUNS)}")
    return made


def introduction(made: Sequence[Chapter], dataset: str) -> str:
    return " ".join(templates.render(HERE / "introduction.j2", chapters=made, dataset=dataset).split())


def draw(made: Sequence[Chapter], out: Path) -> tuple[list[Path], dict[str, Any]]:
    """Write the figures into `out`/figures; return their paths, and by name what report.js draws in their place."""
    figures = out / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    paths, plots = [], {}
    for picture in (block for chapter in made for block in chapter.blocks if isinstance(block, Picture)):
        figure = picture.draw()
        paths.append(style.save(figure, figures / f"{picture.name}.png"))
        parallel = {"parallel": picture.draw.data()} if isinstance(picture.draw, ParallelCoordinates) else None
        if plot := parallel or plot_of(figure):
            plots[picture.name] = plot
    return paths, plots


def write(made: Sequence[Chapter], dataset: str, out: Path) -> list[Path]:
    """Write the figures, report.md, index.html and wandb.md into `out`; return their paths."""
    written, plots = draw(made, out)
    images = {path.stem: _picture(path) for path in written}
    widths = {path.stem: int.from_bytes(path.read_bytes()[16:20]) for path in written}  # of a PNG, in pixels
    previews = {chapter.headline.picture: _picture(out / "figures" / f"{chapter.headline.picture}.png", (320, 200))
                for chapter in made if chapter.headline}  # fmt: skip
    values = {"title": TITLE, "introduction": introduction(made, dataset), "chapters": made, "images": images,
              "previews": previews, "widths": widths, "plots": plots, "link": _link(out),
              "publish": paths.command("report", "publish")}  # fmt: skip
    for name, template in (
        ("report.md", "report.md.j2"),
        ("index.html", "page.html.j2"),
        ("wandb.md", "wandb.md.j2"),
    ):
        text = templates.render(HERE / template, **values, **shell(HERE / "report.js", parts=PICTURES))
        write_text(out / name, text)
        written.append(out / name)
    return written


def _link(out: Path) -> str:
    """The address in `out`/LINK, which `publish` writes; empty where there is none."""
    path = out / LINK
    link = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
    return link if re.fullmatch(r"https?://[^\s<>()|]+", link) else ""


def _picture(path: Path, within: tuple[int, int] | None = None) -> str:
    """A figure as lossless WebP in base64, which takes half of what its PNG does; a copy that fits `within`."""
    with Image.open(path) as image, io.BytesIO() as file:
        copy = image.convert("RGB")
        if within:
            copy.thumbnail(within)
        copy.save(file, "WEBP", lossless=True)
        return base64.b64encode(file.getvalue()).decode()


def check_writable(out: Path) -> None:
    """Whether `out` is a directory, or can become one. Raises UserError; better before the training than after."""
    place = out.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise UserError(f"--out must be a directory. Got {out}, and {place} is a file")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"--out must be a directory that can be written. Got {out}, and {place} is read-only")


def report(names: Sequence[str], dataset: str, quick: bool, training: bool, out: Path) -> list[Path]:
    """All that `python -m mlp.report studies` does. Raises UserError where nothing could be answered."""
    studies = chosen(names)
    check_writable(out)
    if training:
        run(studies, dataset, quick)
    else:
        print_missing(studies, dataset, quick)
    return write(chapters(studies, dataset, quick), dataset, out)
