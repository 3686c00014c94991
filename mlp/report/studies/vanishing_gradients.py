"""Sigmoid against ReLU: what is left of the gradient at the first hidden layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlp.errors import UserError
from mlp.report import style
from mlp.report.blocks import Analysis, Lines, Picture, Table
from mlp.report.figures.panels import binned, percent_axis
from mlp.report.read import Array, RunFiles, by
from mlp.report.statistics import MeanStd
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.text import left_out, listed, rounded

FILE = "gradient_trace.npz"
NAMES = {"sigmoid": "sigmoid", "relu": "ReLU"}
LOOK = {"sigmoid": (style.BLUE, "-", "o"), "relu": (style.VERMILION, "--", "s")}
LATE = 0.8  # the last fifth of the steps
CLEAR = 10.0  # how many times shorter a gradient must become before the text says that it vanishes


@dataclass
class Group:
    """The runs of one activation and depth, one per seed; layers run from the first hidden one to the output."""

    activation: str
    depth: int  # hidden layers
    runs: Sequence[RunFiles]

    def __post_init__(self) -> None:
        traces = [run.arrays(FILE) for run in self.runs]
        rows = min(len(trace["step"]) for trace in traces)
        self.step: Array = traces[0]["step"][:rows]  # (rows,)
        self.norms: Array = np.stack([trace["norms"][:rows] for trace in traces])  # (runs, rows, layers)
        late = self.norms[:, self.step > LATE * self.step[-1]]
        self.start: Array = self.norms[:, 0]  # (runs, layers)
        self.end: Array = np.median(late, axis=1)
        self.ratio_at_start, self.ratio_at_end = _ratio(self.start), _ratio(self.end)
        self.first_at_start = MeanStd(list(self.start[:, 0]))
        self.test = MeanStd([float(run.summary["test_accuracy"]) for run in self.runs])
        self.first_epoch = MeanStd([float(run.metrics["val_accuracy"][0]) for run in self.runs])
        self.epochs = len(self.runs[0].metrics["epoch"])

    @property
    def recovery(self) -> int | None:
        """The first recorded step, in the mean over the runs, at which the ratio is a tenth or more."""
        means = self.norms.mean(axis=0)
        reached = np.flatnonzero((means[:, 0] * CLEAR >= means[:, -1]) & (means[:, -1] > 0))
        return int(self.step[reached[0]]) if len(reached) else None


def _ratio(norms: Array) -> MeanStd:
    """First hidden layer over output layer, for each run (runs, layers); NaN where the latter is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return MeanStd(list(np.where(norms[:, -1] > 0, norms[:, 0] / norms[:, -1], np.nan)))


