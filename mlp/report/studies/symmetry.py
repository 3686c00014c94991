"""Initial weights of zero against random ones, seen at the gradients of single neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from mlp.report import style
from mlp.report.blocks import Analysis, Lines, Picture, Table
from mlp.report.read import Array, RunFiles, by
from mlp.report.statistics import MeanStd
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.text import listed

FILE = "neuron_gradients.npz"
INITS = {"zeros": "zeros", "xavier": "Xavier"}
FIXED_AT_ZERO = ("relu", "tanh")  # f(0) = 0
LOOKS = (
    (style.SKY, "o"),
    (style.VERMILION, "s"),
    (style.BLACK, "^"),
    (style.ORANGE, "D"),
    (style.PURPLE, "v"),
    (style.GREEN, "P"),
    (style.BLUE, "X"),
)
ROUNDING = 1e-4  # of the largest gradient: smaller differences may be rounding errors that have grown
BLOCKS = (
    "BLAS multiplies matrices block by block, and blocks of neurons whose sums are added up in another order round "
    "differently"
)


@dataclass(frozen=True)
class Gradients:
    """What one run has recorded: the gradient of every recorded neuron at every step."""

    step: Array  # (rows,)
    values: Array  # (rows, neurons, d_in + 1), the bias last
    distinct: Array  # (rows,) different gradients among all neurons of the layer
    width: int  # neurons of the layer

    @classmethod
    def of(cls, run: RunFiles) -> Gradients | None:
        """None where the run ended before its first epoch did."""
        if not (run.directory / FILE).exists():
            return None
        table = run.arrays(FILE)
        values = np.concatenate([table["grad_W"], table["grad_b"][:, None, :]], axis=1).transpose(0, 2, 1)
        return cls(table["step"], np.ascontiguousarray(values), table["distinct"], int(table["width"][0]))

    @property
    def neurons(self) -> int:
        return int(self.values.shape[1])

    @cached_property
    def bits(self) -> Array:
        """The values as integers: equal only where every bit is."""
        return self.values.view(f"u{self.values.itemsize}")

    @cached_property
    def different(self) -> Array:
        """How many different gradients the recorded neurons have, at each step (rows,)."""
        return np.array([len(np.unique(row, axis=0)) for row in self.bits])

    @property
    def identical(self) -> bool:
        """Whether all recorded neurons have one gradient at every step, to the last bit."""
        return bool((self.bits == self.bits[:, :1]).all())

    @property
    def zero(self) -> bool:
        return not self.values.any()

    @property
    def first_step(self) -> int | None:
        """The first step at which some gradient is not zero."""
        rows = self.values.any(axis=(1, 2))
        return int(self.step[rows.argmax()]) if rows.any() else None

    @cached_property
    def norms(self) -> Array:
        """(rows, neurons)"""
        norms: Array = np.sqrt(np.square(self.values, dtype=np.float64).sum(axis=2))
        return norms

    @property
    def apart(self) -> float:
        """How much the neurons differ at most, as a share of the largest gradient of the same step."""
        largest = np.abs(self.values).max(axis=(1, 2))
        gap = np.ptp(self.values, axis=1).max(axis=1)
        return float((gap[largest > 0] / largest[largest > 0]).max(initial=0))


@dataclass(frozen=True)
class Case:
    """The runs with one activation and one kind of initial weights."""

    activation: str
    init: str
    runs: Sequence[RunFiles]

    @property
    def name(self) -> str:
        return {"relu": "ReLU"}.get(self.activation, self.activation)

    @cached_property
    def recorded(self) -> list[Gradients]:
        return [gradients for run in self.runs if (gradients := Gradients.of(run))]

    @cached_property
    def score(self) -> MeanStd | None:
        """Test accuracy of the runs that reached their end."""
        scores = [float(run.summary["test_accuracy"]) for run in self.runs if "test_accuracy" in run.summary]
        return MeanStd(scores) if scores else None

    @cached_property
    def predictions(self) -> Mapping[str, Array] | None:
        """Of the first run that reached its end."""
        return next((run.predictions for run in self.runs if (run.directory / "predictions.npz").exists()), None)

    @property
    def called(self) -> list[str]:
        """The classes that the network ever predicts for the test set."""
        if self.predictions is None:
            return []
        return [str(self.predictions["class_names"][k]) for k in np.unique(self.predictions["y_pred"])]

    @property
    def distinct(self) -> int:
        """Different gradients in the whole layer, in the step in which there are most."""
        return max(int(g.distinct.max()) for g in self.recorded)

    @property
    def zero(self) -> bool:
        return all(g.zero for g in self.recorded)

    @property
    def identical(self) -> bool:
        return all(g.identical for g in self.recorded)

    @property
    def verdict(self) -> str:
        if not self.recorded:
            return "not recorded"
        if self.zero:
            return "all zero"
        if self.identical:
            return "identical"
        return "all different" if all((g.different == g.neurons).all() for g in self.recorded) else "not identical"


Cases = Mapping[tuple[str, str], Case]


class Symmetry(Study):
    name = "symmetry"
    title = "Initialisation and symmetry: zeros or Xavier"
    question = (
        "What happens to the gradients of five neurons of one hidden layer over the first 50 iterations, when all "
        "weights start at zero, and when they start with Xavier's random values?"
    )
    seconds = 12
    references = (
        "I. Goodfellow, Y. Bengio, A. Courville: Deep Learning, 2016, section 8.4",
        "X. Glorot, Y. Bengio: Understanding the difficulty of training deep feedforward neural networks, "
        "AISTATS 2010",
    )
    quick = ("training.epochs=1", "activation=sigmoid,relu")

    def analyse(self, found: StudyRuns) -> Analysis:
        groups = by(found.with_files(), "activation", "init")
        cases = {(str(a), str(i)): Case(str(a), str(i), runs) for (a, i), runs in groups.items()}
        seen = [case for case in cases.values() if case.recorded]
        layer = int(found.runs[0].value("training.callbacks.neuron_gradients.layer"))
        facts: dict[str, Any] = {}
        for case in cases.values():
            key = f"{case.activation}/{case.init}"
            if case.recorded:
                facts |= {f"identical/{key}": case.identical, f"zero/{key}": case.zero}
                facts |= {f"distinct/{key}": case.distinct, f"first_step/{key}": case.recorded[0].first_step}
            if case.score:
                facts[f"test_accuracy/{key}"] = case.score.mean
        figure = Picture("symmetry", lambda: _figure(seen), _caption(seen, layer)) if seen else None
        blocks = [
            *(_from_zeros(case) for case in cases.values() if case.init == "zeros"),
            _from_xavier([case for case in seen if case.init == "xavier"]),
            figure,
            _cost(cases),
            _table(cases, found.data.num_classes),
            _bits(cases),
            _why(cases, layer),
        ]
        return Analysis(
            blocks=[block for block in blocks if block],
            facts=facts,
            charts=[
                Lines(
                    f"neuron_gradients/{case.activation}/{case.init}",
                    case.recorded[0].step.tolist(),
                    {f"neuron {n}": norms.tolist() for n, norms in enumerate(case.recorded[0].norms.T, 1)},
                    "step",
                )
                for case in seen
            ],
        )


def _from_zeros(case: Case) -> str:
    """What the gradients of the runs from zeros are, as far as their bits say."""
    begin = f"From **zeros with {case.name}**"
    if not case.recorded:
        return f"{begin} no gradients were kept: the training failed within its first epoch."
    g = case.recorded[0]
    steps = f"all {len(g.step)} steps" if len(g.step) > 1 else "the only step"
    numbers = g.values.shape[2]
    neurons = f"the {g.neurons} neurons ({numbers} numbers each, {numbers - 1} weights and a bias)"
    rest = g.width - g.neurons if case.distinct == 1 else 0
    if case.zero:
        others = f", and so is that of the {rest} other neurons of the layer" if rest else ""
        return f"{begin} the gradient of {neurons} is exactly zero in {steps}{others}: they learn nothing there."
    if case.identical:
        others = f" The {rest} other neurons of the layer have the same gradient, bit by bit." if rest else ""
        if case.distinct > 1:
            others = (
                f" The {g.width} neurons of the whole layer have up to {case.distinct} different gradients: {BLOCKS}."
            )
        return (
            f"{begin} the gradients of {neurons} are identical to the last of their {8 * g.values.itemsize} bits in "
            f"{steps}; the first that is not zero comes in step {g.first_step}.{others}"
        )
    worst = max(case.recorded, key=lambda g: g.apart)
    start = int(worst.step[(worst.different > 1).argmax()])
    cause = (
        f"which is of the size of rounding errors: {BLOCKS}"
        if worst.apart < ROUNDING
        else "which is more than rounding: something else than the initial weights tells the neurons apart"
    )
    return (
        f"{begin} the gradients of {neurons} are **not identical**: from step {start} on they differ, by up to "
        f"{worst.apart:.1g} of the largest one, {cause}."
    )


def _from_xavier(cases: Sequence[Case]) -> str:
    """How different the neurons are from the start, with random weights."""
    parts = []
    for case in cases:
        g, counts = case.recorded[0], np.concatenate([g.different for g in case.recorded])
        low, high = counts.min(), counts.max()
        many = f"{low} different gradients" if low == high else f"{low} to {high} different gradients"
        parts.append(
            f"with {case.name} the {g.neurons} neurons have {many if high > 1 else 'one gradient'} at every step, "
            f"whose norms reach from {g.norms[0].min():.2g} to {g.norms[0].max():.2g} at the first"
        )
        if low < g.neurons and case.activation == "relu" and any((x.norms == 0).any() for x in case.recorded):
            parts[-1] += " (a neuron that no image of a batch switches on has the gradient zero)"
    return f"From **Xavier's** weights: {'; '.join(parts)}." if parts else ""


def _cost(cases: Cases) -> str:
    """What it costs in accuracy to start from zeros, and what such a network says."""
    lines, guess, epochs = [], "", 0
    for zeros in cases.values():
        xavier = cases.get((zeros.activation, "xavier"))
        if zeros.init != "zeros" or not (zeros.score and xavier and xavier.score):
            continue
        line = f"- {zeros.name}: {zeros.score.percent()} from zeros, {xavier.score.percent()} from Xavier's weights"
        epochs = max(epochs, len(zeros.runs[0].metrics["epoch"]))
        if zeros.predictions:
            true, classes = zeros.predictions["y_true"], len(zeros.predictions["class_names"])
            guess = f" (always naming its most frequent class: {100 * np.bincount(true).max() / len(true):.2f} %)"
            if len(zeros.called) == 1:
                line += f"; from zeros the network calls every image '{zeros.called[0]}'"
            elif len(zeros.called) < classes:
                line += f"; from zeros the network only ever names {len(zeros.called)} of {classes} classes"
        lines.append(f"{line}.")
    begin = (
        f"**What it costs.** Accuracy on the test set{guess} after {epochs} {'epoch' if epochs == 1 else 'epochs'}:"
    )
    return "\n".join([begin, "", *lines]) if lines else ""


def _table(cases: Cases, classes: int) -> Table:
    neurons = next((case.recorded[0].neurons for case in cases.values() if case.recorded), 5)
    header = ["activation", "initial weights", f"gradients of the {neurons} neurons", "different gradients in the "
              "layer", "first step with a gradient", "test accuracy", "classes ever predicted"]  # fmt: skip
    rows = [
        [
            case.name,
            INITS.get(case.init, case.init),
            case.verdict,
            f"{case.distinct} of {case.recorded[0].width}" if case.recorded else "",
            str(case.recorded[0].first_step or "none") if case.recorded else "",
            case.score.percent() if case.score else "diverged",
            f"{len(case.called)} of {classes}" if case.called else "",
        ]
        for case in cases.values()
    ]
    return Table(
        header,
        rows,
        "Different gradients in the layer: among all its neurons, compared bit by bit, at the step with the most.",
    )


def _bits(cases: Cases) -> Table | None:
    """One weight of each neuron at the last recorded step, and its bits."""
    moving = (c for c in cases.values() if c.init == "zeros" and c.recorded and not c.recorded[0].zero)
    case = next(moving, None)
    if case is None:
        return None
    other = cases.get((case.activation, "xavier"))
    g = case.recorded[0]
    shown = {"zeros": g} | ({"Xavier": other.recorded[0]} if other and other.recorded else {})
    weight = int(np.abs(g.values[-1, 0, :-1]).argmax())

    def cells(x: Gradients, neuron: int) -> list[str]:
        at = (-1, neuron, weight)
        return [f"{x.values[at]:.6g}", f"`{x.bits[at]:0{2 * x.values.itemsize}x}`"]

    return Table(
        ["neuron", *(head for name in shown for head in (f"gradient, {name}", f"bits, {name}"))],
        [[str(n + 1), *(cell for x in shown.values() for cell in cells(x, n))] for n in range(g.neurons)],
        f"With {case.name} at step {int(g.step[-1])}: the gradient of the weight from input {weight} to each neuron, "
        "and its bits in hexadecimal. The input is the one with the largest gradient from zeros.",
    )


def _why(cases: Cases, layer: int) -> str:
    """The theory; of this run it says only what was measured."""
    activations = list(dict.fromkeys(case.activation for case in cases.values()))
    names = {case.activation: case.name for case in cases.values()}
    text = (
        "**Why.** All neurons of a layer see the same inputs. Two of them with the same incoming and the same "
        "outgoing weights compute the same output, get the same error back and therefore the same gradient: a "
        "deterministic algorithm changes both in the same way, for ever, and the whole layer can do no more than one "
        "neuron (Goodfellow, Bengio & Courville 2016). Whether at least that one learns, f(0) decides. With all "
        "weights zero the last hidden layer sends h = f(0) to the output. The weights W of the output get the "
        "gradient hᵀ(p − y), and the layer below gets the error (p − y)Wᵀ, which is zero as long as W is."
    )
    if silent := [names[a] for a in activations if a in FIXED_AT_ZERO]:
        text += (
            f" For {listed(silent)} f(0) = 0: both are zero, and stay so. Only the biases of the output have a "
            "gradient, the mean of p − y, which teaches them how frequent the classes are and nothing about images."
        )
    if "sigmoid" in activations:
        text += (
            " For the sigmoid f(0) = ½: the weights of the output move at step 1, equally for all neurons, those of "
            "the last hidden layer at step 2, those of the layer before it at step 3"
        )
        case = cases.get(("sigmoid", "zeros"))
        depth = _depth(next(iter(cases.values())).runs[0])
        if depth > layer + 1 and case and case.recorded and case.recorded[0].first_step == depth - layer + 2:
            text += f", and so on: hidden layer {layer} of {depth} at step {depth - layer + 2}, as measured"
        text += (
            ". Such a network can learn, but only as a chain of single neurons: every logit is a straight line in "
            "one number, the output that all neurons of the last hidden layer share, and a class is named only where "
            "its line is the highest."
        )
    return text + (
        " Random weights break the symmetry. Xavier's have the variance 2 / (fan_in + fan_out), a compromise between "
        "keeping the variance of the signals on their way forward and that of the gradients on their way back "
        "(Glorot & Bengio 2010)."
    )


def _depth(run: RunFiles) -> int:
    """How many hidden layers the network of a run has."""
    sizes, layers = run.value("model.hidden_sizes"), run.value("model.num_layers")
    return int(layers) if layers is not None else len(sizes) if isinstance(sizes, list) else 3


def _caption(seen: Sequence[Case], layer: int) -> str:
    g = seen[0].recorded[0]
    return (
        f"Length (L2 norm) of the gradient of each of {g.neurons} neurons of hidden layer {layer}, over the first "
        f"{len(g.step)} steps. Where all neurons have one gradient, their lines lie on each other: they are drawn "
        "from wide to narrow, and their marks take turns. The scales of the panels differ; a panel in which all is "
        "zero has the scale of the panel beside it."
    )


def _figure(seen: Sequence[Case]) -> Figure:
    """A row per activation: from zeros on the left, from Xavier's weights on the right."""
    cases = {(case.activation, case.init): case for case in seen}
    activations = list(dict.fromkeys(case.activation for case in seen))
    high = 0.5 + 2.5 * len(activations)
    figure = style.new_figure(11, high)
    grid = {"left": 0.085, "right": 0.885, "bottom": 0.55 / high, "top": 1 - 0.35 / high, "hspace": 0.48,
            "wspace": 0.24}  # fmt: skip
    panels = figure.subplots(len(activations), len(INITS), squeeze=False, gridspec_kw=grid)
    for line, activation in zip(panels, activations, strict=True):
        row = {init: cases.get((activation, init)) for init in INITS}
        tops = {init: _highest(case.recorded[0].norms) if case else 0.0 for init, case in row.items()}
        for ax, (init, case) in zip(line, row.items(), strict=True):
            name = next(case.name for case in row.values() if case)
            style.tidy(ax, f"{name}, {INITS[init]}: {case.verdict if case else 'not recorded'}", "step",
                       "norm of the gradient")  # fmt: skip
            ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))  # no common factor above the title
            if case:
                _lines(ax, case.recorded[0])
                top = tops[init] or max(tops.values()) or 1.0
                ax.set_ylim(-0.07 * top, 1.08 * top)
    neurons = max(case.recorded[0].neurons for case in seen)
    marks = [Line2D([], [], color=color, marker=marker, markersize=5) for color, marker in map(_look, range(neurons))]
    names = [f"neuron {n + 1}" for n in range(neurons)]
    place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (0.895, 0.5), "frameon": False}
    figure.legend(marks, names, fontsize=style.SMALL, **place)
    return figure


def _lines(ax: Any, g: Gradients) -> None:
    """A line per neuron; one inside the other where they coincide."""
    for neuron, norms in enumerate(g.norms.T):
        color, marker = _look(neuron)
        width = max(1.2, 8.4 - 1.8 * neuron) if g.identical else 1.4
        ax.plot(g.step, norms, color=color, linewidth=width, zorder=2 + neuron)
        turns = slice(2 * neuron, None, 2 * g.neurons)
        ax.plot(
            g.step[turns], norms[turns], color=color, linestyle="", marker=marker, markersize=5.5, zorder=20,
            markeredgecolor="white", markeredgewidth=0.6,
        )  # fmt: skip


def _look(neuron: int) -> tuple[str, str]:
    return LOOKS[neuron % len(LOOKS)]


def _highest(values: Array) -> float:
    """The largest finite value, or 0."""
    return float(values[np.isfinite(values)].max(initial=0))
