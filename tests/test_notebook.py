"""The notebooks, run from top to bottom as a reader would.

Their code cells are plain Python, without the magic commands of IPython, so a plain interpreter runs them in order in
one process. A Jupyter kernel would add thirty packages to the tests and show nothing more but how pictures are
displayed.
"""

import json
import math
import os
import subprocess
import sys
from typing import Any

import pytest
from conftest import ROOT

NOTEBOOKS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
every_notebook = pytest.mark.parametrize("name", NOTEBOOKS)

PROGRAM = """
import json, sys
import threadpoolctl
names = {"__name__": "__main__"}
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), f"cell {cell['id']}", "exec"), names)
plt = names["plt"]
for number in plt.get_fignums():
    plt.figure(number).canvas.draw()
results = {name: value for name, value in names.items() if isinstance(value, (int, float, names["np"].floating))}
results["figures"] = len(plt.get_fignums())
libraries = [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
results["threads"] = max(library["num_threads"] for library in libraries)
print(json.dumps({name: float(value) for name, value in results.items()}))
"""


def cells(name: str) -> list[dict[str, Any]]:
    return json.loads(NOTEBOOKS[name].read_text())["cells"]  # type: ignore[no-any-return]


def printed(name: str) -> str:
    """The text in the outputs that a notebook keeps."""
    outputs = [output for cell in cells(name) for output in cell.get("outputs", [])]
    return "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")


def execute(name: str) -> dict[str, float]:
    """The numbers that a notebook's variables hold at its end, and how many figures and threads there are."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, NOTEBOOKS[name]],
        cwd=ROOT / "notebooks", env={**kept, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def results() -> dict[str, float]:
    """Those of the tour."""
    return execute("tour")


def test_one_layer_by_hand_learns(results: dict[str, float]) -> None:
    assert results["start"] == pytest.approx(math.log(10))
    assert results["by_hand"] > 0.9


def test_the_network_computes_what_the_formulas_say(results: dict[str, float]) -> None:
    assert results["forward_error"] < 1e-12
    assert results["backward_error"] < 1e-12
    assert results["graded_error"] < 1e-12


def test_the_gradient_agrees_with_central_differences(results: dict[str, float]) -> None:
    assert 0 < results["worst"] < 1e-7
    assert results["wrong"] > 100 * results["worst"]  # a mistake of 0.1 % would be seen


def test_the_students_own_loop_trains(results: dict[str, float]) -> None:
    assert results["score"] > 0.97
    assert results["one_layer"] < results["score"] - 0.05


def test_it_computes_in_one_thread(results: dict[str, float]) -> None:
    assert results["threads"] == 1


def test_every_figure_can_be_drawn(results: dict[str, float]) -> None:
    assert results["figures"] == 7


@every_notebook
def test_the_table_of_contents_leads_to_the_headings(name: str) -> None:
    text = "".join("".join(cell["source"]) + "\n" for cell in cells(name) if cell["cell_type"] == "markdown")
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    for number, heading in enumerate(headings, 1):
        assert f"{number}. [{heading}](#{heading.replace(' ', '-')})\n" in text


@every_notebook
def test_every_cell_has_a_name_of_its_own(name: str) -> None:
    names = [cell["id"] for cell in cells(name)]
    assert len(set(names)) == len(names)


@every_notebook
def test_the_outputs_are_those_of_one_run_from_top_to_bottom(name: str) -> None:
    code = [cell for cell in cells(name) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]


def test_experiment_from_python_learns_the_digits(results: dict[str, float]) -> None:
    assert results["digits_score"] > 0.95
    assert 1 <= results["best_epoch"] <= 8


def test_notebook_keeps_its_outputs(results: dict[str, float]) -> None:
    """They are those of its own cells: pictures, and the numbers that it prints."""
    outputs = [output for cell in cells("tour") for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == results["figures"]
    assert f"test accuracy {100 * results['digits_score']:.2f} %" in printed("tour")


@pytest.mark.slow
def test_the_classifier_works_with_the_tools_of_scikit_learn() -> None:
    found = execute("scikit_learn")
    assert found["cross_validated"] > 0.94
    assert found["test_score"] > 0.94
    assert found["same_predictions"] == 1
    assert (found["figures"], found["threads"]) == (3, 1)
    for name in ("test_score", "best_score"):
        assert f"{100 * found[name]:.2f} %" in printed("scikit_learn")
