"""What all pages share: colours that can be seen, and names that are shown as they are."""

import json
import re
from pathlib import Path

import browser
import pytest

from mlp.pages.page import HERE, environment, shell

NAME = "<b>run</b> %{x} {y} & <br> &lt;"
PAGE = '{% extends "base.html.j2" %}{% block body %}<div id="plot"></div>{% endblock %}'


def luminance(red: int, green: int, blue: int) -> float:
    """Of a colour, as WCAG 2 defines it."""
    parts = [part / 255 for part in (red, green, blue)]
    red_, green_, blue_ = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red_ + 0.7152 * green_ + 0.0722 * blue_


def test_every_colour_of_the_ranks_stands_out_from_the_paper() -> None:
    papers = re.findall(r"--paper: #(\w{6})", (HERE / "page.css").read_text())
    scales = re.search(r"const SCALES = \{(.*?)\};", (HERE / "figures.js").read_text(), re.DOTALL)
    assert scales is not None
    for name, paper in zip(("light", "dark"), papers, strict=True):
        ground = luminance(*bytes.fromhex(paper))
        own = re.search(rf"{name}: \[(.*?\])\s*,?\s*\],", scales[1], re.DOTALL)
        assert own is not None
        colours = [tuple(map(int, rgb.split(","))) for rgb in re.findall(r"\[([\d, ]+)\]", own[1])]
        assert len(colours) == 3
        contrasts = []
        for red, green, blue in colours:
            darker, lighter = sorted((ground, luminance(red, green, blue)))
            contrasts.append((lighter + 0.05) / (darker + 0.05))
        assert min(contrasts) >= 3  # the least that WCAG asks of graphics
        assert contrasts == sorted(contrasts)  # the better, the stronger


@pytest.mark.slow
@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium, which is not installed")
def test_the_name_of_a_run_is_shown_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "page.html.j2").write_text(PAGE)
    (tmp_path / "page.js").write_text(
        f"""const plot = document.getElementById("plot");
        drawCurves(plot, [{{name: {json.dumps(NAME)}, slot: 0, runs: [{{epoch: [1, 2], loss: [1, 2]}}]}}], "loss");"""
    )
    page = tmp_path / "page.html"
    page.write_text(environment(tmp_path).get_template("page.html.j2").render(**shell(tmp_path / "page.js")))
    with browser.tab(tmp_path / "profile") as tab:
        tab.open(page)
        tab.evaluate("Plotly.Fx.hover(plot, [{curveNumber: 0, pointNumber: 1}])")
        tab.wait_for("document.querySelector('.hoverlayer text')")
        assert tab.evaluate("document.querySelector('.hoverlayer text').textContent") == f"{NAME}epoch 2: 2"
        assert tab.complaints == []


@pytest.mark.slow
@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium, which is not installed")
def test_dragging_along_axes_keeps_the_lines_that_cross_all_of_them_there(tmp_path: Path) -> None:
    lines = [{"key": i, "text": str(i), "values": ["xyz"[i % 3], "uv"[i % 2], i, 1 + i % 2]} for i in range(12)]
    axes = [{"name": name} for name in "abcd"] + [{"name": "loss", "choices": ["mean_squared_error", "other"]}] * 12
    drawn = [line | {"values": [*line["values"], *["mean_squared_error"] * 12]} for line in lines]
    (tmp_path / "page.html.j2").write_text(PAGE.replace('<div id="plot">', '<div class="wide"><div id="plot"></div>'))
    (tmp_path / "page.js").write_text(
        f"""const plot = document.getElementById("plot");
        window.clicks = [];
        drawParallel(plot, {json.dumps(axes)}, {json.dumps(drawn)}, {{onClick: (key) => clicks.push(key)}});"""
    )
    page = tmp_path / "page.html"
    page.write_text(environment(tmp_path).get_template("page.html.j2").render(**shell(tmp_path / "page.js")))
    with browser.tab(tmp_path / "profile") as tab:
        tab.open(page, 1400)

        def place(axis: float, height: float) -> tuple[float, float]:
            within = f"x._offset + x.d2p({axis}), y._offset + y.d2p({height})"
            ground = "{xaxis: x, yaxis: y} = plot._fullLayout, {left, top} = plot.getBoundingClientRect()"
            across, up = tab.evaluate(
                f"(() => {{ const {ground}; return [left + {within.replace(', ', ', top + ')}] }})()"
            )
            return across, up

        def kept() -> list[int]:
            shown = "plot.data.slice(0, -1).filter(line => line.opacity === 1).map(line => line.customdata[0])"
            return sorted(tab.evaluate(shown))

        everything = list(range(12))
        tab.drag(place(0.3, 0.95), place(0.9, 1.05))  # the axis nearest to where it began: "z"
        assert kept() == everything[2::3]
        tab.drag(place(1, 0.95), place(1, 1.05))
        assert kept() == [5, 11]  # both
        tab.drag(place(0, -0.05), place(0, 0.05))  # in place of the first
        assert kept() == [3, 9]
        tab.drag(place(0, 0), place(0, 0))  # a click into its box
        tab.drag(place(2, 0.5), place(2, 0.5))  # and on an axis that has none
        assert kept() == [3, 9]
        tab.drag(place(0, 0.5), place(0, 0.5))  # beside its box: only the other one stays
        assert kept() == everything[1::2]
        tab.evaluate("clicks.length = 0")
        tab.drag(place(2, 0), place(2, 0.5))  # from a point: no click on it
        assert kept() == [1, 3, 5]
        assert tab.evaluate("clicks") == []
        tab.drag(place(2, 0.5), place(2, 0.5), count=2)
        assert kept() == everything
        swiped = "document.querySelector('.wide').classList.contains('swiped')"
        assert tab.evaluate("plot.scrollWidth <= plot.parentElement.clientWidth")
        assert not tab.evaluate(swiped)
        assert "mean_<br>squared_<br>error" in tab.evaluate("plot.layout.annotations.map(one => one.text)")
        tab.open(page, 390)
        assert tab.evaluate(swiped)
        says = "getComputedStyle(document.querySelector('.wide'), '::before').content"
        assert "swipe" in tab.evaluate(says)
        tab.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=1)
        tab.open(page, 390, 400)  # the picture is higher
        assert tab.evaluate("BRUSHES").startswith("Drag a finger")
        tab.swipe(place(1, 0.7), place(1, 1.05))
        assert kept() == everything[1::2]
        assert tab.evaluate("scrollY") == 0
        tab.swipe(place(1, 0.5), place(1, 0.5))
        assert kept() == everything
        tab.swipe(place(1.5, 0.6), place(1.5, 1.0))  # between two axes: the page moves
        tab.wait_for("scrollY > 0")
        tab.swipe(place(1, 0.6), place(0, 0.6))  # across: the picture moves
        tab.wait_for("plot.parentElement.scrollLeft > 0")
        assert kept() == everything
        assert tab.complaints == []
