"""All six optimizers on the same network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mlp.report import style
from mlp.report.blocks import Analysis, Block, Lines, Picture, Table
from mlp.report.figures.panels import band
from mlp.report.read import Array, RunFiles, by
from mlp.report.statistics import MeanStd
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.text import listed

OPTIMIZERS = ("sgd", "momentum", "nag", "rmsprop", "adam", "nadam")
NEAR_GUESS = 0.9  # of the loss of guessing: what is above it has learned next to nothing
ADAPTIVE = ("rmsprop", "adam", "nadam")
LOOK = {
    "sgd": (style.BLACK, ":", "o"),
    "momentum": (style.ORANGE, "--", "s"),
    "nag": (style.VERMILION, "-", "D"),
    "rmsprop": (style.GREEN, "-.", "^"),
    "adam": (style.SKY, "--", "v"),
    "nadam": (style.BLUE, "-", "P"),
}


@dataclass(frozen=True)
class Group:
    """The runs of one optimizer at one learning rate, one per seed."""

    optimizer: str
    rate: float
    losses: Array  # (runs, epochs); NaN where a run had diverged
    runs: Sequence[RunFiles]

    @property
    def sound(self) -> bool:
        """Whether every run came to its end with a finite loss."""
        return bool(np.isfinite(self.losses).all())

    def loss(self, epoch: int) -> MeanStd:
        """The training loss of the `epoch`-th epoch, counted from 1."""
        return MeanStd([float(value) for value in self.losses[:, epoch - 1]])

    @property
    def test(self) -> MeanStd | None:
        scores = [run.summary.get("test_accuracy") for run in self.runs]
        return MeanStd([float(score) for score in scores if score is not None]) if None not in scores else None

    @property
    def diverged(self) -> int:
        return int((~np.isfinite(self.losses).all(axis=1)).sum())


class OptimizerShowdown(Study):
    name = "optimizer_showdown"
    title = "Optimizer showdown"
    question = "Which of the six optimizers minimises the loss fastest in the first five epochs?"
    seconds = 100
    references = (
        "I. Sutskever, J. Martens, G. Dahl, G. Hinton: On the Importance of Initialization and Momentum in Deep "
        "Learning, ICML 2013",
        "T. Tieleman, G. Hinton: Lecture 6.5 - RMSProp, Neural Networks for Machine Learning, Coursera 2012",
        "D. Kingma, J. Ba: Adam: A Method for Stochastic Optimization, ICLR 2015",
        "T. Dozat: Incorporating Nesterov Momentum into Adam, ICLR workshop 2016",
        "A. Wilson, R. Roelofs, M. Stern, N. Srebro, B. Recht: The Marginal Value of Adaptive Gradient Methods in "
        "Machine Learning, NIPS 2017",
        "D. Choi, C. Shallue, Z. Nado, J. Lee, C. Maddison, G. Dahl: On Empirical Comparisons of Optimizers for Deep "
        "Learning, arXiv:1910.05446, 2019",
    )
    quick = ("training.epochs=2", "optimizer.learning_rate=1e-2", "seed=0")

    def analyse(self, found: StudyRuns) -> Analysis:
        groups = _groups(found.with_files())
        epochs = max(group.losses.shape[1] for group in groups)
        guess = math.log(found.data.num_classes)
        best = _best(groups, epochs)
        rates = sorted({group.rate for group in groups})
        seeds = len({run.seed for run in found.runs})
        blocks: list[Block] = [_verdict(best, groups, epochs), _start(groups)]
        if best:
            blocks += [
                Picture(
                    "optimizer_showdown",
                    lambda: _at_best(best),
                    "Training loss of each optimizer"
                    + (" at its best learning rate (in parentheses)" if len(rates) > 1 else "")
                    + ", the mean over the batches of an epoch while the weights change; on the right divided by "
                    "the lowest of its epoch. "
                    + ("Lines are means over the seeds, bands reach from lowest to highest." if seeds > 1 else ""),
                ),
                _table(best, epochs),
            ]
        if len(rates) > 1:
            blocks += [
                _rates(groups, best, rates, epochs, guess),
                Picture(
                    "optimizer_equal_rates",
                    lambda: _at_equal(groups, rates, guess),
                    "Training loss at equal learning rates. A line that is not there, or leaves its panel, is that "
                    f"of a loss that is not finite, or beyond twice that of guessing ({guess:.2f}); where "
                    "lines coincide, the later one of the legend covers the earlier.",
                ),
                Picture(
                    "optimizer_rates",
                    lambda: _heat(groups, rates, epochs),
                    f"Training loss of epoch {epochs}, mean over the seeds, for every optimizer and learning rate; "
                    "darker is lower, the frame marks the best rate of an optimizer.",
                ),
            ]
        blocks += [_why(best, groups, epochs), _caution(best, rates, epochs)]
        return Analysis(
            blocks=blocks,
            facts={
                **{f"best_rate/{name}": group.rate for name, group in best.items()},
                **{f"loss/{g.optimizer}/{g.rate:g}": g.loss(epochs).mean for g in groups if g.sound},
                **{f"diverged/{g.optimizer}/{g.rate:g}": g.diverged for g in groups if g.diverged},
            },
            charts=[
                Lines(
                    "train_loss/best_rate",
                    list(range(1, epochs + 1)),
                    {name: list(group.losses.mean(axis=0)) for name, group in best.items()},
                    "epoch",
                )
            ],
        )


# Numbers


def _groups(runs: Sequence[RunFiles]) -> list[Group]:
    """The runs by optimizer and learning rate, in the order of the assignment."""
    columns = {run.directory: _losses(run) for run in runs}
    epochs = max(1, *map(len, columns.values()))
    made = []
    for (optimizer, rate), group in by(runs, "optimizer", "optimizer.learning_rate").items():
        table = np.full((len(group), epochs), np.nan)
        for row, run in zip(table, group, strict=True):
            row[: len(columns[run.directory])] = columns[run.directory]
        made.append(Group(str(optimizer), float(str(rate)), table, group))
    known = {name: place for place, name in enumerate(OPTIMIZERS)}
    return sorted(made, key=lambda g: (known.get(g.optimizer, len(known)), g.optimizer, g.rate))


def _losses(run: RunFiles) -> Array:
    """The training losses; none where the run diverged in its first epoch."""
    if not (run.directory / "metrics.csv").is_file():
        return np.empty(0)
    return run.metrics["train_loss"]


def _best(groups: Sequence[Group], epochs: int) -> dict[str, Group]:
    """For each optimizer its rate with the lowest loss of the last epoch, of those at which no run diverged."""
    best: dict[str, Group] = {}
    for group in groups:
        rival = best.get(group.optimizer)
        if group.sound and (rival is None or group.loss(epochs).mean < rival.loss(epochs).mean):
            best[group.optimizer] = group
    return best


def ranking(groups: Sequence[Group], epoch: int) -> tuple[list[Group], list[Group]]:
    """The groups by their loss of that epoch; and those that the first leads by no more than the seeds differ."""
    ranked = sorted(groups, key=lambda group: group.loss(epoch).mean)
    first = ranked[0].loss(epoch)
    level = [g for g in ranked[1:] if g.loss(epoch).mean - first.mean <= max(first.std, g.loss(epoch).std)]
    return ranked, level


# Texts


def _verdict(best: Mapping[str, Group], groups: Sequence[Group], epochs: int) -> str:
    if not best:
        return "No optimizer has a learning rate at which all of its runs came to their end: there is no winner."
    several = all(len(group.runs) > 1 for group in best.values())
    rates = len({group.rate for group in groups}) > 1
    parts = []
    for epoch in dict.fromkeys((1, epochs)):
        ranked, level = ranking(list(best.values()), epoch)
        first = ranked[0]
        text = f"**After epoch {epoch} {first.optimizer} has the lowest training loss**, {_loss(first, epoch)}"
        text += f" at learning rate {first.rate:g}" if rates else ""
        if level and several:
            text += f"; {listed([f'{g.optimizer} ({_loss(g, epoch)})' for g in level])} "
            text += "is" if len(level) == 1 else "are"
            text += " not behind it by more than the seeds differ"
        elif len(ranked) > 1:
            text += f", before {ranked[1].optimizer} with {_loss(ranked[1], epoch)}"
        if len(ranked) > 2:
            text += f". The highest is that of {ranked[-1].optimizer}, {_loss(ranked[-1], epoch)}"
        parts.append(text + ". ")
    text = "".join(parts)
    if rates:
        text += (
            f"Each optimizer counts at its best learning rate, the one with the lowest loss of epoch {epochs} among "
            "those at which no run diverged. "
        )
    if not several:
        text += "With one seed nothing says how much of the order is chance. "
    without = [name for name in dict.fromkeys(g.optimizer for g in groups) if name not in best]
    if without:
        text += f"{listed(without)} diverged at every rate."
    return text.rstrip()


def _loss(group: Group, epoch: int) -> str:
    return group.loss(epoch).plus_minus()


def _start(groups: Sequence[Group]) -> str:
    """Whether the runs of a seed began alike, from their first gradients."""
    first: dict[int, list[Array]] = {}
    for run in (run for group in groups for run in group.runs):
        if (run.directory / "gradient_trace.npz").is_file():
            trace = run.arrays("gradient_trace.npz")
            if len(trace["step"]) and trace["step"][0] == 1:
                first.setdefault(run.seed, []).append(trace["norms"][0])
    compared = {seed: np.stack(norms) for seed, norms in first.items() if len({len(n) for n in norms}) == 1}
    number = sum(map(len, compared.values()))
    if not compared or number == len(compared):
        return "Whether the runs of a seed begin alike was not recorded."
    if all(np.allclose(norms, norms[0], rtol=1e-5, atol=0) for norms in compared.values()):
        return (
            "The runs of one seed begin with the same weights and the same batch: the norms of the first gradients, "
            f"which {number} runs have recorded layer by layer, are equal among them."
        )
    return (
        "**The runs of one seed do not begin alike**: the norms of their first gradients differ, so what follows "
        "compares more than the optimizers."
    )


def _table(best: Mapping[str, Group], epochs: int) -> Table:
    ranked, _ = ranking(list(best.values()), epochs)
    rows = [
        [g.optimizer, f"{g.rate:g}", *(_loss(g, e) for e in dict.fromkeys((1, epochs))),
         "-" if g.test is None else g.test.percent()]
        for g in ranked
    ]  # fmt: skip
    header = ["optimizer", "learning rate", *(f"training loss, epoch {e}" for e in dict.fromkeys((1, epochs)))]
    several = any(len(group.runs) > 1 for group in ranked)
    caption = "Mean ± standard deviation over the seeds, best first." if several else "One seed; best first."
    return Table([*header, "test accuracy"], rows, caption)


def _rates(
    groups: Sequence[Group], best: Mapping[str, Group], rates: Sequence[float], epochs: int, guess: float
) -> str:
    """What each rate does, and whom the rate matters least."""
    text = "**At equal learning rates.** "
    for rate in rates:
        own = [group for group in groups if group.rate == rate]
        sound = [group for group in own if group.sound]
        words = []
        if sound:
            ranked, level = ranking(sound, epochs)
            first = f"{ranked[0].optimizer} is lowest after epoch {epochs} ({_loss(ranked[0], epochs)})"
            if level and all(len(group.runs) > 1 for group in sound):
                first += f", not told apart from {listed([group.optimizer for group in level])}"
            words.append(first)
        lost = [group.optimizer for group in sound if group.loss(epochs).mean >= NEAR_GUESS * guess]
        if lost:
            words.append(f"{listed(lost)} {'is' if len(lost) == 1 else 'are'} hardly better than guessing "
                         f"(a loss of {guess:.2f})")  # fmt: skip
        words += [f"{g.optimizer} diverged in {g.diverged} of {len(g.runs)} runs" for g in own if g.diverged]
        text += f"At {rate:g} {'; '.join(words)}. "
    ratios = {}
    for name, group in best.items():
        own = [g for g in groups if g.optimizer == name]
        if len(own) == len(rates) and all(g.sound for g in own):
            ratios[name] = max(g.loss(epochs).mean for g in own) / group.loss(epochs).mean
    if len(ratios) > 1:
        low, high = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
        text += (
            f"The rate matters least for {low}, whose worst loss is {ratios[low]:.3g} times its best, and most for "
            f"{high} ({ratios[high]:.3g} times)."
        )
    return text.rstrip()


def _why(best: Mapping[str, Group], groups: Sequence[Group], epochs: int) -> str:
    coefficient = next((g.runs[0].value("optimizer.momentum") for g in groups if g.optimizer == "momentum"), None)
    longer = f", here {1 / (1 - coefficient):.3g} times" if coefficient is not None and coefficient < 1 else ""
    text = (
        "**Why.** SGD's step is the learning rate times the gradient. Momentum adds up earlier steps, so that along "
        f"a direction that lasts it goes up to 1 / (1 − μ) times as far{longer} (Sutskever et al. 2013). RMSprop "
        "divides each weight's gradient by the root of its recent mean square (Tieleman & Hinton 2012); Adam does so "
        "with an averaged gradient, and its step in each weight is about the learning rate at most, whatever the "
        "size of the gradient (Kingma & Ba 2015). The methods therefore want different rates. "
    )
    adaptive = [best[name].rate for name in ADAPTIVE if name in best]
    if "sgd" in best and adaptive and len({g.rate for g in groups}) > 1:
        if max(adaptive) < best["sgd"].rate:
            text += (
                f"So it is here: SGD does best at {best['sgd'].rate:g}, those that divide by the gradient's size at "
                f"{_span(adaptive)}. "
            )
        else:
            text += (
                f"Not so here: SGD does best at {best['sgd'].rate:g}, those that divide by the gradient's size at "
                f"{_span(adaptive)}. "
            )
    for look_ahead, plain, source in (
        ("nag", "momentum", "With Nesterov's gradient, taken where momentum is about to lead,"),
        ("nadam", "adam", "With the same in Adam (Dozat 2016)"),
    ):
        if look_ahead in best and plain in best:
            text += _against(best[look_ahead], best[plain], epochs, source)
    return text.rstrip()


def _span(rates: Sequence[float]) -> str:
    return f"{rates[0]:g}" if min(rates) == max(rates) else f"{min(rates):g} to {max(rates):g}"


def _against(ahead: Group, plain: Group, epochs: int, source: str) -> str:
    """What the look-ahead changes, at the best rate of each."""
    a, b = ahead.loss(epochs), plain.loss(epochs)
    scores = f"{ahead.optimizer} {a.plus_minus()}, {plain.optimizer} {b.plus_minus()}"
    if abs(a.mean - b.mean) <= max(a.std, b.std):
        return f"{source} the loss of epoch {epochs} differs by no more than the seeds do ({scores}). "
    effect = "lower" if a.mean < b.mean else "higher"
    chance = "" if min(len(a.values), len(b.values)) > 1 else ", with one seed"
    return f"{source} the loss of epoch {epochs} is {effect}{chance} ({scores}). "


def _caution(best: Mapping[str, Group], rates: Sequence[float], epochs: int) -> str:
    tried = f"{len(rates)} learning rates were tried" if len(rates) > 1 else "one learning rate was tried"
    text = (
        "**What it does not show.** A ranking of optimizers depends on how each was tuned (Choi et al. 2019): here "
        f"{tried}, the other coefficients are the defaults. "
    )
    edge = [name for name, group in best.items() if group.rate in (rates[0], rates[-1])] if len(rates) > 1 else []
    if edge:
        text += f"The best rate of {listed(edge)} is at the end of the range, so a better one may lie outside. "
    tested = {name: group.test for name, group in best.items() if group.test is not None}
    if len(tested) < 2:
        return text.rstrip()
    fastest = ranking(list(best.values()), epochs)[0][0].optimizer
    highest = max(tested, key=lambda name: tested[name].mean)
    text += "A low training loss is no promise for other images (Wilson et al. 2017): "
    text += f"the highest test accuracy is that of {highest}, {tested[highest].percent()}"
    if highest == fastest:
        text += ", which here has the lowest training loss too"
    elif fastest in tested:
        text += f", beside {tested[fastest].percent()} of {fastest}"
    near = [
        name
        for name, score in tested.items()
        if name != highest and tested[highest].mean - score.mean <= max(score.std, tested[highest].std)
    ]
    if near:
        text += f"; {listed(near)} {'does' if len(near) == 1 else 'do'} not differ from it by more than the seeds do"
    return text + "."


# Figures


def _at_best(best: Mapping[str, Group]) -> Figure:
    """The loss, and the loss over the lowest of each epoch."""
    figure = style.new_figure(11, 4.3)
    grid = {"left": 0.07, "right": 0.98, "bottom": 0.12, "top": 0.92, "wspace": 0.2}
    left, right = figure.subplots(1, 2, gridspec_kw=grid)
    style.tidy(left, "Training loss", "epoch", "training loss (log scale)")
    style.tidy(right, "Over the lowest mean of the epoch", "epoch", "loss / lowest loss")
    lowest = np.min([group.losses.mean(axis=0) for group in best.values()], axis=0)
    for group in best.values():
        _line(left, group, group.losses)
        _line(right, group, group.losses / lowest)
    _log_axis(left)
    several = len({group.rate for group in best.values()}) > 1
    names = [f"{name} ({group.rate:g})" if several else name for name, group in best.items()]
    left.legend(left.lines, names, fontsize=style.SMALL)
    return figure


def _at_equal(groups: Sequence[Group], rates: Sequence[float], guess: float) -> Figure:
    """A panel for each rate, with one y axis."""
    width = 1.0 + 3.4 * len(rates)
    figure = style.new_figure(width, 4.3)
    grid = {"left": 0.75 / width, "right": 1 - 0.15 / width, "bottom": 0.12, "top": 0.84, "wspace": 0.08}
    panels = figure.subplots(1, len(rates), squeeze=False, sharey=True, gridspec_kw=grid)[0]
    finite = np.concatenate([g.losses[np.isfinite(g.losses)] for g in groups])
    for ax, rate in zip(panels, rates, strict=True):
        style.tidy(ax, f"Learning rate {rate:g}", "epoch", "training loss (log scale)" if ax is panels[0] else "")
        for group in groups:
            if group.rate == rate:
                _line(ax, group, np.where(np.isfinite(group.losses), group.losses, np.nan))
        _log_axis(ax)
    if len(finite) and finite.min() > 0:
        panels[0].set_ylim(finite.min() / 1.3, max(min(finite.max() * 1.2, 2 * guess), 2 * finite.min()))
    lines = {str(line.get_label()): line for ax in panels for line in ax.lines}
    figure.legend(lines.values(), lines.keys(), loc="upper center", ncols=6, fontsize=style.LABEL, frameon=False)
    return figure


def _line(ax: Axes, group: Group, rows: Array) -> None:
    color, line, marker = LOOK.get(group.optimizer, (style.GREY, "-", "x"))
    if np.isfinite(rows).any():
        band(ax, np.arange(1.0, rows.shape[1] + 1), rows, group.optimizer, color, line, marker=marker)


def _log_axis(ax: Axes) -> None:
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def _heat(groups: Sequence[Group], rates: Sequence[float], epochs: int) -> Figure:
    """A cell for each optimizer and rate."""
    names = list(dict.fromkeys(group.optimizer for group in groups))
    table = {(g.optimizer, g.rate): g for g in groups}
    best = _best(groups, epochs)
    shown = [g.loss(epochs).mean for g in groups if g.sound]
    width, height = 2.4 + 1.6 * len(rates), 1.0 + 0.5 * len(names)
    figure = style.new_figure(width, height)
    ax = figure.add_axes((1.1 / width, 0.6 / height, 1 - 1.3 / width, 1 - 0.7 / height))
    norm = LogNorm(min(shown) / 1.5, max(shown)) if shown and max(shown) > min(shown) > 0 else None
    cells = np.array([[_cell(table.get((name, rate)), epochs) for rate in rates] for name in names])
    ax.imshow(cells, cmap=f"{style.SEQUENTIAL}_r", norm=norm, aspect="auto")
    for row, name in enumerate(names):
        for column, rate in enumerate(rates):
            group = table.get((name, rate))
            dark = norm is not None and group is not None and group.sound and norm(cells[row, column]) < 0.45
            ax.text(column, row, _words(group, epochs), ha="center", va="center", fontsize=style.SMALL,
                    color="white" if dark else style.BLACK)  # fmt: skip
            if group is not None and best.get(name) is group:
                ax.add_patch(Rectangle((column - 0.46, row - 0.44), 0.92, 0.88, fill=False, linewidth=2.2,
                                       edgecolor=style.VERMILION))  # fmt: skip
    ax.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates], fontsize=style.LABEL)
    ax.set_yticks(range(len(names)), names, fontsize=style.LABEL)
    ax.set_xlabel("learning rate", fontsize=style.LABEL)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure


def _cell(group: Group | None, epochs: int) -> float:
    return group.loss(epochs).mean if group is not None and group.sound else math.nan


def _words(group: Group | None, epochs: int) -> str:
    if group is None:
        return "no run"
    return _loss(group, epochs) if group.sound else f"{group.diverged} of {len(group.runs)}\ndiverged"
