"""Who may import whom: imports between the packages of this project run one way, read from the source."""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from conftest import ROOT

FILES = [path for folder in ("mlp", "hydra_trials", "hydra_plugins") for path in (ROOT / folder).rglob("*.py")]
#: The source of every module by its dotted name; a package's is that of its `__init__`.
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text()
    for path in sorted([*FILES, ROOT / "train.py", ROOT / "inference.py"])
}

#: What all packages may import.
BASE = "mlp.base"
#: Every package, or module at the top, and what of this project it may import beside itself and BASE. What is not
#: named here is forbidden.
MAY_IMPORT = {
    BASE: ("hydra_trials.files", "hydra_trials.passwords", "hydra_trials.signals"),
    "mlp.nn": (),
    "mlp.data": ("mlp.nn", "mlp.model_file.pickles"),
    "mlp.model_file": ("mlp.nn",),
    "mlp.tracking": ("mlp.nn", "mlp.config.files"),
    "mlp.training": ("mlp.nn", "mlp.data"),
    "mlp.config": ("hydra_trials.compat",),  # it knows classes by their names only
    "mlp.experiment": ("mlp.nn", "mlp.data", "mlp.model_file", "mlp.training", "mlp.config", "hydra_trials.files",
                       "hydra_trials.passwords", "hydra_trials.signals"),
    "mlp.graded": ("mlp.nn",),
    "mlp.estimators": ("mlp.nn", "mlp.data", "mlp.training"),
    "mlp.inference": ("mlp.graded", "mlp.nn", "mlp.data", "mlp.model_file", "mlp.training", "mlp.config"),
    # How pages look; what they say comes from those who write them.
    "mlp.pages": (),
    # It runs experiments, many of them.
    "mlp.searches": ("mlp.training", "mlp.config", "mlp.experiment", "mlp.pages", "mlp.report", "hydra_trials"),
    # Reports read run directories: files, never the objects of a run. A saved model is a file too.
    "mlp.report": (
        "mlp.nn.metrics", "mlp.nn.sizes", "mlp.nn.types", "mlp.data", "mlp.config", "mlp.inference", "mlp.pages",
        "mlp.tracking.wandb_session",  # to publish the studies
    ),
    # A program may name a run as `mlp runs` does.
    "mlp.report.__main__": ("mlp.report", "mlp.config", "mlp.data", "mlp.runs.select"),
    # Runs as things: a table of them, one in detail, several beside each other; it runs one again to verify it.
    "mlp.runs": (
        "mlp.nn.types", "mlp.config", "mlp.data", "mlp.experiment", "mlp.pages", "mlp.report",
        "mlp.tracking", "mlp.training", "hydra_trials.locks", "hydra_trials.search", "hydra_trials.files",
        "hydra_trials.errors",
    ),
    # It measures what an experiment builds, and leaves nothing behind.
    "mlp.tools": (
        "mlp.cli", "mlp.nn", "mlp.data", "mlp.config", "mlp.experiment", "mlp.training", "mlp.inference",
        "mlp.model_file", "mlp.runs.select",
    ),
    "mlp.profile": ("mlp.tools",),
    "mlp.summary": ("mlp.tools",),
    "mlp.search": ("mlp.searches",),
    # The programs: nothing below knows them.
    "mlp.cli": (
        "mlp.nn", "mlp.data", "mlp.model_file", "mlp.training", "mlp.config", "mlp.experiment", "mlp.tools",
        "mlp.inference", "mlp.report", "mlp.runs.select", "hydra_trials.compat", "hydra_trials.errors",
        "hydra_trials.passwords",
    ),
    # Searches for any Hydra program: nothing of this one.
    "hydra_trials": (),
    "hydra_plugins": ("hydra_trials",),
    # The programs, from Python.
    "mlp.api": (
        "mlp.cli", "mlp.config", "mlp.data", "mlp.experiment",
        "mlp.inference", "mlp.model_file", "mlp.report",
        "mlp.searches", "mlp.training", "hydra_trials.files", "hydra_trials.journal", "hydra_trials.progress",
        "hydra_trials.search",
    ),
    "mlp.__init__": ("mlp.api", "mlp.estimators", "mlp.graded", "mlp.inference"),
    "mlp.__main__": ("mlp.cli",),
    "train": ("mlp.cli",),
    "inference": ("mlp.cli", "mlp.inference"),
}  # fmt: skip

#: Automatic differentiation, or whole networks: not in this project, nor pulled in by what it depends on.
FORBIDDEN = {"torch", "tensorflow", "jax", "jaxlib", "autograd", "theano", "mxnet", "flax", "optax", "tinygrad",
             "paddle"}  # fmt: skip

