"""runs.html: all runs on one page that needs nothing but itself, and does in a browser what it promises."""

import json
import os
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import browser
import numpy as np
import pytest
from conftest import Refusal

from mlp.base.arrays import read_npz
from mlp.report.read import confusion, read_metrics
from mlp.runs import page
from mlp.runs.__main__ import main
from mlp.runs.read import find, row

HOSTILE = "</script><img src=x onerror=alert(1)> & \"' run"
needs_chromium = pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium, which is not installed")


def data(path: Path) -> dict[str, Any]:
    text = path.read_text()
    return json.loads(text.split('<script type="application/json" id="data">')[1].split("</script>")[0])


def values(found: dict[str, Any], name: str) -> list[Any]:
    column = next(one for one in found["columns"] if one["name"] == name)
    return column["values"] if "values" in column else [column["texts"][at] for at in column["at"]]


def made(folder: Path, name: str, epochs: int = 3, pace: float = 0.25, **facts: Any) -> dict[str, Any]:
    """A row of a run that was never run, with curves."""
    directory = folder / name.replace("/", "_")
    directory.mkdir(parents=True)
    lines = ["epoch,step,learning_rate,train_loss,train_accuracy,train_f1,val_loss,seconds,samples_per_second"]
    lines += [
        f"{i},{10 * i},0.01,{1 / i},0.5,0.5,{2 / i if i != 2 else 'inf'},{pace},100" for i in range(1, epochs + 1)
    ]
    (directory / "metrics.csv").write_text("\n".join(lines) + "\n")
    config = {"optimizer": "adam", "optimizer.learning_rate": 0.01, "seed": 0, "training.patience": None}
    own = {key: facts.pop(key) for key in list(facts) if key in config or "." in key}
    known = {"state": "completed", "started": None, "dataset": "digits", "search": None, "seconds": 1.5}
    about = {"name": name, "path": str(directory), "epoch": epochs, **known, **facts}
    return {**about, "changed": own, "config": {**config, **own}}


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLP_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="module")
def real(digits_search: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [row(path) for path in sorted(find([digits_search]))]
    return page.page(rows, tmp_path_factory.mktemp("page") / "runs.html")


def test_every_run_is_there_with_its_numbers_curves_and_files(real: Path, digits_search: Path) -> None:
    found, runs = data(real), sorted(find([digits_search]))
    assert [(real.parent / unquote(path)).resolve() for path in found["paths"]] == runs
    assert len(set(found["keys"])) == len(runs) == 5  # the one that diverges is not tried on a second seed
    assert sorted(set(values(found, "optimizer.learning_rate"))) == [0.001, 0.1, 1e30]
    assert found["constant"]["optimizer"] == "sgd"
    for place, run in enumerate(runs):
        for at in found["files"]["of"][place]:
            assert (run / found["files"]["names"][at]).is_file()
        if not (run / "metrics.csv").is_file():  # diverged in its first epoch
            continue
        curves = dict(zip(found["curves"]["names"], found["curves"]["of"][place], strict=True))
        table = read_metrics(run / "metrics.csv")
        assert curves["train_loss"] == pytest.approx(table["train_loss"], rel=1e-3)
        assert curves["val_accuracy"] == pytest.approx(table["val_accuracy"], rel=1e-3)
        assert (curves["epoch"], curves["step"]) == ([1], [int(table["step"][0])])
        matrix = found["matrices"]["of"][place]
        assert matrix["cells"] == confusion(read_npz(run / "predictions.npz")).ravel().tolist()
        assert found["matrices"]["classes"][matrix["classes"]] == list("0123456789")


def test_long_curves_are_thinned_and_the_page_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "VALUES", 20 * page.COLUMNS * 2)
    out = page.page([made(tmp_path, "long", 101), made(tmp_path, "short", 3)], tmp_path / "runs.html")
    found = data(out)
    long, short = (dict(zip(found["curves"]["names"], one, strict=True)) for one in found["curves"]["of"])
    assert len(long["epoch"]) == 20
    assert (long["epoch"][0], long["epoch"][-1], long["time"][-1]) == (1, 101, 25.25)
    assert max(np.diff(long["epoch"])) - min(np.diff(long["epoch"])) <= 1
    assert short["val_loss"] == [2.0, None, 0.6667]  # an infinite loss is a gap, the others have four digits
    assert "1 run with more than 20 epochs keeps 20 of them, evenly spread" in " ".join(out.read_text().split())


