"""What a study is: a question, the runs that answer it, and an analysis of their files."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from omegaconf import OmegaConf

from mlp.config.build import build
from mlp.data import Dataset
from mlp.errors import UserError
from mlp.paths import CONF
from mlp.report import templates
from mlp.report.blocks import Analysis, Chart, Figures, parse
from mlp.report.read import RunFiles, build_option, runs_of


@dataclass(frozen=True)
class StudyRuns:
    """What a study reads: its finished runs, the name of their dataset, and where it and others keep theirs."""

    dataset: str
    directory: Path
    quick: bool = False

    @cached_property
    def runs(self) -> Sequence[RunFiles]:
        """Raises UserError where the files of one are damaged."""
        return runs_of(self.directory)

    @cached_property
    def data(self) -> Dataset:
        """The dataset itself, for its images: a user's own as the runs have it."""
        own = [run.config["dataset"] for run in self.runs if run.config["dataset"].get("path")]
        dataset: Dataset = (
            build(own[0], "dataset", Dataset) if own else build_option("dataset", self.dataset, Dataset)
        )
        return dataset

    def with_files(self, *names: str) -> Sequence[RunFiles]:
        """The runs that have left these files, all where none is named. Raises UserError where there are none."""
        runs = [run for run in self.runs if all((run.directory / name).is_file() for name in names)]
        if not runs:
            raise UserError(f"no finished runs in {self.directory}")
        return runs


class Study(ABC):
    """One of the ten. Its training is `conf/experiment/NAME.yaml`; this class turns the runs into facts and figures,
    and the template beside its module (MODULE.md.j2) says them."""

    name: ClassVar[str]  # of its experiment file
    title: ClassVar[str]
    question: ClassVar[str]  # as the assignment asks it
    seconds: ClassVar[float]  # that its runs take from nothing, on two cores
    #: Overrides that make its runs small, for --quick.
    quick: ClassVar[tuple[str, ...]] = ()
    #: Whose runs it reads, if not its own.
    experiment: ClassVar[str] = ""
    #: The dataset that it is about, whatever dataset the report is about.
    dataset: ClassVar[str] = ""

    @abstractmethod
    def analyse(self, found: StudyRuns) -> Analysis:
        """Answer the question from the files of the runs. Raises UserError where they do not suffice."""

    def answer(self, facts: Mapping[str, Any], figures: Figures, charts: Sequence[Chart] = ()) -> Analysis:
        """The study's template, filled with facts: numbers, texts, MeanStd, and lists and dictionaries of them."""
        template = Path(inspect.getfile(type(self))).with_suffix(".md.j2")
        return Analysis(parse(templates.render(template, **facts), figures), facts, charts)

    def directory(self, root: Path, dataset: str, quick: bool = False) -> Path:
        """Where its runs are, below `root`, the folder of all searches."""
        experiment: Any = OmegaConf.load(CONF / "experiment" / f"{self.experiment or self.name}.yaml")
        name = str(experiment.search.name).replace("{dataset}", self.dataset or dataset)
        return root / (f"{name}-quick" if quick else name)

    def overrides(self, dataset: str, quick: bool = False) -> list[str]:
        """What `train.py` is given to make the runs."""
        words = [f"+experiment={self.experiment or self.name}"]
        if not self.dataset and dataset != "mnist":
            words.append(f"dataset={dataset}")
        if quick:
            words += [*self.quick, "plots=false", f"search.name={self.directory(Path(), dataset, quick).name}"]
        return words

    def find_runs(self, root: Path, dataset: str, quick: bool = False) -> StudyRuns:
        return StudyRuns(self.dataset or dataset, self.directory(root, dataset, quick), quick)
