"""What a study logs in Weights & Biases, as wandb's objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlp.base.files import plain
from mlp.base.naming import flat
from mlp.report import templates
from mlp.report.blocks import Chart, Confusion, Gallery, Histogram, Lines, Picture, Table
from mlp.report.build import HERE, Chapter
from mlp.report.statistics import MeanStd

if TYPE_CHECKING:
    from wandb import Run as WandbRun


@dataclass(frozen=True)
class PublishedStudy:
    """A study, and its run in W&B."""

    chapter: Chapter
    content: Mapping[str, Any]  # what the run has logged: wandb's objects by their keys
    run: WandbRun
    offline: bool


def content(chapter: Chapter, figures: Path) -> dict[str, Any]:
    """What the run of a study logs, as wandb's objects; its figures are read from `figures`."""
    import wandb

    page = templates.render(HERE / "chapter.html.j2", chapter=chapter)
    pictures = [block for block in chapter.blocks if isinstance(block, Picture)]
    tables = [block for block in chapter.blocks if isinstance(block, Table)]
    return {
        "text": wandb.Html(page, inject=False, data_is_not_path=True),
        **{figure_key(p): wandb.Image(str(figures / f"{p.name}.png"), caption=p.caption) for p in pictures},
        **{f"tables/{number}": wandb.Table(columns=list(table.header), data=[list(row) for row in table.rows])
           for number, table in enumerate(tables, 1)},
        **{chart_key(chart): wandb_chart(chart) for chart in chapter.charts},
    }  # fmt: skip


def figure_key(picture: Picture) -> str:
    return f"figures/{picture.name}"


def chart_key(chart: Chart) -> str:
    return f"charts/{chart.name}"


def wandb_chart(chart: Chart) -> Any:
    """A chart as an object of wandb."""
    import wandb

    match chart:
        case Lines():
            x, ys = np.asarray(chart.x, float), np.array([*chart.ys.values()], float)
            finite = np.isfinite(x) & np.isfinite(ys)  # a run that diverged has other points too
            return wandb.plot.line_series(
                xs=[x[shown].tolist() for shown in finite],
                ys=[y[shown].tolist() for y, shown in zip(ys, finite, strict=True)],
                keys=list(chart.ys),
                title=chart.name,
                xname=chart.xname,
            )
        case Histogram():
            return wandb.Histogram(np_histogram=(np.asarray(chart.counts), np.asarray(chart.edges)))
        case Confusion():
            return wandb.plot.confusion_matrix(
                y_true=np.asarray(chart.y_true).tolist(),
                preds=np.asarray(chart.y_pred).tolist(),
                class_names=[str(name) for name in chart.class_names],
                title=chart.name,
            )
        case Gallery():
            rows = [[wandb.Image(cell) if np.ndim(cell) >= 2 else plain(cell) for cell in row] for row in chart.rows]
            return wandb.Table(columns=list(chart.header), data=rows, allow_mixed_types=True)


def summary(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as a run's summary takes them: those within others as `outer/inner`, a MeanStd as its mean."""
    return {name: plain(_means(fact)) for name, fact in flat(facts, "/") if not isinstance(fact, Mapping)}


def _means(fact: Any) -> Any:
    if isinstance(fact, list | tuple):
        return [_means(item) for item in fact]
    if isinstance(fact, Mapping):
        return {name: _means(item) for name, item in fact.items()}
    return fact.mean if isinstance(fact, MeanStd) else fact
