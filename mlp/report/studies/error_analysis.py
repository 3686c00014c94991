"""What the best model gets wrong, and what a second model says about the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mlp.config.files import CONF, options
from mlp.data import Dataset
from mlp.data.pictures import as_pictures, is_picture
from mlp.errors import UserError
from mlp.inference import saved_predictions
from mlp.nn.metrics import per_class
from mlp.nn.types import Labels
from mlp.report import style
from mlp.report.blocks import Analysis, Block, Chart, Confusion, Gallery, Picture, Table
from mlp.report.figures.matrix import confusion_matrix
from mlp.report.figures.panels import percent_axis
from mlp.report.read import Array, RunFiles, confusion, read_facts
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.text import listed, shorten

ROOT = CONF.parent
MODEL = "best_model.npy"
SURE = 0.9  # a mistake with a higher probability is called confident
ASIDE = 0.05  # share of the images that is set aside as the least sure
WALL, COLUMNS, PITCH = 24, 6, 1.85  # pictures, of which in a row, inches from one to the next
PAIRS = 8  # rows of the table
BINS = 15  # of the calibration error, as Guo et al. have them
LABEL_ERRORS = {"mnist": 15}  # in the test set, validated by people: Northcutt et al. 2021


@dataclass(frozen=True)
class Model:
    """A model, and the arrays of its `predictions.npz`."""

    name: str
    said: Mapping[str, Array]

    @property
    def wrong(self) -> Array:
        """(n,) of truth values."""
        return np.asarray(self.said["y_true"] != self.said["y_pred"])

    @property
    def mistakes(self) -> Labels:
        """The rows that are wrong, the most confident first."""
        rows = np.flatnonzero(self.wrong)
        return rows[np.argsort(-self.said["confidence"][rows], kind="stable")]


class ErrorAnalysis(Study):
    name = "error_analysis"
    title = "Error analysis: what the best model gets wrong"
    question = "Which mistakes does the best model make, and what do its failures teach?"
    seconds = 40
    references = (
        "C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger: On Calibration of Modern Neural Networks, ICML 2017",
        "C. G. Northcutt, A. Athalye, J. Mueller: Pervasive Label Errors in Test Sets Destabilize Machine Learning "
        "Benchmarks, NeurIPS Datasets and Benchmarks 2021",
    )
    quick = ("training.epochs=1",)

    def overrides(self, dataset: str, quick: bool = False) -> list[str]:
        words = super().overrides(dataset, quick)
        if dataset != "mnist":  # other images bear other changes
            words.append(f"augment={dataset if dataset in options('augment') else 'none'}")
        return words

    def analyse(self, found: StudyRuns) -> Analysis:
        best, second = self._models(found)
        samples = found.data.test()
        if not np.array_equal(samples.labels, best.said["y_true"]):
            raise UserError(f"{self.name}: {best.name} was measured on other data than {found.dataset}")
        if not is_picture(found.data.image_shape):
            raise UserError(f"{self.name}: the samples of {found.dataset} are no images")
        pixels = as_pictures(samples.x[samples.rows], found.data.image_shape) / samples.divisor
        pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        return compare(best, second, pixels, found.data)

    def _models(self, found: StudyRuns) -> tuple[Model, Model | None]:
        """The best model, and another one if there is one. A shipped model is the best; the study's own runs follow,
        by their validation accuracy."""
        runs = [run for run in found.with_files() if (run.directory / "predictions.npz").is_file()]
        runs.sort(key=lambda run: -run.summary.get("val_accuracy", 0.0))
        own = [Model(_name(run), run.predictions) for run in runs]
        places = [place for place in (ROOT, ROOT / "models" / found.dataset) if _is_about(place, found.dataset)]
        if places:
            path = places[0] / MODEL
            shipped = Model(str(path.relative_to(ROOT)), saved_predictions(path, found.data))
            return shipped, next(iter(own), None)
        if not own:
            raise UserError(f"{self.name}: no run in {found.directory} came to its end")
        first = saved_predictions(runs[0].directory / MODEL, found.data)
        return Model(own[0].name, first), next(iter(own[1:]), None)


def _name(run: RunFiles) -> str:
    """`run 0 of this study (seed 1, 20 epochs)`"""
    epochs = len(run.metrics["epoch"])
    return f"run {run.directory.name} of this study (seed {run.seed}, {epochs} epoch{'s' if epochs > 1 else ''})"


def _is_about(directory: Path, dataset: str) -> bool:
    """Whether `directory` holds a model of the dataset."""
    return (directory / MODEL).is_file() and read_facts(directory).get("dataset") == dataset


def compare(best: Model, second: Model | None, pixels: Array, data: Dataset) -> Analysis:
    """The analysis of what a model says, and a second one, about the images `pixels` (n, h, w[, 3]) in 0..1."""
    names, said = data.class_names, best.said
    counts = confusion(said)
    pairs = confused(counts)
    near = nearer_to_predicted(pixels, said)
    facts = {**measured(best, second, near), "pairs": [(names[i], names[j], n) for i, j, n in pairs]}
    blocks: list[Block] = [
        _verdict(best, counts, pairs, names, data.name),
        Picture(
            "error_analysis_confusion",
            lambda: confusion_matrix(counts, np.array(names)),
            f"Every answer of {best.name} to the {facts['samples']:,} test images of {data.name}; an empty cell is a "
            "zero. The colour is stretched near zero, so that the mistakes are visible beside the diagonal.",
        ),
    ]
    if facts["mistakes"]:
        below = f"; below, the answer of {second.name}" if second else ""
        blocks += [
            _confident(facts),
            Picture(
                "error_analysis_wall",
                lambda: wall(best, second, pixels, names),
                f"The {min(WALL, facts['mistakes'])} mistakes with the highest probability, of {facts['mistakes']}: "
                "what the model called the image and what the label says, with the probability that it gave to each"
                f"{below}.",
            ),
            _means_text(facts),
            Picture(
                "error_analysis_pairs",
                lambda: mean_images(pixels, counts, said, names),
                "The confusion matrix in images: each is the mean of those test images of the row's class that were "
                "called the column's class, with their number; framed on the diagonal those that are right.",
            ),
            _pair_table(best, second, near, counts, pairs, names),
            _doubt(facts, len(names)),
            Picture(
                "error_analysis_confidence",
                lambda: confidence(best, second),
                "Left: how sure the model is where it is right and where it is wrong, each group adding up to 100 %. "
                "Right: the share of all mistakes found in the images about which a model is the least sure; the "
                "dotted line is what a random choice would find.",
            ),
            _second_text(facts, best, second, data.name),
        ]
    header = ["image", "true", "predicted", "p(predicted)", "p(true)"]
    rows = [
        [
            np.round(pixels[row] * 255).astype(np.uint8),
            *(names[said[labels][row]] for labels in ("y_true", "y_pred")),
            *(float(said[probability][row]) for probability in ("confidence", "true_confidence")),
        ]
        for row in best.mistakes[: 2 * WALL]
    ]
    charts: list[Chart] = [
        Confusion("confusion", said["y_true"], said["y_pred"], names),
        Gallery("most_confident_mistakes", header, rows),
    ]
    return Analysis([*blocks, _calibration_text(facts)], facts, charts)


# Measurements


def confused(counts: Array) -> list[tuple[int, int, int]]:
    """The pairs (true, predicted, how often) of different classes that occur, the most frequent first."""
    found = [(int(i), int(j), int(counts[i, j])) for i, j in np.argwhere(counts) if i != j]
    return sorted(found, key=lambda pair: (-pair[2], pair[:2]))


def calibration_error(confidence: Array, right: Array, bins: int = BINS) -> float:
    """Expected calibration error: in bins of confidence, the mean distance between it and the share that is right."""
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(places, weights=right.astype(float) - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def caught(confidence: Array, wrong: Array, share: float) -> float:
    """The share of all mistakes that is in the least confident `share` of the images; 0 without mistakes."""
    least = np.argsort(confidence, kind="stable")[: round(share * len(confidence))]
    return float(wrong[least].sum() / max(1, wrong.sum()))


def nearer_to_predicted(pixels: Array, said: Mapping[str, Array]) -> Array:
    """Whether an image is nearer to the mean of the class it was called than to that of its own, (n,).

    Of an image that is right, the second choice takes the place of the class it was called.
    """
    flat = pixels.reshape(len(pixels), -1)
    y_true, y_pred = said["y_true"], said["y_pred"]
    other = np.where(y_pred == y_true, said["runner_up"], y_pred)
    classes = len(said["class_names"])
    means = np.stack([flat[y_true == i].mean(axis=0) if (y_true == i).any() else np.full(flat.shape[1], np.inf)
                      for i in range(classes)])  # fmt: skip
    own, others = (((flat - means[labels]) ** 2).sum(axis=1) for labels in (y_true, other))
    return np.asarray(others < own)


def measured(best: Model, second: Model | None, near: Array) -> dict[str, Any]:
    """The numbers of the text. A median or a share of nothing is None."""
    said, wrong = best.said, best.wrong
    right_next = wrong & (said["runner_up"] == said["y_true"])
    facts = {
        "samples": len(wrong),
        "mistakes": int(wrong.sum()),
        "accuracy": float(1 - wrong.mean()),
        "runner_up_right": int(right_next.sum()),
        "top_2_accuracy": float(1 - (wrong & ~right_next).mean()),
        "confident_mistakes": int((wrong & (said["confidence"] > SURE)).sum()),
        "median_confidence_right": _median(said["confidence"][~wrong]),
        "median_confidence_wrong": _median(said["confidence"][wrong]),
        "nearer_right": float(near[~wrong].mean()) if not wrong.all() else None,
        "nearer_wrong": float(near[wrong].mean()) if wrong.any() else None,
        "mean_confidence": float(said["confidence"].mean(dtype=float)),
        "calibration_error": calibration_error(said["confidence"], ~wrong),
        "caught": caught(said["confidence"], wrong, ASIDE),
    }
    if second is None:
        return facts
    if not np.array_equal(said["y_true"], second.said["y_true"]):
        raise UserError(f"error_analysis: {second.name} was measured on other data than {best.name}")
    both = wrong & second.wrong
    return facts | {
        "second_accuracy": float(1 - second.wrong.mean()),
        "second_mistakes": int(second.wrong.sum()),
        "shared": int(both.sum()),
        "shared_by_chance": float(wrong.sum() * second.wrong.mean()),
        "same_answer": int((both & (said["y_pred"] == second.said["y_pred"])).sum()),
        "true_probability_shared": _median(said["true_confidence"][both]),
        "true_probability_alone": _median(said["true_confidence"][wrong & ~second.wrong]),
    }


def _median(values: Array) -> float | None:
    return float(np.median(values)) if len(values) else None


# Texts


def _verdict(
    best: Model, counts: Array, pairs: Sequence[tuple[int, int, int]], names: Sequence[str], dataset: str
) -> str:
    wrong, total = int(best.wrong.sum()), len(best.wrong)
    text = f"The best model is {best.name}. "
    if not wrong:
        return text + f"It makes no mistake on the {total:,} test images of {dataset}: there is nothing to analyse."
    recall = np.where(counts.sum(axis=1) > 0, per_class(counts)["recall"], np.inf)
    worst = int(recall.argmin())
    top = pairs[: 3 if len(pairs) > 3 else 1]
    said = listed([f"{names[i]} → {names[j]} ({n})" for i, j, n in top])
    frequent = (
        f"the most frequent {'are' if len(top) > 1 else 'is'} {said}, true → predicted, "
        f"{'together ' if len(top) > 1 else ''}{_percent(sum(n for *_, n in top) / wrong, 0)} of all mistakes"
    )
    return (
        f"{text}It gets {wrong:,} of the {total:,} test images of {dataset} wrong, an accuracy of "
        f"{_percent(1 - wrong / total)}. **{names[worst]}** is recognised least: "
        f"{counts[worst, worst]:,} of {counts[worst].sum():,}, {_percent(recall[worst], 1)}. Of the "
        f"{len(names) ** 2 - len(names)} "
        f"ordered pairs of classes {len(pairs)} {'occurs' if len(pairs) == 1 else 'occur'}; "
        f"{frequent if top[0][2] > 1 else 'none more than once'}."
    )


def _confident(facts: Mapping[str, Any]) -> str:
    """How sure the model is where it is wrong."""
    sure, wrong = facts["confident_mistakes"], facts["mistakes"]
    right = facts["median_confidence_right"]
    beside = "" if right is None else f", of right ones {_probability(right)}"
    text = (
        f"**The most confident mistakes.** {sure} of {wrong} {'mistake' if wrong == 1 else 'mistakes'} "
        f"{'was' if sure == 1 else 'were'} made with a probability above {_percent(SURE, 0)}; the median of wrong "
        f"answers is {_probability(facts['median_confidence_wrong'])}{beside}. "
    )
    if not sure:
        return text + "A threshold there would find them all."
    return text + "A threshold there lets these pass: only a look at the images tells whether the model is to blame."


def _means_text(facts: Mapping[str, Any]) -> str:
    """Whether mistakes are images that look like another class, in the crudest sense."""
    wrong, right = facts["nearer_wrong"], facts["nearer_right"]
    text = (
        "**Which classes are confused, and what such an image looks like.** "
        f"{_percent(wrong, 0)} of the mistakes lie nearer to the mean image of the class they were called than to "
        "that of their own"
    )
    if right is None:
        return f"{text}."
    text += f"; of the right answers {_percent(right, 1)} lie nearer to the mean of the second choice. "
    if wrong > 2 * right:
        return (
            text
            + "Mistakes are more often unusual images of their class, in pixels already, before a network sees them."
        )
    return text + "In pixels the mistakes are hardly less typical of their class than the other images."


def _doubt(facts: Mapping[str, Any], classes: int) -> str:
    """What the runner-up and the confidence are worth."""
    right, wrong, guess = facts["runner_up_right"], facts["mistakes"], 1 / max(1, classes - 1)
    worth = "far more than" if right / wrong > 2 * guess else "more than" if right / wrong > guess else "no more than"
    found = facts["caught"]
    use = "far more than" if found > 2 * ASIDE else "more than" if found > ASIDE else "no more than"
    return (
        f"**Where the runner-up was right.** In {right} of {wrong} mistakes ({_percent(right / wrong, 0)}) the class "
        f"with the second largest probability was the true one, {worth} the {_percent(guess, 0)} of a guess among "
        f"the others: counted with two answers each image, the accuracy would be {_percent(facts['top_2_accuracy'])}"
        f". Setting aside the {_percent(ASIDE, 0)} of the images with the lowest confidence catches "
        f"{_percent(found, 0)} of the mistakes, {use} a random choice would; on the rest the accuracy is "
        f"{_percent(_accuracy_of_rest(facts))}."
    )


def _accuracy_of_rest(facts: Mapping[str, Any]) -> float:
    kept = facts["samples"] - round(ASIDE * facts["samples"])
    return float(1 - facts["mistakes"] * (1 - facts["caught"]) / kept)


def _second_text(facts: Mapping[str, Any], best: Model, second: Model | None, dataset: str) -> str:
    """Which mistakes are of the images and which of the model."""
    head = "**Images or model?** "
    if second is None:
        return head + "There is no second model of this dataset that could tell the one from the other."
    shared, wrong = facts["shared"], facts["mistakes"]
    text = head + (
        f"A second model, {second.name}, was trained separately: accuracy {_percent(facts['second_accuracy'])}, "
        f"{facts['second_mistakes']:,} mistakes. {shared} of the {wrong} of {best.name} are among them; chance alone "
        f"would make it {facts['shared_by_chance']:.1f}. "
    )
    if not shared:
        return text + "All of the best model's mistakes are its own."
    text += f"In {facts['same_answer']} of the {shared} both give the same wrong answer. "
    together, alone = facts["true_probability_shared"], facts["true_probability_alone"]
    if alone is not None:
        text += (
            f"The best model gives the true class a median probability of {_probability(together)} on the shared "
            f"ones, of {_probability(alone)} on those that are its own. "
        )
    if shared > wrong / 2:
        text += (
            "Most of its mistakes thus do not come from its own initial weights and training: another model makes "
            "them too, so that they lie in the images, or in what the two models have in common. "
        )
    else:
        text += "Most of its mistakes thus are its own: the second model reads these images as they are labelled. "
    if facts["second_mistakes"] > 2 * wrong:
        text += "(The second model errs more than twice as often, which makes its agreement cheaper.) "
    if errors := LABEL_ERRORS.get(dataset):
        text += (
            f"Some may be nobody's mistake: people who checked this test set found {errors} wrong labels in it "
            "(Northcutt, Athalye & Mueller 2021)."
        )
    return text.rstrip()


def _calibration_text(facts: Mapping[str, Any]) -> str:
    """Whether the probabilities mean what they say."""
    gap = facts["mean_confidence"] - facts["accuracy"]
    chance = 2 * float(np.sqrt(facts["accuracy"] * (1 - facts["accuracy"]) / facts["samples"]))
    text = (
        "**Do the probabilities mean what they say?** "
        f"The mean confidence is {_percent(facts['mean_confidence'])}, the accuracy {_percent(facts['accuracy'])}; "
        f"the expected calibration error in {BINS} bins is {100 * facts['calibration_error']:.2f} points. "
    )
    if abs(gap) <= chance:
        return text + (
            f"On average the two differ by no more than {100 * chance:.2f} points, two standard errors of the "
            "accuracy: the overconfidence that Guo et al. (2017) describe does not show in the mean."
        )
    if gap > 0:
        return text + (
            "The model is too sure, as Guo et al. (2017) found of networks with much capacity: once nearly all "
            "training images are classified, the cross-entropy can still fall by making the logits larger, which "
            "raises the confidence on test images without raising the accuracy."
        )
    return text + (
        "The model is less sure than it is right, the opposite of what Guo et al. (2017) describe of networks that "
        "are trained until the cross-entropy of their training images is near zero."
    )


def _percent(share: float, digits: int = 2) -> str:
    return f"{100 * share:.{digits}f} %"


def _probability(value: float) -> str:
    """`98.3 %`; what would be rounded to 100 or 0 says that it is not."""
    return ">99.9 %" if value > 0.9995 else "<0.1 %" if value < 0.0005 else _percent(value, 1)


def _pair_table(
    best: Model, second: Model | None, near: Array, counts: Array, pairs: Sequence[tuple[int, int, int]],
    names: Sequence[str],
) -> Table:  # fmt: skip
    said = best.said
    rows = []
    for i, j, n in pairs[:PAIRS]:
        those = np.flatnonzero((said["y_true"] == i) & (said["y_pred"] == j))
        rows.append([
            f"{names[i]} → {names[j]}",
            str(n),
            _percent(n / counts[i].sum(), 1),
            _probability(float(np.median(said["confidence"][those]))),
            _probability(float(np.median(said["true_confidence"][those]))),
            str(int((said["runner_up"][those] == i).sum())),
            str(int(near[those].sum())),
            "" if second is None else str(int((second.said["y_pred"][those] == j).sum())),
        ])  # fmt: skip
    header = ["true → predicted", "images", "share of the true class", "median p(predicted)", "median p(true)",
              "runner-up right", "nearer to the predicted class's mean", "second model's same answer"]  # fmt: skip
    columns = slice(None) if second else slice(-1)
    return Table(header[columns], [row[columns] for row in rows], f"The {len(rows)} most frequent confusions.")


# Figures


def wall(best: Model, second: Model | None, pixels: Array, names: Sequence[str]) -> Figure:
    """The most confident mistakes, each with both probabilities and the answer of the second model."""
    rows = best.mistakes[:WALL]
    lines = -(-len(rows) // COLUMNS)
    text = 0.58 if second else 0.42
    width, height = PITCH * COLUMNS, (1.2 + text + 0.12) * lines
    figure = style.new_figure(width, height)
    labels = [shorten(str(name), 13) for name in names]
    for place, row in enumerate(rows):
        line, column = divmod(place, COLUMNS)
        bottom = height - (1.2 + text + 0.12) * line - 1.25
        ax = figure.add_axes(((PITCH * (column + 0.5) - 0.6) / width, bottom / height, 1.2 / width, 1.2 / height))
        ax.imshow(pixels[row], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        ax.set_axis_off()
        true, called = best.said["y_true"][row], best.said["y_pred"][row]
        told = [
            (f"called {labels[called]}  {_probability(best.said['confidence'][row])}", style.VERMILION, "bold"),
            (f"labelled {labels[true]}  {_probability(best.said['true_confidence'][row])}", style.BLACK, "normal"),
        ]
        if second is not None:
            other = second.said["y_pred"][row]
            agrees = "as labelled" if other == true else f"{labels[other]} too" if other == called else labels[other]
            told.append((f"second model: {agrees}", style.GREY, "normal"))
        for number, (words, color, weight) in enumerate(told):
            at = PITCH * (column + 0.5) / width, (bottom - 0.04 - 0.165 * number) / height
            look: dict[str, Any] = {"fontsize": style.SMALL, "ha": "center", "va": "top", "parse_math": False}
            figure.text(*at, words, color=color, weight=weight, **look)
    return figure


def mean_images(pixels: Array, counts: Array, said: Mapping[str, Array], names: Sequence[str]) -> Figure:
    """The confusion matrix with the mean image of every cell that occurs, and how many images it is the mean of."""
    classes = len(counts)
    labels = [shorten(str(name), 13) for name in names]
    left, pitch, picture = 0.45 + style.text_width(labels, style.LABEL), 0.86, 0.64
    top, bottom = 0.35, 0.75
    width, height = left + pitch * classes + 0.1, top + pitch * classes + bottom
    figure = style.new_figure(width, height)
    ax = figure.add_axes((left / width, bottom / height, pitch * classes / width, pitch * classes / height))
    for i, j in np.argwhere(counts):
        mean = pixels[(said["y_true"] == i) & (said["y_pred"] == j)].mean(axis=0)
        corner = j + 0.5 * (1 - picture / pitch), i + 0.04
        side = picture / pitch
        ax.imshow(mean, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto",
                  extent=(corner[0], corner[0] + side, corner[1] + side, corner[1]))  # fmt: skip
        if i == j:
            ax.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=style.SKY, linewidth=2.5))
        else:
            ax.text(j + 0.5, i + 0.99, f"{counts[i, j]}", ha="center", va="bottom", fontsize=style.SMALL)
    ax.set_xlim(0, classes)
    ax.set_ylim(classes, 0)
    rotation = 0 if style.text_width(labels, style.LABEL) < 0.9 * pitch else 30
    ax.set_xticks(np.arange(classes) + 0.5, labels, fontsize=style.LABEL, parse_math=False, rotation=rotation,
                  ha="right" if rotation else "center", rotation_mode="anchor" if rotation else None)  # fmt: skip
    ax.set_yticks(np.arange(classes) + 0.5, labels, fontsize=style.LABEL, parse_math=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.hlines(np.arange(classes + 1), 0, classes, color="0.85", linewidth=0.6)
    ax.vlines(np.arange(classes + 1), 0, classes, color="0.85", linewidth=0.6)
    ax.set_xlabel("predicted class", fontsize=style.LABEL)
    ax.set_ylabel("true class", fontsize=style.LABEL)
    return figure


def confidence(best: Model, second: Model | None) -> Figure:
    """Confidence of right and wrong answers, and the mistakes found among the least sure."""
    figure = style.new_figure(11, 3.9)
    grid = {"left": 0.07, "right": 0.98, "bottom": 0.15, "top": 0.9, "wspace": 0.22}
    shares, found = figure.subplots(1, 2, gridspec_kw=grid)
    style.tidy(shares, "How sure the model is", "probability of the predicted class (%)", "share of its group (%)")
    edges = np.arange(int(20 * best.said["confidence"].min()), 21) / 20
    for mask, name, color, line in (
        (~best.wrong, "right answers", style.BLUE, "-"),
        (best.wrong, "wrong answers", style.VERMILION, "--"),
    ):
        if mask.any():
            heights = np.histogram(best.said["confidence"][mask], edges)[0] / mask.sum()
            shares.stairs(heights, edges, label=f"{name} ({mask.sum():,})", color=color, linestyle=line, linewidth=2)
    percent_axis(shares)
    shares.xaxis.set_major_formatter(shares.yaxis.get_major_formatter())
    shares.legend(fontsize=style.SMALL, loc="upper left")

    style.tidy(found, "Mistakes among the least sure", "share of the images, least sure first (%, log scale)",
               "share of all mistakes (%)")  # fmt: skip
    for model, name, color, line in (
        (best, "best model", style.BLUE, "-"), (second, "second model", style.ORANGE, "--"),
    ):  # fmt: skip
        if model is not None and model.wrong.any():
            order = np.argsort(model.said["confidence"], kind="stable")
            total = np.cumsum(model.wrong[order]) / model.wrong.sum()
            found.plot(np.arange(1, len(order) + 1) / len(order), total, label=name, color=color, linestyle=line)
    every = np.geomspace(1 / len(best.wrong), 1, 200)
    found.plot(every, every, label="random choice", color=style.GREY, linestyle=":")
    found.set_xscale("log")
    found.set_xlim(max(1 / len(best.wrong), 1e-3), 1)
    percent_axis(found)
    found.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g}")
    found.legend(fontsize=style.SMALL, loc="upper left")
    return figure