#: Slow to import, so only where they are used: inside functions.
IMPORTED_WHERE_USED = {"wandb", "trackio", "tensorboard", "mlflow", "sklearn", "keras", "matplotlib.pyplot"}
#: Its class is an estimator of scikit-learn, and `mlp` imports it when it is asked for.
ESTIMATORS = "mlp.estimators"


def statements(tree: ast.AST, inside_functions: bool) -> Iterator[ast.stmt]:
    """All statements; without those inside functions, what is executed at the import: nothing for types only."""
    for node in ast.iter_child_nodes(tree):
        if not inside_functions and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
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


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def ours(module: str) -> bool:
    return any(within(module, package) for package in ("mlp", "hydra_trials", "hydra_plugins"))


def violations(module: str, imported: set[str]) -> set[str]:
    """What a module imports of this project and may not."""
    package = max((package for package in MAY_IMPORT if within(module, package)), key=len, default=None)
    assert package, f"{module} is in no package"
    return {
        name
        for name in filter(ours, imported)
        if not any(within(name, allowed) for allowed in (package, *MAY_IMPORT[package], BASE))
    }


@cache
def imported(inside_functions: bool = True) -> dict[str, set[str]]:
    """What every module imports."""
    return {module: imports(source, module, inside_functions) for module, source in SOURCES.items()}


def faults(wrong: Callable[[str, set[str]], set[str]], inside_functions: bool = True) -> dict[str, set[str]]:
    """What is wrong in the imports of each module that has such."""
    found = {module: wrong(module, names) for module, names in imported(inside_functions).items()}
    return {module: names for module, names in found.items() if names}


def test_imports_between_packages_run_one_way() -> None:
    assert faults(violations) == {}


def test_no_module_imports_itself_by_a_detour() -> None:
    """Not even for a type, nor within a function."""
    modules = {module.removesuffix(".__init__"): names for module, names in imported().items()}

    def module_of(name: str) -> str:
        while name and name not in modules:
            name = name.rpartition(".")[0]
        return name

    graph = {module: {module_of(name) for name in names} - {module, ""} for module, names in modules.items()}
    while free := [name for name, targets in graph.items() if not targets & graph.keys()]:
        for name in free:
            del graph[name]
    assert not graph, f"in a cycle, or on the way to one: {', '.join(sorted(graph))}"


def test_automatic_differentiation_is_imported_nowhere() -> None:
    assert faults(lambda _, names: {name for name in names if name.partition(".")[0] in FORBIDDEN}) == {}


def test_slow_packages_are_imported_where_they_are_used() -> None:
    def slow(module: str, names: set[str]) -> set[str]:
        packages = IMPORTED_WHERE_USED - ({"sklearn"} if module == ESTIMATORS else set()) | {ESTIMATORS}
        return {name for name in names if any(within(name, package) for package in packages)}

    assert faults(slow, inside_functions=False) == {}


def test_the_mathematics_imports_numpy_and_the_standard_library_only() -> None:
    """And how names are spelled."""

    def foreign(module: str, names: set[str]) -> set[str]:
        allowed = {"numpy", *sys.stdlib_module_names}
        packages = {name for name in names if not ours(name) and name.partition(".")[0] not in allowed}
        base = {name for name in names if within(name, BASE) and not within(name, "mlp.base.naming")}
        return packages | base if within(module, "mlp.nn") else set()

    assert faults(foreign) == {}


def test_the_packages_of_the_rules_exist() -> None:
    assert {package for package in MAY_IMPORT if not any(within(module, package) for module in SOURCES)} == set()


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
    from mlp.experiment import Components
def f():
    import wandb
    with x:
        from mlp.cli.train import main
class C:
    import keras
"""
    at_the_top = {"os", "mlp.data.mnist", "mlp.training", "mlp.nn.layers", "mlp.report.style.save", "keras"}
    assert imports(source, "mlp.nn.module", inside_functions=False) == at_the_top
    found = imports(source, "mlp.nn.module")
    assert found == at_the_top | {"wandb", "mlp.cli.train.main", "mlp.experiment.Components"}
    expected = found - {"os", "keras", "wandb", "mlp.nn.layers"}
    assert violations("mlp.nn.module", found) == expected
    assert violations("mlp.cli.module", found) == set()
    with pytest.raises(AssertionError, match=r"mlp\.somewhere is in no package"):
        violations("mlp.somewhere", set())