class VanishingGradients(Study):
    name = "vanishing_gradients"
    title = "Vanishing gradients: sigmoid or ReLU"
    question = (
        "With Adam fixed, how long is the gradient of the first hidden layer over time, for sigmoid and for ReLU and "
        "networks of several depths?"
    )
    seconds = 45
    references = (
        "S. Hochreiter: Untersuchungen zu dynamischen neuronalen Netzen, diploma thesis, TU München, 1991",
        "Y. Bengio, P. Simard, P. Frasconi: Learning Long-Term Dependencies with Gradient Descent Is Difficult, "
        "IEEE Transactions on Neural Networks 5(2), 1994",
        "X. Glorot, Y. Bengio: Understanding the Difficulty of Training Deep Feedforward Neural Networks, "
        "AISTATS 2010",
        "D. P. Kingma, J. Ba: Adam: A Method for Stochastic Optimization, ICLR 2015",
    )
    quick = ("training.epochs=1", "model.num_layers=1,6", "seed=0")

    def analyse(self, found: StudyRuns) -> Analysis:
        runs = found.with_files()
        whole = [run for run in runs if "test_accuracy" in run.summary and (run.directory / FILE).exists()]
        if not whole:
            raise UserError(f"no finished runs in {found.directory}")
        groups = {
            (str(activation), depth): Group(str(activation), depth, members)
            for (activation, depth), members in by_depth(whole).items()
        }
        ladders = {
            name: {depth: group for (activation, depth), group in sorted(groups.items()) if activation == name}
            for name in dict.fromkeys(activation for activation, _ in groups)
        }
        facts: dict[str, float] = {}
        for (activation, depth), group in groups.items():
            place = f"{activation}/{depth}"
            facts[f"ratio_at_start/{place}"] = group.ratio_at_start.mean
            facts[f"ratio_at_end/{place}"] = group.ratio_at_end.mean
            facts[f"first_layer_at_start/{place}"] = group.first_at_start.mean
            facts[f"first_epoch_accuracy/{place}"] = group.first_epoch.mean
            facts[f"test_accuracy/{place}"] = group.test.mean
        for activation, ladder in ladders.items():
            if factor := per_layer(ladder):
                facts[f"factor_per_layer/{activation}"] = factor
        lost = len(runs) - len(whole)
        return Analysis(
            blocks=[
                "**At the first step**, before any weight has changed. "
                + " ".join(self._at_start(name, ladder) for name, ladder in ladders.items())
                + self._side_by_side(ladders),
                "**Over the last fifth of the steps.** " + " ".join(map(self._at_end, ladders.values())),
                *(self._compensation(ladder, found) for ladder in ladders.values()),
                *([left_out(lost, len(runs))] if lost else []),
                Picture(
                    "vanishing_gradients_over_time",
                    lambda: _over_time(groups),
                    "L2 norm of the gradient of the first hidden layer's weights at single steps (both axes are "
                    "logarithmic), a panel for each depth. Lines are medians over neighbouring steps and the seeds, "
                    "bands reach from the lowest to the highest.",
                ),
                Picture(
                    "vanishing_gradients_per_layer",
                    lambda: _per_layer(groups),
                    "The same norm for every layer, from the first hidden to the output layer: at the first step "
                    "(filled marks, thick) and as the median over the last fifth of the steps (open marks, thin), "
                    "means over the seeds. The first and the output layer have other numbers of weights than those "
                    "between. Right: test accuracy of the same runs; bars reach from the lowest to the highest seed.",
                ),
                self._table(groups),
                self._why(ladders),
            ],
            facts=facts,
            charts=[
                Lines(
                    f"first_layer_gradient/{depth}_layers",
                    list(map(float, next(iter(members)).step)),
                    {group.activation: list(group.norms[..., 0].mean(axis=0)) for group in members},
                    "step",
                )
                for depth in dict.fromkeys(depth for _, depth in groups)
                if (members := _same_steps([group for (_, d), group in groups.items() if d == depth]))
            ],
        )

    def _at_start(self, activation: str, ladder: Mapping[int, Group]) -> str:
        low, high = min(ladder), max(ladder)
        name, few, many = NAMES.get(activation, activation), ladder[low].ratio_at_start, ladder[high].ratio_at_start
        if not (math.isfinite(few.mean) and math.isfinite(many.mean)):
            return (
                f"With {name} the gradient of the output layer is exactly zero in some run, so that no ratio exists."
            )
        text = (
            f"With {name} and {hidden_layers(low)} the gradient of the first one is {few.rounded()} times as long as "
            "that of the output layer"
        )
        factor = per_layer(ladder)
        if factor is None:
            return f"{text}."
        change = few.mean / many.mean
        verdict = "vanishes" if change >= CLEAR else "grows" if change <= 1 / CLEAR else "does not vanish"
        return (
            f"{text}, with {high} layers {many.rounded()} times: it {verdict} with depth, each further layer "
            f"multiplies the ratio by {rounded(factor)} on average."
        )

    def _side_by_side(self, ladders: Mapping[str, Mapping[int, Group]]) -> str:
        """Both activations at the largest depth that both have."""
        depth = max(set(ladders.get("sigmoid", {})) & set(ladders.get("relu", {})), default=0)
        if not depth:
            return ""
        sigmoid, relu = (ladders[name][depth].first_at_start for name in ("sigmoid", "relu"))
        if sigmoid.mean <= 0 or relu.mean <= 0:
            return ""
        times, word = relu.mean / sigmoid.mean, "longer"
        if times < 1:
            times, word = 1 / times, "shorter"
        return (
            f" What arrives at the first of {hidden_layers(depth)} is {rounded(times)} times {word} with ReLU than "
            f"with sigmoid: norms of {relu.rounded()} and {sigmoid.rounded()}."
        )

    def _at_end(self, ladder: Mapping[int, Group]) -> str:
        group = ladder[max(ladder)]
        start, end = group.ratio_at_start, group.ratio_at_end
        network = f"With {NAMES.get(group.activation, group.activation)} and {hidden_layers(group.depth)}"
        if not math.isfinite(end.mean):
            return f"{network} the gradient of the output layer is exactly zero in some run, so that no ratio exists."
        text = f"{network} the ratio is {end.rounded()}"
        if not math.isfinite(start.mean) or start.mean * CLEAR > 1:
            return f"{text}."
        if end.mean * CLEAR < 1:
            return f"{text}, after {rounded(start.mean)} at the first step: it is still far from 1."
        when = "" if group.recovery is None else f"; a tenth was reached at step {group.recovery:,}"
        return f"{text}, after {rounded(start.mean)} at the first step{when} of {group.step[-1]:,}."

    def _compensation(self, ladder: Mapping[int, Group], found: StudyRuns) -> str:
        """What depth does to the accuracy of one activation."""
        deep, others = ladder[max(ladder)], [group for depth, group in ladder.items() if depth < max(ladder)]
        name = NAMES.get(deep.activation, deep.activation)
        scored = f"**Accuracy, {name}**: with {hidden_layers(deep.depth)} {deep.test.percent()} of the test set "
        scored += f"after {_epochs(deep)}"
        if not others:
            return f"{scored}."
        best = max(others, key=lambda group: group.test.mean)
        behind = best.test.mean - deep.test.mean
        rival = f"{best.test.percent()} with {hidden_layers(best.depth)}, the best of the shallower networks"
        if deep.test.mean < 2 / found.data.num_classes:
            verdict = "near chance, so that it has hardly learnt anything"
        elif abs(behind) <= max(deep.test.std, best.test.std):
            verdict = "the seeds differ as much, depth costs nothing here"
        else:
            verdict = f"depth {'costs' if behind > 0 else 'gains'} {100 * abs(behind):.2f} points"
        early = f"After the first epoch it was {deep.first_epoch.percent(1)} against {best.first_epoch.percent(1)} "
        early += "on the validation set."
        text = f"{scored}, {rival}: {verdict}. {early}"
        ratio = deep.ratio_at_start.mean
        if ratio * CLEAR >= 1 or not math.isfinite(ratio):
            return text
        return f"{text} {self._adam(deep, behind, found)}"

    def _adam(self, deep: Group, behind: float, found: StudyRuns) -> str:
        """Whether Adam made up for the gradient that vanishes in `deep`, which is `behind` a shallower network."""
        layer = np.sqrt(found.data.num_features * _width(deep.runs[0]))
        size = deep.first_at_start.mean / layer
        epsilon = float(deep.runs[0].value("optimizer.epsilon"))
        beyond = size / epsilon
        learnt = deep.test.mean >= 2 / found.data.num_classes
        if not learnt:
            verdict = f"Within {_epochs(deep)} Adam did not make up for the vanishing gradient"
        elif behind <= max(deep.test.std, 0.005):
            verdict = f"Within {_epochs(deep)} Adam made up for the vanishing gradient"
        else:
            verdict = f"Within {_epochs(deep)} Adam made up for the vanishing gradient in part"
        effect = "hardly matters" if beyond >= CLEAR else "shortens the step"
        return (
            f"{verdict}. It divides the gradient of each weight by the running root mean square of that gradient, so "
            "that a weight moves by about the learning rate, whatever the scale of its gradient (Kingma & Ba 2015). "
            f"At the first step the gradient of the first layer's weights is {rounded(size, 1)} (root mean square), "
            f"{rounded(beyond)} times the ε = {rounded(epsilon, 1)} that is added to the divisor, so that ε {effect}."
        )

    def _table(self, groups: Mapping[tuple[str, int], Group]) -> Table:
        rows = [
            [
                NAMES.get(activation, activation),
                str(depth),
                group.first_at_start.rounded(),
                group.ratio_at_start.rounded(),
                group.ratio_at_end.rounded(),
                group.first_epoch.percent(),
                group.test.percent(),
            ]
            for (activation, depth), group in groups.items()
        ]
        header = ["activation", "hidden layers", "norm of the first layer, first step", "first / output layer, "
                  "first step", "last fifth", "validation accuracy after epoch 1", "test accuracy"]  # fmt: skip
        return Table(header, rows, "Mean, and ± standard deviation where there are several seeds.")

    def _why(self, ladders: Mapping[str, Mapping[int, Group]]) -> str:
        measured = {name: factor for name, ladder in ladders.items() if (factor := per_layer(ladder)) is not None}
        said = [f"{rounded(factor)} with {NAMES.get(name, name)}" for name, factor in measured.items()]
        return (
            "**Why.** The gradient at a layer is the product of the weights and the derivatives of all layers above "
            "it (Hochreiter 1991 and Bengio, Simard & Frasconi 1994, for recurrent networks, which are deep in "
            "time). The derivative of the sigmoid, σ(z)(1 − σ(z)), is at most 1/4. Xavier's initial weights between "
            "layers of equal width keep the length of the gradient on average (Glorot & Bengio 2010), so that about "
            "1/4 or less per sigmoid layer remains. ReLU's derivative is 1 for active units and 0 for the others: "
            "with half of them active, the signal on the way up and the gradient on the way down both shrink by "
            "about √½ per layer, which leaves the ratio of first and last layer as it is."
            + (f" Measured per further layer: {listed(said)}." if said else "")
            + " The argument is about the initial weights: training changes them, and with larger ones the product "
            "need not vanish."
        )


