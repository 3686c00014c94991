"""What the report's page draws is what its pictures show: the numbers are read from the figures."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from mlp.report import style
from mlp.report.figures.panels import grid
from mlp.report.plots import plot_of


def test_lines_bands_points_and_steps_keep_their_numbers_and_looks() -> None:
    figure, [[left, right]] = grid([["one", "two"]], "epoch", ["loss", ""], share=False)
    left.plot([1, 2, 3], [0.1, math.nan, 0.25], "--s", color=style.BLUE, label="a")
    left.step([1, 2], [0.5, 0.2], where="post", color=style.BLACK)
    left.fill_between([1, 2], [0.1, 0.2], [0.3, 0.4], color=style.GREEN)
    left.scatter([1], [0.75], marker="D", facecolors="none", edgecolors=style.VERMILION, urls=["run 7"], label="b")
    left.axhline(0.5, color="#123456")
    left.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=""))
    right.stairs([1, 4], [0, 1, 2], color=style.SKY)
    right.set_xticks([0, 1], ["cat", "dog"])
    figure.canvas.draw()
    plot = plot_of(figure)
    assert plot is not None
    first, second = plot["panels"]
    assert (plot["columns"], first["title"], second["y"]["label"]) == (2, "one", "loss")
    np.testing.assert_allclose(first["y"]["range"], np.multiply(100, left.get_ylim()))  # per cent, as its ticks
    by_kind = {(one["kind"], one["color"]): one for one in first["series"]}
    line, step, band = (by_kind[key] for key in (("line", "blue"), ("line", "ink"), ("band", "green")))
    assert (line["name"], line["dash"], line["mark"]) == ("a", "dash", "square")
    assert (line["x"], line["y"]) == ([1, 2, 3], [10, None, 25])
    assert (step["x"], step["y"], step["step"]) == ([1, 2], [50, 20], "hv")
    assert (min(band["y"]), max(band["y"])) == (10, 40)
    points = by_kind["line", "vermilion"]
    assert (points["mark"], points["text"], points["y"]) == ("diamond-open", ["run 7"], [75])
    level = by_kind["line", "#123456"]
    np.testing.assert_allclose(level["x"], left.get_xlim())  # from side to side, in the units of the data
    assert level["y"] == [50, 50]
    assert (second["series"][0]["x"], second["series"][0]["y"]) == ([0, 1, 2], [1, 4, 4])
    assert second["x"]["ticks"] == {"at": [0, 1], "text": ["cat", "dog"]}


def test_a_logarithmic_axis_has_its_range_as_exponents() -> None:
    figure, [[ax]] = grid([[""]], "step", ["norm"])
    ax.plot([1, 10, 1000], [1e-6, 1e-3, 1.0])
    ax.set(xscale="log", yscale="log", xlim=(1, 1000), ylim=(1e-6, 1))
    figure.canvas.draw()
    (panel,) = (plot_of(figure) or {})["panels"]
    assert (panel["x"]["log"], panel["x"]["range"], panel["y"]["range"]) == (True, [0, 3], [-6, 0])
    assert panel["series"][0]["y"] == [1e-6, 1e-3, 1]  # a power of ten as a tick is no share in per cent


def test_what_is_no_line_band_or_point_of_one_colour_stays_a_picture() -> None:
    for draw in (
        lambda ax: ax.imshow(np.eye(2)),
        lambda ax: ax.bar([1], [2]),
        lambda ax: ax.set_axis_off(),
        lambda ax: ax.set_xscale("symlog"),
        lambda ax: ax.scatter([1, 2], [1, 2], c=["red", "blue"]),
        lambda ax: ax.figure.add_subplot(polar=True),
    ):
        figure = Figure()
        draw(figure.subplots())
        assert plot_of(figure) is None
