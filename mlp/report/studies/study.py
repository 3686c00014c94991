"""What a study is: a question, the runs that answer it, and an analysis of their files."""

from __future__ import annotations

import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from mlp.config.build import build
from mlp.config.files import CONF
from mlp.data import Dataset
from mlp.errors import UserError
from mlp.nn.types import Array
from mlp.report.runs import RunFiles, runs_of

SMALL, LARGE = 1e-4, 1e7  # numbers beyond are written with a power of ten


@dataclass(frozen=True)
class Picture:
    """A figure, drawn when the report is written, and what the reader should see in it."""

    name: str  # of its file
    draw: Callable[[], Figure]
    caption: str


@dataclass(frozen=True)
class Table:
    """Rows of cells that are text already."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Lines:
    """Several series over one x, for W&B: y is (len(x),)."""

    name: str
    x: Sequence[float]
    ys: Mapping[str, Sequence[float]]
    xname: str


@dataclass(frozen=True)
class Histogram:
    """Counts between edges, for W&B: one edge more than counts."""

    name: str
    counts: Array
    edges: Array


@dataclass(frozen=True)
class Confusion:
    """True and predicted classes, (n,) each, for W&B."""

    name: str
    y_true: Array
    y_pred: Array
    class_names: Sequence[str]


@dataclass(frozen=True)
class Gallery:
    """A table with pictures, for W&B: a cell is a text, a number, or an image (h, w) or (h, w, 3) of bytes."""

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


Block = str | Picture | Table  # a text is Markdown
Chart = Lines | Histogram | Confusion | Gallery


@dataclass(frozen=True)
class Analysis:
    """What a study has found.

    `blocks` in reading order; `facts` are the numbers that its text is made of; `charts` go to W&B, beside the
    pictures and tables.
    """

    blocks: Sequence[Block]
    facts: Mapping[str, Any]
    charts: Sequence[Chart] = ()


@dataclass(frozen=True)
class Findings:
    """What a study reads: its finished runs, the name of their dataset, and where it and others keep theirs."""

    runs: Sequence[RunFiles]
    dataset: str
    directory: Path
    quick: bool = False

    @cached_property
    def data(self) -> Dataset:
        """The dataset itself, for its images."""
        option: Any = OmegaConf.to_container(OmegaConf.load(CONF / "dataset" / f"{self.dataset}.yaml"))
        dataset: Dataset = build(option, "dataset", Dataset)
        return dataset

    def of(self, study: Study) -> Findings:
        """What another study on the same dataset, at the same size, has to read."""
        return study.findings(self.directory.parent, self.dataset, self.quick)


class Study(ABC):
    """One of the ten. Its training is `conf/experiment/NAME.yaml`; this class turns the runs into an answer."""

    name: ClassVar[str]  # of its experiment file
    title: ClassVar[str]
    question: ClassVar[str]  # as the assignment asks it
    seconds: ClassVar[float]  # that its runs take from nothing, on two cores
    references: ClassVar[tuple[str, ...]] = ()
    #: Overrides that make its runs small, for --quick.
    quick: ClassVar[tuple[str, ...]] = ()
    #: Whose runs it reads, if not its own.
    experiment: ClassVar[str] = ""
    #: The dataset that it is about, whatever dataset the report is about.
    dataset: ClassVar[str] = ""

    @abstractmethod
    def analyse(self, found: Findings) -> Analysis:
        """Answer the question from the files of the runs. Raises UserError where they do not suffice."""

    def on(self, dataset: str) -> str:
        """The dataset that the study uses in a report about `dataset`."""
        return self.dataset or dataset

    def directory(self, root: Path, dataset: str, quick: bool = False) -> Path:
        """Where its runs are, below `root`, the folder of all searches."""
        experiment: Any = OmegaConf.load(CONF / "experiment" / f"{self.experiment or self.name}.yaml")
        name = str(experiment.search.name).replace("{dataset}", self.on(dataset))
        return root / (f"{name}-quick" if quick else name)

    def overrides(self, dataset: str, quick: bool = False) -> list[str]:
        """What `train.py` is given to make the runs."""
        words = [f"+experiment={self.experiment or self.name}"]
        if not self.dataset and dataset != "mnist":
            words.append(f"dataset={dataset}")
        if quick:
            words += [*self.quick, "plots=false", f"search.name={self.directory(Path(), dataset, quick).name}"]
        return words

    def findings(self, root: Path, dataset: str, quick: bool = False) -> Findings:
        directory = self.directory(root, dataset, quick)
        return Findings(runs_of(directory), self.on(dataset), directory, quick)

    def _need(self, found: Findings, runs: Sequence[RunFiles] | None = None) -> Sequence[RunFiles]:
        """The runs, or UserError where there are none."""
        runs = found.runs if runs is None else runs
        if not runs:
            raise UserError(f"{self.name}: no finished runs in {found.directory}")
        return runs


@dataclass
class Spread:
    """A measurement on several seeds."""

    values: Sequence[float]
    mean: float = field(init=False)
    std: float = field(init=False)  # of the sample; 0 for a single value

    def __post_init__(self) -> None:
        self.mean = statistics.fmean(self.values)
        finite = all(map(math.isfinite, self.values))  # of others `stdev` raises
        self.std = (statistics.stdev(self.values) if finite else math.nan) if len(self.values) > 1 else 0.0

    def percent(self, digits: int = 2) -> str:
        """`97.69 ± 0.10 %`"""
        spread = f" ± {100 * self.std:.{digits}f}" if len(self.values) > 1 else ""
        return f"{100 * self.mean:.{digits}f}{spread} %"

    def text(self, form: str = ".3g") -> str:
        """`0.123 ± 0.004`"""
        return f"{self.mean:{form}}" + (f" ± {self.std:{form}}" if len(self.values) > 1 else "")

    def plus_minus(self) -> str:
        """`0.0426 ± 0.0008`: the spread to one digit that counts, two if the first is a 1, and the mean as far."""
        if not self.std > 0 or not math.isfinite(self.std):
            return self.text()
        digits = -math.floor(math.log10(self.std))
        digits += self.std * 10.0**digits < 1.95
        return self.text(f".{max(digits, 0)}f")

    def rounded(self) -> str:
        """`0.45 ± 0.03`, `(3.8 ± 0.4) × 10⁻⁴`, and of a single value two digits."""
        largest = max(abs(self.mean), self.std)
        if not self.std > 0 or not math.isfinite(self.std):
            return rounded(self.mean)
        if SMALL <= largest < LARGE:
            return self.plus_minus()
        power = math.floor(math.log10(largest))
        scaled = Spread([value / 10.0**power for value in self.values])
        return f"({scaled.plus_minus()}) × {_power(power)}"


def listed(names: Sequence[str], joint: str = "and") -> str:
    """`a, b and c`"""
    *most, last = names
    return f"{', '.join(most)} {joint} {last}" if most else last


def left_out(lost: int, of: int) -> str:
    """What a text says of runs that ended without what it needs, such as diverged ones."""
    return f"{lost} of the {of} runs ended without a result and {'is' if lost == 1 else 'are'} left out."


def rounded(value: float, digits: int = 2) -> str:
    """`0.00038`, `460`, `3.1 × 10⁻⁹`: with so many significant digits."""
    if not np.isfinite(value):
        return "not defined"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if value == 0 or SMALL <= abs(float(f"{mantissa}e{exponent}")) < LARGE:
        return np.format_float_positional(value, precision=digits, fractional=False, trim="-")
    return f"{float(mantissa):g} × {_power(int(exponent))}"


def _power(exponent: int) -> str:
    """`10⁻⁴`"""
    return f"10{str(exponent).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