def by_depth(runs: Sequence[RunFiles]) -> dict[tuple[str, int], list[RunFiles]]:
    """Runs by activation and number of hidden layers, however the configuration says the latter."""
    groups: dict[tuple[str, int], list[RunFiles]] = {}
    for (activation,), members in by(runs, "activation").items():
        for run in members:
            depth = run.arrays(FILE)["norms"].shape[1] - 1
            groups.setdefault((str(activation), depth), []).append(run)
    return groups


def per_layer(ladder: Mapping[int, Group]) -> float | None:
    """By what each further hidden layer multiplies the ratio at the start: the geometric mean from the shallowest
    network to the deepest. None where there is one depth, or a ratio that is zero or undefined."""
    low, high = min(ladder), max(ladder)
    shallow, deep = ladder[low].ratio_at_start.mean, ladder[high].ratio_at_start.mean
    if low == high or not (shallow > 0 and deep > 0):
        return None
    return float((deep / shallow) ** (1 / (high - low)))


def hidden_layers(number: int) -> str:
    return f"{number} hidden layer" + ("" if number == 1 else "s")


def _epochs(group: Group) -> str:
    return f"{group.epochs} epoch" + ("" if group.epochs == 1 else "s")


def _width(run: RunFiles) -> int:
    """Units of the first hidden layer."""
    sizes = run.value("model.hidden_sizes")
    return int(sizes[0] if isinstance(sizes, list) else sizes)


