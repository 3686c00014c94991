"""ReLU at a high learning rate: hidden units that no training image moves any more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mlp.report import style
from mlp.report.runs import RunFiles, by
from mlp.report.studies.plots import band, binned, percent_axis
from mlp.report.studies.study import (
    Analysis,
    Findings,
    Histogram,
    Lines,
    Picture,
    Spread,
    Study,
    Table,
    left_out,
    listed,
    rounded,
)

UNITS, GRADIENTS = "dead_units.npz", "gradient_trace.npz"
NAMES = {"relu": "ReLU", "tanh": "tanh"}
LOOK = {"relu": (style.VERMILION, "--", "s"), "tanh": (style.BLUE, "-", "o")}
LINES, MARKS = ("-", "--", ":", "-."), "os^D"
LATE = 0.8  # the last fifth of the steps

Array = NDArray[Any]  # counts and shares
Setting = tuple[str, float]  # optimizer and learning rate


@dataclass
class Group:
    """The runs of one activation, optimizer and learning rate, one per seed.

    Tables are (runs, looks, layers): a look before the first step, and one after each epoch.
    """

    activation: str
    optimizer: str
    rate: float
    runs: Sequence[RunFiles]

    def __post_init__(self) -> None:
        looks = [run.arrays(UNITS) for run in self.runs]
        rows = min(len(look["step"]) for look in looks)
        first = looks[0]
        self.step: Array = first["step"][:rows]
        self.samples = int(first["samples"][0])
        nonzero, saturated, flat = (
            np.stack([look[name][:rows] for look in looks]) for name in ("nonzero", "saturated", "flat")
        )  # (runs, looks, layers, units)
        self.exists: Array = nonzero[0, 0] >= 0  # (layers, units)
        self.width: Array = self.exists.sum(axis=-1)  # (layers,)
        outputs = self.width * self.samples
        self.dead_units: Array = nonzero == 0
        self.dead: Array = self.dead_units.sum(axis=-1)
        self.zero: Array = 1 - np.where(self.exists, nonzero, 0).sum(axis=-1) / outputs  # shares of the outputs
        self.bounded = bool((saturated >= 0).any())
        self.saturated: Array = np.where(saturated > 0, saturated, 0).sum(axis=-1) / outputs
        self.stuck: Array = (flat == self.samples).sum(axis=-1)
        self.counts: Array = np.stack([look["counts"][rows - 1] for look in looks]).sum(axis=0)  # (layers, bins)
        self.edges: Array = first["edges"][0]  # (layers, bins + 1)

    @property
    def setting(self) -> Setting:
        return self.optimizer, self.rate

    @property
    def key(self) -> str:
        return f"{self.activation}/{self.optimizer}/{self.rate:g}"

    @property
    def units(self) -> int:
        """Hidden units of one network."""
        return int(self.width.sum())

    @property
    def epochs(self) -> Array:
        """The looks in epochs, (looks,)."""
        epochs: Array = self.step / max(1, self.step[-1]) * len(self.runs[0].metrics["epoch"])
        return epochs

    @cached_property
    def dead_at_end(self) -> Spread:
        return Spread([float(count) for count in self.dead[:, -1].sum(axis=-1)])

    @cached_property
    def stuck_at_end(self) -> Spread:
        return Spread([float(count) for count in self.stuck[:, -1].sum(axis=-1)])

    @cached_property
    def back_again(self) -> Spread:
        """Units that were dead after the first epoch and are not at the end."""
        first, last = self.dead_units[:, min(1, len(self.step) - 1)], self.dead_units[:, -1]
        return Spread([float(count) for count in (first & ~last).sum(axis=(1, 2))])

    @cached_property
    def accuracy(self) -> Spread:
        """On the validation set after the last epoch: of the weights whose units were counted."""
        return Spread([float(run.metrics["val_accuracy"][-1]) for run in self.runs])

    @cached_property
    def gradients(self) -> tuple[Array, Array]:
        """Steps (rows,) and gradient norms (runs, rows, layers)."""
        traces = [run.arrays(GRADIENTS) for run in self.runs]
        rows = min(len(trace["step"]) for trace in traces)
        return traces[0]["step"][:rows], np.stack([trace["norms"][:rows] for trace in traces])

    @cached_property
    def late(self) -> Array:
        """Norms of the first hidden layer over the last fifth of the steps, (runs, rows)."""
        step, norms = self.gradients
        late: Array = norms[:, step > LATE * step[-1], 0]
        return late

    @property
    def without_gradient(self) -> float:
        """Share of those steps at which that norm is exactly zero."""
        return float((self.late == 0).mean())


class DeadNeurons(Study):
    name = "dead_neurons"
    title = "Dead neurons: ReLU at a high learning rate"
    question = (
        "With ReLU and a high learning rate (0.1), what share of the hidden units outputs zero for every input, "
        "layer by layer, and how does tanh compare?"
    )
    seconds = 60
    references = (
        "A. L. Maas, A. Y. Hannun, A. Y. Ng: Rectifier Nonlinearities Improve Neural Network Acoustic Models, ICML "
        "Workshop on Deep Learning for Audio, Speech and Language Processing, 2013",
        "L. Lu, Y. Shin, Y. Su, G. E. Karniadakis: Dying ReLU and Initialization: Theory and Numerical Examples, "
        "Communications in Computational Physics 28(5), 2020",
        "X. Glorot, A. Bordes, Y. Bengio: Deep Sparse Rectifier Neural Networks, AISTATS 2011",
        "X. Glorot, Y. Bengio: Understanding the Difficulty of Training Deep Feedforward Neural Networks, "
        "AISTATS 2010",
        "D. P. Kingma, J. Ba: Adam: A Method for Stochastic Optimization, ICLR 2015",
    )
    quick = ("training.epochs=1", "optimizer.learning_rate=0.1", "seed=0")

    def analyse(self, found: Findings) -> Analysis:
        runs = self._need(found)
        whole = [run for run in runs if (run.directory / UNITS).exists() and (run.directory / GRADIENTS).exists()]
        self._need(found, whole)
        groups = [
            Group(str(activation), str(optimizer), float(str(rate)), members)
            for (activation, optimizer, rate), members in by(
                whole, "activation", "optimizer", "optimizer.learning_rate"
            ).items()
        ]
        groups.sort(key=lambda group: -group.rate)
        relu = {group.setting: group for group in groups if group.activation == "relu"}
        tanh = {group.setting: group for group in groups if group.activation == "tanh"}
        lost = len(runs) - len(whole)
        return Analysis(
            blocks=[
                *self._verdict(relu),
                *(self._by_optimizer(optimizer, relu) for optimizer in dict.fromkeys(name for name, _ in relu)),
                *self._tanh(tanh, relu),
                *self._gradients(relu, tanh),
                *([left_out(lost, len(runs))] if lost else []),
                Picture(
                    "dead_neurons_over_time",
                    lambda: _over_time(groups),
                    "Top: share of ReLU units whose output is exactly zero for every training image. Below: share of "
                    "the outputs of tanh units beyond ±0.99. Counted on the whole training set before the first step "
                    "and after each epoch; means over the seeds, bands from the lowest to the highest.",
                ),
                Picture(
                    "dead_neurons_activations",
                    lambda: _activations(groups),
                    "Histograms of the outputs of the hidden layers for the whole training set after the last epoch, "
                    "all seeds together: share of all outputs of the layer that lie in each bin, on a logarithmic "
                    "scale. Exact zeros are in no bin; their share is in the legend. The leftmost bin of ReLU holds "
                    "all that is between 0 and 0.001. Where a line is missing, nothing lies.",
                ),
                Picture(
                    "dead_neurons_gradients",
                    lambda: _gradients(groups),
                    "L2 norm of the gradient of the first hidden layer's weights (both axes are logarithmic): "
                    "medians over neighbouring steps and the seeds, without the steps at which it is exactly zero; "
                    "bands from the lowest to the highest. A cross at the bottom: exactly zero at half of the steps "
                    "or more.",
                ),
                self._table(groups),
                self._why(relu),
            ],
            facts=self._facts(groups),
            charts=[
                *(
                    Lines(
                        f"dead_share/{optimizer}_{rate:g}",
                        list(map(float, group.epochs)),
                        {f"layer {i + 1}": list(share) for i, share in enumerate(_dead_share(group).mean(axis=0).T)},
                        "epoch",
                    )
                    for (optimizer, rate), group in relu.items()
                ),
                *(
                    Histogram(
                        f"nonzero_outputs/{group.key.replace('/', '_')}", group.counts.sum(axis=0), group.edges[0]
                    )
                    for group in groups
                ),
            ],
        )

    def _facts(self, groups: Sequence[Group]) -> dict[str, float]:
        facts: dict[str, float] = {}
        for group in groups:
            facts[f"dead_units/{group.key}"] = group.dead_at_end.mean
            for i, dead in enumerate(group.dead[:, -1].mean(axis=0), 1):
                facts[f"dead_share/{group.key}/layer_{i}"] = float(dead / group.width[i - 1])
            facts[f"zero_outputs/{group.key}"] = _total(group, group.zero)
            facts[f"without_gradient/{group.key}"] = group.without_gradient
            facts[f"val_accuracy/{group.key}"] = group.accuracy.mean
            if group.bounded:
                facts[f"saturated_outputs/{group.key}"] = _total(group, group.saturated)
                facts[f"stuck_units/{group.key}"] = group.stuck_at_end.mean
        return facts

    def _verdict(self, relu: Mapping[Setting, Group]) -> list[str]:
        if not relu:
            return ["There are no finished runs with ReLU."]
        highest = max(rate for _, rate in relu)
        shares = [
            f"{_percent(group.dead_at_end.mean / group.units, 1)} with {optimizer}"
            for (optimizer, rate), group in relu.items()
            if rate == highest
        ]
        return [f"**Dead ReLU units** at a learning rate of {highest:g}: {listed(shares)}."]

    def _by_optimizer(self, optimizer: str, relu: Mapping[Setting, Group]) -> str:
        rates = {rate: group for (name, rate), group in relu.items() if name == optimizer}
        text = f"**{optimizer}.** " + " ".join(self._toll(group) for group in rates.values())
        if len(rates) == 1:
            return text
        high, low = rates[max(rates)].dead_at_end, rates[min(rates)].dead_at_end
        than = "more units dead than" if high.mean > low.mean else "fewer units dead than"
        if abs(high.mean - low.mean) <= max(high.std, low.std):
            than = "about as many units dead as"
        return f"{text} With {optimizer} the high rate leaves {than} the low one."

    def _toll(self, group: Group) -> str:
        """How many units are dead in one group, and since when."""
        epochs = len(group.runs[0].metrics["epoch"])
        time = "1 epoch" if epochs == 1 else f"{epochs} epochs"
        setting = f"At a learning rate of {group.rate:g},"
        if not group.dead.any():
            return f"{setting} none of the {group.units} ReLU units was dead at any count in {time}."
        dead = group.dead_at_end
        layers = [counted(Spread([float(n) for n in group.dead[:, -1, i]])) for i in range(len(group.width))]
        text = (
            f"{setting} {counted(dead)} of the {group.units} ReLU units ({_percent(dead.mean / group.units, 1)}) "
            f"output exactly zero for every one of the {group.samples:,} training images after {time}: "
            f"{listed(layers)} of {listed(list(dict.fromkeys(map(str, group.width))))} in hidden "
            f"layer{'s' if len(layers) > 1 else ''} {listed([str(i + 1) for i in range(len(layers))])}."
        )
        before = float(group.dead[:, 0].sum(axis=-1).mean()) if group.step[0] == 0 else math.nan
        if before == 0:
            text += " Before the first step none did"
        elif before > 0:
            text += f" Before the first step {before:.3g} did"
        first = Spread([float(n) for n in group.dead[:, 1].sum(axis=-1)]) if len(group.step) > 2 else None
        if first and before >= 0:
            text += f", after the first epoch {counted(first)}"
        text += "." if before >= 0 else ""
        if first and group.back_again.mean:
            text += f" Of those of the first epoch {counted(group.back_again)} were no longer dead at the end."
        return text

    def _tanh(self, tanh: Mapping[Setting, Group], relu: Mapping[Setting, Group]) -> list[str]:
        if not tanh:
            return []
        zero = sum(int(group.dead.sum()) for group in tanh.values())
        text = "**tanh beside it.** "
        text += "No tanh unit was zero for every image at any count. " if not zero else ""
        parts = []
        for (optimizer, rate), group in tanh.items():
            part = f"{_percent(_total(group, group.saturated), 1)} with {optimizer} at {rate:g}"
            if group.stuck_at_end.mean:
                numbers = group.runs[0].value("model.dtype")
                part += f", where {counted(group.stuck_at_end)} of {group.units} units are at exactly −1 or 1 in "
                part += f"{numbers} for every image"
            parts.append(part)
        text += (
            f"What it can do instead is saturate. Share of its outputs beyond ±0.99 at the end: {'; '.join(parts)}."
        )
        if any(group.stuck_at_end.mean for group in tanh.values()):
            text += " At ±1 the derivative 1 − h² is exactly zero: these units get no gradient either."
        accuracies = [
            f"{relu[optimizer, rate].accuracy.percent(1)} and {group.accuracy.percent(1)} with {optimizer} at "
            f"{rate:g}"
            for (optimizer, rate), group in tanh.items()
            if (optimizer, rate) in relu
        ]
        if accuracies:
            text += f" Validation accuracy after the last epoch, ReLU and tanh: {'; '.join(accuracies)}."
        return [text]

    def _gradients(self, relu: Mapping[Setting, Group], tanh: Mapping[Setting, Group]) -> list[str]:
        """The gradient at the first hidden layer over the last fifth of the steps."""
        parts = []
        for optimizer, rate in dict.fromkeys([*relu, *tanh]):
            said = []
            for groups in (relu, tanh):
                if group := groups.get((optimizer, rate)):
                    name, share = NAMES[group.activation], group.without_gradient
                    if share == 1:
                        said.append(f"exactly zero at every recorded step with {name}")
                    elif share:
                        said.append(f"exactly zero at {_percent(share)} of the recorded steps with {name}")
                    else:
                        norm = Spread([float(n) for n in np.median(group.late, axis=1)])
                        said.append(f"{norm.rounded()} with {name}")
            parts.append(f"{optimizer} at {rate:g}: {' and '.join(said)}")
        text = f"**Gradients** of the first hidden layer over the last fifth of the steps. {'; '.join(parts)}."
        closed = [group for group in relu.values() if (group.dead[:, -1] == group.width).any()]
        if closed:
            where = listed([f"{group.optimizer} at {group.rate:g}" for group in closed])
            text += (
                f" Where all units of a hidden layer are dead, as at the end of a run with {where}, nothing passes: "
                "the weights below it, its own and those that read it get a gradient of exactly zero from every "
                "image, and all these images get the same answer."
            )
        return [text]

    def _table(self, groups: Sequence[Group]) -> Table:
        rows = []
        for group in groups:
            norms = np.median(group.late, axis=1)
            rows.append(
                [
                    NAMES.get(group.activation, group.activation),
                    group.optimizer,
                    f"{group.rate:g}",
                    ", ".join(f"{dead:g}" for dead in group.dead[:, -1].mean(axis=0).round(1)),
                    _percent(_total(group, group.zero), 1),
                    _percent(_total(group, group.saturated), 1) if group.bounded else "",
                    counted(group.stuck_at_end) if group.bounded else "",
                    Spread([float(n) for n in norms]).rounded(),
                    _percent(group.without_gradient),
                    group.accuracy.percent(),
                ]
            )
        header = ["activation", "optimizer", "learning rate", "dead units per layer", "outputs exactly 0",
                  "outputs beyond ±0.99", "units at ±1 for every image", "gradient norm, first layer",
                  "steps at which it is 0", "validation accuracy"]  # fmt: skip
        caption = (
            "After the last epoch; gradients over the last fifth of the steps (median). Means over the seeds, ± "
        )
        return Table(header, rows, f"{caption}standard deviation where there are several.")

    def _why(self, relu: Mapping[Setting, Group]) -> str:
        text = (
            "**Why.** ReLU's derivative is 0 where its input is negative. If a large step leaves a unit with a "
            "negative input for every image, neither its weights nor its bias get a gradient any more, and its own "
            "gradient cannot bring it back (Maas, Hannun & Ng 2013); only a change of the layers below can, or what "
            "is left of an optimizer's momentum. A ReLU network can also be dead before its first step, the likelier "
            "the deeper and narrower it is (Lu et al. 2020)."
        )
        adam = [group for (optimizer, _), group in relu.items() if optimizer == "adam"]
        sgd = [group for (optimizer, _), group in relu.items() if optimizer == "sgd"]
        if adam and len(adam[0].width) > 1:
            fan_in, fan_out = map(int, adam[0].width[:2])
            text += (
                " The rate means different things to the optimizers. Adam's first step moves each weight that has a "
                f"gradient by about the learning rate itself (Kingma & Ba 2015): {adam[0].rate:g}, where Xavier's "
                "weights from the first to the second hidden layer have a standard deviation of "
                f"√(2 / ({fan_in} + {fan_out})) = {math.sqrt(2 / (fan_in + fan_out)):.3f} (Glorot & Bengio 2010)."
            )
            if sgd and len(sgd[0].width) > 1:
                norm = sgd[0].gradients[1][:, 0, 1].mean()
                size = sgd[0].rate * norm / math.sqrt(math.prod(map(int, sgd[0].width[:2])))
                text += (
                    f" SGD's first step moves them by the rate times their gradient, whose norm is {rounded(norm)}: "
                    f"at {sgd[0].rate:g} by {rounded(size)} (root mean square)."
                )
        alive = [group for group in relu.values() if group.accuracy.mean > 0.9]
        alive = [group for group in alive if group.dead_at_end.mean < 0.1 * group.units]
        if alive:
            best = max(alive, key=lambda group: group.accuracy.mean)
            zeros = _percent(_total(best, best.zero))
            text += (
                f" Zeros as such do no harm: with {best.optimizer} at {best.rate:g} {zeros} of the outputs of ReLU "
                f"are zero, and {best.accuracy.percent(1)} of the validation images are classified correctly. "
                "What matters is that the gradient finds a path of active units (Glorot, Bordes & Bengio 2011)."
            )
        return text


def counted(spread: Spread) -> str:
    """`3`, `3.5 ± 0.7`: a number of units."""
    return f"{spread.mean:g}" if spread.std == 0 else spread.text(".1f")


def _percent(share: float, digits: int = 0) -> str:
    """A share that says 0 % or 100 % only where it is exactly that."""
    text = f"{100 * share:.{digits}f} %"
    if 0 < share < 1 and float(text[:-2]) in (0, 100):
        step = 10.0**-digits
        return f"under {step:g} %" if share < 0.5 else f"over {100 - step:g} %"
    return text


def _total(group: Group, shares: Array) -> float:
    """Share of all hidden outputs after the last epoch, of shares (runs, looks, layers)."""
    return float((shares[:, -1] * group.width).sum(axis=-1).mean() / group.units)


def _dead_share(group: Group) -> Array:
    """(runs, looks, layers)"""
    share: Array = group.dead / group.width
    return share


def _ladder(layers: int) -> Array:
    """A colour for each layer."""
    colors: Array = mpl.colormaps[style.ORDERED](np.linspace(0, 0.8, max(2, layers)))
    return colors


def _grid(groups: Sequence[Group], height: float, **more: float) -> tuple[Figure, dict[tuple[str, Setting], Axes]]:
    """A row of panels for each activation, a column for each setting."""
    activations = [name for name in NAMES if any(group.activation == name for group in groups)]
    settings = list(dict.fromkeys(group.setting for group in groups))
    rows, columns = len(activations), len(settings)
    figure = style.new_figure(max(5.0, 1.0 + 3.1 * columns), 0.8 + height * rows)
    grid = {"left": 0.8 / figure.get_figwidth(), "right": 0.985, "bottom": 0.6 / figure.get_figheight(),
            "top": 1 - 0.4 / figure.get_figheight(), "wspace": 0.08, "hspace": 0.42, **more}  # fmt: skip
    panels = figure.subplots(rows, columns, squeeze=False, sharey="row", sharex="row", gridspec_kw=grid)
    return figure, {
        (name, setting): panels[i, j] for i, name in enumerate(activations) for j, setting in enumerate(settings)
    }


def _over_time(groups: Sequence[Group]) -> Figure:
    figure, panels = _grid(groups, 2.7)
    for (name, (optimizer, rate)), ax in panels.items():
        spec = ax.get_subplotspec()
        what = "dead units (%)" if name == "relu" else "outputs beyond ±0.99 (%)"
        style.tidy(ax, f"{NAMES[name]}, {optimizer} at {rate:g}", "epoch",
                   what if spec is not None and spec.is_first_col() else "")  # fmt: skip
        ax.set_ylim(-0.03, 1.03)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        percent_axis(ax)
    for group in groups:
        if group.activation not in NAMES:
            continue
        ax = panels[group.activation, group.setting]
        shares = _dead_share(group) if group.activation == "relu" else group.saturated
        for i, color in enumerate(_ladder(len(group.width))):
            if i < len(group.width):
                band(ax, group.epochs, shares[..., i], f"layer {i + 1}", color, LINES[i % 4], marker=MARKS[i % 4])
    next(iter(panels.values())).legend(fontsize=style.SMALL, loc="upper right")
    return figure


def _activations(groups: Sequence[Group]) -> Figure:
    figure, panels = _grid(groups, 2.8)
    for (name, (optimizer, rate)), ax in panels.items():
        spec = ax.get_subplotspec()
        style.tidy(ax, f"{NAMES[name]}, {optimizer} at {rate:g}", "output of a unit",
                   "share of the outputs" if spec is not None and spec.is_first_col() else "")  # fmt: skip
        ax.set_yscale("log")
        if name == "relu":
            ax.set_xscale("log")
    for group in groups:
        if group.activation not in NAMES:
            continue
        ax = panels[group.activation, group.setting]
        for i, (counts, edges, color) in enumerate(
            zip(group.counts, group.edges, _ladder(len(group.width)), strict=False)
        ):
            shares = counts / (len(group.runs) * group.width[i] * group.samples)
            if group.activation == "relu":  # no negative outputs; the bin around zero becomes the first
                middle = len(counts) // 2
                shares, edges = shares[middle:], edges[middle:].copy()
                edges[0] = edges[1] ** 2 / edges[2]
            zero = float(group.zero[:, -1, i].mean())
            label = f"layer {i + 1}" + (f", {_percent(zero, 1)} zero" if zero else "")
            ax.stairs(np.where(shares > 0, shares, np.nan), edges, baseline=None, color=color,
                      linestyle=LINES[i % 4], linewidth=1.5, label=label)  # fmt: skip
        if group.activation == "relu":
            ax.legend(fontsize=style.SMALL - 1.5, loc="best")
        elif group.setting == groups[0].setting:
            ax.legend(fontsize=style.SMALL - 1.5, loc="lower center")
    return figure


def _gradients(groups: Sequence[Group]) -> Figure:
    settings = list(dict.fromkeys(group.setting for group in groups))
    figure = style.new_figure(max(5.0, 1.0 + 3.1 * len(settings)), 3.4)
    grid = {"left": 0.8 / figure.get_figwidth(), "right": 0.985, "bottom": 0.17, "top": 0.89, "wspace": 0.08}
    axes = figure.subplots(1, len(settings), squeeze=False, sharey=True, gridspec_kw=grid)[0]
    for ax, (optimizer, rate) in zip(axes, settings, strict=True):
        style.tidy(
            ax, f"{optimizer} at {rate:g}", "step", "gradient norm, first hidden layer" if ax is axes[0] else ""
        )
        ax.set_xscale("log")
        ax.set_yscale("log")
    for group in groups:
        ax = axes[settings.index(group.setting)]
        color, line, mark = LOOK.get(group.activation, (style.GREY, ":", "^"))
        step, norms = group.gradients
        x, low, middle, high = binned(step, norms[..., 0])
        ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
        ax.plot(x, middle, color=color, linestyle=line, marker=mark, markersize=3,
                label=NAMES.get(group.activation, group.activation))  # fmt: skip
        x, _, share, _ = binned(step, 1.0 + (norms[..., 0] == 0))
        nothing = x[share >= 1.5]
        height = 0.02 if group.activation == "relu" else 0.06  # of the panel, so that both are seen
        ax.plot(nothing, np.full(len(nothing), height), linestyle="", marker="x", markersize=4, color=color,
                transform=ax.get_xaxis_transform())  # fmt: skip
    axes[0].legend(fontsize=style.SMALL, loc="lower left")
    return figure
