"""The plots of predictions show what the arrays say."""

import numpy as np
import pytest
from made_predictions import FASHION, overhang, predictions
from matplotlib.figure import Figure

from mlp.report.figures.bars import per_class, robustness
from mlp.report.figures.matrix import confusion_matrix
from mlp.report.figures.reliability import reliability
from mlp.report.figures.wall import samples
from mlp.report.read import confusion


def shown_matrix(figure: Figure) -> np.ndarray:
    return np.asarray(figure.axes[0].images[0].get_array())


def all_texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_confusion_counts_agree_with_counting_pair_by_pair():
    arrays = predictions()
    expected = np.zeros((10, 10), int)
    for true, predicted in zip(arrays["y_true"], arrays["y_pred"], strict=True):
        expected[true, predicted] += 1
    counts = confusion(arrays)
    assert counts.tolist() == expected.tolist()
    assert counts.sum() == 400


def test_counts_of_narrow_integers_do_not_overflow():
    y_true = np.array([99, 99, 3], np.uint8)
    counts = confusion({"y_true": y_true, "y_pred": y_true.astype(np.int8), "class_names": np.arange(100)})
    assert counts[99, 99] == 2
    assert counts[3, 3] == 1
    assert counts.sum() == 3


def test_the_matrix_of_counts_shows_the_counts_in_colour_and_number():
    arrays = predictions()
    counts = confusion(arrays)
    figure = confusion_matrix(counts, arrays["class_names"])
    assert shown_matrix(figure).tolist() == counts.tolist()
    numbers = {(t.get_position()[1], t.get_position()[0]): int(t.get_text()) for t in figure.axes[0].texts}
    assert numbers == {(i, j): counts[i, j] for i in range(10) for j in range(10) if counts[i, j]}
    wrong = int((arrays["y_true"] != arrays["y_pred"]).sum())
    assert f"{wrong} of 400 predictions are wrong" in figure.axes[0].get_title(loc="left")


def test_normalised_rows_sum_to_one_and_carry_per_cent():
    counts = np.array([[3, 1, 0], [0, 0, 0], [1, 1, 1]])
    figure = confusion_matrix(counts, np.array(["a", "b", "c"]), normalised=True)
    assert shown_matrix(figure).sum(axis=1) == pytest.approx([1, 0, 1])  # b: no sample of that class
    assert all_texts(figure) == ["75.0", "25.0", "33.3", "33.3", "33.3"]


def test_more_than_twenty_classes_have_a_colour_bar_instead_of_numbers():
    for classes, bars in ((20, 0), (21, 1)):
        arrays = predictions(classes=classes)
        figure = confusion_matrix(confusion(arrays), arrays["class_names"])
        assert bool(all_texts(figure)) != bool(bars)
        assert len(figure.axes) == 1 + bars


