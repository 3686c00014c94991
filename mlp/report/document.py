"""The report document in Weights & Biases: the texts of the studies, and panels with what their runs have logged.

It needs the package wandb-workspaces (the extra `report`), and a login.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mlp.errors import UserError
from mlp.report.blocks import Chart, Confusion, Gallery, Lines, Picture, markdown
from mlp.report.build import TITLE
from mlp.report.wandb_content import PublishedStudy, chart_key, figure_key
from mlp.tracking import session

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import Report

COLUMNS = 24  # that a panel as wide as the page takes


def document(published: Sequence[PublishedStudy], summary: str, dataset: str) -> Report:
    """A report, not saved yet, in the project of the runs."""
    import wandb_workspaces.reports.v2 as wr

    blocks: list[Any] = [wr.TableOfContents(), wr.MarkdownBlock(text=summary)]
    for number, one in enumerate(published, 1):
        blocks += [wr.H1(text=f"{number}. {one.chapter.study.title}"), *_chapter(one)]
    run = published[0].run
    return wr.Report(
        project=run.project, entity=run.entity, title=f"{TITLE} on {dataset}", blocks=blocks, width="fixed"
    )


def write(published: Sequence[PublishedStudy], summary: str, dataset: str, timeout: float) -> str:
    """Write the report; return its address. Raises UserError where W&B refuses it, or is silent for `timeout` s."""
    answer = {"problem": f"no answer within {timeout:g} s"}

    def work() -> None:
        try:
            answer.update(problem="", url=document(published, summary, dataset).save().url)
        except Exception as error:
            answer["problem"] = session.one_line(error)

    session.within(timeout, work)
    if answer["problem"]:
        raise UserError(f"the runs are uploaded, but their report was not written: {answer['problem']}")
    return answer["url"]


def _chapter(one: PublishedStudy) -> Iterator[Any]:
    import wandb_workspaces.reports.v2 as wr

    chapter, analysis = one.chapter, one.chapter.analysis
    assert analysis is not None
    yield wr.MarkdownBlock(text=f"*{chapter.study.question}*")
    yield wr.MarkdownBlock(text=f"```\n{chapter.command}\n```")
    for block in chapter.blocks:
        if isinstance(block, Picture):
            yield _grid(one, [_figure(one, block)])
            yield wr.MarkdownBlock(text=block.caption)
        else:
            yield wr.MarkdownBlock(text=markdown(block))
    panels = [panel for chart in analysis.charts if (panel := _panel(one, chart)) is not None]
    if panels:
        yield _grid(one, panels)
    yield wr.MarkdownBlock(text=f"{chapter.provenance}\n\nAll that was logged: [the run]({one.run.url})")


def _grid(one: PublishedStudy, panels: list[Any]) -> Any:
    """Panels that read this run and no other."""
    import wandb_workspaces.reports.v2 as wr

    runs = wr.Runset(
        entity=one.run.entity,
        project=one.run.project,
        name=one.chapter.study.name,
        filters=f"Metric('ID') in ['{one.run.id}']",
    )
    return wr.PanelGrid(runsets=[runs], hide_run_sets=True, panels=panels)


def _figure(one: PublishedStudy, picture: Picture) -> Any:
    import wandb_workspaces.reports.v2 as wr

    width, height = one.content[figure_key(picture)].image.size
    rows = round(COLUMNS * height / width) + 2  # two for the panel's own frame
    place = wr.Layout(w=COLUMNS, h=rows)
    return wr.MediaBrowser(media_keys=[figure_key(picture)], num_columns=1, layout=place)


def _panel(one: PublishedStudy, chart: Chart) -> Any:
    """The panel of a chart; None for a histogram, which reports have no panel for."""
    import wandb_workspaces.reports.v2 as wr

    half = wr.Layout(w=COLUMNS // 2, h=8)
    match chart:
        case Lines() | Confusion():
            spec = one.content[chart_key(chart)].spec
            return wr.CustomChart(
                query={"summaryTable": {"tableKey": spec.table_key}},
                chart_name=spec.spec_name,
                chart_fields=spec.fields,
                chart_strings=spec.string_fields,
                layout=half,
            )
        case Gallery():
            return wr.WeavePanelSummaryTable(table_name=chart_key(chart), layout=wr.Layout(w=COLUMNS, h=12))
    return None