def _same_steps(groups: list[Group]) -> list[Group]:
    """Those that were measured at the same steps as the first: only they share an axis."""
    return [group for group in groups if np.array_equal(group.step, groups[0].step)]


def _panels(axes: Sequence[Axes], depths: Sequence[int], what: str, ylabel: str) -> None:
    for ax, depth in zip(axes, depths, strict=True):
        style.tidy(ax, hidden_layers(depth), what, ylabel if ax is axes[0] else "")
        ax.set_yscale("log")


def _over_time(groups: Mapping[tuple[str, int], Group]) -> Figure:
    """A panel per depth: the first hidden layer's norm over the steps."""
    depths = sorted({depth for _, depth in groups})
    figure = style.new_figure(max(4.6, 0.9 + 3 * len(depths)), 3.6)
    grid = {"left": 0.9 / figure.get_figwidth(), "right": 0.985, "bottom": 0.16, "top": 0.9, "wspace": 0.08}
    axes = list(figure.subplots(1, len(depths), squeeze=False, sharey=True, gridspec_kw=grid)[0])
    _panels(axes, depths, "step", "gradient norm, first hidden layer")
    for (activation, depth), group in groups.items():
        color, line, mark = LOOK.get(activation, (style.GREY, ":", "^"))
        x, low, middle, high = binned(group.step, group.norms[..., 0])
        ax = axes[depths.index(depth)]
        ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
        name = NAMES.get(activation, activation)
        ax.plot(x, middle, color=color, linestyle=line, marker=mark, markersize=3, label=name)
        ax.set_xscale("log")
    axes[0].legend(fontsize=style.SMALL, loc="best")
    return figure