def test_a_name_may_have_any_bytes(tmp_path: Path) -> None:
    run = made(tmp_path, name := os.fsdecode(b"a b%\xff"))
    (tmp_path / name / "predictions.npz").write_bytes(b"no zip")
    out = page.page([run], tmp_path / "runs.html")
    assert data(out)["paths"] == ["a%20b%25%FF"]
    assert r"a b%\udcff/predictions.npz" in out.read_text()


def test_what_cannot_be_read_or_has_no_room_is_said(
    digits_search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "CELLS", 1)
    broken = made(tmp_path, "broken")
    (tmp_path / "broken" / "metrics.csv").write_text("epoch,learning_rate\n1,x\n")
    (tmp_path / "broken" / "predictions.npz").write_bytes(b"no zip")
    runs = [broken, *(row(path) for path in sorted(find([digits_search])))]
    text = " ".join(page.page(runs, tmp_path / "runs.html").read_text().split())
    assert "2 files could not be read" in text
    assert "no room for the confusion matrices of the last" in text


def test_hostile_names_stay_text_and_only_the_scripts_of_the_page_may_run(tmp_path: Path) -> None:
    out = page.page([made(tmp_path, HOSTILE, optimizer=HOSTILE, dataset=HOSTILE)], tmp_path / "runs.html")
    text = out.read_text()
    assert values(data(out), "name") == [HOSTILE]
    assert "<img" not in text.split("window.PlotlyConfig")[0]
    assert not re.search(r"<script[^>]+src|<link[^>]+href=\"(?!data:,)", text)
    policy = unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1))  # type: ignore[union-attr]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere is no folder"),
        (["."], "no run below ."),
        (["{runs}", "--where", "val_accuracy>2"], "with val_accuracy>2"),
        (["{runs}", "--out", "."], "--out must be a file. Got the directory ."),
        (["{runs}", "--out", "no/runs.html"], "there is no no"),
    ],
)
def test_mistakes_are_one_message(
    words: list[str], said: str, digits_search: Path, empty: Path, refusal: Refusal
) -> None:
    assert said in refusal(main, "page", *(word.format(runs=digits_search) for word in words))
    assert not list(empty.glob("*.html"))


def test_the_command_writes_the_page_and_opens_it(
    digits_search: Path, empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or False)
    out = empty / "all runs.html"
    main(["page", str(digits_search), "--where", "state=completed", "--out", str(out), "--open"])
    assert re.search(r"all runs.html: 4 runs, \d+\.\d MB. No browser was found", capsys.readouterr().out)
    assert opened == [out.as_uri()]
    assert set(values(data(out), "state")) == {"completed"}


class Reader:
    """Somebody who reads the page in a browser."""

    def __init__(self, tab: browser.Tab, path: Path) -> None:
        self.tab, self.path = tab, path

    def open(self, fragment: str = "", width: int = 1400) -> None:
        self.tab.open(self.path, width)
        self.tab.wait_for("document.documentElement.dataset.ready")
        if fragment:
            self.tab.evaluate(f"location.hash = {fragment!r}")
        self.settle()

    def settle(self) -> None:
        """Wait until the pictures are drawn that a choice has brought about."""
        self.tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        self.tab.wait_for("waiting === null")

    def do(self, script: str) -> None:
        self.tab.evaluate(script)
        self.settle()

    def choose(self, place: str, value: str) -> None:
        self.do(f"{{ const it = $('{place}'); it.value = {value!r}; it.dispatchEvent(new Event('input'));"
                " it.dispatchEvent(new Event('change')); }")  # fmt: skip

    def names(self) -> list[str]:
        return list(self.tab.evaluate("shownRows().map(row => row.name)"))

    def traces(self, metric: str) -> int:
        return int(self.tab.evaluate(f"document.querySelector('[aria-label={metric}] .plot')?.data.length ?? 0"))


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    rows = [
        made(tmp_path, f"{optimizer} {seed}", val_accuracy=0.9 + rate + seed / 100, optimizer=optimizer,
             seed=seed, pace=(0.25, 0.75)[seed], state=("completed", "pruned")[seed],
             **{"optimizer.learning_rate": rate})
        for optimizer, rate in (("adam", 0.01), ("sgd", 0.05)) for seed in (0, 1)
    ]  # fmt: skip
    rows.append(made(tmp_path, HOSTILE, 1, val_accuracy=0.5, optimizer=HOSTILE, state="diverged"))
    with browser.tab(tmp_path / "profile") as tab:
        yield Reader(tab, page.page(rows, tmp_path / "runs.html"))
        assert tab.complaints == []
        assert {address for address in tab.requests if not address.startswith("data:")} <= {
            (tmp_path / "runs.html").resolve().as_uri()
        }


