"""What of the lessons of MNIST holds on Fashion-MNIST: three configurations, chosen by rules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mlp.config.files import CONF
from mlp.errors import UserError
from mlp.nn.metrics import per_class
from mlp.report import style
from mlp.report.blocks import Analysis, Block, Lines, Picture, Table
from mlp.report.figures.panels import band, percent_axis
from mlp.report.read import Array, RunFiles, by, confusion, read_facts, runs_of, stacked
from mlp.report.statistics import MeanStd
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.text import listed, shorten

ROOT = CONF.parent
GROUP = "experiment/transfer"
NAMES = {"search_winner": "winner of the search", "showdown_winner": "winner of the showdown",
         "mnist_recipe": "MNIST recipe"}  # fmt: skip
RULES = {
    "search_winner": "best validation accuracy of the 100 trials of the TPE search on MNIST",
    "showdown_winner": "lowest training loss after 5 epochs on MNIST, six optimizers with three rates each",
    "mnist_recipe": "recipe of the best model on MNIST, shortened to 20 epochs",
}
LOOK = {"search_winner": (style.BLUE, "-", "o"), "showdown_winner": (style.VERMILION, "--", "s"),
        "mnist_recipe": (style.GREEN, "-.", "^")}  # fmt: skip
SEARCH = "mnist"  # where the study of the search keeps its trials
SHOWDOWN, SHOWDOWN_EPOCHS = "optimizer_showdown-mnist", 5
ERRORS = "error_analysis-mnist"  # its own run is the shortened recipe
#: What makes two runs the same configuration, apart from data, seed and length.
PARTS = ("augment", "model", "activation", "init", "normalization", "loss", "optimizer", "schedule")
LEARNING = ("batch_size", "max_grad_norm", "ema_decay")  # of `training`
ONE_SEED = 0.005  # a smaller difference of accuracies means nothing where there is one seed

Groups = Mapping[str, Sequence[RunFiles]]


class Transfer(Study):
    name = "transfer"
    title = "Transfer to Fashion-MNIST"
    question = "Which accuracies do exactly three configurations, chosen from the lessons of MNIST, reach, and why?"
    seconds = 75
    references = (
        "H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning "
        "Algorithms, arXiv:1708.07747, 2017",
        "S. Chen, E. Dobriban, J. H. Lee: A Group-Theoretic Framework for Data Augmentation, Journal of Machine "
        "Learning Research 21 (245), 2020",
        "E. D. Cubuk, B. Zoph, J. Shlens, Q. V. Le: RandAugment: Practical Automated Data Augmentation with a "
        "Reduced Search Space, NeurIPS 2020",
    )
    quick = ("training.epochs=1", "seed=0")
    dataset: ClassVar[str] = "fashion_mnist"

    def analyse(self, found: StudyRuns) -> Analysis:
        runs = found.with_files()
        ended: dict[str, list[RunFiles]] = {}
        for name in NAMES:
            those = [run for run in runs if run.overrides.get(GROUP) == name and run.summary["status"] == "completed"]
            if those:
                ended[name] = those
        if not ended:
            raise UserError(f"{self.name}: none of the three configurations has a completed run in {found.directory}")
        test = {name: _spread(group, "test_accuracy") for name, group in ended.items()}
        train = {name: _spread(group, "train_accuracy") for name, group in ended.items()}
        recalls = {name: np.array([_recalls(run) for run in group]) for name, group in ended.items()}
        classes = [str(name) for name in next(iter(ended.values()))[0].predictions["class_names"]]
        left = {place: _completed(found.directory.parent / place) for place in (SEARCH, SHOWDOWN, ERRORS)}
        mnist = {name: _elsewhere(left, group[0]) for name, group in ended.items()}
        early = {name: MeanStd([float(run.metrics["train_loss"][SHOWDOWN_EPOCHS - 1]) for run in group])
                 for name, group in ended.items()
                 if all(len(run.metrics["train_loss"]) >= SHOWDOWN_EPOCHS for run in group)}  # fmt: skip
        diverged = sum(run.summary["status"] == "diverged" for run in runs)
        facts: dict[str, Any] = {"diverged": diverged}
        rows = []
        for name, group in ended.items():
            means, epochs = recalls[name].mean(axis=0), _epochs(group[0])
            facts |= {
                f"test_accuracy/{name}": test[name].mean,
                f"test_accuracy_std/{name}": test[name].std,
                f"gap/{name}": train[name].mean - test[name].mean,
                f"mnist_accuracy/{name}": _mean(mnist[name]),
                f"early_loss/{name}": early[name].mean if name in early else None,
                f"recall/{name}": dict(zip(classes, means.tolist(), strict=True)),
            }
            worst = f"{classes[means.argmin()]}, {100 * means.min():.1f} %"
            there = _known(mnist[name], epochs)
            rows.append(
                [NAMES[name], RULES[name], str(epochs), test[name].percent(), train[name].percent(), worst, there]
            )
        header = ["configuration", "rule", "epochs", f"test accuracy on {found.dataset}", "training accuracy",
                  "worst class", "test accuracy on mnist"]  # fmt: skip
        blocks: list[Block] = [
            _verdict(test, diverged, found),
            Table(header, rows, "Mean ± standard deviation over the seeds. On mnist: runs of the same configuration "
                  "that other studies have left, if there are any."),
            "**Would the rules choose the same again?** " + " ".join(_checks(left, ended)),
            Picture("transfer_curves", lambda: _curves(ended),
                    "Validation accuracy and training loss. Lines are means over the seeds, bands reach from the "
                    "lowest to the highest. The training loss of the MNIST recipe is measured on changed images, "
                    "and so is higher than on the images as they are."),
            _lessons(test, train, early, mnist),
            Picture("transfer_classes", lambda: _classes(recalls, classes),
                    "Share of each class's test images that is recognised: means over the seeds, lines from the "
                    "lowest to the highest; the class recognised least is at the bottom."),
            _per_class(recalls, classes, test),
            _why(test, train, found.dataset),
        ]  # fmt: skip
        return Analysis(blocks, facts, [_lines(name, group) for name, group in ended.items()])


# Run files -> numbers


def _spread(runs: Sequence[RunFiles], score: str) -> MeanStd:
    return MeanStd([float(run.summary[score]) for run in runs])


def _recalls(run: RunFiles) -> Array:
    """The share of each class that the run recognises, (c,)."""
    said = run.predictions
    return np.asarray(per_class(confusion(said))["recall"])


def alike(a: RunFiles, b: RunFiles) -> bool:
    """Whether two runs have the same configuration but for data, seed, length, and what the digits of a file leave
    open."""
    return _equal(_recipe(a.config), _recipe(b.config))


def _recipe(config: Mapping[str, Any]) -> dict[str, Any]:
    model, training = config["model"], config["training"]
    sizes = model["hidden_sizes"]
    if not isinstance(sizes, list):
        sizes = [sizes] * (model["num_layers"] or 3)
    return {
        **{part: config[part] for part in PARTS},
        **{key: training.get(key) for key in LEARNING},
        "model": {**model, "hidden_sizes": sizes, "num_layers": None},
        "validation_fraction": config["dataset"]["validation_fraction"],
    }


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_equal(a[name], b[name]) for name in a)
    if isinstance(a, float | int) and isinstance(b, float | int):
        return math.isclose(a, b, rel_tol=0.005)
    return bool(a == b)


def _elsewhere(left: Groups, run: RunFiles) -> list[RunFiles]:
    """Runs of the same configuration among those that other studies have left, on MNIST: of the same length if there
    are any, else the longest."""
    found = [other for runs in left.values() for other in runs if alike(run, other)]
    wanted = _epochs(run)
    length = wanted if any(_epochs(r) == wanted for r in found) else max(map(_epochs, found), default=0)
    return [other for other in found if _epochs(other) == length]


def _completed(directory: Path) -> list[RunFiles]:
    return [run for run in runs_of(directory) if run.summary["status"] == "completed"]


def _epochs(run: RunFiles) -> int:
    return int(run.value("training.epochs"))


def _mean(runs: Sequence[RunFiles]) -> float | None:
    return _spread(runs, "test_accuracy").mean if runs else None


def _lines(name: str, runs: Sequence[RunFiles]) -> Lines:
    """Accuracy over the epochs, for W&B."""
    columns = {"training": "train_accuracy", "validation": "val_accuracy"}
    means = {label: stacked(runs, column).mean(axis=0).tolist() for label, column in columns.items()
             if all(column in run.metrics for run in runs)}  # fmt: skip
    return Lines(f"accuracy/{name}", runs[0].metrics["epoch"].tolist(), means, "epoch")


# Numbers -> texts


def _ranked(scores: Mapping[str, MeanStd]) -> list[str]:
    return sorted(scores, key=lambda name: -scores[name].mean)


def _apart(a: MeanStd, b: MeanStd) -> bool:
    """Whether two means differ by more than the seeds do, or with a single seed by more than half a point."""
    chance = max(spread.std if len(spread.values) > 1 else ONE_SEED for spread in (a, b))
    return abs(a.mean - b.mean) > chance


def _points(share: float) -> str:
    return f"{100 * abs(share):.2f} points"


def _verdict(test: Mapping[str, MeanStd], diverged: int, found: StudyRuns) -> str:
    first, *others = _ranked(test)
    text = f"On {found.dataset} the **{NAMES[first]}** reaches {test[first].percent()} test accuracy"
    if others:
        text += f", {listed([f'the {NAMES[name]} {test[name].percent()}' for name in others])}"
    text += ". "
    level = [(a, b) for a, b in pairwise([first, *others]) if not _apart(test[a], test[b])]
    if any(len(spread.values) == 1 for spread in test.values()):
        text += f"With a single seed, differences below {100 * ONE_SEED:g} points mean nothing. "
    elif level:
        pairs = [f"the {NAMES[a]} and the {NAMES[b]}" for a, b in level]
        text += f"No further apart than the seeds are {'; and '.join(pairs)}. "
    elif others:
        text += "The distances exceed the spread of the seeds. "
    if missing := [f"the {NAMES[name]}" for name in NAMES if name not in test]:
        text += f"Without a completed run: {listed(missing)}. "
    if diverged:
        text += f"{diverged} diverged {'run is' if diverged == 1 else 'runs are'} left out. "
    if found.quick:
        text += "This is the small version: all are cut short, which the lessons below do not make allowance for."
    return text.rstrip()


def _known(runs: Sequence[RunFiles], epochs: int) -> str:
    """What the same configuration reached on MNIST."""
    if not runs:
        return "no run"
    length = _epochs(runs[0])
    return _spread(runs, "test_accuracy").percent() + ("" if length == epochs else f" after {length} epochs")


def _checks(left: Groups, ended: Groups) -> list[str]:
    """Whether the rules would choose the same from the files that are there now: a sentence each."""
    checks = {"search_winner": _check_search, "showdown_winner": _check_showdown, "mnist_recipe": _check_recipe}
    return [check(left, ended[name][0]) for name, check in checks.items() if name in ended]


def _check_search(left: Groups, run: RunFiles) -> str:
    trials = left[SEARCH]
    if not trials:
        return f"The first rule was not checked: there is no search in {SEARCH}."
    best = max(trials, key=lambda trial: float(trial.summary.get("val_accuracy", 0)))
    said = f"validation accuracy {100 * best.summary.get('val_accuracy', 0):.2f} %"
    of = f"Of the {len(trials)} completed trials in {SEARCH} the first rule chooses"
    if alike(run, best) and _epochs(run) == _epochs(best):
        return f"{of} the same configuration ({said})."
    sizes = "-".join(map(str, _recipe(best.config)["model"]["hidden_sizes"]))
    return (
        f"{of} another one: {best.value('optimizer')} {best.value('optimizer.learning_rate'):.3g}, batch "
        f"{best.value('training.batch_size')}, {_epochs(best)} epochs, {sizes} ({said}); what ran here is "
        "the winner of the search in the README."
    )


def _check_showdown(left: Groups, run: RunFiles) -> str:
    losses = {
        key: MeanStd([float(r.metrics["train_loss"][SHOWDOWN_EPOCHS - 1]) for r in group])
        for key, group in by(left[SHOWDOWN], "optimizer", "optimizer.learning_rate").items()
        if all(len(r.metrics["epoch"]) >= SHOWDOWN_EPOCHS for r in group)
    }
    if not losses:
        return f"The second rule was not checked: there are no runs in {SHOWDOWN}."
    best = min(losses, key=lambda key: losses[key].mean)
    own = run.value("optimizer"), run.value("optimizer.learning_rate")
    said = (
        f"{best[0]} with {best[1]:g}, a training loss of {losses[best].plus_minus()} after {SHOWDOWN_EPOCHS} epochs"
    )
    of = f"Of the {len(losses)} pairs of optimizer and learning rate in {SHOWDOWN} the second rule chooses"
    if best == own:
        return f"{of} the same: {said}."
    beside = f" ({own[0]} with {own[1]:g}: {losses[own].plus_minus()})" if own in losses else ""
    return f"{of} another one: {said}{beside}."


def _check_recipe(_: Groups, run: RunFiles) -> str:
    facts, config = read_facts(ROOT), _recipe(run.config)
    if facts.get("dataset") != "mnist":
        return "The third rule was not checked: the best model at the repository's root is not of mnist."
    chosen = facts.get("hidden_size"), facts.get("optimizer"), facts.get("learning_rate"), facts.get("batch_size")
    own = (config["model"]["hidden_sizes"], run.value("optimizer"), run.value("optimizer.learning_rate"),
           run.value("training.batch_size"))  # fmt: skip
    said = f"{100 * facts.get('test_accuracy', math.nan):.2f} % on mnist after {facts.get('epochs')} epochs"
    same = "has" if chosen == own else "does not have"
    return (
        f"The best model at the repository's root ({said}) {same} the network, optimizer, rate and batch size of the "
        "third configuration."
    )


def _lessons(
    test: Mapping[str, MeanStd],
    train: Mapping[str, MeanStd],
    early: Mapping[str, MeanStd],
    mnist: Mapping[str, Sequence[RunFiles]],
) -> str:
    """What each lesson of MNIST was worth here, as a list."""
    search, showdown, recipe = NAMES
    items = []
    if search in test and showdown in test:
        items.append(f"*Tune the values, and a small network is enough.* {_tuning(test, train, search, showdown)}")
    if showdown in test and len(early) == len(NAMES):
        items.append(f"*Lower the training loss fast.* {_speed(test, train, early)}")
    if recipe in test and len(test) > 1:
        items.append(f"*Change the images, normalise, average the weights.* {_regularised(test, train, mnist)}")
    return "\n".join(["**Which lessons hold?**", "", *(f"- {item}" for item in items)]) if items else ""


def _tuning(test: Mapping[str, MeanStd], train: Mapping[str, MeanStd], search: str, showdown: str) -> str:
    lead = test[search].mean - test[showdown].mean
    beside = f"training accuracy {train[search].percent()} against {train[showdown].percent()}"
    other = f"the default network of the showdown ({beside})"
    if not _apart(test[search], test[showdown]):
        return f"It does as well as {other}: the lesson holds."
    if lead > 0:
        return f"It is {_points(lead)} ahead of {other}: the lesson holds."
    text = f"It is {_points(lead)} behind {other}: the lesson does not hold. "
    if train[search].mean < train[showdown].mean:
        return text + (
            "It fits its training images less well too: what was enough for digits is too small or too short here."
        )
    return text + "It fits its training images no worse: the values suit other images than these."


def _speed(test: Mapping[str, MeanStd], train: Mapping[str, MeanStd], early: Mapping[str, MeanStd]) -> str:
    search, showdown, _ = NAMES
    fast = early[showdown].mean < early[search].mean
    first, second = early[showdown].text(".3f"), early[search].text(".3f")
    text = (
        f"After {SHOWDOWN_EPOCHS} epochs the training loss of the showdown's winner is {first}, that of the search's "
        f"winner {second}: what was fast there is {'' if fast else 'not '}the faster of these two here. "
    )
    highest, best = _ranked(train)[0], _ranked(test)[0]
    if highest != best:
        return text + (
            f"But to fit is not to generalise: the {NAMES[highest]} has the highest training accuracy "
            f"({train[highest].percent()}), the {NAMES[best]} the highest test accuracy."
        )
    return text + f"The {NAMES[best]} has both the highest training accuracy and the highest test accuracy."


def _regularised(
    test: Mapping[str, MeanStd], train: Mapping[str, MeanStd], mnist: Mapping[str, Sequence[RunFiles]]
) -> str:
    recipe = "mnist_recipe"
    other = next(name for name in _ranked(test) if name != recipe)
    lead = test[recipe].mean - test[other].mean
    gaps = {name: train[name].mean - test[name].mean for name in (recipe, other)}
    level = not _apart(test[recipe], test[other])
    place = "level with" if level else f"{_points(lead)} {'ahead of' if lead > 0 else 'behind'}"
    holds = "holds" if lead > 0 and not level else "does not hold"
    text = (
        f"The recipe is {place} the {NAMES[other]}; training and test accuracy are {_points(gaps[recipe])} apart "
        f"with it, {_points(gaps[other])} with the other: the lesson {holds}"
    )
    if not (mnist[recipe] and mnist[other]):
        return text + "."
    here = 1 - (1 - test[recipe].mean) / (1 - test[other].mean)
    there = 1 - (1 - _spread(mnist[recipe], "test_accuracy").mean) / (1 - _spread(mnist[other], "test_accuracy").mean)
    lengths = " and ".join(f"{_epochs(mnist[name][0])}" for name in (recipe, other))
    by_here, by_there = (f"{100 * abs(part):.0f} % {'fewer' if part > 0 else 'more'}" for part in (here, there))
    return text + f". It makes {by_here} mistakes than the other here; on mnist, after {lengths} epochs, {by_there}."


def _per_class(recalls: Mapping[str, Array], classes: Sequence[str], test: Mapping[str, MeanStd]) -> str:
    """Which classes are hard, and how much they move from seed to seed."""
    worst = {name: int(values.mean(axis=0).argmin()) for name, values in recalls.items()}
    sentences = []
    if len(set(worst.values())) == 1:
        label = classes[next(iter(worst.values()))]
        scores = [f"{100 * values.mean(axis=0)[worst[name]]:.1f} %" for name, values in recalls.items()]
        subject = "All configurations recognise" if len(scores) > 1 else "It recognises"
        sentences.append(f"{subject} **{label}** least ({listed(scores)}).")
    else:
        sentences.append("The class recognised least differs: " + listed(
            [f"{classes[place]} with the {NAMES[name]}" for name, place in worst.items()]) + ".")  # fmt: skip
    recipe = recalls.get("mnist_recipe")
    if recipe is not None and len(recalls) > 1:
        others = np.max([values.mean(axis=0) for name, values in recalls.items() if name != "mnist_recipe"], axis=0)
        gain = recipe.mean(axis=0) - others
        most, least = int(gain.argmax()), int(gain.argmin())
        sentences.append(
            f"The MNIST recipe is better than {'both others' if len(recalls) == 3 else 'the other'} in "
            f"{int((gain > 0).sum())} of {len(classes)} classes; beside the better one of them it stands best in "
            f"{classes[most]} ({100 * gain[most]:+.1f} points) and worst in {classes[least]} "
            f"({100 * gain[least]:+.1f} points)."
        )
    if all(len(values) > 1 for values in recalls.values()):
        ranges = {name: np.ptp(values, axis=0) for name, values in recalls.items()}
        name, steady = (pick(ranges, key=lambda name: float(ranges[name].max())) for pick in (max, min))
        place = int(ranges[name].argmax())
        low, high = recalls[name][:, place].min(), recalls[name][:, place].max()
        sentences.append(
            f"From seed to seed {classes[place]} moves between {100 * low:.1f} and {100 * high:.1f} % with the "
            f"{NAMES[name]}, while its accuracy moves by {_points(float(np.ptp(test[name].values)))}: where two "
            "classes overlap, one gains what the other loses. "
            f"With the {NAMES[steady]} no class moves by more than {_points(ranges[steady].max())}"
            + ("; its rate falls to zero and its weights are averaged, the others' rate is constant."
               if steady == "mnist_recipe" else ".")
        )  # fmt: skip
    return " ".join(sentences)


def _why(test: Mapping[str, MeanStd], train: Mapping[str, MeanStd], dataset: str) -> str:
    text = (
        "**Why.** Fashion-MNIST has the format of MNIST and is the harder task: garments seen from the front, "
        "trimmed, scaled to the frame and centred (Xiao, Rasul & Vollgraf 2017), so that several classes share one "
        "outline. To train on changed images lowers the variance of a model as far as the changes leave the "
        "distribution of the data as it is, and biases it where they do not (Chen, Dobriban & Lee 2020): digits "
        "occur slanted, turned and stretched, such garments hardly. How strong the changes should be depends on the "
        "data and on the size of the network (Cubuk et al. 2020). "
    )
    recipe = "mnist_recipe"
    if recipe in test and len(test) > 1:
        gaps = {name: train[name].mean - test[name].mean for name in test}
        fit = {name: train[name].mean for name in test}
        small = "the smallest" if min(gaps, key=lambda name: gaps[name]) == recipe else "not the smallest"
        full = "the highest" if max(fit, key=lambda name: fit[name]) == recipe else "not the highest"
        text += (
            f"In these runs the recipe's gap between training and test accuracy is {small} and its training accuracy "
            f"{full} of the {'three' if len(test) == 3 else 'two'}. "
        )
    own = read_facts(ROOT / "models" / dataset)
    if isinstance(own.get("test_accuracy"), float):
        text += (
            f"A recipe made for this dataset reaches {100 * own['test_accuracy']:.2f} % "
            f"(models/{dataset}, {own.get('epochs')} epochs). "
        )
    return text + ("The three differ in several things at once: whole recipes are compared, not their parts.")


# Numbers -> figures


def _curves(groups: Groups) -> Figure:
    figure = style.new_figure(11, 4.2)
    grid = {"left": 0.07, "right": 0.98, "bottom": 0.14, "top": 0.92, "wspace": 0.2}
    left, right = figure.subplots(1, 2, gridspec_kw=grid)
    style.tidy(left, "Accuracy", "epoch", "validation accuracy (%)")
    style.tidy(right, "Loss", "epoch", "mean training loss")
    for name, group in groups.items():
        color, line, marker = LOOK[name]
        epochs = stacked(group, "epoch").max(axis=0)
        for ax, column in ((left, "val_accuracy"), (right, "train_loss")):
            if all(column in run.metrics for run in group):
                band(ax, epochs, stacked(group, column), NAMES[name], color, line, marker=marker)
    percent_axis(left)
    right.set_ylim(bottom=0)
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.legend(fontsize=style.SMALL)
    return figure


def _classes(recalls: Mapping[str, Array], classes: Sequence[str]) -> Figure:
    """A row per class, a point per configuration."""
    order = np.argsort(np.mean([values.mean(axis=0) for values in recalls.values()], axis=0), kind="stable")
    names = [shorten(classes[i], 20) for i in order]
    width, height = 8.5, 0.9 + 0.42 * len(classes)
    left = 0.35 + style.text_width(names, style.LABEL)
    figure = style.new_figure(width, height)
    ax = figure.add_axes((left / width, 0.55 / height, (width - left - 0.2) / width, (height - 0.9) / height))
    style.tidy(ax, "Recognised images of each class", "share of the class's test images (%)", "")
    for number, (name, values) in enumerate(recalls.items()):
        color, _, marker = LOOK[name]
        y = np.arange(len(order)) + 0.22 * ((len(recalls) - 1) / 2 - number)
        values = values[:, order]
        ax.hlines(y, values.min(axis=0), values.max(axis=0), color=color, linewidth=1.5)
        ax.plot(values.mean(axis=0), y, color=color, marker=marker, linestyle="none", markersize=6, label=NAMES[name])
    ax.set_yticks(range(len(order)), names, fontsize=style.LABEL, parse_math=False)
    ax.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=""))
    ax.legend(fontsize=style.SMALL, loc="best")
    return figure