def test_points_of_the_reliability_are_the_bins_with_samples():
    confidence, right = np.array([0.95, 0.97, 0.55, 0.54]), np.array([True, False, True, True])
    ax = reliability(confidence, right).axes[0]
    (line,) = [line for line in ax.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(line.get_xydata(), [[0.545, 1], [0.96, 0.5]])
    assert [text.get_text() for text in ax.texts] == ["2", "2"]
    assert "Calibration error 0.4575" in ax.get_title(loc="left")  # (2 x 0.455 + 2 x 0.46) / 4


def test_changed_images_have_a_bar_each_the_first_on_top():
    figure = robustness([("as they are", 0.9), ("inverted", 0.25)], 100)
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["inverted", "as they are"]
    assert [bar.get_width() for bar in ax.patches] == [0.25, 0.9]
    assert overhang(figure) == 0


def test_bars_are_the_recall_of_each_class_in_rising_order():
    arrays = predictions()
    figure = per_class(confusion(arrays), arrays["class_names"])
    ax = figure.axes[0]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    lengths = [bar.get_width() for bar in ax.patches]
    hits = arrays["y_true"] == arrays["y_pred"]
    expected = {name: hits[arrays["y_true"] == i].mean() for i, name in enumerate(FASHION)}
    assert dict(zip(labels, lengths, strict=True)) == pytest.approx(expected)
    assert lengths == sorted(lengths)
    low = 10 * min(lengths) - 0.1
    assert ax.get_xlim() == pytest.approx((low // 1 / 10, 1))  # a tenth below the lowest: the differences show
    assert ax.lines[0].get_xdata()[0] == pytest.approx(hits.mean())
    assert [text[: text.index(" %")] for text in all_texts(figure)] == [f"{100 * x:.1f}" for x in lengths]


def test_a_class_without_samples_is_said_to_have_none():
    figure = per_class(np.array([[0, 0], [1, 3]]), np.array(["a", "b"]))
    assert all_texts(figure) == ["no sample", "75.0 %  (3 of 4)"]


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_exactly_the_wrong_pictures_are_framed_and_crossed(shape, dtype):
    arrays = predictions(pictures=20)
    shades = np.arange(20) * 255 // 19  # one shade per picture, to know it again
    arrays["images"] = np.multiply.outer(shades, np.ones(shape)).astype(dtype)
    ax = samples(arrays).axes[0]
    wall = np.asarray(ax.images[0].get_array())
    rows = arrays["image_rows"]
    wrong = set(np.flatnonzero(arrays["y_true"][rows] != arrays["y_pred"][rows]))
    assert 0 < len(wrong) < 20

    framed = [(int(p.get_y()), int(p.get_x())) for p in ax.patches]
    pictures = [wall[y : y + 6, x : x + 5] for y, x in framed]
    assert all(picture.min() == picture.max() for picture in pictures)
    seen = [int(np.abs(shades - picture[0, 0, 0]).argmin()) for picture in pictures]
    assert sorted(seen) == sorted(wrong)

    captions = [text.get_text().split() for text in ax.texts]
    assert sum("✗" in words for words in captions) == len(wrong)
    assert sum("✓" in words for words in captions) == 20 - len(wrong)


def test_a_caption_says_true_class_predicted_class_and_confidence():
    arrays = predictions(pictures=2)
    arrays["class_names"] = np.array(list("0123456789"))
    arrays["image_rows"] = np.array([5, 7])
    for name, values in {"y_true": [4, 2], "y_pred": [4, 9], "confidence": [0.99, 0.42]}.items():
        arrays[name][[5, 7]] = values
    assert all_texts(samples(arrays)) == ["2 → 9\n✗ 42 %", "4 → 4\n✓ 99 %"]


def test_colours_survive_and_any_range_of_numbers_is_stretched_to_black_and_white():
    arrays = predictions(pictures=1)
    arrays["images"] = np.array([[[[-2.0, 0.0, 2.0]]]])
    wall = np.asarray(samples(arrays).axes[0].images[0].get_array())
    assert wall[0, 0].tolist() == [0, 127, 255]


def test_bytes_that_end_below_255_are_stretched_too():
    arrays = predictions(pictures=1)
    arrays["images"] = np.array([[[0, 4, 16]]], np.uint8)  # the pixels of digits are 0 to 16
    wall = np.asarray(samples(arrays).axes[0].images[0].get_array())
    assert wall[0, :3, 0].tolist() == [0, 63, 255]


@pytest.mark.parametrize(
    "names",
    [FASHION, ["$x^2$", "{unbalanced $", *"abcdefgh"], ["a name far longer than anyone would wish for"] * 10],
    ids=["fashion", "markup", "long"],
)
def test_no_text_is_cut_off_at_the_edge(names):
    arrays = predictions() | {"class_names": np.array(names)}
    counts = confusion(arrays) * 1000
    assert overhang(confusion_matrix(counts, arrays["class_names"])) == 0
    assert overhang(confusion_matrix(counts, arrays["class_names"], normalised=True)) == 0
    assert overhang(per_class(counts, arrays["class_names"])) == 0
    assert overhang(samples(arrays)) == 0


@pytest.mark.parametrize("classes", [1, 2, 25, pytest.param(250, marks=pytest.mark.slow)])
def test_any_number_of_classes_can_be_drawn(classes):
    arrays = predictions(classes=classes)
    assert overhang(confusion_matrix(confusion(arrays), arrays["class_names"])) == 0
    assert overhang(per_class(confusion(arrays), arrays["class_names"])) == 0