@needs_chromium
def test_a_browser_shows_the_runs_and_lays_curves_over_each_other(reader: Reader) -> None:
    reader.open()
    assert len(reader.names()) == 5
    assert reader.tab.evaluate("$('said').textContent") == "5 runs, 3 ticked"
    assert reader.traces("loss") == 6  # training and validation of three runs
    reader.do(f"tick([rows.find(row => row.name === {HOSTILE!r}).$key], true)")
    assert reader.traces("loss") == 8
    assert reader.tab.evaluate("document.querySelectorAll('img, .plot script').length") == 0
    assert HOSTILE in reader.tab.evaluate("$('difference-table').innerText")


@needs_chromium
def test_a_constant_learning_rate_is_seen_at_its_value(reader: Reader) -> None:
    reader.open()
    reader.do("tick(rows.map(row => row.$key), false); tick([rows[0].$key, rows[1].$key], true)")
    axis = "document.querySelector('[aria-label=learning_rate] .plot').layout.yaxis"
    assert reader.tab.evaluate(f"{axis}.range") == [0, 0.02]  # all rates are 0.01
    reader.do("$('log-y').click()")
    low, high = reader.tab.evaluate(f"{axis}.range")
    assert low < -2 < high  # powers of ten
    labels = "[...document.querySelectorAll('[aria-label=learning_rate] .ytick text')]"
    assert "0.01" in reader.tab.evaluate(f"{labels}.map(one => one.textContent)")
    sizes = reader.tab.evaluate(f"{labels}.map(one => getComputedStyle(one).fontSize)")
    assert set(sizes) == {"12px"}  # Plotly's own are smaller between powers of ten, and lack their power
    reader.do("$('log-y').click()")
    assert reader.tab.evaluate(f"{axis}.range") == [0, 0.02]


@needs_chromium
@pytest.mark.slow
def test_a_reader_sorts_filters_and_chooses_columns_and_the_address_keeps_it(reader: Reader) -> None:
    reader.open()
    for _ in range(2):
        reader.do("document.querySelector('[tabulator-field=val_accuracy] button').click()")
    assert reader.names()[:2] == ["sgd 1", "sgd 0"]
    reader.do("list.table.setHeaderFilterValue('val_accuracy', '0.9..0.955')")
    assert reader.names() == ["sgd 0", "adam 1", "adam 0"]
    reader.choose("search", "ADAM")
    assert reader.names() == ["adam 1", "adam 0"]
    reader.do("document.querySelector('[data-name=seed] input').click()")
    reader.do("$('untick').click()")
    reader.do("document.querySelector('[data-key]').click()")
    reader.choose("x", "time")
    reader.choose("smooth", "0.6")
    fragment = reader.tab.evaluate("location.hash")
    reader.open("#=")
    assert len(reader.names()) == 5
    reader.open(fragment)
    assert reader.names() == ["adam 1", "adam 0"]
    assert reader.tab.evaluate("ticked().map(row => row.name)") == ["adam 1"]
    assert reader.tab.evaluate("list.table.getColumn('seed') !== false")
    assert reader.tab.evaluate("list.table.getHeaderFilterValue('val_accuracy')") == "0.9..0.955"
    assert reader.tab.evaluate("[$('x').value, $('smooth').value, $('search').value]") == ["time", "0.6", "ADAM"]
    plot = "document.querySelector('[aria-label=loss] .plot')"
    assert reader.tab.evaluate(f"{plot}.data[0].x") == [0.75, 1.5, 2.25]
    assert reader.traces("loss") == 4  # with the faint lines before smoothing
    reader.do("$('reset').click()")
    assert len(reader.names()) == 5


