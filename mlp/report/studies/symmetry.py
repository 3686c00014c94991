"""Initial weights of zero against random ones, seen at the gradients of single neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import StrMethodFormatter

from mlp.report import style
from mlp.report.blocks import Analysis, Lines
from mlp.report.figures.panels import grid, integer_axis
from mlp.report.read import Array, RunFiles, by, over_seeds
from mlp.report.studies.study import Study, StudyRuns

FILE = "neuron_gradients.npz"
INITS = {"zeros": "zeros", "xavier": "Xavier"}
COLORS = (style.SKY, style.VERMILION, style.BLACK, style.ORANGE, style.PURPLE, style.GREEN, style.BLUE)
MARKS = "os^DvPX"
ROUNDING = 1e-4  # of the largest gradient: smaller differences may be rounding errors that have grown


@dataclass(frozen=True)
class Gradients:
    """What one run has recorded: the gradient of every recorded neuron at every step."""

    step: Array  # (rows,)
    values: Array  # (rows, neurons, d_in + 1), the bias last
    distinct: Array  # (rows,) different gradients among all neurons of the layer
    width: int  # neurons of the layer

    @classmethod
    def of(cls, run: RunFiles) -> Gradients:
        table = run.arrays(FILE)
        values = np.concatenate([table["grad_W"], table["grad_b"][:, None, :]], axis=1).transpose(0, 2, 1)
        return cls(table["step"], np.ascontiguousarray(values), table["distinct"], int(table["width"][0]))

    @property
    def neurons(self) -> int:
        return int(self.values.shape[1])

    @property
    def bits(self) -> Array:
        """The values as integers: equal only where every bit is."""
        return self.values.view(f"u{self.values.itemsize}")

    @cached_property
    def different(self) -> Array:
        """How many different gradients the recorded neurons have, at each step (rows,)."""
        return np.array([len(np.unique(row, axis=0)) for row in self.bits])

    @cached_property
    def norms(self) -> Array:
        """(rows, neurons)"""
        return np.asarray(np.sqrt(np.square(self.values, dtype=np.float64).sum(axis=2)))

    @property
    def largest_difference(self) -> float:
        """Between the neurons, as a share of the largest gradient of the same step."""
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
        """Of the runs that have ended their first epoch."""
        return [Gradients.of(run) for run in self.runs if (run.directory / FILE).exists()]

    @property
    def zero(self) -> bool:
        return not any(gradients.values.any() for gradients in self.recorded)

    @property
    def identical(self) -> bool:
        """Whether all recorded neurons have one gradient at every step, to the last bit."""
        return all((gradients.different == 1).all() for gradients in self.recorded)

    @property
    def verdict(self) -> str:
        if not self.recorded:
            return "not recorded"
        if self.zero:
            return "all zero"
        if self.identical:
            return "identical"
        return "all different" if all((g.different == g.neurons).all() for g in self.recorded) else "not identical"

    def facts(self) -> dict[str, Any]:
        ended = [run for run in self.runs if "test_accuracy" in run.summary]
        facts: dict[str, Any] = {
            "activation": self.activation, "init": self.init, "name": self.name, "verdict": self.verdict,
            "init_name": INITS.get(self.init, self.init), "recorded": len(self.recorded),
            "test_accuracy": over_seeds(ended, lambda run: run.summary["test_accuracy"]) if ended else None,
            "epochs": len(self.runs[0].metrics["epoch"]), "called": [],
        }  # fmt: skip
        predicted = [run.predictions for run in self.runs if (run.directory / "predictions.npz").exists()]
        if predicted:
            names, true = predicted[0]["class_names"], predicted[0]["y_true"]
            facts["called"] = [str(names[k]) for k in np.unique(predicted[0]["y_pred"])]  # all that is ever named
            facts |= {"classes": len(names), "most_frequent_class": float(np.bincount(true).max() / len(true))}
        if self.recorded:
            first, counts = self.recorded[0], np.concatenate([g.different for g in self.recorded])
            worst = max(self.recorded, key=lambda gradients: gradients.largest_difference)
            moved = first.values.any(axis=(1, 2))
            facts |= {
                "zero": self.zero, "identical": self.identical,
                "neurons": first.neurons, "width": first.width, "steps": len(first.step),
                "numbers": first.values.shape[2], "bits": 8 * first.values.itemsize,
                "first_step": int(first.step[moved.argmax()]) if moved.any() else None,
                "distinct": max(int(g.distinct.max()) for g in self.recorded),  # in the whole layer
                "least_different": int(counts.min()), "most_different": int(counts.max()),
                "differ_from_step": int(worst.step[(worst.different > 1).argmax()]),
                "largest_difference": worst.largest_difference,
                "is_rounding": worst.largest_difference < ROUNDING,
                "first_norms": [float(first.norms[0].min()), float(first.norms[0].max())],
                "some_without_gradient": any(bool((g.norms == 0).any()) for g in self.recorded),
            }  # fmt: skip
        return facts


class Symmetry(Study):
    name = "symmetry"
    title = "Initialisation and symmetry: zeros or Xavier"
    question = (
        "What happens to the gradients of five neurons of one hidden layer over the first 50 iterations, when all "
        "weights start at zero, and when they start with Xavier's random values?"
    )
    seconds = 12
    quick = ("training.epochs=1", "activation=sigmoid,relu")

    def analyse(self, found: StudyRuns) -> Analysis:
        runs = found.with_files()
        cases = [Case(str(a), str(init), members) for (a, init), members in by(runs, "activation", "init").items()]
        recorded = [case for case in cases if case.recorded]
        return self.answer(
            {
                "cases": {f"{case.activation}/{case.init}": case.facts() for case in cases},
                "layer": int(runs[0].value("training.callbacks.neuron_gradients.layer")),
                "depth": _depth(runs[0]),
                "classes": found.data.num_classes,
                "bits": _bits(recorded),
            },
            {"symmetry": lambda: _figure(recorded)},
            [_neuron_gradients(case) for case in recorded],
        )


def _depth(run: RunFiles) -> int:
    """How many hidden layers the network of a run has."""
    sizes, layers = run.value("model.hidden_sizes"), run.value("model.num_layers")
    return int(layers) if layers is not None else len(sizes) if isinstance(sizes, list) else 3


def _bits(cases: Sequence[Case]) -> Mapping[str, Any]:
    """Of a case from zeros that learns, and of the same from Xavier's weights: the gradient of one weight of each
    neuron at the last recorded step, and its bits."""
    moving = next((case for case in cases if case.init == "zeros" and not case.zero), None)
    if moving is None:
        return {}
    zeros = moving.recorded[0]
    shown = {"zeros": zeros}
    for case in cases:
        if (case.activation, case.init) == (moving.activation, "xavier"):
            shown["Xavier"] = case.recorded[0]
    weight = int(np.abs(zeros.values[-1, 0, :-1]).argmax())
    digits = 2 * zeros.values.itemsize
    return {
        "name": moving.name, "step": int(zeros.step[-1]), "input": weight,
        "columns": {
            name: [[float(value), f"{bits:0{digits}x}"]
                   for value, bits in zip(g.values[-1, :, weight], g.bits[-1, :, weight], strict=True)]
            for name, g in shown.items()
        },
    }  # fmt: skip


def _neuron_gradients(case: Case) -> Lines:
    first = case.recorded[0]
    lines = {f"neuron {n}": norms.tolist() for n, norms in enumerate(first.norms.T, 1)}
    return Lines(f"neuron_gradients/{case.activation}/{case.init}", first.step.tolist(), lines, "step")


# Figure


def _figure(recorded: Sequence[Case]) -> Figure:
    """A row per activation: from zeros on the left, from Xavier's weights on the right."""
    cases = {(case.activation, case.init): case for case in recorded}
    rows = {case.activation: case.name for case in recorded}
    titles = [
        [
            f"{name}, {INITS[init]}: {cases[a, init].verdict if (a, init) in cases else 'not recorded'}"
            for init in INITS
        ]
        for a, name in rows.items()
    ]
    ylabels = ["norm of the gradient"] * len(INITS)
    figure, axes = grid(titles, "step", ylabels, panel=(4.4, 2.5), share=False, right=1.25)
    for line, activation in zip(axes, rows, strict=True):
        norms = {init: cases[activation, init].recorded[0].norms for init in INITS if (activation, init) in cases}
        tops = {init: float(values[np.isfinite(values)].max(initial=0)) for init, values in norms.items()}
        for ax, init in zip(line, INITS, strict=True):
            integer_axis(ax)
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))  # no common factor above the title
            if init in tops:
                _lines(ax, cases[activation, init])
                top = tops[init] or max(tops.values()) or 1.0
                ax.set_ylim(-0.07 * top, 1.08 * top)
    neurons = max(case.recorded[0].neurons for case in recorded)
    marks = [Line2D([], [], color=COLORS[n % 7], marker=MARKS[n % 7], markersize=5) for n in range(neurons)]
    figure.legend(marks, [f"neuron {n + 1}" for n in range(neurons)], fontsize=style.SMALL, loc="center right",
                  frameon=False)  # fmt: skip
    return figure


def _lines(ax: Axes, case: Case) -> None:
    """A line per neuron; one inside the other where they coincide."""
    first = case.recorded[0]
    for n, norms in enumerate(first.norms.T):
        color, mark = COLORS[n % 7], MARKS[n % 7]
        width = max(1.2, 8.4 - 1.8 * n) if (first.different == 1).all() else 1.4
        ax.plot(first.step, norms, color=color, linewidth=width, zorder=2 + n)
        turns = slice(2 * n, None, 2 * first.neurons)
        ax.plot(first.step[turns], norms[turns], color=color, linestyle="", marker=mark, markersize=5.5, zorder=20,
                markeredgecolor="white", markeredgewidth=0.6)  # fmt: skip
