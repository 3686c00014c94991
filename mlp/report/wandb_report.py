"""The report document in Weights & Biases: the texts of the studies, and panels with what their runs have logged.

It needs the package wandb-workspaces (the extra `report`), and a login.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import wandb_workspaces.reports.v2 as wr

from mlp.base.errors import UserError
from mlp.base.text import option_name
from mlp.report.blocks import Chart, Fold, Gallery, Histogram, Picture, markdown
from mlp.report.build import TITLE
from mlp.report.templates import quoted
from mlp.report.wandb_content import PublishedStudy, chart_key, figure_key
from mlp.tracking import wandb_session

COLUMNS = 24  # that a panel as wide as the page takes


def document(published: Sequence[PublishedStudy], summary: str, dataset: str) -> wr.Report:
    """A report, not saved yet, in the project of the runs."""
    blocks: list[Any] = [wr.TableOfContents(), wr.MarkdownBlock(text=summary)]
    for one in published:
        blocks += [wr.H1(text=one.chapter.study.title), *_chapter(one)]
    run = published[0].run
    return wr.Report(
        project=run.project,
        entity=run.entity,
        title=f"{TITLE} on {option_name(dataset)}",
        blocks=blocks,
        width="fixed",
    )


def save_report(published: Sequence[PublishedStudy], summary: str, dataset: str, timeout: float) -> str:
    """Write the report; return its address. Raises UserError where W&B refuses it, or is silent for `timeout` s."""
    answer = {"problem": f"no answer within {timeout:g} s"}

    def work() -> None:
        try:
            answer.update(problem="", url=document(published, summary, dataset).save().url)
        except Exception as error:
            answer["problem"] = wandb_session.one_line(error)

    wandb_session.within(timeout, work)
    if answer["problem"]:
        raise UserError(f"the runs are uploaded, but their report was not written: {answer['problem']}")
    return answer["url"]


def _chapter(one: PublishedStudy) -> Iterator[Any]:
    chapter, study = one.chapter, one.chapter.study
    # Panels read this run and no other.
    of_run = {"entity": one.run.entity, "project": one.run.project, "filters": f"Metric('ID') in ['{one.run.id}']"}
    runs: dict[str, Any] = {"runsets": [wr.Runset(name=study.name, **of_run)], "hide_run_sets": True}
    yield wr.MarkdownBlock(text=f"{quoted(study.question)}\n\n{chapter.setup}")
    for block in chapter.blocks:
        if isinstance(block, Picture):
            yield wr.PanelGrid(panels=[_figure(one, block)], **runs)
            yield wr.MarkdownBlock(text=block.caption)
        elif isinstance(block, Fold):
            if block.title:
                yield wr.H3(text=block.title)
        else:
            yield wr.MarkdownBlock(text=markdown(block))
    # Reports have no panel for a histogram.
    panels = [_panel(one, chart) for chart in chapter.charts if not isinstance(chart, Histogram)]
    if panels:
        yield wr.PanelGrid(panels=panels, **runs)
    yield wr.MarkdownBlock(
        text=f"```\n{chapter.command}\n```\n\n{chapter.provenance}\n\nAll that was logged: [the run]({one.run.url})"
    )


def _figure(one: PublishedStudy, picture: Picture) -> wr.MediaBrowser:
    width, height = one.content[figure_key(picture)].image.size
    rows = round(COLUMNS * height / width) + 2  # two for the panel's own frame
    place = wr.Layout(w=COLUMNS, h=rows)
    return wr.MediaBrowser(media_keys=[figure_key(picture)], num_columns=1, layout=place)


def _panel(one: PublishedStudy, chart: Chart) -> Any:
    if isinstance(chart, Gallery):
        return wr.WeavePanelSummaryTable(table_name=chart_key(chart), layout=wr.Layout(w=COLUMNS, h=12))
    spec = one.content[chart_key(chart)].spec
    return wr.CustomChart(
        query={"summaryTable": {"tableKey": spec.table_key}},
        chart_name=spec.spec_name,
        chart_fields=spec.fields,
        chart_strings=spec.string_fields,
        layout=wr.Layout(w=COLUMNS // 2, h=8),
    )