@needs_chromium
@pytest.mark.slow
def test_groups_show_mean_and_spread_over_the_seeds(reader: Reader) -> None:
    reader.open("#group=recipe&mean=1&ticked=none")
    groups = reader.tab.evaluate("[...document.querySelectorAll('.tabulator-group')].map(one => one.textContent)")
    assert groups[0].strip() == "optimizer=adam optimizer.learning_rate=0.01 (2)"
    calcs = reader.tab.evaluate("[...document.querySelectorAll('.tabulator-calcs [tabulator-field=val_accuracy]')]"
                                ".map(one => one.innerText.trim())")  # fmt: skip
    assert calcs[:2] == ["0.915 ± 0.0071", "0.955 ± 0.0071"]  # by hand: half the square root of 2, of 0.01
    reader.do("document.querySelector('.tabulator-group input').click()")
    assert reader.tab.evaluate("ticked().map(row => row.name)") == ["adam 0", "adam 1"]
    assert reader.traces("loss") == 6  # a mean with the edges of its band, of training and validation
    plot = "document.querySelector('[aria-label=loss] .plot')"
    assert reader.tab.evaluate(f"{plot}.data[2].text") == [", mean of 2"] * 3
    reader.choose("x", "time")
    assert reader.tab.evaluate(f"{plot}.data[2].x") == [0.5, 1.0, 1.5]  # when the two have ended an epoch, on average


@needs_chromium
@pytest.mark.slow
def test_pictures_follow_what_is_ticked(reader: Reader) -> None:
    reader.open("#ticked=none")
    assert "fewer than two are ticked" in reader.tab.evaluate("$('parallel-note').textContent")
    reader.do("tick(rows.slice(0, 3).map(row => row.$key), true)")
    assert reader.tab.evaluate("$('parallel-plot').data.length") == 3 + 1  # and the points to touch
    changed = "[...document.querySelectorAll('#difference-table .changed')].map(one => one.innerText)"
    assert sorted(set(reader.tab.evaluate(changed))) == ["0", "0.01", "0.05", "1", "adam", "sgd"]
    sizes = "$('scatter-plot').data.flatMap(trace => trace.marker.symbol).filter(one => one === 'diamond').length"
    assert reader.tab.evaluate(sizes) == 3
    reader.do("$('scatter-plot').emit('plotly_click', {points: [{customdata: rows[0].$key}]})")
    assert reader.tab.evaluate("slots.size") == 2
    reader.choose("scatter-x", "optimizer")
    assert reader.tab.evaluate("$('scatter-plot').layout.xaxis.type") == "category"
    reader.do("$('log-y').click()")
    assert reader.tab.evaluate("document.querySelector('[aria-label=loss] .plot').layout.yaxis.type") == "log"


@needs_chromium
@pytest.mark.slow
def test_a_telephone_shows_it_without_scrolling_sideways_and_in_the_dark(reader: Reader) -> None:
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    reader.tab.call("Emulation.setEmulatedMedia", features=dark)
    reader.open("#scatter-x=gone&group=gone&columns=name,gone&sort=gone", width=390)  # an old bookmark
    assert len(reader.names()) == 5
    assert reader.tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert reader.tab.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(20, 24, 29)"
    assert reader.tab.evaluate("$('scatter-plot').layout.paper_bgcolor") == "#14181d"
    light = [{"name": "prefers-color-scheme", "value": "light"}]
    reader.tab.call("Emulation.setEmulatedMedia", features=light)
    reader.tab.wait_for("$('scatter-plot').layout.paper_bgcolor === '#ffffff'")


@needs_chromium
@pytest.mark.slow
def test_the_keyboard_is_enough(reader: Reader) -> None:
    reader.open("#ticked=none")

    def press(key: str, code: int) -> None:
        text = {"Enter": "\r", " ": " "}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            reader.tab.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text
            )
        reader.settle()

    reader.do("document.querySelector('[tabulator-field=val_accuracy] button').focus()")
    press("Enter", 13)
    assert reader.names()[0] == HOSTILE
    reader.do("document.querySelector('.tabulator-row [data-key]').focus()")
    press(" ", 32)
    assert reader.tab.evaluate("ticked().map(row => row.name)") == [HOSTILE]


@needs_chromium
@pytest.mark.slow
def test_confusion_matrices_stand_side_by_side(real: Path, tmp_path: Path) -> None:
    with browser.tab(tmp_path / "profile") as tab:
        reader = Reader(tab, real)
        reader.open()
        reader.do("tick(rows.filter(row => row.$matrix).slice(0, 2).map(row => row.$key), true)")
        shown = "[...document.querySelectorAll('#matrices .plot')].map(plot => plot.data[0].type)"
        assert set(tab.evaluate(shown)) == {"heatmap"}
        assert len(tab.evaluate(shown)) >= 2
        assert tab.evaluate("document.querySelector('#matrices .plot').data[0].customdata[0][0]").startswith("true 0")
        assert tab.complaints == []
