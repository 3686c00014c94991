"""The plots of one run, from the files of its directory."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter, StrMethodFormatter
from numpy.typing import NDArray

from mlp.errors import UserError
from mlp.report import style

Array = NDArray[Any]

MOST_NUMBERED = 20  # classes up to which the cells of a confusion matrix carry numbers
MOST_BARS = 100
MOST_PICTURES = 100
LONGEST_NAME = 40


# The run directory -> arrays


def read_metrics(path: Path) -> dict[str, Array]:
    """The columns of a metrics.csv; an empty cell is NaN.

    A last line without its newline was cut off by a kill in the middle of the write, and is left out.
    """
    needed = ["epoch", "learning_rate"]  # gradient norms are a choice
    needed += [f"train_{what}" for what in ("loss", "accuracy", "f1")]
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    header, *rows = lines or [",".join(needed)]  # the header itself cut off: no epoch yet
    names = header.strip().split(",")
    table = np.empty((len(rows), len(names)))
    for i, row in enumerate(rows):
        try:
            table[i] = [float(cell) if cell else math.nan for cell in row.strip().split(",")]
        except ValueError:
            problem = f"expected {len(names)} numbers separated by commas. Got '{style.shorten(row, 80)}'"
            raise UserError(f"{path}, line {i + 2}: {problem}") from None
    columns = dict(zip(names, table.T, strict=True))
    if missing := [name for name in needed if name not in columns]:
        raise UserError(f"{path}: no column {', '.join(missing)}. Is this the metrics.csv of a run?")
    return columns


def read_predictions(path: Path) -> dict[str, Array]:
    """The arrays of a predictions.npz. Nothing in the file is executed."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, EOFError, BadZipFile, AttributeError) as error:
        raise UserError(f"{path} cannot be read as .npz arrays: {error}") from error


def read_facts(run_dir: Path) -> dict[str, Any]:
    """What best_config.json and summary.json say about the run; a file that is not there says nothing."""
    facts: dict[str, Any] = {}
    for path in (run_dir / "best_config.json", run_dir / "summary.json"):
        if path.exists():
            try:
                facts |= json.loads(path.read_text(encoding="utf-8"))
            except (ValueError, TypeError) as error:
                raise UserError(f"{path} is not a JSON object: {error}") from error
    return facts


# Arrays -> figures


