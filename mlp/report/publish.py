"""The studies as runs of Weights & Biases: texts, figures, tables and charts. Online, a report there shows them."""

from __future__ import annotations

import importlib.util
import math
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlp.errors import UserError
from mlp.files import plain
from mlp.report import build, templates
from mlp.report.blocks import Chart, Confusion, Gallery, Histogram, Lines, Picture, Table
from mlp.report.build import Chapter
from mlp.report.statistics import MeanStd
from mlp.report.text import count
from mlp.tracking import session

if TYPE_CHECKING:
    from wandb import Run as WandbRun

TIMEOUT = 60.0  # seconds for the server: when a run starts, when its files are uploaded, and for the report


@dataclass(frozen=True)
class PublishedStudy:
    """A study, and its run in W&B."""

    chapter: Chapter
    content: Mapping[str, Any]  # what the run has logged: wandb's objects by their keys
    run: WandbRun
    offline: bool


def publish(names: Sequence[str], dataset: str, quick: bool, out: Path, project: str, entity: str | None) -> None:
    """All that `python -m mlp.report publish` does. Raises UserError where something could not be published."""
    studies = build.chosen(names)
    try:
        labels = {"project": session.project_name(project), "entity": entity}
        plan = session.plan("auto", TIMEOUT, out)
    except ValueError as error:
        raise UserError(" ".join(str(error).split())) from error
    if plan.mode == "disabled":
        raise UserError("W&B is switched off by WANDB_MODE or its settings; WANDB_MODE=online or offline publishes")
    build.check_writable(out)
    build.print_missing(studies, dataset, quick)
    made = build.chapters(studies, dataset, quick)
    build.draw(made, out)

    where = f"on {plan.settings.base_url}" if plan.mode == "online" else f"offline ({plan.reason})"
    print(f"W&B is {where}", flush=True)
    published: list[PublishedStudy] = []
    failed: list[str] = []
    for chapter in made:
        if chapter.analysis is None:
            continue
        try:
            one, after = send(chapter, out, plan, labels)
        except Exception as error:  # a study that W&B cannot take costs no other
            failed.append(chapter.study.name)
            print(f"{chapter.study.name} is left out: {session.one_line(error)}", file=sys.stderr)
            continue
        if after.reason != plan.reason:
            print(f"W&B is offline ({after.reason})", flush=True)
        plan = after
        published.append(one)
        print(f"  {chapter.study.name}: {counts(chapter)}", *([] if one.offline else [one.run.url]), flush=True)

    if any(one.offline for one in published):
        print(_how_to_upload(published))
    elif published:
        _write_document(published, build.introduction(made, dataset), dataset)
    if failed:
        raise UserError(f"not published: {', '.join(failed)}. See above")


def send(
    chapter: Chapter, out: Path, plan: session.Plan, labels: Mapping[str, Any]
) -> tuple[PublishedStudy, session.Plan]:
    """Log a study as a run whose files are below `out`/wandb; and how the next one is to start."""
    assert chapter.analysis is not None
    run, plan = session.start(
        plan,
        out,
        TIMEOUT,
        **labels,
        group="report",
        job_type="study",
        name=chapter.study.name,
        notes=chapter.study.question,
        tags=[chapter.found.dataset],
        config={
            "dataset": chapter.found.dataset,
            "command": chapter.command,
            "seeds": sorted({found.seed for found in chapter.found.runs}),
            "runs": len(chapter.found.runs),
            "quick": chapter.found.quick,
        },
    )
    exit_code = 1
    try:
        with session.staged_in(out):
            logged = content(chapter, out / "figures")
            run.log(logged)
        run.summary.update(flat(chapter.analysis.facts))
        exit_code = 0
    finally:
        session.finish(run, exit_code)
    return PublishedStudy(chapter, logged, run, plan.mode != "online"), plan


