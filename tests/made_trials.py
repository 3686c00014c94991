"""Searches made by hand for tests of the report: the files that studies read, with trials that nobody ran."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from made_runs import make_run

from mlp.report.read import RunFiles
from mlp.report.trials import Trial

SPACE = {
    "optimizer": "sgd or adam",
    "optimizer.learning_rate": "0.01 to 1 (log), when optimizer is sgd; 0.0001 to 0.01 (log), when optimizer is adam",
    "optimizer.beta1": "0.8 to 0.95, when optimizer is adam",
    "training.batch_size": "16, 32 or 64",
    "model.hidden_sizes": "list of whole 1 to 2 entries, each 32 or 64",
}
SGD = {
    "optimizer": "sgd",
    "optimizer.learning_rate": "0.1",
    "training.batch_size": "32",
    "model.hidden_sizes": "[64]",
}
ADAM = {"optimizer": "adam", "optimizer.learning_rate": "0.001", "optimizer.beta1": "0.9",
        "training.batch_size": "64", "model.hidden_sizes": "[64,32]"}  # fmt: skip


def trial(number: int, varied: Mapping[str, str], state: str = "done", **scores: float) -> Trial:
    """A trial without files."""
    return Trial(number, state, dict(varied), scores, "", RunFiles(Path("nowhere")))


def make_search(directory: Path, trials: Sequence[Mapping[str, Any]], **described: Any) -> Path:
    """The files of a search. A trial: `varied`, and if they matter `state`, `val`, `test`, `train`, `reason`, and
    `curve`, the validation accuracy of each epoch; a failed one leaves no run."""
    rows: list[dict[str, Any]] = []
    for number, given in enumerate(trials):
        state = given.get("state", "done")
        row = {"trial": number, "state": state, "reason": given.get("reason", ""), "directory": number}
        for name in ("val", "test", "train"):
            row[f"{name}_accuracy"] = given.get(name, "")
        rows.append({**row, **given["varied"]})
        if state in ("done", "pruned"):
            curve = given.get("curve", [given.get("val", 0.5)] * 2)
            make_run(
                directory / str(number),
                ["dataset=digits"],
                {"val_accuracy": curve, "val_loss": given.get("val_loss", [0.5] * len(curve))},
                {"status": "completed" if state == "done" else "pruned", "num_parameters": 1000 + number},
            )
    directory.mkdir(parents=True, exist_ok=True)
    facts = {"sampler": "tpe", "pruner": "median", "space": SPACE, **described}
    (directory / "search.json").write_text(json.dumps(facts))
    with (directory / "leaderboard.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), restval="")
        table.writeheader()
        table.writerows(rows)
    return directory
