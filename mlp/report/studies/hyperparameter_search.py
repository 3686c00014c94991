"""The search of a hundred runs."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mlp.report import style
from mlp.report.axes import Axis, axes
from mlp.report.blocks import Analysis, Block, Lines, Picture, Table
from mlp.report.figures.parallel import parallel_coordinates
from mlp.report.importance import Importances, permutation_importance
from mlp.report.studies.study import Study, StudyRuns
from mlp.report.text import listed
from mlp.report.trials import SearchFiles, Trial, read_search, short_name

ENOUGH = 20  # trials, below which an importance would be chance
FEW = 5  # trials, below which a median is not told
BEST, SHOWN = 10, 5  # the best trials that are described together, and those that are listed
SAMPLERS = {
    "tpe": "the tree-structured Parzen estimator (TPE)",
    "random": "independent draws",
    "quasi_random": "a quasi-random sequence",
    "grid": "a grid",
}


class HyperparameterSearch(Study):
    name = "hyperparameter_search"
    title = "Hyper-parameter search"
    question = "Which hyper-parameters matter, and which configuration is the best?"
    seconds = 300
    references = (
        "J. Bergstra, R. Bardenet, Y. Bengio, B. Kégl: Algorithms for Hyper-Parameter Optimization, NIPS 2011",
        "L. Breiman: Random Forests, Machine Learning 45, 2001",
        "G. Cawley, N. Talbot: On Over-fitting in Model Selection and Subsequent Selection Bias in Performance "
        "Evaluation, Journal of Machine Learning Research 11, 2010",
        "J. Bergstra, Y. Bengio: Random Search for Hyper-Parameter Optimization, Journal of Machine Learning "
        "Research 13, 2012",
        "I. Goodfellow, Y. Bengio, A. Courville: Deep Learning, 2016, section 11.4.1",
    )
    quick = ("search.trials=8", "training.epochs=1")

    def analyse(self, found: StudyRuns) -> Analysis:
        found.with_files()
        search = read_search(found.directory)
        ranked = search.ranked
        if not ranked:
            return Analysis([f"{_tried(search)} None ran to its end: there is no best configuration yet."], {})
        validation = len(found.data.split(np.random.default_rng(0))[1])
        best, score = ranked[0], ranked[0].scores["val_accuracy"]
        error = math.sqrt(max(score * (1 - score), 0.0) / validation) if validation else 0.0
        top = ranked[: min(BEST, max(1, len(ranked) // 2))]
        early, at, target = _early(search)
        found_ = (
            permutation_importance(search, early, target) if len(early) >= ENOUGH and np.ptp(target) > 0 else None
        )
        history = _history(search)
        scores = {"val_accuracy": [value for _, value in history]}
        blocks: list[Block] = [
            _verdict(best, search),
            _chance(ranked, top, error, validation),
            Table(
                ["place", "trial", "validation", "test", "what was chosen"],
                [
                    [str(i), str(t.number), percent(t.scores["val_accuracy"]), percent(t.scores.get("test_accuracy")),
                     t.point]
                    for i, t in enumerate(ranked[:SHOWN], 1)
                ],
                f"The {'best' if len(ranked) == 1 else f'{min(SHOWN, len(ranked))} best'} of "
                f"{len(ranked)} completed runs.",
            ),
            Picture(
                "search_parallel",
                lambda: parallel_coordinates(
                    axes(search.parameters, ranked), [(t.number, t.scores["val_accuracy"]) for t in ranked],
                    0.5 / max(validation, 1)),
                f"Parallel coordinates: each line is one of the {len(ranked)} runs that were trained to their end, "
                "the darker the better, the orange one the best. Lines of one choice fan out a little; a "
                "hyper-parameter that a run does not have is at the bottom. The last axis is logarithmic in the "
                "error, so that the good runs are told apart.",
            ),
        ]  # fmt: skip
        if len(top) > 1:
            blocks += [_common(search, top), _common_table(search, top, found_)]
        if found_ is None:
            blocks.append(
                f"**What mattered** is not computed from {count(len(early), 'trial')}: it takes at least {ENOUGH}, "
                "and not all of the same accuracy."
            )
        else:
            blocks += [_importance_text(found_, search, early, at), _importance_picture(found_, at)]
        blocks += [
            Picture(
                "search_history",
                lambda: _history_figure(search, 0.5 / max(validation, 1)),
                "Validation error of every trial in the order in which they began, and the lowest so far among those "
                "that were trained to their end. A pruned trial is shown with the error of its best epoch.",
            ),
            _limits(search, ranked, history, error),
        ]
        return Analysis(
            blocks=blocks,
            facts={
                "best_trial": best.number,
                "best_val_accuracy": score,
                "best_test_accuracy": best.scores.get("test_accuracy"),
                **{state: len(search.of(state)) for state in ("done", "pruned", "failed")},
                **({f"importance/{key}": share.increase for key, share in found_.by_key.items()} if found_ else {}),
            },
            charts=[Lines("best_so_far", [number for number, _ in history], scores, "trial")],
        )


# Texts


def percent(score: float | None) -> str:
    return "-" if score is None else f"{100 * score:.2f} %"


def count(number: int, noun: str) -> str:
    """`1 trial`, `2 trials`"""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _tried(search: SearchFiles) -> str:
    """How many points were tried, and how they ended."""
    total, done, pruned, failed, running = len(search.trials), *(len(search.of(s)) for s in
                                                                 ("done", "pruned", "failed", "running"))  # fmt: skip
    ends = [f"{done} ran to {'its' if done == 1 else 'their'} end"]
    if pruned or search.pruner != "none":
        were = "were" if pruned > 1 else "was"
        ends.append(f"{pruned or 'none'} {were} stopped early as worse than others had been then "
                    f"(pruning rule: {search.pruner.replace('_', ' ')})")  # fmt: skip
    ends.append(f"{failed or 'none'} failed")
    if running:
        ends.append(f"{running} had not ended")
    text = f"{SAMPLERS.get(search.sampler, search.sampler)} chose {count(total, 'point')}: {listed(ends)}."
    text = text[0].upper() + text[1:]
    reasons = Counter(trial.reason for trial in search.of("failed"))
    return text + "".join(f" {n} failed with: {reason or 'no reason recorded'}." for reason, n in reasons.items())


def _verdict(best: Trial, search: SearchFiles) -> str:
    test = best.scores.get("test_accuracy")
    scores = f"{percent(best.scores['val_accuracy'])} validation accuracy"
    scores += f" and {percent(test)} test accuracy" if test is not None else "; its test accuracy was not measured"
    return f"**The best configuration** is that of trial {best.number}, with {scores}: {best.point}. {_tried(search)}"


def _chance(ranked: Sequence[Trial], top: Sequence[Trial], error: float, validation: int) -> str:
    """What the lead of the best is worth."""
    best = ranked[0].scores["val_accuracy"]
    near = sum(best - trial.scores["val_accuracy"] <= 2 * error for trial in ranked)
    text = f"On {validation:,} validation images an accuracy of {percent(best)} has a standard error of "
    text += f"{100 * error:.2f} points. "
    if near == 1:
        text += "No other completed run comes within two of them. "
    else:
        text += (
            f"{near} of the {len(ranked)} completed runs, the best among them, lie within two of them: which of "
            "these is the best is not settled by this search. "
        )
    gaps = [t.scores["val_accuracy"] - t.scores["test_accuracy"] for t in top if "test_accuracy" in t.scores]
    if gaps:
        mean = statistics.fmean(gaps)
        whom = "the best" if len(gaps) == 1 else f"the {len(gaps)} best, on average,"
        text += (
            f"The highest of many noisy scores flatters its run (Cawley & Talbot 2010), so the test accuracy, which "
            f"chose nothing, is the one to quote: for {whom} it is {100 * abs(mean):.2f} points "
            f"{'lower' if mean > 0 else 'higher'} than the validation accuracy."
        )
    return text.rstrip()


def _common(search: SearchFiles, top: Sequence[Trial]) -> str:
    """What nearly all of the best share, beside how common it is among all trials."""
    every = axes(search.parameters, search.trials)
    chosen, ranges = [], []
    for column in every:
        values = [column.values[t.number] for t in top if t.number in column.values]
        if len(values) < len(top):
            continue
        if column.choices:
            value, count = Counter(values).most_common(1)[0]
            whole = sum(v == value for v in column.values.values())
            if count >= 0.9 * len(top) and len(column.choices) > 1:
                chosen.append(f"{column.name} {column.text(value)} ({count} of {len(top)}; of all trials {whole} of "
                              f"{len(search.trials)})")  # fmt: skip
        elif column.place(max(values)) - column.place(min(values)) < 0.5:
            ranges.append(f"{column.name} {column.text(min(values))} to {column.text(max(values))} (all trials: "
                          f"{column.text(min(column.values.values()))} to "
                          f"{column.text(max(column.values.values()))})")  # fmt: skip
    text = f"**What the {len(top)} best have in common.** "
    if not chosen and not ranges:
        return text + "Nothing: their choices differ, and their numbers are spread over the range of all trials."
    if chosen:
        text += f"Nearly all made the same choice of {listed(chosen)}. "
    if ranges:
        text += f"Their numbers lie close together in {listed(ranges)}."
    return text.rstrip()


def _common_table(search: SearchFiles, top: Sequence[Trial], found: Importances | None) -> Table:
    numbers = {trial.number for trial in top}
    rows = []
    for column in axes(search.parameters, search.trials):
        share = found.by_key.get(column.key) if found else None
        rows.append([
            column.name,
            _summary(column, [v for n, v in column.values.items() if n in numbers], len(top)),
            _summary(column, list(column.values.values()), len(search.trials)),
            *([] if found is None else ["-" if share is None else _rise(share.increase, share.error)]),
        ])  # fmt: skip
    header = ["hyper-parameter", f"the {len(top)} best", f"all {len(search.trials)} trials"]
    return Table(
        [*header, *(["importance (points)"] if found else [])],
        rows,
        "Choices with how often they were made in parentheses; of numbers the median, with the lowest and highest.",
    )


def _summary(column: Axis, values: Sequence[float], total: int) -> str:
    if not values:
        return "-"
    missing = f", in {len(values)} of {total}" if len(values) < total else ""
    if column.choices:
        return ", ".join(f"{column.text(v)} ({n})" for v, n in Counter(values).most_common()) + missing
    if min(values) == max(values):
        return f"{values[0]:.3g}{missing}"
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g}){missing}"


def _rise(rise: float, error: float) -> str:
    return f"{100 * rise:.2f} ± {100 * error:.2f}" if math.isfinite(error) else f"{100 * rise:.2f}"


def _importance_text(found: Importances, search: SearchFiles, early: Sequence[Trial], at: int) -> str:
    text = (
        f"**What mattered.** A random forest (Breiman 2001) forecasts the validation accuracy after epoch {at}, the "
        f"last that all {len(early)} trials have reached, so that pruned ones count too. On trials that it was not "
        f"fitted to it is wrong by {100 * found.forecast_error:.1f} points on average; the median would be by "
        f"{100 * found.median_error:.1f}. "
    )
    if found.forecast_error >= found.median_error:
        return text + "The forecast is no better than that: this search does not tell what matters."
    told = {key: share for key, share in found.by_key.items() if share.is_significant and share.trials >= ENOUGH}
    if not told:
        return text + "No single hyper-parameter changes it by more than twice its standard error."
    rises = [f"{key.rpartition('.')[2]} ({_rise(share.increase, share.error)} points)" for key, share in told.items()]
    text += (
        "The importance of a hyper-parameter is by how much the error grows when the forest is told the value of "
        f"another trial. It is more than twice its standard error for {listed(rises)}. "
    )
    if "optimizer" in found.by_key:
        text += (
            "An optimizer takes its learning rate and coefficients along; these alone are exchanged among trials "
            "with the same optimizer. "
        )
    common = {key: max(share.increase, 0.0) for key, share in found.by_key.items() if share.trials >= ENOUGH}
    if len(common) > 3:
        part = sum(list(common.values())[:3]) / sum(common.values())
        text += (
            f"Of the {len(common)} that at least {ENOUGH} trials have, the first three make up {100 * part:.0f} % "
        )
        text += "of the sum"
        text += ": few hyper-parameters matter on one data set (Bergstra & Bengio 2012). " if part > 2 / 3 else ". "
    for key in list(told)[:2]:
        text += _medians(search, early, key, at)
    if "optimizer.learning_rate" in common:
        place = list(common).index("optimizer.learning_rate") + 1
        text += (
            "Goodfellow et al. (2016) would tune the learning rate if they could tune only one; here it comes in "
            f"place {place} of {len(common)}, within the range that the space gives each optimizer. "
        )
    return text.rstrip()


def _medians(search: SearchFiles, early: Sequence[Trial], key: str, at: int) -> str:
    """The middle accuracy for each choice of `key`."""
    column = next(c for c in axes(search.parameters, early) if c.key == key)
    scores = {t.number: float(t.run.metrics["val_accuracy"][at - 1]) for t in early}
    parts = []
    for place, choice in enumerate(column.choices):
        own = [scores[n] for n, value in column.values.items() if value == place]
        if len(own) >= FEW:
            parts.append((statistics.median(own), f"{choice} {100 * statistics.median(own):.1f} % ({len(own)})"))
    if len(parts) < 2:
        return ""
    words = ", ".join(text for _, text in sorted(parts, reverse=True))
    return f"Median accuracy after epoch {at} by {column.name}, where at least {FEW} trials have it: {words}. "


def _limits(search: SearchFiles, ranked: Sequence[Trial], history: Sequence[tuple[int, float]], error: float) -> str:
    """When the best was found, and what the search does not show."""
    best = ranked[0].scores["val_accuracy"]
    near = next(number for number, score in history if best - score <= error)
    text = f"**What it does not show.** The best run was trial {ranked[0].number}"
    text += f"; one within a standard error of it was there with trial {near}. " if near < ranked[0].number else ". "
    if search.sampler == "tpe":
        text += "TPE draws where earlier results were good (Bergstra et al. 2011), so the trials are no even sample. "
    counts = Counter(t.varied["optimizer"] for t in search.trials if "optimizer" in t.varied)
    if len(counts) > 1:
        bests: dict[str, float] = {}
        for trial in ranked:
            bests.setdefault(trial.varied["optimizer"], trial.scores["val_accuracy"])
        parts = [
            f"{name} in {count(n, 'trial')} (best {percent(bests[name])})" if name in bests
            else f"{name} in {count(n, 'trial')} (none ran to its end)"
            for name, n in counts.most_common()
        ]  # fmt: skip
        text += (
            f"It used {listed(parts)}. An optimizer with few trials was given few chances, so this is no ranking of "
            "optimizers. "
        )
    text += "Every point was trained with one seed, and importances are associations among these trials, not effects."
    return text


# Numbers


def _early(search: SearchFiles) -> tuple[list[Trial], int, Any]:
    """The trials that ran, the last epoch that all of them have reached, and their validation accuracies then."""
    trials = [t for t in search.of("done", "pruned") if (t.run.directory / "metrics.csv").is_file()]
    trials = [t for t in trials if len(t.run.metrics.get("val_accuracy", ()))]
    at = min((len(t.run.metrics["epoch"]) for t in trials), default=0)
    values = np.array([t.run.metrics["val_accuracy"][at - 1] for t in trials])
    keep = np.isfinite(values)
    return [t for t, k in zip(trials, keep, strict=True) if k], at, values[keep]


def _history(search: SearchFiles) -> list[tuple[int, float]]:
    """The completed trials in their order, each with the best validation accuracy so far."""
    made: list[tuple[int, float]] = []
    for trial in search.of("done"):
        if "val_accuracy" in trial.scores:
            score = trial.scores["val_accuracy"]
            made.append((trial.number, max(score, made[-1][1]) if made else score))
    return made


# Figures


def _importance_picture(found: Importances, at: int) -> Picture:
    pale = any(share.trials < ENOUGH for share in found.by_key.values())
    return Picture(
        "search_importance",
        lambda: _bars(found),
        f"Importance: growth of the error of the forecast (validation accuracy after epoch {at}) when one "
        "hyper-parameter is told wrongly; whiskers are two standard errors over the trials."
        + (f" Pale bars: fewer than {ENOUGH} trials have the hyper-parameter." if pale else ""),
    )


def _bars(found: Importances) -> Figure:
    names = [short_name(key) for key in found.by_key]
    margin = style.text_width(names, style.LABEL) + 0.35
    width, tall = 8.0, 0.9 + 0.3 * len(names)
    figure = style.new_figure(width, tall)
    ax = figure.add_axes((margin / width, 0.6 / tall, 0.97 - margin / width, 1 - 0.7 / tall))
    style.tidy(ax, "", "growth of the error (points of accuracy)", "")
    for place, share in enumerate(found.by_key.values()):
        whisker = 200 * share.error if math.isfinite(share.error) else 0
        ax.barh(place, 100 * share.increase, xerr=whisker, color=style.BLUE if share.trials >= ENOUGH else "#B5D2E6",
                error_kw={"ecolor": style.BLACK, "capsize": 3, "elinewidth": 1})  # fmt: skip
    ax.axvline(0, color=style.BLACK, linewidth=0.8)
    ax.set_yticks(range(len(names)), names, fontsize=style.LABEL)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    return figure


def _history_figure(search: SearchFiles, least: float) -> Figure:
    figure = style.new_figure(9, 4)
    ax = figure.add_axes((0.08, 0.13, 0.9, 0.84))
    style.tidy(ax, "", "trial", "validation error (%, log scale)")
    for state, label, marker, color in (
        ("done", "trained to the end", "o", style.BLUE),
        ("pruned", "pruned", "x", style.ORANGE),
    ):
        own = [t for t in search.of(state) if "val_accuracy" in t.scores]
        errors = [100 * max(1 - t.scores["val_accuracy"], least) for t in own]
        if own:
            ax.plot([t.number for t in own], errors, marker, color=color, label=label, markersize=5)
    history = _history(search)
    lowest = [100 * max(1 - score, least) for _, score in history]
    ax.step([n for n, _ in history], lowest, where="post", color=style.BLACK, label="lowest so far")
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.legend(fontsize=style.SMALL)
    return figure