def content(chapter: Chapter, figures: Path) -> dict[str, Any]:
    """What the run of a study logs, as wandb's objects; its figures are read from `figures`."""
    import wandb

    assert chapter.analysis is not None
    page = templates.render(build.HERE / "chapter.html.j2", chapter=chapter)
    logged: dict[str, Any] = {"text": wandb.Html(page, inject=False, data_is_not_path=True)}
    tables = 0
    for block in chapter.blocks:
        if isinstance(block, Picture):
            logged[figure_key(block)] = wandb.Image(str(figures / f"{block.name}.png"), caption=block.caption)
        elif isinstance(block, Table):
            tables += 1
            logged[f"tables/{tables}"] = wandb.Table(columns=list(block.header), data=[list(r) for r in block.rows])
    for chart in chapter.analysis.charts:
        logged[chart_key(chart)] = drawn(chart)
    return logged


def figure_key(picture: Picture) -> str:
    return f"figures/{picture.name}"


def chart_key(chart: Chart) -> str:
    return f"charts/{chart.name}"


def drawn(chart: Chart) -> Any:
    """A chart as an object of wandb."""
    import wandb

    match chart:
        case Lines():
            points = [_finite(chart.x, y) for y in chart.ys.values()]
            return wandb.plot.line_series(
                xs=[[x for x, _ in line] for line in points],
                ys=[[y for _, y in line] for line in points],
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
            rows = [[_cell(cell) for cell in row] for row in chart.rows]
            return wandb.Table(columns=list(chart.header), data=rows, allow_mixed_types=True)


def _finite(xs: Iterable[float], ys: Iterable[float]) -> list[tuple[float, float]]:
    """The points that can be drawn: a run that diverged has others too."""
    points = [(float(x), float(y)) for x, y in zip(xs, ys, strict=False)]
    return [point for point in points if all(map(math.isfinite, point))]


def _cell(cell: Any) -> Any:
    """A cell of a gallery: an image, or a text or number as it is."""
    import wandb

    return wandb.Image(cell) if isinstance(cell, np.ndarray) and cell.ndim >= 2 else plain(cell)


def flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Facts as a run's summary takes them: those within others as `outer/inner`, a MeanStd as its mean."""
    found: dict[str, Any] = {}
    for name, fact in facts.items():
        key = f"{prefix}{name}"
        if isinstance(fact, Mapping):
            found |= flat(fact, f"{key}/")
        else:
            found[key] = plain(fact.mean if isinstance(fact, MeanStd) else fact)
    return found


def counts(chapter: Chapter) -> str:
    """`3 texts, 1 figure, 1 table, 2 charts, 8 numbers`"""
    assert chapter.analysis is not None
    numbers = {
        "text": sum(isinstance(block, str) for block in chapter.blocks),
        "figure": sum(isinstance(block, Picture) for block in chapter.blocks),
        "table": sum(isinstance(block, Table) for block in chapter.blocks),
        "chart": len(chapter.analysis.charts),
        "number": len(flat(chapter.analysis.facts)),
    }
    return ", ".join(count(number, thing) for thing, number in numbers.items() if number)


def _how_to_upload(published: Sequence[PublishedStudy]) -> str:
    folders = [str(session.files_of(one.run)) for one in published if one.offline]
    package = "" if _document_possible() else " (for that: pip install wandb-workspaces)"
    return (
        f"Not uploaded: {len(folders)} of {len(published)}. Online (wandb login; no WANDB_MODE=offline) the same "
        f"command uploads them and writes a report{package}. To upload these runs without a report:\n"
        f"wandb sync {shlex.join(folders)}"
    )


def _document_possible() -> bool:
    return importlib.util.find_spec("wandb_workspaces") is not None


def _write_document(published: Sequence[PublishedStudy], summary: str, dataset: str) -> None:
    if not _document_possible():
        print("The runs are uploaded. For a report that shows them: pip install wandb-workspaces, and once more.")
        return
    from mlp.report import document

    print(f"report: {document.write(published, summary, dataset, TIMEOUT)}")
