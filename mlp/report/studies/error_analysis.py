"""What the best model gets wrong, and what a second model says about the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mlp.base import paths
from mlp.base.errors import UserError
from mlp.base.text import count, option_name, share, shorten
from mlp.config.files import options
from mlp.data import Dataset
from mlp.data.pictures import as_pictures, is_picture
from mlp.inference import saved_predictions
from mlp.nn.metrics import calibration_error
from mlp.nn.types import Labels
from mlp.report import style
from mlp.report.blocks import Analysis, Confusion, Gallery
from mlp.report.figures.matrix import confusion_matrix
from mlp.report.figures.panels import grid, percent_axis
from mlp.report.figures.wall import Wall
from mlp.report.predictions import Model, agreement, caught, median, nearer_to_predicted
from mlp.report.read import Array, confusion, read_facts
from mlp.report.statistics import accuracy_error, is_significant
from mlp.report.studies.study import Study, StudyRuns

MODEL = "best_model.npy"
CONFIDENT = 0.9  # a mistake with a higher probability is called confident
SET_ASIDE = 0.05  # share of the images with the lowest confidence
SHOWN = 24
CONFIG_KEYS = {
    "activation": "activation", "normalization": "normalization", "init": "weight_init", "loss": "loss",
    "optimizer": "optimizer", "learning rate": "learning_rate", "schedule": "schedule",
    "weight decay": "weight_decay", "batch size": "batch_size", "epochs": "epochs", "seed": "seed",
}  # fmt: skip
LABEL_ERRORS = {"mnist": 15}  # in the test set, validated by people: Northcutt et al. 2021


class ErrorAnalysis(Study):
    name = "error_analysis"
    seconds = 40
    quick = ("training.epochs=1",)

    def overrides(self, dataset: str, quick: bool = False, experiment: str = "") -> list[str]:
        words = super().overrides(dataset, quick, experiment)
        if dataset != "mnist":  # other images bear other changes
            words.append(f"augment={dataset if dataset in options('augment') else 'none'}")
        return words

    def analyse(self, found: StudyRuns) -> Analysis:
        best, second = self._models(found)
        samples = found.data.test()
        if not np.array_equal(samples.labels, best.predictions["y_true"]):
            raise UserError(f"{best.name} was measured on other data than {found.dataset}")
        if not is_picture(found.data.image_shape):
            raise UserError(f"the samples of {found.dataset} are no images")
        pixels = as_pictures(samples.x[samples.rows], found.data.image_shape) / samples.divisor
        return self.compare(best, second, pixels[..., 0] if pixels.shape[-1] == 1 else pixels, found.data)

    def _models(self, found: StudyRuns) -> tuple[Model, Model | None]:
        """The best model, and another one if there is one. A shipped model is the best; the study's own runs follow,
        by their validation accuracy."""
        runs = [run for run in found.with_files() if (run.directory / "predictions.npz").is_file()]
        runs.sort(key=lambda run: -run.summary.get("val_accuracy", 0.0))
        names = [
            f"run {run.directory.name} of this study (seed {run.seed}, {count(run.metrics['epoch'].size, 'epoch')})"
            for run in runs
        ]
        own = [Model(name, run.predictions) for name, run in zip(names, runs, strict=True)]
        for place in (paths.home(), paths.home() / "models" / found.dataset):
            if (place / MODEL).is_file() and read_facts(place).get("dataset") == found.dataset:
                config = read_facts(place)
                name = f"{(place / MODEL).relative_to(paths.home())} ({config['epochs']} epochs)"
                return Model(name, saved_predictions(place / MODEL, found.data), config), next(iter(own), None)
        if not own:
            raise UserError(f"no run in {found.directory} finished")
        predictions = saved_predictions(runs[0].directory / MODEL, found.data)
        return Model(own[0].name, predictions), next(iter(own[1:]), None)

    def compare(self, best: Model, second: Model | None, pixels: Array, data: Dataset) -> Analysis:
        """What two models say about the images `pixels` (n, h, w[, 3]) in 0..1."""
        names, predicted, wrong = [str(name) for name in data.class_names], best.predictions, best.wrong
        if second and not np.array_equal(predicted["y_true"], second.predictions["y_true"]):
            raise UserError(f"{second.name} was measured on other data than {best.name}")
        images = np.round(255 * pixels).astype(np.uint8)
        counts, near = confusion(predicted), nearer_to_predicted(pixels, predicted)
        mistakes = [
            [
                images[row], names[predicted["y_true"][row]], names[predicted["y_pred"][row]],
                float(predicted["confidence"][row]), float(predicted["true_confidence"][row]),
            ]
            for row in best.mistakes[: 2 * SHOWN]
        ]  # fmt: skip
        header = ["image", "true", "predicted", "p(predicted)", "p(true)"]
        return self.answer(
            {
                "best": best.name, "judged": _described(best.config) if best.config else None,
                "dataset": data.name, "label_errors": LABEL_ERRORS.get(data.name),
                "confident_above": CONFIDENT, "set_aside": SET_ASIDE, "pictures": SHOWN,
                "num_classes": len(names),
                "classes": [
                    {"name": name, "images": int(own.sum()), "right": int(right), "recall": float(right / own.sum())}
                    for name, own, right in zip(names, counts, counts.diagonal(), strict=True) if own.any()
                ],
                "pairs": _pairs(best, second, near, counts, names),
                "nearer_right": float(near[~wrong].mean()) if not wrong.all() else None,
                "nearer_wrong": float(near[wrong].mean()) if wrong.any() else None,
                **_measurements(best), "second": agreement(best, second) if second else None,
            },
            {
                "error_analysis_confusion": lambda: confusion_matrix(counts, np.array(names)),
                "error_analysis_wall": lambda: _wall(best, second, images, names),
                "error_analysis_pairs": lambda: _mean_images(pixels, counts, predicted, names),
                "error_analysis_confidence": lambda: _confidence(best, second),
            },
            [
                Confusion("confusion", predicted["y_true"], predicted["y_pred"], names),
                Gallery("most_confident_mistakes", header, mistakes),
            ],
        )  # fmt: skip


def _described(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a best_config.json says about the training, in words."""
    values = {"hidden layers": "-".join(map(str, config["hidden_size"])),
              **{what: config.get(key) for what, key in CONFIG_KEYS.items()},
              "label smoothing": config.get("label_smoothing") or None,
              "augmentation": ", ".join((config.get("augment") or {}).get("steps") or ())}  # fmt: skip
    return {
        what: option_name(f"{value}").replace("_", " ")
        for what, value in values.items()
        if value not in (None, "", "none")
    }


