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
from mlp.report.configurations import layer_sizes
from mlp.report.figures.panels import grid, integer_axis
from mlp.report.read import Array, RunFiles, by, over_seeds
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.text import activation_name

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
        cases = {f"{a}/{init}": members for (a, init), members in by(runs, "activation", "init").items()}
        recorded = {
            case: [Gradients.of(run) for run in members if (run.directory / FILE).exists()]  # one epoch at least
            for case, members in cases.items()
        }
        facts = {case: _facts(case, members, recorded[case]) for case, members in cases.items()}
        first = {case: gradients[0] for case, gradients in recorded.items() if gradients}
        return self.answer(
            {
                "cases": facts,
                "layer": int(runs[0].value("training.callbacks.neuron_gradients.layer")),
                "depth": len(layer_sizes(runs[0])),
                "classes": found.data.num_classes,
                "bits": _bits(facts, first),
            },
            {"symmetry": lambda: _figure(facts, first)},
            [_neuron_gradients(case, gradients) for case, gradients in first.items()],
        )


def _facts(case: str, runs: Sequence[RunFiles], recorded: Sequence[Gradients]) -> dict[str, Any]:
    """Of the runs with one activation and one kind of initial weights."""
    activation, init = case.split("/")
    ended = [run for run in runs if "test_accuracy" in run.summary]
    facts: dict[str, Any] = {
        "activation": activation,
        "init": init,
        "name": activation_name(activation),
        "init_name": INITS.get(init, init),
        "recorded": len(recorded),
        "verdict": "not recorded",
        "test_accuracy": over_seeds(ended, lambda run: run.summary["test_accuracy"]) if ended else None,
        "epochs": len(runs[0].metrics["epoch"]),
        "called": [],
    }
    predicted = [run.predictions for run in runs if (run.directory / "predictions.npz").exists()]
    if predicted:
        names, true = predicted[0]["class_names"], predicted[0]["y_true"]
        facts["called"] = [str(names[k]) for k in np.unique(predicted[0]["y_pred"])]  # all that is ever named
        facts |= {"classes": len(names), "most_frequent_class": float(np.bincount(true).max() / len(true))}
    if recorded:
        first, different = recorded[0], np.concatenate([g.different for g in recorded])
        worst = max(recorded, key=lambda gradients: gradients.largest_difference)
        moved = first.values.any(axis=(1, 2))
        zero, identical = not any(g.values.any() for g in recorded), bool((different == 1).all())
        all_different = bool((different == first.neurons).all())
        facts |= {
            "zero": zero,
            "identical": identical,
            "verdict": "all zero" if zero else "identical" if identical
                       else "all different" if all_different else "not identical",
            "neurons": first.neurons, "width": first.width, "steps": len(first.step),
            "numbers": first.values.shape[2], "bits": 8 * first.values.itemsize,
            "first_step": int(first.step[moved.argmax()]) if moved.any() else None,
            "distinct": max(int(g.distinct.max()) for g in recorded),  # in the whole layer
            "least_different": int(different.min()), "most_different": int(different.max()),
            "differ_from_step": int(worst.step[(worst.different > 1).argmax()]),
            "largest_difference": worst.largest_difference,
            "is_rounding": worst.largest_difference < ROUNDING,
            "first_norms": [float(first.norms[0].min()), float(first.norms[0].max())],
            "some_without_gradient": any(bool((g.norms == 0).any()) for g in recorded),
        }  # fmt: skip
    return facts


def _bits(facts: Mapping[str, Mapping[str, Any]], first: Mapping[str, Gradients]) -> Mapping[str, Any]:
    """Of a case from zeros that learns, and of the same from Xavier's weights: the gradient of one weight of each
    neuron at the last recorded step, and its bits."""
    moving = next((key for key in first if facts[key]["init"] == "zeros" and not facts[key]["zero"]), None)
    if moving is None:
        return {}
    zeros, xavier = first[moving], first.get(f"{facts[moving]['activation']}/xavier")
    weight = int(np.abs(zeros.values[-1, 0, :-1]).argmax())
    columns = {}
    for name, gradients in (("zeros", zeros), ("Xavier", xavier)):
        if gradients is not None:
            digits = 2 * gradients.values.itemsize
            values, bits = gradients.values[-1, :, weight], gradients.bits[-1, :, weight]
            columns[name] = [[float(value), f"{word:0{digits}x}"] for value, word in zip(values, bits, strict=True)]
    return {"name": facts[moving]["name"], "step": int(zeros.step[-1]), "input": weight, "columns": columns}


def _neuron_gradients(case: str, gradients: Gradients) -> Lines:
    lines = {f"neuron {n}": norms.tolist() for n, norms in enumerate(gradients.norms.T, 1)}
    return Lines(f"neuron_gradients/{case}", gradients.step.tolist(), lines, "step")


# Figure


def _figure(facts: Mapping[str, Mapping[str, Any]], first: Mapping[str, Gradients]) -> Figure:
    """A row per activation: from zeros on the left, from Xavier's weights on the right."""
    rows = {facts[case]["activation"]: facts[case]["name"] for case in first}
    verdicts = {case: facts[case]["verdict"] for case in first}
    titles = [
        [f"{name}, {INITS[init]}: {verdicts.get(f'{activation}/{init}', 'not recorded')}" for init in INITS]
        for activation, name in rows.items()
    ]
    ylabels = ["norm of the gradient"] * len(INITS)
    figure, axes = grid(titles, "step", ylabels, panel=(4.8, 2.8), share=False)
    for line, activation in zip(axes, rows, strict=True):
        shown = [first.get(f"{activation}/{init}") for init in INITS]
        tops = [float(g.norms[np.isfinite(g.norms)].max(initial=0)) if g else 0.0 for g in shown]
        for ax, gradients, top in zip(line, shown, tops, strict=True):
            integer_axis(ax)
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))  # no common factor above the title
            if gradients:
                _lines(ax, gradients)
                top = top or max(tops) or 1.0
                ax.set_ylim(-0.07 * top, 1.08 * top)
    neurons = max(gradients.neurons for gradients in first.values())
    marks = [Line2D([], [], color=COLORS[n % 7], marker=MARKS[n % 7], markersize=5) for n in range(neurons)]
    names = [f"neuron {n + 1}" for n in range(neurons)]
    figure.legend(marks, names, fontsize=style.SMALL, loc="outside right center", frameon=False)
    return figure


def _lines(ax: Axes, gradients: Gradients) -> None:
    """A line per neuron; one inside the other where they coincide."""
    identical = (gradients.different == 1).all()
    for n, norms in enumerate(gradients.norms.T):
        look: dict[str, Any] = {"color": COLORS[n % 7], "linewidth": max(1.2, 8.4 - 1.8 * n) if identical else 1.4}
        ax.plot(gradients.step, norms, zorder=2 + n, **look)
        turns = slice(2 * n, None, 2 * gradients.neurons)
        mark: dict[str, Any] = {
            "marker": MARKS[n % 7],
            "markersize": 5.5,
            "markeredgecolor": "white",
            "markeredgewidth": 0.6,
        }
        ax.plot(gradients.step[turns], norms[turns], color=COLORS[n % 7], linestyle="", zorder=20, **mark)
