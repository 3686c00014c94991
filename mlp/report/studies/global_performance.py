"""Training against test accuracy of every run of the search."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from mlp.report import style
from mlp.report.axes import axes
from mlp.report.blocks import Analysis, Block, Picture, Table
from mlp.report.figures.panels import percent_axis
from mlp.report.read import Array
from mlp.report.statistics import OVERFITTED, is_overfitted
from mlp.report.studies.hyperparameter_search import HyperparameterSearch, count, percent
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.text import listed
from mlp.report.trials import SearchFiles, Trial, read_search

NEAR = 0.9  # training accuracy from which on runs are drawn once more
SHOWN = 8  # rows of the table
FEW = 5  # runs, below which a group is not compared with another
APART = 0.7  # share of the pairs that must differ the same way


@dataclass(frozen=True)
class Scored:
    """A run with both accuracies, and the standard error of their difference."""

    trial: Trial
    train: float
    test: float
    error: float

    @property
    def gap(self) -> float:
        return self.train - self.test

    @property
    def overfitted(self) -> bool:
        return is_overfitted(self.train, self.test, self.error)

    @cached_property
    def rise(self) -> float:
        """By which share the validation loss was above its lowest at the end."""
        losses = self.trial.run.metrics.get("val_loss", np.array([]))
        losses = losses[np.isfinite(losses)]
        return float(losses[-1] / losses.min() - 1) if len(losses) and losses.min() > 0 else math.nan


class GlobalPerformance(Study):
    name = "global_performance"
    title = "Training and test accuracy of every run"
    question = "Which runs of the search are over-fitted, what do they have in common, and why?"
    seconds = HyperparameterSearch.seconds
    references = (
        "I. Goodfellow, Y. Bengio, A. Courville: Deep Learning, 2016, chapters 5 and 7",
        "C. Zhang, S. Bengio, M. Hardt, B. Recht, O. Vinyals: Understanding Deep Learning Requires Rethinking "
        "Generalization, ICLR 2017",
    )
    quick = HyperparameterSearch.quick
    experiment = HyperparameterSearch.name

    def analyse(self, found: StudyRuns) -> Analysis:
        found.with_files()
        search = read_search(found.directory)
        training = len(found.data.split(np.random.default_rng(0))[0])
        runs, without = _scored(search, training, len(found.data.test()))
        if not runs:
            return Analysis([f"None of the {count(len(search.trials), 'trial')} has measured both accuracies."], {})
        over = sorted((run for run in runs if run.overfitted), key=lambda run: -run.gap)
        rest = [run for run in runs if not run.overfitted]
        differences = _differences(search, over, rest)
        blocks: list[Block] = [_verdict(runs, over, without)]
        caption = (
            f"Each of the {len(runs)} points is a run: its kept weights on the training and on the test images. "
            "Below the diagonal the training accuracy is higher; a diamond is an over-fitted run, a hollow mark a "
            "pruned one."
        )
        if any(run.train >= NEAR for run in runs):
            caption += (
                f" Right: the runs from {100 * NEAR:g} % training accuracy on, by their gap, the widest one "
                "with the number of its trial."
            )
        blocks.append(Picture("global_performance", lambda: _figure(runs), caption))
        if over:
            blocks.append(_table(over))
        blocks += [
            _levels(runs),
            *([_common(over, rest, differences)] if over else []),
            _why(over, len(rest), differences, training, found.data.num_features),
        ]
        return Analysis(
            blocks=blocks,
            facts={
                "runs": len(runs),
                "overfitted": len(over),
                "without": len(without),
                **{f"gap/{run.trial.number}": run.gap for run in runs},
                **{f"apart/{name}": share for name, (share, _) in differences.items()},
            },
        )


# Texts


def _verdict(runs: Sequence[Scored], over: Sequence[Scored], without: Sequence[Trial]) -> str:
    pruned = sum(run.trial.state == "pruned" for run in runs)
    text = f"**{len(over)} of {count(len(runs), 'run')} {'is' if len(over) == 1 else 'are'} over-fitted**"
    text += (
        f", by this rule: the training accuracy is more than {100 * OVERFITTED:g} point above the test accuracy, and "
        "more than twice the standard error of the difference. "
    )
    if over:
        top = over[0]
        text += (
            f"The widest gap is that of trial {top.trial.number}: {percent(top.train)} on the training images, "
            f"{percent(top.test)} on the test images, {100 * top.gap:.2f} points. "
        )
        risen = sum(run.rise > 0.05 for run in over)
        text += (
            f"In {risen} of the {len(over)} the validation loss was more than 5 % above its lowest when the run "
            "ended. "
        )
    else:
        top = max(runs, key=lambda run: run.gap)
        text += f"The widest gap, of trial {top.trial.number}, is {100 * top.gap:.2f} points. "
    text += f"{pruned or 'None'} of the runs {'was' if pruned == 1 else 'were'} pruned"
    text += "; these are measured with the weights of their best epoch, like all others. " if pruned else ". "
    if without:
        numbers = listed([str(trial.number) for trial in without[:10]])
        more = f" and {len(without) - 10} more" if len(without) > 10 else ""
        states = listed(list(dict.fromkeys(trial.state for trial in without)))
        text += (
            f"{count(len(without), 'trial')} ({states}) without such a measurement "
            f"{'is' if len(without) == 1 else 'are'} not shown: {numbers}{more}."
        )
    return text.rstrip()


def _table(over: Sequence[Scored]) -> Table:
    rows = [
        [
            str(run.trial.number),
            run.trial.state,
            percent(run.train),
            percent(run.test),
            f"{100 * run.gap:.2f}",
            "-" if math.isnan(run.rise) else f"{100 * run.rise:.0f} %",
            str(_epochs(run)),
            run.trial.point,
        ]
        for run in over[:SHOWN]
    ]
    more = f", the widest gaps of {len(over)}" if len(over) > SHOWN else ""
    return Table(
        ["trial", "ended", "training", "test", "gap (points)", "rise of the loss", "epochs", "what was chosen"],
        rows,
        f"The over-fitted runs{more}. Rise: how far the validation loss of the last epoch is above its lowest.",
    )


def _levels(runs: Sequence[Scored]) -> str:
    """How the gap depends on the training accuracy."""
    parts = []
    for low, high in ((0.99, 1.01), (0.98, 0.99), (0.95, 0.98), (0.0, 0.95)):
        own = [run for run in runs if low <= run.train < high]
        if own:
            name = (f"from {100 * low:g} %" if high > 1 else f"below {100 * high:g} %" if low == 0
                    else f"{100 * low:g} to {100 * high:g} %")  # fmt: skip
            wide = sum(run.overfitted for run in own)
            gap = statistics.fmean(run.gap for run in own)
            parts.append(f"{name}: {wide} of {len(own)} over-fitted, mean gap {100 * gap:+.2f} points")
    text = f"By training accuracy: {'; '.join(parts)}. "
    below = [run for run in runs if run.gap < 0]
    if below:
        text += (
            f"{count(len(below), 'run')} {'is' if len(below) == 1 else 'are'} better on the test images than on the "
            f"training images, by up to {-100 * min(run.gap for run in below):.2f} points: "
            f"{'it has' if len(below) == 1 else 'they have'} at most {percent(max(run.train for run in below))} "
            "training accuracy."
        )
    return text.rstrip()


def _common(over: Sequence[Scored], rest: Sequence[Scored], found: dict[str, tuple[float, str]]) -> str:
    """What tells the over-fitted runs from the others, and from those that were trained as long."""
    text = "**What the over-fitted runs have in common.** "
    if len(over) < FEW or len(rest) < FEW:
        return text + f"Too few to say: {count(len(over), 'over-fitted run')} beside {count(len(rest), 'other')}."
    if found:
        parts = [words for _, words in sorted(found.values(), key=lambda item: -abs(item[0] - 0.5))]
        text += f"Beside the {len(rest)} others: {'; '.join(parts)}. "
    else:
        text += f"No setting tells them from the {len(rest)} others. "
    long = int(np.quantile([_epochs(run) for run in over], 0.25))
    parts = []
    for name, own in (
        (f"at least {long}", [run for run in (*over, *rest) if _epochs(run) >= long]),
        ("fewer", [run for run in (*over, *rest) if _epochs(run) < long]),
    ):
        if own:
            wide = sum(run.overfitted for run in own)
            parts.append(f"of the {len(own)} runs of {name} epochs {wide} {'is' if wide == 1 else 'are'} over-fitted")
    text += f"{' and '.join(parts).capitalize()}. "
    return text + "These are associations among the points that the search chose, not effects of one setting."


def _why(
    over: Sequence[Scored], others: int, found: dict[str, tuple[float, str]], training: int, features: int
) -> str:
    """The theory, and how far these runs agree with it."""
    text = (
        "**Why.** Training lowers the error on the training images; that on other images follows only as far as what "
        "was learned holds for them too. The gap widens with the capacity of a network, and as a rule with the "
        "length of its training (Goodfellow et al. 2016, sections 5.2 and 7.8). "
    )
    for name, what in (("epochs trained", "length of training"), ("parameters", "number of parameters")):
        if name in found:
            text += f"The {what} agrees with that here. " if found[name][0] > 0.5 else f"The {what} does not here. "
        elif len(over) >= FEW and others >= FEW:
            text += f"The {what} does not tell the two groups apart here. "
    summaries = [run.trial.run.summary for run in over]
    sizes = [int(summary["num_parameters"]) for summary in summaries if "num_parameters" in summary]
    if sizes:
        span = f"{min(sizes):,} to {max(sizes):,}" if min(sizes) < max(sizes) else f"{sizes[0]:,}"
        enough = 2 * training + features
        text += (
            f"{enough:,} weights, two for each training image and one for each pixel, suffice for a ReLU network "
            f"that fits any labels of these images, random ones too (Zhang et al. 2017, theorem 1); the over-fitted "
            f"networks have {span} parameters, {sum(size >= enough for size in sizes)} of {len(sizes)} at least as "
            "many. "
        )
    return text + (
        "What narrows the gap is to stop earlier, more or changed images, dropout, or a penalty on the weights "
        "(Goodfellow et al. 2016, chapter 7)."
    )


# Numbers


def _scored(search: SearchFiles, training: int, test: int) -> tuple[list[Scored], list[Trial]]:
    """The runs with both accuracies, and the trials without."""
    found, without = [], []
    for trial in search.of("done", "pruned", "failed"):
        a, b = trial.scores.get("train_accuracy"), trial.scores.get("test_accuracy")
        if a is None or b is None:
            without.append(trial)
            continue
        error = math.sqrt(max(a * (1 - a), 0.0) / training + max(b * (1 - b), 0.0) / test)
        found.append(Scored(trial, a, b, error))
    return found, without


def _epochs(run: Scored) -> int:
    return len(run.trial.run.metrics["epoch"])


def _differences(search: SearchFiles, over: Sequence[Scored], rest: Sequence[Scored]) -> dict[str, tuple[float, str]]:
    """What tells the over-fitted runs from the rest: the share of pairs with the larger value in the over-fitted
    run, and that in words. Only what is beyond `APART`, and beyond twice its standard error if nothing differed."""
    if len(over) < FEW or len(rest) < FEW:
        return {}
    measured: dict[str, dict[int, float]] = {
        "epochs trained": {run.trial.number: float(_epochs(run)) for run in (*over, *rest)},
        "parameters": {
            run.trial.number: float(run.trial.run.summary["num_parameters"])
            for run in (*over, *rest)
            if "num_parameters" in run.trial.run.summary
        },
    }
    choices: dict[str, dict[int, float]] = {}
    for column in axes(search.parameters, [run.trial for run in (*over, *rest)]):
        if not column.choices:
            measured.setdefault(column.name, dict(column.values))
        elif all(_is_number(choice) for choice in column.choices):
            measured[column.name] = {n: float(column.text(v)) for n, v in column.values.items()}
        else:
            for place, choice in enumerate(column.choices):
                choices[f"{column.name} {choice}"] = {n: float(v == place) for n, v in column.values.items()}
    found = {}
    for name, values in {**measured, **choices}.items():
        a = np.array([values[run.trial.number] for run in over if run.trial.number in values])
        b = np.array([values[run.trial.number] for run in rest if run.trial.number in values])
        if len(a) < FEW or len(b) < FEW:
            continue
        share = larger(a, b)
        error = math.sqrt((len(a) + len(b) + 1) / (12 * len(a) * len(b)))  # of Mann and Whitney's statistic
        if abs(share - 0.5) > max(APART - 0.5, 2 * error):
            found[name] = (share, _told(name, a, b, share, name in choices))
    return found


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def larger(a: Array, b: Array) -> float:
    """The share of pairs in which the value of `a` is the larger one; equal ones count half."""
    return float(np.mean((a[:, None] > b) + 0.5 * (a[:, None] == b)))


def _told(name: str, a: Array, b: Array, share: float, choice: bool) -> str:
    if choice:
        return f"{name}: {a.sum():.0f} of {len(a)} over-fitted, {b.sum():.0f} of {len(b)} others"
    more = "more" if share > 0.5 else "less"
    whole = ",.0f" if max(a.max(), b.max()) >= 1000 else ".3g"
    return (
        f"{name}: median {np.median(a):{whole}} against {np.median(b):{whole}}, {more} in "
        f"{100 * max(share, 1 - share):.0f} % of the pairs"
    )


# Figure

LOOK = {False: ("o", style.BLUE, "not over-fitted"), True: ("D", style.VERMILION, "over-fitted")}


def _figure(runs: Sequence[Scored]) -> Figure:
    near = [run for run in runs if run.train >= NEAR]
    figure = style.new_figure(11 if near else 6, 5)
    grid = {"left": 0.075 if near else 0.12, "right": 0.98, "bottom": 0.11, "top": 0.93, "wspace": 0.2}
    panels = figure.subplots(1, 2 if near else 1, squeeze=False, gridspec_kw=grid)[0]
    left: Axes = panels[0]
    style.tidy(left, f"All {len(runs)} runs", "training accuracy (%)", "test accuracy (%)")
    low = min(min(run.train, run.test) for run in runs)
    ends = [max(0.0, low - 0.03), 1.01]
    left.plot(ends, ends, color=style.GREY, linewidth=1, label="equal")
    left.plot([ends[0] + OVERFITTED, ends[1]], [ends[0], ends[1] - OVERFITTED], "--", color=style.VERMILION,
              linewidth=1, label=f"gap of {100 * OVERFITTED:g} point")  # fmt: skip
    _points(left, runs, lambda run: run.test)
    left.set(xlim=ends, ylim=ends)
    whole = PercentFormatter(xmax=1, symbol="", decimals=0)
    left.xaxis.set_major_formatter(whole)
    left.yaxis.set_major_formatter(whole)
    left.legend(fontsize=style.SMALL, loc="upper left")
    if near:
        right: Axes = panels[1]
        style.tidy(
            right,
            f"The {len(near)} with at least {100 * NEAR:g} % training accuracy",
            "training accuracy (%)",
            "training - test accuracy (points)",
        )
        right.axhline(0, color=style.GREY, linewidth=1)
        right.axhline(OVERFITTED, color=style.VERMILION, linestyle="--", linewidth=1)
        _points(right, near, lambda run: run.gap)
        widest = max(near, key=lambda run: run.gap)
        right.annotate(f"trial {widest.trial.number}", (widest.train, widest.gap), (-7, 0), va="center", ha="right",
                       textcoords="offset points", fontsize=style.SMALL)  # fmt: skip
        percent_axis(right)
        right.xaxis.set_major_formatter(whole)
    return figure


def _points(ax: Axes, runs: Sequence[Scored], height: Callable[[Scored], float]) -> None:
    """A group of marks for each of over-fitted or not, pruned or not."""
    for overfitted, (marker, color, label) in LOOK.items():
        for pruned in (False, True):
            own = [run for run in runs if run.overfitted == overfitted and (run.trial.state == "pruned") == pruned]
            if own:
                ax.scatter([run.train for run in own], [height(run) for run in own], s=26, marker=marker,
                           edgecolors=color, facecolors="none" if pruned else color, linewidths=1.1, alpha=0.85,
                           label=f"{label}{', pruned' if pruned else ''} ({len(own)})")  # fmt: skip
