"""The exploration of the data: counts, likeness and pictures are those of the dataset, and the text follows them."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import drawn, pictures_of, tables_of, text_of
from made_runs import make_run

from mlp.base.errors import UserError
from mlp.data import NPZ, Digits
from mlp.report.blocks import Analysis, Confusion, Gallery
from mlp.report.studies.data_exploration import ClassImages, DataExploration, pair_facts

STUDY = DataExploration()

#: What the images of three classes are multiples of: the angle between the first two has the cosine 24 / 25.
BASES = np.zeros((3, 12))
BASES[0, :2], BASES[1, :2], BASES[2, 11] = (3, 4), (4, 3), 5

TEST = [0] * 4 + [1] * 4 + [2] * 2
CONFUSES_LIKE_MEANS = [1, 1, 0, 0] + [1] * 4 + [2] * 2
CONFUSES_THE_OTHERS = [2, 2, 0, 0] + [2, 2, 1, 1] + [2] * 2


def colour_dataset(path: Path, sizes: tuple[int, ...] = (10, 10, 5), shape: tuple[int, ...] = (2, 2, 3)) -> NPZ:
    """Images of 10 and 30 times the base of their class, in turns."""

    def part(counts: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        y = np.repeat(np.arange(3), counts)
        x = BASES[y] * np.where(np.arange(len(y)) % 2, 30, 10)[:, None]
        return x.reshape(-1, *shape).astype(np.uint8), y

    (x_train, y_train), (x_test, y_test) = part(sizes), part((4, 4, 2))
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return NPZ(path=str(path))


def analysis(
    root: Path,
    y_pred: list[int] | None,
    dataset: Any = None,
    network: list[int] | None = None,
    fraction: float = 0.2,
) -> Analysis:
    """Of three classes, from what a linear classifier says, and a network if it is given; the runs are of another
    dataset, which only its files know. `y_pred` None: it diverged."""
    for place, (sizes, guess) in enumerate((("[]", y_pred), ("[8]", network))):
        arrays = {} if guess is None else {
            "predictions": {"y_true": np.array(TEST), "y_pred": np.array(guess), "class_names": np.array(list("012"))}
        }  # fmt: skip
        correct = float(np.mean(np.array(guess) == TEST)) if guess else None
        options = ["+experiment=data_exploration", "dataset=digits", f"dataset.validation_fraction={fraction}"]
        if guess is not None or not place:
            make_run(root / "data_exploration-digits" / str(place), [*options, f"model.hidden_sizes={sizes}"],
                     {"val_accuracy": [0.5]}, {"test_accuracy": correct}, **arrays)  # fmt: skip
    found = STUDY.find_runs(root, "digits")
    vars(found)["data"] = dataset or colour_dataset(root / "made.npz")
    return STUDY.analyse(found)


def test_the_classes_of_each_part_are_counted(tmp_path: Path) -> None:
    found = analysis(tmp_path, CONFUSES_LIKE_MEANS)
    table = tables_of(found)[-1]
    assert table.header[:4] == ["class", "training", "validation", "test"]
    assert [row[1:4] for row in table.rows] == [["8", "2", "4"], ["8", "2", "4"], ["4", "1", "2"]]
    # The sums of the bases are 7, 7 and 5; the factors 10 and 30 have the means 20, 20 and, of five images, 18.
    assert [row[4] for row in table.rows] == [f"{value / 255 / 12:.3f}" for value in (7 * 20, 7 * 20, 5 * 18)]
    assert [row[5] for row in table.rows] == ["50.0 %", "100.0 %", "100.0 %"]
    assert "Colour images of 2 × 2 pixels: 20 for training, 5 for validation and 10 for test" in text_of(found)
    parts = drawn(found, "data_exploration_classes").axes[0].lines[:3]
    assert [np.asarray(part.get_ydata()).tolist() for part in parts] == [pytest.approx([0.4, 0.4, 0.2])] * 3


def test_without_validation_there_is_none_in_text_and_figure(tmp_path: Path) -> None:
    found = analysis(tmp_path, CONFUSES_LIKE_MEANS, fraction=0.0)
    assert "25 for training and 10 for test" in text_of(found)
    assert len(drawn(found, "data_exploration_classes").axes[0].lines) == 3  # two parts, and the equal share


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((5, 5, 5), "exactly balanced: every class has 4 training images"),
        ((21, 20, 20), "nearly balanced:** the largest, 0, has 17 training images, the smallest, 1, 16"),
        ((8, 7, 6), "slightly unbalanced"),
        (
            (10, 10, 5),
            "unbalanced:** the largest, 0, has 8 training images, the smallest, 2, 4, a ratio of 2",
        ),
    ],
)
def test_balance_is_said_as_it_is(tmp_path: Path, sizes: tuple[int, ...], said: str) -> None:
    found = text_of(analysis(tmp_path, CONFUSES_LIKE_MEANS, colour_dataset(tmp_path / "made.npz", sizes)))
    assert f"The classes are {said}" in found
    assert "class is right for 40.00 % of the test images" in found


def test_similarity_is_the_cosine_of_the_mean_images() -> None:
    data = Digits()
    images = ClassImages(data, 0.1)
    x, y = data.load("train")
    means = [[sum(column) / len(column) for column in zip(*x[y == k].tolist(), strict=True)] for k in range(10)]
    for i, j in itertools.product(range(0, 10, 3), range(10)):
        dot = sum(a * b for a, b in zip(means[i], means[j], strict=True))
        lengths = sum(a * a for a in means[i]) * sum(b * b for b in means[j])
        assert images.similarity[i, j] == pytest.approx(dot / lengths**0.5)


def test_brightness_alone_names_the_nearest_class(tmp_path: Path) -> None:
    # Means 140, 140, 90 (see above). Class 0: 70 is taken for 2, 210 for 0; class 1 the same; class 2: 50 and 150.
    assert "is right for 30.0 % of the test images" in text_of(analysis(tmp_path, CONFUSES_LIKE_MEANS))


def test_the_share_of_mistakes_on_similar_pairs_is_told(tmp_path: Path) -> None:
    found = analysis(tmp_path / "a", CONFUSES_LIKE_MEANS)
    assert "**0 & 1 (0.96)**, by the cosine similarity of their mean images" in text_of(found)
    assert "100 % of the 2 mistakes of the linear classifier fall on these 1 of 3 pairs**" in text_of(found)
    assert "It confuses 0 & 1 (25.0 % of the images of both) most." in text_of(found)
    assert found.facts["top"] == {"similarity": ["0 & 1"], "linear classifier": ["0 & 1"]}
    other = text_of(analysis(tmp_path / "b", CONFUSES_THE_OTHERS))
    assert "**The model does not confuse the classes that look alike: 0 % of the 4 mistakes of the linear" in other
    assert "Rank correlation of similarity and confusion over all pairs: -1.00 (linear classifier)." in other


def test_the_network_is_judged_beside_the_linear_classifier(tmp_path: Path) -> None:
    found = analysis(tmp_path / "a", CONFUSES_THE_OTHERS, network=CONFUSES_LIKE_MEANS)
    assert "**The model confuses the classes that look alike: 100 % of the 2 mistakes of the" in text_of(found)
    assert (
        "A linear classifier, which sees only where an image is bright, makes 0 % of its mistakes there."
        in text_of(found)
    )
    # The mistakes that are left are those of the pair that looks alike.
    assert "Hidden layers, which can combine pixels, raise the test accuracy (80.00 %" in text_of(found)
    assert "the share of the mistakes on the pairs that look alike rises." in text_of(found)
    assert "What the eye sees" not in text_of(found)  # these are no digits
    assert found.headline is not None
    assert found.headline.number == "100 % of mistakes"
    assert len(drawn(found, "data_exploration_alike").axes) == 3
    worse = text_of(analysis(tmp_path / "b", CONFUSES_LIKE_MEANS, network=CONFUSES_THE_OTHERS))
    assert "Hidden layers, which can combine pixels, do not help here (" in worse
    assert "Alike, but not among the 2 most confused: 0 & 1 (0.0 %)." in worse
    assert "Confused, but less alike: 0 & 2 (similarity 0.00)" in worse


def test_a_classifier_without_mistakes_is_no_measure(tmp_path: Path) -> None:
    found = analysis(tmp_path, TEST)
    assert "**The linear classifier confuses no classes at all.**" in text_of(found)
    assert found.facts["rank_correlation"] == {"linear classifier": None}
    drawn(found, "data_exploration_alike")


def test_a_run_that_diverged_leaves_the_data_to_be_explored(tmp_path: Path) -> None:
    found = analysis(tmp_path, None)
    assert "**This was not measured:** the training failed and left no predictions." in text_of(found)
    assert len(drawn(found, "data_exploration_alike").axes) == 1


def test_the_correlation_of_ranks_is_right() -> None:
    counts = {"kind": np.array([[5, 1, 2], [0, 5, 0], [0, 0, 5]])}
    facts = pair_facts("abc", np.array([[1, 0.1, 0.9], [0.1, 1, 0.5], [0.9, 0.5, 1]]), counts)
    assert [facts["pairs"][name]["kind"] for name in ("a & b", "a & c", "b & c")] == [1 / 13, 2 / 13, 0]
    # Ranks 0 2 1 and 1 2 0 about their mean: (-1, 1, 0) and (0, 1, -1); 1 / sqrt(2 * 2).
    assert facts["rank_correlation"]["kind"] == pytest.approx(0.5)
    assert facts["top"] == {"similarity": ["a & c", "b & c", "a & b"], "kind": ["a & c", "a & b"]}


def test_the_table_for_wandb_has_the_stored_images(tmp_path: Path) -> None:
    found = analysis(tmp_path, CONFUSES_LIKE_MEANS)
    gallery = next(chart for chart in found.charts if isinstance(chart, Gallery))
    assert gallery.header == ["class", *(f"sample {n}" for n in range(1, 6)), "mean image"]
    assert [row[0] for row in gallery.rows] == ["0", "1", "2"]
    for base, factor, (_, *images, mean) in zip(BASES.reshape(3, 2, 2, 3), (20, 20, 18), gallery.rows, strict=True):
        assert [image.dtype for image in images] == [np.uint8] * 5
        assert all((image == 10 * base).all() or (image == 30 * base).all() for image in images)
        assert (mean == factor * base).all()
    assert any(isinstance(chart, Confusion) for chart in found.charts)


def test_a_class_of_fewer_images_than_samples_leaves_cells_empty(tmp_path: Path) -> None:
    found = analysis(tmp_path, CONFUSES_LIKE_MEANS, colour_dataset(tmp_path / "made.npz", (10, 10, 2)))
    gallery = next(chart for chart in found.charts if isinstance(chart, Gallery))
    assert [isinstance(cell, np.ndarray) for cell in gallery.rows[2]] == [False, *[True] * 2, *[False] * 3, True]
    drawn(found, "data_exploration_samples")


def test_the_wall_shows_the_samples_in_their_places(tmp_path: Path) -> None:
    found = analysis(tmp_path, CONFUSES_LIKE_MEANS)
    rows = next(chart for chart in found.charts if isinstance(chart, Gallery)).rows
    wall = np.asarray(drawn(found, "data_exploration_samples").axes[0].images[0].get_array())
    # Images of 2 x 2 with one pixel between them, and the mean after the five samples.
    for row, column in itertools.product(range(3), range(5)):
        assert (wall[3 * row : 3 * row + 2, 3 * column : 3 * column + 2] == rows[row][1 + column]).all()
    assert (wall[0:2, 15:17] == rows[0][6]).all()


def test_the_matrices_are_similarity_and_shares_without_the_diagonal(tmp_path: Path) -> None:
    likeness, confused = drawn(analysis(tmp_path, CONFUSES_LIKE_MEANS), "data_exploration_alike").axes
    expected = [[np.nan, 0.96, 0], [0.96, np.nan, 0], [0, 0, np.nan]]
    np.testing.assert_allclose(np.ma.filled(likeness.images[0].get_array(), np.nan), expected, atol=1e-12)
    expected = [[np.nan, 50, 0], [0, np.nan, 0], [0, 0, np.nan]]
    np.testing.assert_allclose(np.ma.filled(confused.images[0].get_array(), np.nan), expected)
    assert [t.get_text() for t in confused.texts] == ["50.0"]


def test_samples_that_are_no_images_are_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(12, 4))
    np.savez(tmp_path / "flat.npz", x_train=x, y_train=np.arange(12) % 3, x_test=x, y_test=np.arange(12) % 3)
    with pytest.raises(UserError, match="no images"):
        analysis(tmp_path, CONFUSES_LIKE_MEANS, NPZ(path=str(tmp_path / "flat.npz")))


@pytest.mark.slow
def test_without_runs_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished runs in .*data_exploration-digits"):
        STUDY.analyse(STUDY.find_runs(tmp_path, "digits"))


def test_real_runs_of_both_are_explored(quick_studies: Path) -> None:
    found = STUDY.find_runs(quick_studies / "multirun_outputs", "digits", quick=True)
    assert {int(r.summary["num_parameters"]) for r in found.runs} == {
        64 * 10 + 10,
        64 * 128 + 3 * 128 + 2 * 128**2 + 1290,
    }
    made = STUDY.analyse(found)
    assert made.facts["images"]["training"] == 1438 - 144
    assert set(made.facts["classifiers"]) == {"network", "linear classifier"}
    for one in pictures_of(made):
        one.draw()
