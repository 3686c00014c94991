"""How certain a number is: the rules by which every study, and the page of a search, judge."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from mlp.base import text

OVERFITTED = 0.01  # training accuracy this much above test accuracy


@dataclass
class MeanStd:
    """A measurement on several seeds: mean and standard deviation (of the sample; 0 for a single value).

    With `seeds`, in the order of the values, two measurements can be compared seed by seed.
    """

    values: Sequence[float]
    seeds: Sequence[int] = ()
    mean: float = field(init=False)
    std: float = field(init=False)

    def __post_init__(self) -> None:
        self.several = len(self.values) > 1  # whether the spread shows chance at all
        self.mean = statistics.fmean(self.values)
        finite = all(map(math.isfinite, self.values))  # of others `stdev` raises
        self.std = (statistics.stdev(self.values) if finite else math.nan) if self.several else 0.0

    def percent(self, digits: int = 2) -> str:
        """`97.69 ± 0.10 %`"""
        spread = f" ± {100 * self.std:.{digits}f}" if self.several else ""
        return f"{100 * self.mean:.{digits}f}{spread} %"

    def text(self, form: str = ".3g") -> str:
        """`0.123 ± 0.004`"""
        return f"{self.mean:{form}}" + (f" ± {self.std:{form}}" if self.several else "")

    def count(self) -> str:
        """Of things that are counted: `3`, or `3.5 ± 0.7` where the seeds differ."""
        return f"{self.mean:g}" if self.std == 0 else self.text(".1f")

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
            return text.rounded(self.mean)
        if text.SMALL <= largest < text.LARGE:
            return self.plus_minus()
        exponent = math.floor(math.log10(largest))
        scaled = MeanStd([value / 10.0**exponent for value in self.values])
        return f"({scaled.plus_minus()}) × {text.power(exponent)}"


@dataclass(frozen=True)
class Difference:
    """Of two means, with its standard error; 0 where both have a single seed, which shows no chance."""

    mean: float
    error: float

    @property
    def is_significant(self) -> bool:
        return is_significant(self.mean, self.error)


def is_significant(difference: float, error: float) -> bool:
    """The rule of the house: a difference counts where it is more than two standard errors from zero."""
    return abs(difference) > 2 * error


def difference(a: MeanStd, b: MeanStd) -> Difference:
    """a - b. Paired, seed by seed, where both have the same seeds: what a seed does to both then cancels.

    It takes three pairs: two may agree by luck.
    """
    if len(a.seeds) > 2 and sorted(a.seeds) == sorted(b.seeds):
        other = dict(zip(b.seeds, b.values, strict=True))
        paired = MeanStd([value - other[seed] for seed, value in zip(a.seeds, a.values, strict=True)])
        return Difference(paired.mean, paired.std / math.sqrt(len(paired.values)))
    variances = (spread.std**2 / len(spread.values) for spread in (a, b))
    return Difference(a.mean - b.mean, math.sqrt(sum(variances)))


def differ(a: MeanStd, b: MeanStd) -> bool:
    """Whether two means differ by more than the seeds do. Of single seeds any difference counts: say so beside it."""
    return difference(a, b).is_significant


def accuracy_error(accuracy: float, samples: int) -> float:
    """The standard error of an accuracy that was measured on so many samples."""
    return math.sqrt(max(accuracy * (1 - accuracy), 0.0) / samples) if samples else 0.0


def is_overfitted(train_accuracy: float, test_accuracy: float, test_samples: int | None) -> bool:
    """Whether the training accuracy is more than OVERFITTED above the test accuracy, and by more than chance.

    Chance is in the test accuracy, by its number of samples; the training accuracy is that of all training samples.
    Where the number is not known only OVERFITTED counts.
    """
    gap = train_accuracy - test_accuracy
    return gap > OVERFITTED and is_significant(gap, accuracy_error(test_accuracy, test_samples or 0))