def _measurements(model: Model) -> dict[str, Any]:
    """Facts of one model."""
    predicted, wrong, confidence = model.predictions, model.wrong, model.predictions["confidence"]
    accuracy, mean_confidence = float(1 - wrong.mean()), float(confidence.mean(dtype=float))
    right_next = wrong & (predicted["runner_up"] == predicted["y_true"])
    error = accuracy_error(accuracy, len(wrong))
    return {
        "samples": len(wrong), "mistakes": int(wrong.sum()), "accuracy": accuracy,
        "runner_up_right": int(right_next.sum()),
        "confident_mistakes": int((wrong & (confidence > CONFIDENT)).sum()),
        "mean_confidence": mean_confidence, "calibration_error": calibration_error(confidence, ~wrong),
        "is_calibrated": not is_significant(mean_confidence - accuracy, error),
        "caught": caught(confidence, wrong, SET_ASIDE),
    }  # fmt: skip


def _pairs(
    best: Model, second: Model | None, near: Array, counts: Labels, names: Sequence[str]
) -> list[dict[str, Any]]:
    """The pairs of true and predicted classes that occur, the most frequent first."""
    predicted, pairs = best.predictions, []
    for i, j in np.argwhere(counts * ~np.eye(len(counts), dtype=bool)):
        rows = (predicted["y_true"] == i) & (predicted["y_pred"] == j)
        pairs.append({
            "true": names[i], "predicted": names[j], "images": int(counts[i, j]),
            "share": float(counts[i, j] / counts[i].sum()),
            "confidence": median(predicted["confidence"][rows]),
            "true_confidence": median(predicted["true_confidence"][rows]),
            "runner_up_right": int((predicted["runner_up"][rows] == i).sum()), "nearer": int(near[rows].sum()),
            "second_agrees": int((second.predictions["y_pred"][rows] == j).sum()) if second else None,
        })  # fmt: skip
    return sorted(pairs, key=lambda pair: -pair["images"])


