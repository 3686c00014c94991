"""Cross-entropy against mean squared error."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mlp.report import style
from mlp.report.blocks import Analysis, Lines, Picture, Table
from mlp.report.figures.panels import band, percent_axis
from mlp.report.read import Array, RunFiles, by, stacked
from mlp.report.statistics import MeanStd
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.text import left_out, listed, rounded

LOSSES = {"cross_entropy": "cross-entropy", "mean_squared_error": "mean squared error"}
LOOK = {"cross_entropy": (style.BLUE, "-"), "mean_squared_error": (style.VERMILION, "--")}


class LossComparison(Study):
    name = "loss_comparison"
    title = "Loss functions: cross-entropy or mean squared error"
    question = "With the same network and learning rate, which loss trains better, and why?"
    seconds = 45
    references = (
        "P. Golik, P. Doetsch, H. Ney: Cross-Entropy vs. Squared Error Training, Interspeech 2013",
        "I. Goodfellow, Y. Bengio, A. Courville: Deep Learning, 2016, section 6.2.2",
    )
    quick = ("training.epochs=2", "seed=0")

    def analyse(self, found: StudyRuns) -> Analysis:
        runs = found.with_files()
        whole = [run for run in runs if run.summary["status"] == "completed" and run.value("loss") in LOSSES]
        lost = len(runs) - len(whole)
        if not whole:
            return Analysis([left_out(lost, len(runs))], {})
        groups = {(str(o), str(loss)): g for (o, loss), g in by(whole, "optimizer", "loss").items()}
        optimizers = list(dict.fromkeys(optimizer for optimizer, _ in groups))
        classes = found.data.num_classes
        #: Loss of a network that gives every class the same probability.
        guess = {"cross_entropy": float(np.log(classes)), "mean_squared_error": (1 - 1 / classes) / classes}
        final = {
            key: MeanStd([float(run.summary["test_accuracy"]) for run in group]) for key, group in groups.items()
        }
        first = {key: MeanStd([float(run.metrics["val_accuracy"][0]) for run in g]) for key, g in groups.items()}
        norms = {
            key: MeanStd([float(run.metrics["grad_norm"][0]) for run in group])
            for key, group in groups.items()
            if all("grad_norm" in run.metrics for run in group)
        }
        several = any(len(group) > 1 for group in groups.values())
        facts = {
            f"{kind}/{optimizer}/{loss}": spread.mean
            for kind, found_ in (("test_accuracy", final), ("first_epoch_accuracy", first))
            for (optimizer, loss), spread in found_.items()
        }
        rows = [
            [
                optimizer,
                LOSSES[loss],
                f"{group[0].value('optimizer.learning_rate'):g}",
                first[optimizer, loss].percent(),
                final[optimizer, loss].percent(),
                norms[optimizer, loss].rounded() if (optimizer, loss) in norms else "-",
            ]
            for (optimizer, loss), group in groups.items()
        ]
        header = ["optimizer", "loss", "learning rate", "validation accuracy after epoch 1", "test accuracy",
                  "gradient norm in epoch 1"]  # fmt: skip
        return Analysis(
            blocks=[
                *(self._verdict(optimizer, final, first, groups) for optimizer in optimizers),
                *([left_out(lost, len(runs))] if lost else []),
                Picture(
                    "loss_comparison",
                    lambda: _curves(groups, optimizers, guess),
                    "Validation accuracy, and the loss as a share of the loss of guessing, "
                    f"which is {guess['cross_entropy']:.3f} for cross-entropy and "
                    f"{guess['mean_squared_error']:.3f} for the squared error: the two losses have different units, "
                    "their shares can be compared."
                    + (" Lines are means over the seeds, bands reach from the lowest to the highest." * several),
                ),
                Table(header, rows, "Mean ± standard deviation over the seeds." if several else "One seed."),
                "**Why.** With p = softmax(z) the gradient of the cross-entropy with respect to the logits is p − y: "
                "the worse the mistake, the larger the step. The squared error multiplies its own derivative by the "
                "Jacobian of the softmax, diag(p) − p pᵀ, which vanishes where the network is sure: a confident "
                "mistake is hardly corrected (Golik, Doetsch & Ney 2013). "
                "It is also the mean over the classes, so that its gradient is smaller by itself: Adam, which "
                "divides by the size of the gradient, hardly notices that, plain gradient descent does."
                + _measured(optimizers, norms, first),
            ],
            facts=facts,
            charts=[
                Lines(
                    f"val_accuracy/{optimizer}",
                    list(next(iter(groups.values()))[0].metrics["epoch"]),
                    {loss: list(stacked(groups[optimizer, loss], "val_accuracy").mean(axis=0)) for loss in LOSSES
                     if (optimizer, loss) in groups},
                    "epoch",
                )
                for optimizer in optimizers
            ],
        )  # fmt: skip

    def _verdict(
        self,
        optimizer: str,
        final: dict[tuple[str, str], MeanStd],
        first: dict[tuple[str, str], MeanStd],
        groups: dict[tuple[str, str], list[RunFiles]],
    ) -> str:
        """What happened with one optimizer, in the words that its numbers allow."""
        ce, mse = final.get((optimizer, "cross_entropy")), final.get((optimizer, "mean_squared_error"))
        if ce is None or mse is None:
            return f"With **{optimizer}** only one of the two losses has finished runs."
        ahead, lead = ce.mean - mse.mean, abs(ce.mean - mse.mean)
        chance = max(ce.std, mse.std)
        start = first[optimizer, "cross_entropy"].mean - first[optimizer, "mean_squared_error"].mean
        number = len(groups[optimizer, "cross_entropy"][0].metrics["epoch"])
        epochs = f"{number} epoch{'' if number == 1 else 's'}"
        scores = f"{ce.percent()} test accuracy with cross-entropy, {mse.percent()} with the squared error"
        if len(ce.values) > 1 and lead <= chance:
            verdict = f"after {epochs} the two do not differ by more than the seeds do ({scores})"
        elif not lead:
            verdict = f"after {epochs} the two are equal ({scores})"
        else:
            winner = "cross-entropy" if ahead > 0 else "the squared error"
            alone = "" if min(len(ce.values), len(mse.values)) > 1 else "; one seed, which does not show chance"
            verdict = f"after {epochs} {winner} is {100 * lead:.2f} points ahead ({scores}{alone})"
        begin = "ahead of" if start > 0 else "behind"
        gap = f"{100 * abs(start):.1f} points {begin}" if start else "level with"
        early = f"after the first epoch cross-entropy is {gap} the squared error"
        return f"With **{optimizer}** {early}; {verdict}."


def _measured(
    optimizers: list[str], norms: dict[tuple[str, str], MeanStd], first: dict[tuple[str, str], MeanStd]
) -> str:
    """How far these runs agree with the theory of the smaller gradient."""
    ratios, leads = {}, {}
    for optimizer in optimizers:
        ce, mse = ((optimizer, loss) for loss in LOSSES)
        if ce in norms and mse in norms and norms[mse].mean > 0:
            ratios[optimizer] = norms[ce].mean / norms[mse].mean
        if ce in first and mse in first:
            leads[optimizer] = first[ce].mean - first[mse].mean
    text = ""
    if ratios:
        said = listed([f"{rounded(ratio)} with {name}" for name, ratio in ratios.items()])
        text += f" Measured in epoch 1, the gradient of the cross-entropy over that of the squared error: {said}."
    if {"sgd", "adam"} <= leads.keys() and all(ratio > 1 for ratio in ratios.values()):
        agrees = leads["sgd"] > leads["adam"]
        text += (
            f" {'So it is here' if agrees else 'Not so here'}: after the first epoch the lead of cross-entropy is "
            f"{100 * leads['sgd']:.1f} points with sgd and {100 * leads['adam']:.1f} with adam."
        )
    return text


def _curves(groups: dict[tuple[str, str], list[RunFiles]], optimizers: list[str], guess: dict[str, float]) -> Figure:
    """A row per optimizer: accuracy on the left, relative loss on the right."""
    figure = style.new_figure(11, 3.6 * len(optimizers))
    grid = {"left": 0.08, "right": 0.98, "bottom": 0.16 / len(optimizers), "top": 1 - 0.09 / len(optimizers),
            "hspace": 0.36, "wspace": 0.2}  # fmt: skip
    panels = figure.subplots(len(optimizers), 2, squeeze=False, gridspec_kw=grid)
    for (left, right), optimizer in zip(panels, optimizers, strict=True):
        style.tidy(left, f"{optimizer}: accuracy", "epoch", "validation accuracy (%)")
        style.tidy(right, f"{optimizer}: loss", "epoch", "loss / loss of guessing")
        for loss, name in LOSSES.items():
            if group := groups.get((optimizer, loss)):
                epochs: Array = group[0].metrics["epoch"]
                color, line = LOOK[loss]
                band(left, epochs, stacked(group, "val_accuracy"), name, color, line)
                band(right, epochs, stacked(group, "val_loss") / guess[loss], name, color, line)
        percent_axis(left)
        right.set_ylim(bottom=0)
        left.legend(fontsize=style.SMALL)
    return figure