def _per_layer(groups: Mapping[tuple[str, int], Group]) -> Figure:
    """A panel per depth with the norm of each layer, and one with the accuracies."""
    depths = sorted({depth for _, depth in groups})
    count = len(depths)
    figure = style.new_figure(max(8.0, 3.9 + 2.4 * count), 3.8)
    width = figure.get_figwidth()
    left = {"left": 0.8 / width, "right": 1 - 3.2 / width, "bottom": 0.24, "top": 0.9, "wspace": 0.08}
    axes = list(figure.subplots(1, count, squeeze=False, sharey=True, gridspec_kw=left)[0])
    accuracy = figure.add_axes((1 - 2.35 / width, 0.24, 2.2 / width, 0.66))
    _panels(axes, depths, "layer", "gradient norm")
    for (activation, depth), group in groups.items():
        color, line, mark = LOOK.get(activation, (style.GREY, ":", "^"))
        ax, x = axes[depths.index(depth)], np.arange(1, depth + 2)
        look = {"color": color, "linestyle": line, "marker": mark, "markersize": 5}
        name = NAMES.get(activation, activation)
        thick, thin = {"linewidth": 2}, {"linewidth": 0.9, "markerfacecolor": "white"}
        for norms, when, more in ((group.start, "first step", thick), (group.end, "last fifth", thin)):
            mean = norms.mean(axis=0)
            ax.plot(x, np.where(mean > 0, mean, np.nan), label=f"{name}, {when}", **look, **more)
        ax.set_xticks(x, [*map(str, x[:-1]), "out"])
        ax.set_xlim(0.6, depth + 1.4)
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="lower left", ncols=4, fontsize=style.SMALL,
                  bbox_to_anchor=(0.7 / width, 0.0), frameon=False)  # fmt: skip
    style.tidy(accuracy, "Test accuracy", "hidden layers", "test accuracy (%)")
    for activation in dict.fromkeys(activation for activation, _ in groups):
        ladder = [group for (name, _), group in sorted(groups.items()) if name == activation]
        color, line, mark = LOOK.get(activation, (style.GREY, ":", "^"))
        means = np.array([group.test.mean for group in ladder])
        reach = [[group.test.mean - min(group.test.values) for group in ladder],
                 [max(group.test.values) - group.test.mean for group in ladder]]  # fmt: skip
        accuracy.errorbar([group.depth for group in ladder], means, reach, color=color, linestyle=line, marker=mark,
                          markersize=5, capsize=3, label=NAMES.get(activation, activation))  # fmt: skip
    accuracy.set_xticks(depths)
    percent_axis(accuracy)
    accuracy.legend(fontsize=style.SMALL)
    return figure
