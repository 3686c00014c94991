"""What a study is: a question, the runs that answer it, and an analysis of their files."""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

from omegaconf import OmegaConf

from mlp.base.errors import UserError
from mlp.base.paths import CONF
from mlp.config.build import build
from mlp.data import Dataset
from mlp.report import templates
from mlp.report.blocks import Analysis, Chart, Figures, parse
from mlp.report.read import RunFiles, build_option, runs_of


@dataclass(frozen=True)
class StudyRuns:
    """What a study reads: its finished runs, the name of their dataset, and where it and others keep theirs."""

    dataset: str
    directory: Path
    quick: bool = False
    further: Path | None = None  # of a second experiment, if the study has one

    @cached_property
    def runs(self) -> Sequence[RunFiles]:
        """Raises UserError where the files of one are damaged."""
        return runs_of(self.directory)

    @property
    def all_runs(self) -> Sequence[RunFiles]:
        """Those of the second experiment too."""
        return [*self.runs, *(runs_of(self.further) if self.further else [])]

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
    seconds: ClassVar[float]  # that its runs take from nothing, on two cores
    #: Overrides that make its runs small, for --quick.
    quick: ClassVar[tuple[str, ...]] = ()
    #: Whose runs it reads, if not its own, and those of a second experiment.
    experiment: ClassVar[str] = ""
    further: ClassVar[str] = ""
    #: The dataset that it is about, whatever dataset the report is about.
    dataset: ClassVar[str] = ""

    @property
    def title(self) -> str:
        """The heading of the assignment, with its number."""
        return questions()[self.name][0]

    @property
    def question(self) -> str:
        """As the assignment asks it, in Markdown."""
        return questions()[self.name][1]

    @abstractmethod
    def analyse(self, found: StudyRuns) -> Analysis:
        """Answer the question from the files of the runs. Raises UserError where they do not suffice."""

    def answer(self, facts: Mapping[str, Any], figures: Figures, charts: Sequence[Chart] = ()) -> Analysis:
        """The study's template, filled with facts: numbers, texts, MeanStd, and lists and dictionaries of them."""
        template = Path(inspect.getfile(type(self))).with_suffix(".md.j2")
        blocks, headline = parse(templates.render(template, **facts), figures)
        return Analysis(blocks, facts, charts, headline)

    @property
    def experiments(self) -> list[str]:
        """The experiment files that make its runs."""
        return [self.experiment or self.name, *filter(None, [self.further])]

    def directory(self, root: Path, dataset: str, quick: bool = False, experiment: str = "") -> Path:
        """Where the runs of an experiment are, of its first without a name; `root` is the folder of all searches."""
        content: Any = OmegaConf.load(CONF / "experiment" / f"{experiment or self.experiments[0]}.yaml")
        name = str(content.search.name).replace("{dataset}", self.dataset or dataset)
        return root / (f"{name}-quick" if quick else name)

    def overrides(self, dataset: str, quick: bool = False, experiment: str = "") -> list[str]:
        """What `train.py` is given to make the runs of an experiment."""
        experiment = experiment or self.experiments[0]
        words = [f"+experiment={experiment}"]
        if not self.dataset and dataset != "mnist":
            words.append(f"dataset={dataset}")
        if quick:
            words += [
                *self.quick,
                "plots=false",
                f"search.name={self.directory(Path(), dataset, quick, experiment).name}",
            ]
        return words

    def find_runs(self, root: Path, dataset: str, quick: bool = False) -> StudyRuns:
        further = self.directory(root, dataset, quick, self.further) if self.further else None
        return StudyRuns(self.dataset or dataset, self.directory(root, dataset, quick), quick, further)


@cache
def questions() -> Mapping[str, tuple[str, str]]:
    """Heading and text of each question, by the name of its study."""
    _, *parts = re.split(
        r"^## ", Path(__file__).with_name("questions.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    named = (part.partition("\n")[::2] for part in parts)
    return {head.partition(": ")[0]: (head.partition(": ")[2], text.strip()) for head, text in named}
