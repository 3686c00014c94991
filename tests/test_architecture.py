"""Who may import whom: the arrows between the rooms of the project run one way, read from the source."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

SOURCES = sorted([*(ROOT / "mlp").rglob("*.py"), ROOT / "train.py", ROOT / "inference.py"])

#: A room, and what of this project it may import beside itself. What is not named here is free.
MAY_IMPORT = {
    "mlp.nn": (),
    "mlp.streams": (),
    "mlp.files": ("mlp.errors",),
    "mlp.errors": ("mlp.nn.naming",),
    "mlp.data": ("mlp.nn", "mlp.files", "mlp.errors"),
    "mlp.model_file": ("mlp.nn", "mlp.files", "mlp.errors"),
    "mlp.tracking": ("mlp.nn", "mlp.files", "mlp.errors"),
    "mlp.training": ("mlp.nn", "mlp.data", "mlp.files", "mlp.errors"),
    # It measures what an experiment builds, and leaves nothing behind.
    "mlp.profile": (
        "mlp.cli",
        "mlp.blas",
        "mlp.launch",
        "mlp.settings",
        "mlp.experiment",
        "mlp.environment",
        "mlp.training",
        "mlp.errors",
        "mlp.streams",
    ),
    # It runs experiments, many of them.
    "mlp.search": (
        "mlp.cli",
        "mlp.nn",
        "mlp.data",
        "mlp.training",
        "mlp.best_model",
        "mlp.experiment",
        "mlp.environment",
        "mlp.report.run_plots",  # of the best trial
        "mlp.settings",
        "mlp.files",
        "mlp.errors",
        "mlp.streams",
    ),
    # Reports read run directories: files, never the objects of a run. A saved model is a file too.
    "mlp.report": (
        "mlp.inference",
        "mlp.nn.expand_hidden_sizes",
        "mlp.nn.metrics",
        "mlp.nn.naming",
        "mlp.nn.types",
        "mlp.data",
        "mlp.config",
        "mlp.conf_files",
        "mlp.tracking.session",  # to publish the studies
        "mlp.files",
        "mlp.errors",
        "mlp.streams",
    ),
}

#: Automatic differentiation, or whole networks: not in this project, nor pulled in by what it depends on.
FORBIDDEN = {
    "torch",
    "tensorflow",
    "jax",
    "jaxlib",
    "autograd",
    "theano",
    "mxnet",
    "flax",
    "optax",
    "tinygrad",
    "paddle",
}

#: Slow to import, so only where they are used: inside functions.
IMPORTED_WHERE_USED = {"wandb", "sklearn", "keras", "matplotlib.pyplot"}


def statements(tree: ast.AST, inside_functions: bool) -> Iterator[ast.stmt]:
    """All statements that are executed; those under `if TYPE_CHECKING` are not."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.stmt):
            yield node
        if inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from statements(node, inside_functions)


def imports(source: str, module: str, inside_functions: bool = True) -> set[str]:
    """The modules that a source imports, also by a relative import or as `from package import module`."""
    found: set[str] = set()
    for node in statements(ast.parse(source), inside_functions):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = ".".join(module.split(".")[: -node.level]) if node.level else ""
            origin = ".".join(filter(None, (parent, node.module)))
            found |= {f"{origin}.{alias.name}" for alias in node.names}
    return found


def name_of(path: Path) -> str:
    """The dotted name of a source file; a package's is that of its `__init__`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def ours(module: str) -> bool:
    return within(module, "mlp")


every_source = pytest.mark.parametrize("path", SOURCES, ids=name_of)


def violations(module: str, imported: set[str]) -> set[str]:
    """What a module imports of this project and may not."""
    rooms = {room for room in MAY_IMPORT if within(module, room)}
    return {
        name
        for room in rooms
        for name in filter(ours, imported)
        if not any(within(name, allowed) for allowed in (room, *MAY_IMPORT[room]))
    }


@every_source
def test_arrows_between_rooms_run_one_way(path: Path) -> None:
    assert not violations(name_of(path), imports(path.read_text(), name_of(path)))


@every_source
def test_automatic_differentiation_is_imported_nowhere(path: Path) -> None:
    assert not {name for name in imports(path.read_text(), name_of(path)) if name.partition(".")[0] in FORBIDDEN}


@every_source
def test_slow_packages_are_imported_where_they_are_used(path: Path) -> None:
    at_the_top = imports(path.read_text(), name_of(path), inside_functions=False)
    assert not {name for name in at_the_top if any(within(name, slow) for slow in IMPORTED_WHERE_USED)}


@pytest.mark.parametrize("path", [path for path in SOURCES if within(name_of(path), "mlp.nn")], ids=name_of)
def test_the_mathematics_imports_numpy_and_the_standard_library_only(path: Path) -> None:
    packages = {name.partition(".")[0] for name in imports(path.read_text(), name_of(path)) if not ours(name)}
    assert packages <= {"numpy", *sys.stdlib_module_names}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_the_rooms_of_the_rules_exist(room: str) -> None:
    assert any(within(name_of(path), room) for path in SOURCES)


def test_no_dependency_differentiates_automatically() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    locked = {line.lower() for line in re.findall(r"^([A-Za-z0-9_.-]+)", lock, re.MULTILINE)}
    assert {"numpy", "hydra-core"} <= locked
    assert not {name for name in locked if name.partition("-")[0] in FORBIDDEN}


def test_the_reading_of_imports_finds_every_form() -> None:
    source = """
import os, mlp.data.mnist as m
from mlp import training
from . import layers
from ..report.style import save
if TYPE_CHECKING:
    from mlp.experiment import Parts
def f():
    import wandb
    with x:
        from mlp.cli import main
class C:
    import keras
"""
    at_the_top = {"os", "mlp.data.mnist", "mlp.training", "mlp.nn.layers", "mlp.report.style.save", "keras"}
    assert imports(source, "mlp.nn.module", inside_functions=False) == at_the_top
    found = imports(source, "mlp.nn.module")
    assert found == at_the_top | {"wandb", "mlp.cli.main"}
    expected = {"mlp.data.mnist", "mlp.training", "mlp.report.style.save", "mlp.cli.main"}
    assert violations("mlp.nn.module", found) == expected
    assert violations("mlp.experiment", found) == set()
