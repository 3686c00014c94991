"""search.html shows every trial, needs nothing but itself, and runs nothing that came with the data."""

import base64
import hashlib
import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import browser
import made_searches
import optuna
import pytest
from made_searches import trial
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from hydra_trials.search import Search
from mlp.pages.page import as_json
from mlp.report.axes import Axis
from mlp.searches import results
from mlp.searches.page import render, write_page
from mlp.searches.page_data import axes_drawn


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.pictures: dict[str, list[str]] = {}
        self.data: dict[str, Any] = {}
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.tags.append((tag, given))
        if tag in ("meta", "link", "br"):
            return
        self._open.append(tag)
        if kind := given.get("data-picture"):
            self.pictures.setdefault(kind, []).append(given.get("data-of") or "")
        elif tag == "script":
            self.scripts.append("")
            self._type = given.get("type")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes another element"
        if tag == "script" and self._type == "application/json":
            self.data = json.loads(self.scripts.pop())

    def handle_data(self, data: str) -> None:
        if "script" in self._open:
            self.scripts[-1] += data
        elif "style" not in self._open:
            self.text += data

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table, by column."""
        columns = {
            one["name"]: one["values"] if "values" in one else [one["texts"][at] for at in one["at"]]
            for one in self.data["columns"]
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def links(self) -> list[str]:
        links = [path for row in self.data["links"] for path, _ in row]
        given = [item for _, attributes in self.tags for item in attributes.items()]
        return [str(value) for name, value in given if name in ("href", "src")] + links


@pytest.fixture(scope="module")
def real(digits_search: Path) -> Page:
    return Page((digits_search / "search.html").read_text())


def made(tmp_path: Path, *trials: Any, **described: Any) -> Page:
    return Page(write_page(made_searches.search(tmp_path, trials, **described)).read_text())


def test_every_trial_has_a_row_and_a_point_in_the_history(real: Page) -> None:
    assert sorted(row["trial"] for row in real.rows) == [0, 1, 2]
    assert [row["state"] for row in real.rows] == ["done", "done", "failed"]
    assert real.pictures["history"] == ["0"]
    assert [one["values"][0] is None for one in real.data["trials"]] == [
        row["state"] == "failed" for row in sorted(real.rows, key=lambda row: row["trial"])
    ]
    assert len(real.data["lines"]) == 2
    assert "inf" in real.rows[2]["reason"] or "nan" in real.rows[2]["reason"]
    assert real.data["spread"]["val_accuracy"] == "val_accuracy_std"
    assert real.rows[0]["val_accuracy_std"] > 0


def test_the_overlay_has_a_point_for_every_run(real: Page, digits_search: Path) -> None:
    summaries = [json.loads(path.read_text()) for path in digits_search.glob("*/seed_*/summary.json")]
    scores = sorted((one["train_accuracy"], one["test_accuracy"]) for one in summaries if "test_accuracy" in one)
    assert len(scores) >= 4
    assert sorted((run["train"], run["test"]) for run in real.data["runs"]) == scores
    assert f"{len(scores)} runs" in real.text


def test_nothing_is_fetched_and_all_links_lead_somewhere(real: Page, digits_search: Path) -> None:
    ids = {given["id"] for _, given in real.tags if "id" in given}
    files = 0
    for link in real.links():
        assert not re.match(r"\w+:|//", link) or link == "data:,", link
        if link.startswith("#"):
            assert link[1:] in ids
        elif link != "data:,":
            files += 1
            assert (digits_search / unquote(link)).exists(), link
    assert files == 3 + 2 + 1  # the directories of three trials, two plots of the best one, the table


def test_only_the_scripts_of_the_page_may_run(real: Page) -> None:
    policy = next(given["content"] for tag, given in real.tags if tag == "meta" and "content" in given)
    allowed = set(re.findall(r"'sha256-([^']+)'", str(policy)))
    assert {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in real.scripts} == allowed
    assert len(allowed) == 7  # settings, plotly.js, figures.js, parallel.js, Tabulator, table.js, page.js
    assert "default-src 'none'" in str(policy)
    assert not [name for _, given in real.tags for name in given if name.startswith("on")]


def test_the_head_says_how_to_continue(real: Page) -> None:
    assert "python train.py -m dataset=digits tracker=none" in real.text
    assert "2 done, 0 pruned, 1 failed" in real.text


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \"'"


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    choices = CategoricalDistribution(["sgd", HOSTILE])
    page = made(
        tmp_path,
        trial(
            {"optimizer": HOSTILE}, 0.5, distributions={"optimizer": choices}, train_accuracy=0.5, test_accuracy=0.4
        ),
        trial({"optimizer": HOSTILE}, distributions={"optimizer": choices}, reason=HOSTILE),
        name=HOSTILE,
        space={"optimizer": HOSTILE},
        fixed=[HOSTILE],
    )
    assert len(page.scripts) == 7
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert page.rows[1]["reason"] == HOSTILE
    assert page.rows[0]["optimizer"] == HOSTILE
    assert "</script" not in as_json({"any": HOSTILE})


CASES = {
    "nothing has begun": ([trial({}, state=TrialState.WAITING)], {}, 0),
    "one runs": ([trial({}, state=TrialState.RUNNING)], {}, 1),
    "one completed trial": ([trial({"optimizer": "sgd", "lr": 0.1}, 0.5)], {}, 1),
    "all failed": ([trial({"optimizer": "sgd", "lr": 0.1}, reason="no") for _ in range(3)], {}, 3),
    "failed before it had parameters": ([trial({}, reason="no"), trial({}, 0.5)], {}, 2),
    "lost": ([trial({"lr": 0.1}, lost=True, reason="killed"), trial({"lr": 0.1}, 0.5)], {}, 2),
    "all pruned": ([trial({"lr": 0.1}, None, TrialState.PRUNED, {1: 0.2, 2: 0.1}) for _ in range(2)], {}, 2),
    "pruned before its first report": ([trial({"lr": 0.1}, None, TrialState.PRUNED)], {}, 1),
    "conditional": (
        [trial({"optimizer": "adam", "lr": 0.01, "beta": 0.9}, 0.5), trial({"optimizer": "sgd", "lr": 0.1}, 0.4)],
        {},
        2,
    ),
    "infinite": ([trial({"lr": 0.1}, math.inf), trial({"lr": 0.2}, 1.0)], {"objectives": ["test_loss"]}, 2),
    "all alike": ([trial({"optimizer": "sgd", "lr": 0.1}, 0.5) for _ in range(25)], {}, 25),
    "two objectives": (
        [trial({"lr": 0.1 / n}, [0.1 * n, 1.0 * n]) for n in range(1, 5)],
        {"objectives": ["val_accuracy", "training_seconds"]},
        4,
    ),
    "three objectives, one failed": (
        [trial({"lr": 0.1}, [0.5, 1.0, 2.0]), trial({"lr": 0.1}, [0.6, 1.0, 2.0]), trial({"lr": 0.1})],
        {"objectives": ["val_accuracy", "training_seconds", "test_loss"]},
        3,
    ),
    "seeds": ([trial({}, 0.5, val_accuracy_std=0.01, train_accuracy=0.6, test_accuracy=0.5)], {"seeds": 3}, 1),
    "more than fit": ([trial({"lr": 0.9 ** (n / 20)}, n / 210) for n in range(210)], {}, 210),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_search_has_a_page(name: str, tmp_path: Path) -> None:
    trials, described, rows = CASES[name]
    page = made(tmp_path, *trials, **described)
    assert len(page.rows) == rows
    assert len({row["trial"] for row in page.rows}) == rows
    finished = sum(one.state.is_finished() for one in trials)
    assert len(page.data["trials"]) == finished
    assert len(page.pictures.get("history", [])) == (len(described.get("objectives", "1")) if finished else 0)
    assert ("Pareto front" in page.text) == (len(described.get("objectives", "1")) > 1)
    assert "Which parameters mattered" in page.text or "Pareto front" in page.text


def test_overfitted_is_a_gap_of_a_point_and_of_two_standard_errors(tmp_path: Path) -> None:
    scores = [(0.95, 0.941, 10**6), (0.95, 0.939, 10**6), (0.95, 0.939, 100), (0.99, 0.5, None), (0.5, 0.6, None)]
    page = made(
        tmp_path,
        *(
            trial({}, 0.5, train_accuracy=a, test_accuracy=b, **({"test_samples": n} if n else {}))
            for a, b, n in scores
        ),
    )
    assert "more than two standard errors of that: 2 of 5" in " ".join(page.text.split())
    assert [run["key"] for run in page.data["runs"] if run["overfitted"]] == [1, 3]


@pytest.mark.parametrize(
    ("objective", "said"),
    [("val_accuracy", "0.5, came with trial 2; 1 completed trial after"), ("val_loss", "0.1, came with trial 3.")],
)
def test_the_best_follows_the_direction(objective: str, said: str, tmp_path: Path) -> None:
    trials = [trial({}, 0.3), trial({}), trial({}, 0.5), trial({}, 0.1)]
    assert said in " ".join(made(tmp_path, *trials, objectives=[objective]).text.split())


def test_the_best_keeps_the_constraints(tmp_path: Path) -> None:
    page = made(tmp_path, trial({}, 0.9, constraints=[2.0]), trial({}, 0.3, constraints=[-1.0]))
    text = " ".join(page.text.split())
    assert "0.3, came with trial 1." in text
    assert [one["feasible"] for one in page.data["trials"]] == [False, True]


def test_a_list_of_numbers_is_drawn_as_its_length_and_sum(tmp_path: Path) -> None:
    kinds = {"h.length": IntDistribution(1, 2), **dict.fromkeys(("h[0]", "h[1]"), CategoricalDistribution([32, 64]))}
    search = made_searches.search(
        tmp_path,
        [
            trial({"h.length": 1, "h[0]": 64}, 0.5, distributions=kinds, overrides=["h=[64]"]),
            trial({"h.length": 2, "h[0]": 64, "h[1]": 32}, 0.6, distributions=kinds, overrides=["h=[64,32]"]),
        ],
        space={"h": "list"},
    )
    drawn = {axis["name"]: axis["values"] for axis in axes_drawn(search, search.study.trials)}
    assert drawn == {"length of h": {0: 1.0, 1: 2.0}, "sum of h": {0: 64.0, 1: 96.0}}


def test_a_logarithmic_axis_has_its_decades_at_equal_distances() -> None:
    axis = Axis("lr", "lr", {0: 1e-4, 1: 1.0}, log=True)
    assert [round(axis.place(value), 6) for value in axis.ticks()] == [0, 0.25, 0.5, 0.75, 1]


def test_a_trial_that_lacks_a_parameter_keeps_its_line(tmp_path: Path) -> None:
    data = made(tmp_path, *CASES["conditional"][0]).data
    assert data["lines"] == [0, 1]
    assert {axis["name"]: axis["values"] for axis in data["axes"]} == {
        "optimizer": {"0": "adam", "1": "sgd"}, "lr": {"0": 0.01, "1": 0.1}, "beta": {"0": 0.9},
    }  # fmt: skip


def test_the_importance_finds_what_decides(tmp_path: Path) -> None:
    names = {name: FloatDistribution(0, 1) for name in ("beta", "lr")}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [{name: study.ask(names).params[name] for name in names} for _ in range(60)]
    page = made(tmp_path, *(trial(point, point["beta"], distributions=names) for point in drawn))
    first, second = page.data["importance"]
    assert first["name"] == "beta"
    assert first["increase"] > 10 * abs(second["increase"])
    assert first["error"] < first["increase"]
    assert re.search(r"What mattered most: beta \(0\.\d+\)\.", page.text)


def test_the_importance_of_few_trials_is_not_computed(tmp_path: Path) -> None:
    page = made(tmp_path, *(trial({"lr": 0.1 / n}, 0.1 * n) for n in range(1, 8)))
    assert "Not computed: it takes 20 completed trials" in page.text


def test_reading_and_writing_the_page_leaves_the_record_alone(digits_search: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(digits_search, tmp_path / "copy")
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    write_page(Search(directory))
    after = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    assert {path.name for path in after if after[path] != before.get(path)} <= {"search.html"}  # which has the time
    assert before.keys() == after.keys()


def test_the_page_of_a_running_search_says_so(tmp_path: Path) -> None:
    states = (TrialState.RUNNING, TrialState.WAITING, TrialState.WAITING)
    search = made_searches.search(tmp_path, [trial({}, 0.5), *(trial({}, state=state) for state in states)])
    (tmp_path / "multirun.yaml").write_text(
        "hydra: {overrides: {hydra: [hydra.mode=MULTIRUN], task: ['a=1,2', 'b=c d']}}"
    )
    text = render(search)
    assert "3 trials had not ended when this was written" in text
    assert "python train.py -m a=1,2 &#39;b=c d&#39;" in text


@pytest.mark.slow
@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium, which is not installed")
def test_a_browser_draws_the_page_without_a_network_and_sorts_its_table(digits_search: Path, tmp_path: Path) -> None:
    page = digits_search / "search.html"
    with browser.tab(tmp_path / "profile") as tab:
        for width in (1400, 420):
            tab.open(page, width)
            assert tab.evaluate("[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('svg'))")
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
        sort = "document.querySelector('[tabulator-field=\"{}\"] button').click()"
        cells = "list.table.getRows('active').map(row => row.getData()['{}'])"
        tab.evaluate(sort.format("optimizer.learning_rate"))
        assert tab.evaluate(cells.format("optimizer.learning_rate")) == [0.001, 0.1, 1e30]
        tab.evaluate(sort.format("optimizer.learning_rate"))
        assert tab.evaluate(cells.format("optimizer.learning_rate")) == [1e30, 0.1, 0.001]
        tab.evaluate(sort.format("rank"))  # which the failed one lacks
        assert tab.evaluate(cells.format("rank")) == [1, 2, None]
        assert tab.evaluate("location.hash") == "#sort=rank"
        plot = "document.querySelector('[data-picture=parallel]')"
        tab.evaluate(f"{plot}.emit('plotly_click', {{points: [{{customdata: 1}}]}})")
        tab.wait_for("document.querySelector('.found [tabulator-field=trial]')?.textContent === '1'")
        assert tab.complaints == []
        assert set(tab.requests) == {page.resolve().as_uri()}


@pytest.mark.slow
@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium, which is not installed")
def test_a_browser_runs_nothing_of_hostile_data(tmp_path: Path) -> None:
    choices = CategoricalDistribution(["sgd", HOSTILE])
    own = {"distributions": {"optimizer": choices}, "train_accuracy": 0.9, "test_accuracy": 0.5, "reason": HOSTILE}
    search = made_searches.search(
        tmp_path / "search", [trial({"optimizer": HOSTILE}, 0.5, **own), trial({"optimizer": "sgd"}, **own)],
        name=HOSTILE, space={"optimizer": HOSTILE},
    )  # fmt: skip
    with browser.tab(tmp_path / "profile") as tab:
        tab.open(write_page(search))
        assert tab.complaints == []
        assert tab.evaluate("document.querySelectorAll('img, .plot script').length") == 0
        assert HOSTILE in tab.evaluate("document.querySelector('h1').innerText")


def test_the_leaderboard_holds_the_same_rows(real: Page, digits_search: Path) -> None:
    rows = results.table(Search(digits_search))
    assert [row["trial"] for row in rows] == [row["trial"] for row in real.rows]
