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

from mlp.base.errors import UserError
from mlp.config.build import build
from mlp.config.files import canonical, read_option
from mlp.config.user_classes import allow_flags, is_allowed
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
    """One of the ten, or a user's own. Its training is `conf/experiment/NAME.yaml`; this class turns the runs into
    facts and figures, and the template beside its module (MODULE.md.j2) says them. Of an own study the folder `conf`
    lies beside its module, and its docstring is the question."""

    name: ClassVar[str]  # of its experiment file
    seconds: ClassVar[float]  # that its runs take from scratch, on two cores
    #: Overrides that make its runs small, for --quick.
    quick: ClassVar[tuple[str, ...]] = ()
    #: Whose runs it reads, if not its own, and those of a second experiment.
    experiment: ClassVar[str] = ""
    further: ClassVar[str] = ""
    #: The dataset that it is about, whatever dataset the report is about.
    dataset: ClassVar[str] = ""

    @property
    def title(self) -> str:
        """The heading of the assignment, with its number; of an own study, its name."""
        return self._asked[0]

    @property
    def question(self) -> str:
        """As the assignment asks it, in Markdown."""
        return self._asked[1]

    @property
    def _asked(self) -> tuple[str, str]:
        own = self.name.replace("_", " ").capitalize(), inspect.getdoc(type(self)) or ""
        return questions().get(self.name, own)

    @property
    def _conf(self) -> list[Path]:
        """The folder of options beside the module of a user's own study, if it has one."""
        if not _is_own(type(self)):
            return []
        folder = Path(inspect.getfile(type(self))).with_name("conf")
        return [folder] if folder.is_dir() else []

    @property
    def switches(self) -> list[str]:
        """What `train` needs to find what a user's own study trains."""
        own = allow_flags([type(self).__module__]) if _is_own(type(self)) else []
        return [*own, *(f"--config-dir={folder}" for folder in self._conf)]

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
        """Where the runs of an experiment are, of its first without a name; `root` is the folder of all searches.

        Raises UserError where there is no such experiment, or it is no search with a name.
        """
        experiment = canonical("experiment", experiment or self.experiments[0], self._conf)
        try:
            content = read_option("experiment", experiment, self._conf)
            name = str(content["search"]["name"]).replace("{dataset}", self.dataset or dataset)
        except (KeyError, TypeError):
            raise UserError(f"the experiment {experiment} must name its search (search: name: ...)") from None
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


def own_studies() -> list[Study]:
    """The studies of the modules that the user has allowed. Raises UserError for one that does not say enough."""
    classes: list[type[Study]] = Study.__subclasses__()
    for cls in classes:
        classes.extend(cls.__subclasses__())  # which the loop comes to
    own = [cls() for cls in dict.fromkeys(classes) if _is_own(cls) and not inspect.isabstract(cls)]
    for study in own:
        if not (hasattr(study, "name") and hasattr(study, "seconds")):
            raise UserError(f"the study {type(study).__name__} must have a name, and the seconds that its runs take")
    return own


def _is_own(cls: type[Study]) -> bool:
    return is_allowed(f"{cls.__module__}.{cls.__qualname__}")


@cache
def questions() -> Mapping[str, tuple[str, str]]:
    """Heading and text of each question, by the name of its study."""
    _, *parts = re.split(
        r"^## ", Path(__file__).with_name("questions.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    named = (part.partition("\n")[::2] for part in parts)
    return {head.partition(": ")[0]: (head.partition(": ")[2], text.strip()) for head, text in named}
