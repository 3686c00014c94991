"""The studies as runs of Weights & Biases: texts, figures, tables and charts. Online, a report there shows them."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlp.base.errors import UserError
from mlp.base.files import write_text
from mlp.base.text import count
from mlp.report import build
from mlp.report.blocks import Picture, Table
from mlp.report.build import Chapter
from mlp.report.wandb_content import PublishedStudy, content, summary
from mlp.tracking import wandb_session

TIMEOUT = 60.0  # seconds for the server: when a run starts, when its files are uploaded, and for the report


def publish(names: Sequence[str], dataset: str, quick: bool, out: Path, project: str, entity: str | None) -> None:
    """All that `python -m mlp.report publish` does. Raises UserError where something could not be published."""
    studies = build.chosen(names)
    try:
        labels = {"project": wandb_session.project_name(project), "entity": entity}
        plan = wandb_session.plan("auto", TIMEOUT, out)
    except ValueError as error:
        raise UserError(" ".join(str(error).split())) from error
    except Exception as error:  # a process of wandb that does not start
        raise UserError(f"W&B cannot be used: {wandb_session.one_line(error)}") from error
    if plan.mode == "disabled":
        raise UserError("W&B is switched off by WANDB_MODE or its settings; WANDB_MODE=online or offline publishes")
    build.check_writable(out)
    build.print_missing(studies, dataset, quick)
    made = build.chapters(studies, dataset, quick)
    build.write(made, dataset, out)

    where = f"on {plan.settings.base_url}" if plan.mode == "online" else f"offline ({plan.reason})"
    print(f"W&B is {where}", flush=True)
    published: list[PublishedStudy] = []
    failed: list[str] = []
    for chapter in made:
        if chapter.analysis is None:
            continue
        try:
            one, after = log_study(chapter, out, plan, labels)
        except Exception as error:  # a study that W&B cannot take costs no other
            failed.append(chapter.study.name)
            print(f"{chapter.study.name} is left out: {wandb_session.one_line(error)}", file=sys.stderr)
            continue
        if after.reason != plan.reason:
            print(f"W&B is offline ({after.reason})", flush=True)
        plan = after
        published.append(one)
        print(f"  {chapter.study.name}: {counted(chapter)}", *([] if one.offline else [one.run.url]), flush=True)

    print(f"The text to paste into a report by hand: {out / 'wandb.md'}")
    with_document = importlib.util.find_spec("wandb_workspaces") is not None
    if any(one.offline for one in published):
        print(_how_to_upload(published, with_document))
    elif published and with_document:
        from mlp.report import wandb_report

        link = wandb_report.save_report(published, build.introduction(made, dataset), dataset, TIMEOUT)
        write_text(out / build.LINK, f"{link}\n")
        build.write(made, dataset, out)  # once more, with the link
        print(f"Who may read the report is set in W&B: its Share button, or the project's privacy\nreport: {link}")
    elif published:
        print("The runs are uploaded. For a report that shows them: pip install wandb-workspaces, then publish again")
    if failed:
        raise UserError(f"not published: {', '.join(failed)}. See above")


def log_study(
    chapter: Chapter, out: Path, plan: wandb_session.Plan, labels: Mapping[str, Any]
) -> tuple[PublishedStudy, wandb_session.Plan]:
    """Log a study as a run whose files are below `out`/wandb; and how the next one is to start."""
    found = chapter.found
    config = {
        "dataset": found.dataset,
        "command": chapter.command,
        "seeds": sorted({run.seed for run in found.runs}),
        "runs": len(found.runs),
        "quick": found.quick,
    }
    about: dict[str, Any] = {
        "name": chapter.study.name,
        "notes": chapter.study.question,
        "tags": [found.dataset],
        "config": config,
    }
    run, plan = wandb_session.start(plan, out, TIMEOUT, **labels, **about, group="report", job_type="study")
    exit_code = 1
    try:
        with wandb_session.staged_in(out):
            logged = content(chapter, out / "figures")
            run.log(logged)
        run.summary.update(summary(chapter.facts))
        exit_code = 0
    finally:
        wandb_session.finish(run, exit_code)
    return PublishedStudy(chapter, logged, run, plan.mode != "online"), plan


def counted(chapter: Chapter) -> str:
    """`3 texts, 1 figure, 1 table, 2 charts, 8 numbers`"""
    numbers = {
        "text": sum(isinstance(block, str) for block in chapter.blocks),
        "figure": sum(isinstance(block, Picture) for block in chapter.blocks),
        "table": sum(isinstance(block, Table) for block in chapter.blocks),
        "chart": len(chapter.charts),
        "number": len(summary(chapter.facts)),
    }
    return ", ".join(count(number, thing) for thing, number in numbers.items() if number)


def _how_to_upload(published: Sequence[PublishedStudy], with_document: bool) -> str:
    folders = [str(wandb_session.files_of(one.run)) for one in published if one.offline]
    package = "" if with_document else " (for that: pip install wandb-workspaces)"
    return (
        f"Not uploaded: {len(folders)} of {len(published)}. Online (wandb login; no WANDB_MODE=offline) the same "
        f"command uploads them and writes a report{package}. To upload these runs without a report:\n"
        f"wandb sync {shlex.join(folders)}"
    )
