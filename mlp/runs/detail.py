"""One run in detail, and several beside each other."""

from __future__ import annotations

import itertools
import math
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from mlp.base import paths
from mlp.base.errors import UserError
from mlp.base.files import check_directory
from mlp.base.text import metric, shorten
from mlp.config.files import read_yaml
from mlp.config.user_classes import allow_flags, foreign
from mlp.report.read import RunFiles
from mlp.runs import listing, read
from mlp.runs.select import Row, shown

BLOCKS = "▁▂▃▄▅▆▇█"
#: The columns of metrics.csv that `show` draws, and on which scale.
CURVES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate", "grad_norm")
PARTS = ("val", "test", "train")
SCORES = ("accuracy", "f1", "precision", "recall", "loss")


def show(row: Row) -> str:
    """All about a run: state, scores, differences from the default, curves, files, and how to make it again."""
    directory = Path(row["path"])
    read.ended_row(directory, strict=True)
    run = RunFiles(directory)
    return "\n".join(
        [
            f"{listing.clean(row['name'])}: {_state(row, run)}",
            f"Directory: {listing.clean(str(directory))}",
            *_began(row),
            "",
            *_scores(row),
            "Differs from the default:" if row["changed"] else "Everything as the default has it.",
            *(f"  {key}={listing.clean(shown(value))}" for key, value in row["changed"].items()),
            "",
            *_curves(run),
            "Files:",
            *(f"  {name:28} {size}" for name, size in _files(directory)),
            "",
            *_again(row, run),
        ]
    )


def _state(row: Row, run: RunFiles) -> str:
    planned = row["config"].get("training.epochs", "?")
    after = f", {row['epoch']} epochs" if row["state"] == "completed" else f" after epoch {row['epoch']} of {planned}"
    reason = run.summary.get("reason")
    return f"{row['state']}{after}{f': {listing.clean(str(reason))}' if reason else ''}"


def _began(row: Row) -> Iterator[str]:
    took = f", {row['seconds']:.1f} s" if isinstance(row["seconds"], int | float) else ""
    yield f"Started: {listing.cell(row, 'started')} UTC{took}"
    if row["search"]:
        yield f"Search: {listing.clean(row['search'])}"


def _scores(row: Row) -> list[str]:
    """A table of the scores of the best epoch's weights."""
    there = [part for part in PARTS if any(f"{part}_{name}" in row for name in SCORES)]
    table = [[f"Epoch {row.get('best_epoch', '?')}", *there]]
    for name in SCORES:
        values = [row.get(f"{part}_{name}") for part in there]
        if any(value is not None for value in values):
            table.append([name, *("-" if value is None else metric(name, float(value)) for value in values)])
    return [*(f"{name:12}{''.join(f'{text:>10}' for text in cells)}" for name, *cells in table), ""]


def _curves(run: RunFiles) -> list[str]:
    """A line for each curve, as wide as the terminal leaves."""
    try:
        metrics = run.metrics
    except (OSError, UserError):
        return []
    width = min(60, max(10, (shutil.get_terminal_size().columns if sys.stdout.isatty() else 100) - 42))
    drawn = {name: metrics[name] for name in CURVES if name in metrics and len(metrics[name]) > 1}
    lines = [
        f"{name:15} {sparkline(list(values), width)}  {values[0]:.4g} to {values[-1]:.4g}"
        for name, values in drawn.items()
    ]
    return [*lines, ""] if lines else []


def sparkline(values: Sequence[float], width: int) -> str:
    """A curve of at most `width` block characters, from its least to its largest value; a gap where none is finite.

    >>> sparkline([0, 1, 2, 3, math.nan, 7], 10)
    '▁▂▃▄ █'
    """
    per = max(1, math.ceil(len(values) / width))
    groups = [[v for v in values[i : i + per] if math.isfinite(v)] for i in range(0, len(values), per)]
    means = [sum(group) / len(group) if group else math.nan for group in groups]
    finite = [mean for mean in means if math.isfinite(mean)]
    low, high = min(finite, default=0), max(finite, default=0)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0
    return "".join(BLOCKS[round((mean - low) * scale)] if math.isfinite(mean) else " " for mean in means)