def curves(metrics: Mapping[str, Array], facts: Mapping[str, Any]) -> Figure:
    """Loss, accuracy and F1, learning rate and gradient norms over the epochs."""
    figure = style.new_figure(13, 7.6)
    grid = {"left": 0.065, "right": 0.86, "bottom": 0.075, "top": 0.89, "hspace": 0.36, "wspace": 0.22}
    (loss, score), (rate, norms) = figure.subplots(2, 2, gridspec_kw=grid)
    epochs = metrics["epoch"]
    few = len(epochs) <= 30
    circle, square = ("o", "s") if few else ("", "")

    def line(ax: Axes, column: str, label: str, color: Any, **look: Any) -> None:
        values = metrics.get(column)  # a run without validation data has no val_ columns
        if values is not None and np.isfinite(values).any():
            ax.plot(epochs, values, label=label, color=color, markersize=4, **look)

    style.tidy(loss, "Loss", "epoch", "mean loss per sample")
    line(loss, "train_loss", "training", style.BLUE, marker=circle)
    line(loss, "val_loss", "validation", style.VERMILION, linestyle="--", marker=square)
    if loss.lines:
        loss.legend(loc="upper right", fontsize=style.SMALL)

    style.tidy(score, "Accuracy and F1", "epoch", "share of samples, F1 (%)")
    score.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=""))
    # F1 runs close to the accuracy: light dashes on top leave both visible.
    line(score, "train_accuracy", "training accuracy", style.BLUE, linewidth=2.5, marker=circle)
    line(score, "train_f1", "training F1", style.SKY, linestyle="--", marker="x" if few else "")
    line(score, "val_accuracy", "validation accuracy", style.VERMILION, linewidth=2.5, marker=square)
    line(score, "val_f1", "validation F1", style.ORANGE, linestyle="--", marker="x" if few else "")
    _legend_outside(score)

    style.tidy(rate, "Learning rate", "epoch", "learning rate")
    rate.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    line(rate, "learning_rate", "learning rate", style.BLACK, marker=circle)
    rate.set_ylim(bottom=0)

    style.tidy(norms, "Gradient norm per layer", "epoch", "L2 norm of the gradient (log scale)")
    columns = sorted((name for name in metrics if _is_layer_norm(name)), key=lambda name: int(name[10:]))
    ladder = mpl.colormaps[style.ORDERED](np.linspace(0, 0.9, max(len(columns), 1)))
    named = math.ceil(len(columns) / 12)  # a legend of more than a dozen layers names every second, third ...
    line(norms, "grad_norm", "all layers", style.BLACK, linestyle=":", marker="x" if few else "")
    for i, column in enumerate(columns):
        last = i == len(columns) - 1
        label = f"layer {column[10:]}" + (" (output)" if last else " (first hidden)" if i == 0 else "")
        label += "" if metrics[column].any() else ", all zero"
        label = label if i % named == 0 or last else "_unnamed"
        line(norms, column, label, ladder[i], marker="os^Dv<>"[i % 7] if few else "")
    _log_scale(norms)
    _legend_outside(norms)

    best = facts.get("best_epoch")
    measured = facts.get("selected_by") != "last epoch"
    best = best if measured and isinstance(best, int | float) and best in epochs else None
    pad = max(0.5, 0.03 * (epochs[-1] - epochs[0]))
    for ax in (loss, score, rate, norms):
        ax.set_xlim(epochs[0] - pad, epochs[-1] + pad)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        if best is not None:
            ax.axvline(best, color=style.GREY, linestyle=(0, (1, 2)), linewidth=1.5, zorder=1)

    said = [str(facts["dataset"])] if facts.get("dataset") else []
    said += [f"best epoch {best:g} (dotted line)"] if best is not None else []
    for key, name in (("test_accuracy", "test accuracy"), ("test_f1", "test F1")):
        said += [f"{name} {facts[key]:.2%}"] if isinstance(facts.get(key), int | float) else []
    figure.suptitle(", ".join(said), x=0.065, ha="left", fontsize=style.TITLE, parse_math=False)
    return figure


