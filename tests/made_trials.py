"""Searches made by hand for tests of the report: the files that studies read, with trials that nobody ran."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from made_runs import make_run


def parameter(key: str, *choices: object, low: float = 0, high: float = 1, log: bool = False, length: bool = False,
              **when: list[str]) -> dict[str, Any]:  # fmt: skip
    """A parameter as search.json has it: one of the choices, or a number from a range."""
    kind, attributes = ("Categorical", {"choices": choices}) if choices else (
        "Float", {"low": low, "high": high, "log": log, "step": None})  # fmt: skip
    whole = {"name": "IntDistribution", "attributes": {"low": 1, "high": 2, "log": False, "step": 1}}
    distribution = {"name": f"{kind}Distribution", "attributes": attributes}
    return {"key": key, "distribution": distribution, "when": when, "length": whole if length else None}


PARAMETERS = [
    parameter("optimizer", "sgd", "adam"),
    parameter("optimizer.learning_rate", low=0.01, high=1, log=True, optimizer=["sgd"]),
    parameter("optimizer.learning_rate", low=0.0001, high=0.01, log=True, optimizer=["adam"]),
    parameter("optimizer.beta1", low=0.8, high=0.95, optimizer=["adam"]),
    parameter("training.batch_size", 16, 32, 64),
    parameter("model.hidden_sizes", 32, 64, length=True),
]
#: The same in words, which is all that searches of old versions say.
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
    facts = {"sampler": "tpe", "pruner": "median", "space": SPACE, "parameters": PARAMETERS, **described}
    facts = {key: value for key, value in facts.items() if value is not None}
    (directory / "search.json").write_text(json.dumps(facts))
    with (directory / "leaderboard.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), restval="")
        table.writeheader()
        table.writerows(rows)
    return directory
