"""conf/wandb_sweep.yaml: a sweep that W&B accepts, whose agents' commands train.py accepts, in the run they name."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import wandb_file
import yaml
from conftest import ROOT
from hydra.core.override_parser.overrides_parser import OverridesParser

from mlp.base.errors import UserError
from mlp.cli.overrides import to_hydra
from mlp.config.compose import compose
from mlp.config.resolve import resolve
from mlp.experiment import Components
from mlp.tracking.wandb import beside_swept

SWEEP: dict[str, Any] = yaml.safe_load((ROOT / "conf" / "wandb_sweep.yaml").read_text())
SPACE: dict[str, Any] = yaml.safe_load((ROOT / "conf" / "search" / "space" / "assignment.yaml").read_text())


def values(parameter: dict[str, Any]) -> list[Any]:
    return parameter.get("values") or [parameter["min"], parameter["max"]]


def choices() -> Iterator[dict[str, Any]]:
    """The first, second ... value of every parameter: all values and bounds occur."""
    found = {key: values(entry) for key, entry in SWEEP["parameters"].items()}
    for place in range(max(map(len, found.values()))):
        yield {key: options[place % len(options)] for key, options in found.items()}


def agent_starts(chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], dict[str, str]]:
    """What W&B's own agent starts for a point of the sweep: the command and its environment."""
    from wandb import wandb_agent

    started: list[tuple[list[str], dict[str, str]]] = []

    class Process:
        def __init__(self, command: list[str], env: dict[str, str], **_: Any) -> None:
            started.append((command, env))

    monkeypatch.setattr(wandb_agent, "AgentProcess", Process)
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_SWEEP_ID"):
        monkeypatch.setenv(name, "sweep123")  # the agent sets the first two in its own environment
    agent = wandb_agent.Agent(None, None, sweep_id="sweep123")
    agent._sweep_command = list(SWEEP["command"])
    arguments = {key: {"value": value} for key, value in chosen.items()}
    agent._command_run({"run_id": "run456", "program": SWEEP["program"], "args": arguments})
    return started[0]


def test_it_follows_the_schema_that_wandb_publishes() -> None:
    (package,) = importlib.util.find_spec("sweeps").submodule_search_locations
    schema = json.loads((Path(package) / "config" / "schema.json").read_text())
    validator = jsonschema.Draft7Validator(schema)
    assert [error.message for error in validator.iter_errors(SWEEP)] == []
    broken = {**SWEEP, "early_terminate": {"type": "hyperband"}}  # the schema does look
    assert not validator.is_valid(broken)


def test_it_varies_what_the_search_of_the_assignment_varies() -> None:
    keys = {key.replace("optimizer_options.", "optimizer.") for key in SWEEP["parameters"]}
    assert keys == {*SPACE, "model.num_layers"}  # the length of the list of sizes


@pytest.mark.parametrize("key", [key for key in SPACE if key != "model.hidden_sizes"])
def test_its_values_are_those_of_the_search(key: str) -> None:
    entry = SPACE[key]
    cases = [
        case["values"] if isinstance(case, dict) else case for case in (entry if isinstance(entry, list) else [entry])
    ]
    sweeps = [OverridesParser.create().parse_override(f"{key}={case}") for case in cases]
    ours = SWEEP["parameters"].get(key) or SWEEP["parameters"][key.replace("optimizer.", "optimizer_options.")]
    if sweeps[0].is_interval_sweep():
        intervals = [sweep.value() for sweep in sweeps]
        assert values(ours) == [min(i.start for i in intervals), max(i.end for i in intervals)]
        assert ("log" in ours["distribution"]) == all("log" in i.tags for i in intervals)
    else:
        listed = [value for sweep in sweeps for value in sweep.sweep_iterator()]
        assert values(ours) == ([listed[0], listed[-1]] if "min" in ours else listed)


def test_each_command_of_an_agent_is_a_valid_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for chosen in choices():
        command, _ = agent_starts(chosen, monkeypatch)
        assert command[:3] == ["/usr/bin/env", "python", "train.py"]
        config = resolve(compose(to_hydra(command[3:])))
        network = Components.build(config).network
        assert network.hidden_sizes == [chosen["model.hidden_sizes"]] * chosen["model.num_layers"]
        assert config["optimizer"]["learning_rate"] == chosen["optimizer.learning_rate"]
        for name in ("momentum", "beta", "beta1", "beta2"):
            assert config["optimizer"].get(name, None) in (None, chosen[f"optimizer_options.{name}"])


def test_the_file_of_an_agent_is_bounded(tmp_path: Path) -> None:
    file, config = tmp_path / "config-run456.yaml", {"optimizer": {"_target_": "mlp.nn.SGD"}, "seed": 1}
    assert beside_swept(config, str(file)) == config
    file.write_text("wandb_version: 1\noptimizer:\n  value: sgd\n")
    assert beside_swept(config, str(file)) == {"optimizer._target_": "mlp.nn.SGD", "seed": 1}
    file.write_text("a: &a [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1 if i else ''}, 1]\n" for i in range(30)))
    with pytest.raises(UserError, match="nested too deeply"):
        beside_swept(config, str(file))


@pytest.mark.slow
def test_a_run_of_an_agent_is_the_one_that_the_sweep_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = {**next(choices()), "training.epochs": 3, "training.batch_size": 64}
    command, environment = agent_starts(chosen, monkeypatch)
    command[2] = str(ROOT / "train.py")
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run([*command, "dataset=digits"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("outputs/*/*/wandb/offline-run-*/run-run456.wandb")
    content = wandb_file.read(file)
    assert (content.run.run_id, content.run.sweep_id) == ("run456", "sweep123")
    assert [row["epoch"] for row in content.rows("val_accuracy")] == [1, 2, 3]
    assert {key: content.config[key] for key in chosen} == chosen
    assert content.config["optimizer._target_"] == "mlp.nn.SGD"  # the rest of the run's configuration is there too
    assert content.summary["status"] == "completed"
    assert "val_accuracy" in content.summary
