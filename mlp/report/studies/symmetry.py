"""Initial weights of zero against random ones, seen at the gradients of single neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from mlp.base.text import option_name
from mlp.report import style
from mlp.report.blocks import Analysis, Lines
from mlp.report.figures.panels import grid, integer_axis, shared_legend
from mlp.report.read import Array, RunFiles, by, over_seeds, stacked
from mlp.report.studies.study import Study, StudyRuns

FILE = "neuron_gradients.npz"
INITS = {"zeros": "zeros", "xavier": "Xavier"}
NEURONS = style.looks(map(str, range(7)))
ROUNDING = 1e-4  # of the largest gradient: smaller differences may be rounding errors that have grown


@dataclass
class Gradients:
    """What one run has recorded: the gradient of every recorded neuron at every step."""

    run: RunFiles

    def __post_init__(self) -> None:
        table = self.run.arrays(FILE)
        values = np.concatenate([table["grad_W"], table["grad_b"][:, None, :]], axis=1).transpose(0, 2, 1)
        self.step: Array = table["step"]  # (rows,)
        self.values: Array = np.ascontiguousarray(values)  # (rows, neurons, d_in + 1), the bias last
        self.neurons = self.values.shape[1]
        self.width = int(table["width"][0])  # neurons of the layer
        self.distinct: Array = table["distinct"]  # (rows,) different gradients among all neurons of the layer
        # The values as integers: equal only where every bit is.
        self.bits: Array = self.values.view(f"u{self.values.itemsize}")
        # How many different gradients the recorded neurons have, at each step.
        self.different: Array = np.array([len(np.unique(row, axis=0)) for row in self.bits])
        self.loss: Array = table.get("loss", np.full(len(self.step), np.nan))  # (rows,) of the batch
        self.norms: Array = np.linalg.norm(self.values.astype(np.float64), axis=2)  # (rows, neurons)

    @property
    def largest_difference(self) -> float:
        """Between the neurons, as a share of the largest gradient of the same step."""
        largest = np.abs(self.values).max(axis=(1, 2))
        gap = np.ptp(self.values, axis=1).max(axis=1)
        return float((gap[largest > 0] / largest[largest > 0]).max(initial=0))


class Symmetry(Study):
    name = "symmetry"
    seconds = 40
    quick = ("training.epochs=1", "activation=sigmoid,relu", "seed=0")

    def analyse(self, found: StudyRuns) -> Analysis:
        runs = found.with_files()
        cases = {f"{a}/{init}": members for (a, init), members in by(runs, "activation", "init").items()}
        recorded = {
            case: [Gradients(run) for run in members if (run.directory / FILE).exists()]  # one epoch at least
            for case, members in cases.items()
        }
        first = {case: gradients[0] for case, gradients in recorded.items() if gradients}
        facts = {
            case: {**_of_runs(case, members), "recorded": len(recorded[case]), "verdict": "not recorded"}
            for case, members in cases.items()
        }
        for case in first:
            facts[case] |= _of_gradients(recorded[case])
        return self.answer(
            {
                "cases": facts,
                "layer": int(runs[0].value("training.callbacks.neuron_gradients.layer")),
                "depth": len(runs[0].layer_sizes),
                "classes": found.data.num_classes,
                "bits": _bits(facts, first),
            },
            {"symmetry": lambda: _gradients(facts, first), "symmetry_loss": lambda: _losses(facts, first)},
            [_neuron_gradients(case, gradients) for case, gradients in first.items()],
        )


def _of_runs(case: str, runs: Sequence[RunFiles]) -> dict[str, Any]:
    """What the runs with one activation and one kind of initial weights have reached."""
    activation, init = case.split("/")
    ended, losses = [run for run in runs if "test_accuracy" in run.summary], stacked(runs, "train_loss")
    facts: dict[str, Any] = {
        "activation": activation, "init": init, "name": option_name(activation),
        "init_name": INITS.get(init, init), "called": [],
        "loss": [over_seeds(runs, losses[:, row]) for row in (0, -1)],
        "test_accuracy": over_seeds(ended, "test_accuracy") if ended else None,
    }  # fmt: skip
    predicted = [run.predictions for run in runs if (run.directory / "predictions.npz").exists()]
    if predicted:
        names, true = predicted[0]["class_names"], predicted[0]["y_true"]
        facts["called"] = [str(names[k]) for k in np.unique(predicted[0]["y_pred"])]  # all that is ever named
        facts |= {"classes": len(names), "most_frequent_class": float(np.bincount(true).max() / len(true))}
    return facts


def _of_gradients(recorded: Sequence[Gradients]) -> dict[str, Any]:
    """What the gradients of runs that differ in their seed are like."""
    first, different = recorded[0], np.concatenate([g.different for g in recorded])
    worst = max(recorded, key=lambda gradients: gradients.largest_difference)
    moved = first.values.any(axis=(1, 2))
    zero, identical = not any(g.values.any() for g in recorded), bool((different == 1).all())
    all_different = bool((different == first.neurons).all())
    return {
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
        # Mean of the first and of the last ten steps.
        "batch_loss": [float(np.mean([g.loss[part].mean() for g in recorded]))
                       for part in (slice(10), slice(-10, None))],
        "some_without_gradient": any(bool((g.norms == 0).any()) for g in recorded),
    }  # fmt: skip


def _bits(facts: Mapping[str, Mapping[str, Any]], first: Mapping[str, Gradients]) -> Mapping[str, Any]:
    """Of a case from zeros that learns, and of the same from Xavier's weights: the gradient of one weight of each
    neuron at the last recorded step, and its bits."""
    moving = next((key for key in first if facts[key]["init"] == "zeros" and not facts[key]["zero"]), None)
    if moving is None:
        return {}
    zeros = first[moving]
    weight = int(np.abs(zeros.values[-1, 0, :-1]).argmax())
    columns = {}
    for name, gradients in (("zeros", zeros), ("Xavier", first.get(f"{facts[moving]['activation']}/xavier"))):
        if gradients is not None:
            pairs = zip(gradients.values[-1, :, weight], gradients.bits[-1, :, weight], strict=True)
            columns[name] = [[float(value), f"{word:0{2 * gradients.values.itemsize}x}"] for value, word in pairs]
    return {"name": facts[moving]["name"], "step": int(zeros.step[-1]), "input": weight, "columns": columns}


def _neuron_gradients(case: str, gradients: Gradients) -> Lines:
    lines = {f"neuron {n}": norms.tolist() for n, norms in enumerate(gradients.norms.T, 1)}
    return Lines(f"neuron_gradients/{case}", gradients.step.tolist(), lines, "step")


# Figure


def _gradients(facts: Mapping[str, Mapping[str, Any]], first: Mapping[str, Gradients]) -> Figure:
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
                _draw_neurons(ax, gradients)
                top = top or max(tops) or 1.0
                ax.set_ylim(-0.07 * top, 1.08 * top)
    shared_legend(figure, axes.flat, "outside right center")
    return figure


def _losses(facts: Mapping[str, Mapping[str, Any]], first: Mapping[str, Gradients]) -> Figure:
    """The loss of each batch: a panel per activation, a line per kind of initial weights."""
    rows = {facts[case]["activation"]: facts[case]["name"] for case in first}
    figure, axes = grid([[*rows.values()]], "step", ["loss of the batch"])
    for ax, activation in zip(axes[0], rows, strict=True):
        for init, (color, line) in {"zeros": (style.VERMILION, "--"), "xavier": (style.BLUE, "-")}.items():
            if gradients := first.get(f"{activation}/{init}"):
                ax.plot(gradients.step, gradients.loss, color=color, linestyle=line, label=INITS[init])
        integer_axis(ax)
    axes[0, 0].legend(fontsize=style.SMALL)
    return figure


def _draw_neurons(ax: Axes, gradients: Gradients) -> None:
    """A line per neuron; one inside the other where they coincide."""
    identical = (gradients.different == 1).all()
    for n, norms in enumerate(gradients.norms.T):
        (color, _, marker), turns = NEURONS[str(n % 7)], (2 * n, 2 * gradients.neurons)
        width = max(1.2, 8.4 - 1.8 * n) if identical else 1.4
        ax.plot(gradients.step, norms, color=color, linewidth=width, zorder=2 + n)
        ax.plot(gradients.step, norms, color=color, linestyle="", marker=marker, markevery=turns, markersize=5.5,
                markeredgecolor="white", markeredgewidth=0.6, zorder=20, label=f"neuron {n + 1}")  # fmt: skip