def confusion_counts(y_true: Array, y_pred: Array, classes: int) -> NDArray[np.int64]:
    """How often class i (row) was taken for class j (column)."""
    cells = y_true.astype(np.int64) * classes + y_pred
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def confusion_matrix(counts: Array, class_names: Array, normalised: bool = False) -> Figure:
    """A heat map of counts, or with each row divided by its sum, in per cent in the cells."""
    classes = len(counts)
    names = [style.shorten(str(name), LONGEST_NAME) for name in class_names]
    values = _row_shares(counts) if normalised else counts
    total, wrong = counts.sum(), counts.sum() - counts.trace()

    # Inches: the matrix, then what the labels beside and below it need.
    side = min(max(5.5, 0.44 * classes), 12.0)
    cell = side / classes
    size = min(style.LABEL, max(4.0, 54 * cell))
    widest = style.text_width(names, size)
    rotation = 0 if widest < 0.9 * cell else 45 if cell > 0.25 else 90
    below = 0.65 + (widest if rotation == 90 else 0.8 * widest if rotation else 0.1)
    left, right, above = 0.65 + widest, 0.3 if classes <= MOST_NUMBERED else 1.3, 0.75
    width, height = left + side + right, below + side + above
    figure = style.new_figure(width, height)
    ax = figure.add_axes((left / width, below / height, side / width, side / height))

    # The diagonal is a hundred times the rest: a root scale keeps the mistakes visible.
    norm = PowerNorm(0.4, vmin=0, vmax=1.0 if normalised else max(1, values.max()))
    image = ax.imshow(values, cmap=style.SEQUENTIAL, norm=norm, interpolation="nearest", aspect="auto")
    if classes <= MOST_NUMBERED:
        font = min(style.LABEL, 18 * cell)
        shade = norm(values)
        shown = np.round(values * 100, 1) if normalised else values
        for i, j in np.argwhere(shown > 0):  # an empty cell is a zero
            text = f"{shown[i, j]:.1f}" if normalised else f"{shown[i, j]}"
            color = "white" if shade[i, j] > 0.55 else "black"
            ax.text(j, i, text, ha="center", va="center", fontsize=font, color=color)
        between = np.arange(classes - 1) + 0.5
        ax.hlines(between, -0.5, classes - 0.5, color="0.85", linewidth=0.6)
        ax.vlines(between, -0.5, classes - 0.5, color="0.85", linewidth=0.6)
    else:
        bar = figure.add_axes((1 - 1.1 / width, below / height, 0.2 / width, side / height))
        figure.colorbar(image, cax=bar, format=PercentFormatter(xmax=1) if normalised else None)
        unit = "share of the true class" if normalised else "number of samples"
        bar.set_ylabel(f"{unit} (stretched near zero)", fontsize=style.LABEL)

    every = range(0, classes, math.ceil(classes / 100))
    ticks: dict[str, Any] = {"labels": [names[i] for i in every], "fontsize": size, "parse_math": False}
    ha, mode = ("right", "anchor") if rotation == 45 else ("center", None)
    ax.set_xticks(every, rotation=rotation, ha=ha, rotation_mode=mode, **ticks)
    ax.set_yticks(every, **ticks)
    ax.tick_params(length=0)
    ax.set_xlabel("predicted class", fontsize=style.LABEL)
    ax.set_ylabel("true class", fontsize=style.LABEL)
    what = "per cent of each true class" if normalised else "number of samples"
    title = f"Confusion matrix, {what}\n{wrong:,} of {total:,} predictions are wrong"
    ax.set_title(title, fontsize=style.TITLE, loc="left")
    return figure


def per_class(counts: Array, class_names: Array) -> Figure:
    """The share of each class that was recognised (its recall), best class on top."""
    right, total = counts.diagonal(), counts.sum(axis=1)
    recall = _row_shares(counts).diagonal()
    order = np.lexsort((-np.arange(len(recall)), recall))[:MOST_BARS]  # worst first; ties in class order
    names = [style.shorten(str(class_names[i]), LONGEST_NAME) for i in order]
    notes = [f"{recall[i]:.1%}  ({right[i]:,} of {total[i]:,})" if total[i] else "no sample" for i in order]
    overall = right.sum() / max(1, total.sum())

    row = min(0.34, 24 / len(order))
    size = min(style.LABEL, 54 * row)
    left, beside = 0.35 + style.text_width(names, size), 0.35 + style.text_width(notes, size)
    below, above = 0.6, 0.65
    width, height = left + 5.5 + beside, below + row * len(order) + above
    figure = style.new_figure(width, height)
    box = (left / width, below / height, 5.5 / width, row * len(order) / height)
    ax = figure.add_axes(box)
    title = f"Accuracy per class (recall); dashed line: all classes {overall:.2%}"
    if len(order) < len(recall):
        title = f"The {len(order)} lowest of {len(recall)} classes\n{title}"
    style.tidy(ax, title, "correctly classified samples of the class (%)", "")
    ax.grid(visible=False, axis="y")
    ax.barh(range(len(order)), recall[order], height=0.72, color=style.SKY, edgecolor=style.BLUE)
    ax.axvline(overall, color=style.BLACK, linestyle="--", linewidth=1.5)
    for y, note in enumerate(notes):
        ax.text(1.02, y, note, va="center", fontsize=size)
    ax.set_yticks(range(len(order)), names, fontsize=size, parse_math=False)
    ax.set_ylim(-0.6, len(order) - 0.4)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=""))
    return figure