def _files(directory: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(directory.iterdir()):
        if path.is_dir() and not path.is_symlink():
            sizes = [file.lstat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink()]
            yield f"{listing.clean(path.name)}/", f"{len(sizes):,} files, {decimal(sum(sizes))}"
        elif not path.name.startswith("."):
            yield listing.clean(path.name), decimal(path.lstat().st_size)


def again(run: RunFiles) -> str:
    """The command that makes a run again."""
    words = [str(word) for word in read_list(run.directory / "overrides.yaml")]
    return paths.command("train", *allow_flags(foreign(run.config)), *_config_dir(run), *words)


def _config_dir(run: RunFiles) -> list[str]:
    """The switch that names the user's folder of options, if the command of the run had one."""
    found = run.summary.get("environment")
    command = found.get("command") if isinstance(found, dict) else None
    try:
        words = shlex.split(str(command or ""))
    except ValueError:  # a quotation mark that nothing closes
        return []
    parts = [part for word in words for part in (word.split("=", 1) if word.startswith("-") else [word])]
    folders = [folder for switch, folder in itertools.pairwise(parts) if switch in ("--config-dir", "-cd")]
    return ["--config-dir", folders[-1]] if folders else []


def read_list(path: Path) -> list[Any]:
    """A YAML file that holds a list, such as overrides.yaml."""
    found = read_yaml(path) if path.exists() else []
    if not isinstance(found, list):
        raise UserError(f"{path} must be a list. Got {type(found).__name__}")
    return found


def _again(row: Row, run: RunFiles) -> Iterator[str]:
    yield f"Again: {listing.clean(again(run))}"
    if row["state"] in ("resumable", "interrupted", "failed"):
        words = [*allow_flags(foreign(run.config)), f"resume={row['path']}"]
        yield f"Continue: {listing.clean(paths.command('train', *words))}"
    if git := environment_of(run).get("git"):
        commit, changes, _ = str(git).partition("+")
        dirty = ", with changes that were not committed: the commit alone does not make it again" if changes else ""
        yield f"Source: commit {listing.clean(commit)}{dirty}"


def compare(rows: Sequence[Row]) -> str:
    """What differs between runs: configuration, scores, environment, data, weights."""
    runs = [RunFiles(Path(row["path"])) for row in rows]
    for run in runs:
        check_directory(run.directory, read.SEEN)
    sections = {
        "Configuration": [read.of_the_result(row["config"]) for row in rows],
        "Results": [_results(row) for row in rows],
        "Data and weights": [_hashes(run) for run in runs],
        "Environment": [environment_of(run) for run in runs],
    }
    names = [_letter(i) for i in range(len(rows))]
    lines = [f"{name} = {listing.clean(row['name'])}" for name, row in zip(names, rows, strict=True)]
    for title, values in sections.items():
        differing = _differing(values)
        same = len(set().union(*values)) - len(differing)
        lines += ["", f"{title}{f' ({same} alike)' if same else ''}{'' if differing else ': no difference'}"]
        lines += _aligned([["", *names], *differing]) if differing else []
    return "\n".join(lines)


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else str(number)


def _results(row: Row) -> dict[str, Any]:
    numbers = {key: value for key, value in row.items() if isinstance(value, int | float)}
    return {"state": row["state"], **numbers}


def environment_of(run: RunFiles) -> dict[str, Any]:
    """With what a run was made; its command says nothing that its configuration does not."""
    found = run.summary.get("environment")
    return {key: value for key, value in found.items() if key != "command"} if isinstance(found, dict) else {}


def _hashes(run: RunFiles) -> dict[str, str]:
    """The hash of each part of the data, and of the weights, as far as summary.json has them."""
    return {name: str(of)[:12] for name, of in data_hashes(run.summary).items()} | {
        "weights": str(run.summary.get("weights_sha256"))[:12]
    }


def data_hashes(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The hash of each part of the data: `data, train`."""
    found = facts.get("data_sha256")
    return {f"data, {part}": of for part, of in found.items()} if isinstance(found, dict) else {}


def _differing(values: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    keys = dict.fromkeys(key for each in values for key in each)
    table = []
    for key in keys:
        texts = [shown(each[key]) if key in each else "-" for each in values]
        if len(set(texts)) > 1:
            rounded = [
                metric(key, each[key]) if isinstance(each.get(key), float) else text
                for each, text in zip(values, texts, strict=True)
            ]
            alike = len(set(rounded)) < len(set(texts))  # then it takes all digits to tell them apart
            table.append([listing.clean(key), *map(listing.clean, texts if alike else rounded)])
    return table


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Columns of cells; on a terminal cut so that a line fits."""
    columns = len(table[0]) - 1
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    first = max(len(line[0]) for line in table)
    most = max(10, (width - first - 2) // columns - 2) if width else 60
    cells = [[shorten(cell, most) for cell in line[1:]] for line in table]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        f"  {line[0]:{first}}  {'  '.join(f'{cell:{w}}' for cell, w in zip(row, widths, strict=True))}".rstrip()
        for line, row in zip(table, cells, strict=True)
    ]


def plot(rows: Sequence[Row], path: Path) -> Path:
    """Loss and accuracy of several runs over the epochs, in one picture. Raises UserError for a run without any."""
    from mlp.report import style  # matplotlib: not for the other commands
    from mlp.report.figures.panels import integer_axis, percent_axis

    colors = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY, style.BLACK)
    figure = style.new_figure(13, 5.2)
    loss, accuracy = figure.subplots(1, 2)
    style.tidy(loss, "Loss", "epoch", "mean loss per sample")
    style.tidy(accuracy, "Accuracy", "epoch", "share of samples (%)")
    percent_axis(accuracy)
    for number, row in enumerate(rows):
        if not row["epoch"]:
            raise UserError(f"{row['name']} has no finished epoch to draw")
        metrics = RunFiles(Path(row["path"])).metrics
        named = "val_loss" if "val_loss" in metrics else "train_loss"  # the line that the legend shows
        for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
            for part, look in (("train", ":"), ("val", "-")):
                if (values := metrics.get(column := f"{part}_{name}")) is not None:
                    label = f"{_letter(number)}: {row['name']}" if column == named else None
                    axes.plot(metrics["epoch"], values, look, color=colors[number % len(colors)], label=label,
                              marker="o" if len(values) == 1 else "")  # fmt: skip
    for axes in (loss, accuracy):
        integer_axis(axes)
    for text in loss.legend(fontsize=style.SMALL).get_texts():
        text.set_parse_math(False)
    figure.suptitle("Validation: lines; training: dots", x=0.065, ha="left", fontsize=style.TITLE)
    path.parent.mkdir(parents=True, exist_ok=True)
    return style.save(figure, path)