# Figures


def _wall(best: Model, second: Model | None, images: Array, names: Sequence[str]) -> Figure:
    """The most confident mistakes, each with both probabilities and the answer of the second model."""
    rows, short = best.mistakes[:SHOWN], [shorten(name, 13) for name in names]
    wall = Wall(images[rows], 6, size=1.2, beside=0.9, below=0.7 if second else 0.54, left=0.4, above=0.1)
    for place, row in enumerate(rows):
        true, called, confidence, true_confidence = (
            best.predictions[key][row] for key in ("y_true", "y_pred", "confidence", "true_confidence")
        )
        look: dict[str, Any] = {"fontsize": style.SMALL - 0.5}
        words = f"called {short[called]}  {share(confidence, 1)}"
        wall.caption(place, words, color=style.VERMILION, weight="bold", **look)
        wall.caption(place, f"labelled {short[true]}  {share(true_confidence, 1)}", down=0.21, **look)
        if second:
            other = second.predictions["y_pred"][row]
            answer = "as labelled" if other == true else f"{short[other]} too" if other == called else short[other]
            wall.caption(place, f"second model: {answer}", down=0.37, color=style.GREY, **look)
    return wall.figure


def _mean_images(pixels: Array, counts: Labels, predictions: Mapping[str, Array], names: Sequence[str]) -> Figure:
    """The confusion matrix with the mean image of every cell that occurs, and how many images it is the mean of."""
    short, cells = [shorten(name, 13) for name in names], np.ones((*counts.shape, *pixels.shape[1:]))
    for i, j in np.argwhere(counts):
        cells[i, j] = pixels[(predictions["y_true"] == i) & (predictions["y_pred"] == j)].mean(axis=0)
    widest = style.text_width(short, style.LABEL)
    upright = widest > 0.95
    images = np.round(255 * cells).astype(np.uint8).reshape(-1, *pixels.shape[1:])
    wall = Wall(images, len(names), size=0.64, beside=0.22, below=0.24, left=0.3 + widest,
                above=0.4 + widest * upright)  # fmt: skip
    wall.label(short, short, upright)
    for place, number in enumerate(counts.flat):
        if number and place % (len(names) + 1) == 0:
            wall.frame(place, style.SKY)
        elif number:
            wall.caption(place, str(number), fontsize=style.SMALL)
    return wall.figure


def _confidence(best: Model, second: Model | None) -> Figure:
    """Confidence of right and wrong answers, and the mistakes found among the least sure."""
    titles = [["How sure the model is", "Mistakes among the least sure"]]
    ylabels = ["share of its group (%)", "share of all mistakes (%)"]
    figure, axes = grid(titles, "", ylabels, panel=(4.6, 3.0), share=False)
    shares, found = axes[0]
    shares.set_xlabel("probability of the predicted class (%)")
    found.set_xlabel("share of the images, least sure first (%, log scale)")
    edges = np.arange(int(20 * best.predictions["confidence"].min()), 21) / 20
    for mask, name, look in (
        (~best.wrong, "right answers", {"color": style.BLUE}),
        (best.wrong, "wrong answers", {"color": style.VERMILION, "linestyle": "--"}),
    ):
        if mask.any():
            heights = np.histogram(best.predictions["confidence"][mask], edges)[0] / mask.sum()
            shares.stairs(heights, edges, label=f"{name} ({mask.sum():,})", linewidth=2, **look)
    for model, name, look in (
        (best, "best model", {"color": style.BLUE}),
        (second, "second model", {"color": style.ORANGE, "linestyle": "--"}),
    ):
        if model and model.wrong.any():
            order = np.argsort(model.predictions["confidence"], kind="stable")
            total = np.cumsum(model.wrong[order]) / model.wrong.sum()
            found.plot(np.arange(1, len(order) + 1) / len(order), total, label=name, **look)
    every = np.geomspace(1 / len(best.wrong), 1, 200)
    found.plot(every, every, label="random choice", color=style.GREY, linestyle=":")
    found.set_xscale("log")
    found.set_xlim(max(1 / len(best.wrong), 1e-3), 1)
    for ax in (shares, found):
        percent_axis(ax)
        ax.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g}")
        ax.legend(fontsize=style.SMALL, loc="upper left")
    return figure