def sample_wall(predictions: Mapping[str, Array]) -> Figure:
    """Pictures with their true and predicted class, the wrong ones first, framed and crossed.

    All pictures are one image and the captions lie on it: three times faster than one axes per picture.
    """
    rows_of = predictions["image_rows"]
    y_true, y_pred = predictions["y_true"][rows_of], predictions["y_pred"][rows_of]
    confidence = predictions["confidence"][rows_of]
    names = [style.shorten(str(name), 13) for name in predictions["class_names"]]
    shown = np.argsort(y_true == y_pred, kind="stable")[:MOST_PICTURES]
    pictures = _as_rgb(predictions["images"][shown])

    columns = min(10, math.ceil(math.sqrt(1.6 * len(shown))))
    rows = math.ceil(len(shown) / columns)
    height, width = pictures.shape[1:3]
    one_line = style.text_width([f"{names[y_true[i]]} → {names[y_pred[i]]}" for i in shown], 9) < 1.2
    pixel = 1.15 / max(height, width)  # inches
    pitch_y = height + math.ceil((0.45 if one_line else 0.6) / pixel)
    pitch_x = max(height, width) + math.ceil(0.2 / pixel)
    wall = np.full((rows * pitch_y, columns * pitch_x, 3), 255, np.uint8)

    wide, high, above = wall.shape[1] * pixel, wall.shape[0] * pixel, 0.85
    figure = style.new_figure(max(6.0, wide + 0.4), high + above)
    inches_x, inches_y = figure.get_size_inches()
    ax = figure.add_axes((0.2 / inches_x, 0, wide / inches_x, high / inches_y))
    ax.set_axis_off()
    for place, i in enumerate(shown):
        y, x = place // columns * pitch_y, place % columns * pitch_x
        wall[y : y + height, x : x + width] = pictures[place]
        wrong = y_true[i] != y_pred[i]
        arrow = " → " if one_line else "\n→ "
        verdict = f"{'✗' if wrong else '✓'} {confidence[i]:.0%}"
        caption = f"{names[y_true[i]]}{arrow}{names[y_pred[i]]}\n{verdict}"
        weight, color = ("bold", style.VERMILION) if wrong else ("normal", style.BLACK)
        look: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 9, "linespacing": 1.1}
        at = x + width / 2, y + height + 0.05 / pixel
        ax.text(*at, caption, color=color, weight=weight, parse_math=False, **look)
        if wrong:
            frame = Rectangle((x, y), width, height, fill=False, color=color, linewidth=4, clip_on=False)
            ax.add_patch(frame)
    ax.imshow(wall, extent=(0, wall.shape[1], wall.shape[0], 0), interpolation="nearest", aspect="auto")
    title = "true class → predicted class, probability of the predicted class\nframe and ✗: wrong"
    figure.text(0.2 / inches_x, 1 - 0.2 / inches_y, title, va="top", fontsize=style.TITLE)
    return figure


# Figures -> files


Plot = tuple[Path, Callable[[], Figure]]  # a file and what draws its figure


def plots(run_dir: Path) -> list[Plot]:
    """All plots that the files of a run directory allow, for its `plots` folder.

    Raises UserError when `run_dir` is no run directory, or has nothing to draw yet.
    """
    if not run_dir.is_dir():
        raise UserError(f"'{run_dir}' is not a directory; give the directory of a run")
    found: list[Plot] = []
    if (table := run_dir / "metrics.csv").exists():
        metrics = read_metrics(table)
        if len(metrics["epoch"]):
            facts = read_facts(run_dir)
            found.append((run_dir / "plots" / "curves.png", lambda: curves(metrics, facts)))
    if (arrays := run_dir / "predictions.npz").exists():
        found += prediction_plots(read_predictions(arrays), run_dir / "plots")
    if not found:
        why = "no finished epoch in metrics.csv, and no predictions.npz"
        raise UserError(f"'{run_dir}' has nothing to draw: {why}")
    return found


def prediction_plots(predictions: Mapping[str, Array], out: Path) -> list[Plot]:
    """The confusion matrices, the bars per class and, where there are pictures, samples."""
    _check(predictions)
    names = predictions["class_names"]
    counts = confusion_counts(predictions["y_true"], predictions["y_pred"], len(names))
    found: list[Plot] = [
        (out / "confusion_counts.png", lambda: confusion_matrix(counts, names)),
        (out / "confusion_normalised.png", lambda: confusion_matrix(counts, names, normalised=True)),
        (out / "per_class.png", lambda: per_class(counts, names)),
    ]
    images = predictions.get("images", np.empty(0))
    if len(images) and (images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (1, 3))):
        found.append((out / "samples.png", lambda: sample_wall(predictions)))
    return found


def save_all(plots: Sequence[Plot]) -> list[Path]:
    """Draw them and write their files; return the paths."""
    paths = []
    for path, draw in plots:
        path.parent.mkdir(parents=True, exist_ok=True)
        paths.append(style.save(draw(), path))
    return paths


def draw_predictions(predictions: Mapping[str, Array], out: Path) -> list[Path]:
    """Draw everything that predictions allow into the folder `out`; return the paths."""
    return save_all(prediction_plots(predictions, out))


def draw_run(run_dir: Path) -> list[Path]:
    """Draw all plots of a run directory; return their paths. Raises UserError as `plots` does."""
    return save_all(plots(run_dir))


def _check(predictions: Mapping[str, Array]) -> None:
    if missing := [k for k in ("y_true", "y_pred", "confidence", "class_names") if k not in predictions]:
        raise UserError(f"predictions lack {', '.join(missing)}")
    labels = [predictions["y_true"], predictions["y_pred"]]
    n, classes = len(labels[0]), len(predictions["class_names"])
    if any(a.shape != (n,) for a in [*labels, predictions["confidence"]]):
        raise UserError("predictions: y_true, y_pred and confidence must be vectors of one length")
    if n == 0:
        raise UserError("predictions: y_true is empty")
    if any(a.min() < 0 or a.max() >= classes for a in labels):
        raise UserError(f"predictions: class numbers must lie in 0..{classes - 1}, one name for each")
    rows, images = predictions.get("image_rows", np.empty(0)), predictions.get("images", np.empty(0))
    if rows.shape != images.shape[:1] or (len(rows) and (rows.min() < 0 or rows.max() >= n)):
        raise UserError(f"predictions: image_rows must name one row in 0..{n - 1} for every picture")


def _row_shares(counts: Array) -> Array:
    """Each row divided by its sum; the row of a class without samples stays zero."""
    shares: Array = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    return shares


def _as_rgb(images: Array) -> NDArray[np.uint8]:
    """(k, h, w), (k, h, w, 1) or (k, h, w, 3) of any range -> (k, h, w, 3) of bytes."""
    if images.dtype != np.uint8:
        values = np.nan_to_num(images.astype(np.float64))
        low, high = values.min(), values.max()
        images = ((values - low) * (255 / (high - low or 1.0))).astype(np.uint8)
    images = images if images.ndim == 4 else images[..., None]
    return np.broadcast_to(images, (*images.shape[:3], 3))


def _is_layer_norm(column: str) -> bool:
    return column.startswith("grad_norm_") and column[10:].isdecimal()


def _legend_outside(ax: Axes) -> None:
    """Right of the panel, where it can hide no line."""
    if ax.lines:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0}
        ax.legend(**place, fontsize=style.SMALL, frameon=False)


def _log_scale(ax: Axes) -> None:
    """A logarithmic y axis with plain numbers, at least two of them; linear if there is nothing positive."""
    heights = np.concatenate([np.asarray(line.get_ydata()) for line in ax.lines] or [np.empty(0)])
    heights = heights[(heights > 1e-100) & (heights < 1e100)]  # beyond, the arithmetic of the ticks overflows
    if not len(heights):
        return
    low, high = heights.min() / 1.3, heights.max() * 1.3
    middle = math.sqrt(low) * math.sqrt(high)
    low, high = min(low, middle / 3), max(high, middle * 3)
    ax.set_ylim(low, high)
    ax.set_yscale("log", nonpositive="mask")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
