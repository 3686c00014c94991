"""The error analysis: numbers against slow loops and cases worked by hand, the text on both sides of each claim."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from answers import drawn, pictures_of, tables_of, text_of
from made_runs import make_run
from runs import run

from mlp.base.errors import UserError
from mlp.data import Digits
from mlp.report.blocks import Analysis, Confusion, Gallery, Picture
from mlp.report.build import Chapter
from mlp.report.predictions import Model, caught, nearer_to_predicted
from mlp.report.studies import error_analysis
from mlp.report.studies.error_analysis import ErrorAnalysis

STUDY = ErrorAnalysis()
NAMES = [str(digit) for digit in range(10)]


def said(
    y_true: Sequence[int], y_pred: Sequence[int], confidence: Sequence[float] | float, runner_up: int = 9
) -> dict[str, np.ndarray]:
    """Arrays of predictions.npz; the true class gets what is left where it is not the predicted one."""
    truth, guess = np.array(y_true), np.array(y_pred)
    sure = np.broadcast_to(np.float32(confidence), truth.shape)
    return {
        "y_true": truth, "y_pred": guess, "confidence": sure, "runner_up": np.full(truth.shape, runner_up),
        "true_confidence": np.where(truth == guess, sure, 1 - sure), "class_names": np.array(NAMES),
    }  # fmt: skip


def pictures(n: int) -> np.ndarray:
    return np.random.default_rng(n).random((n, 8, 8))


def analysis(best: dict[str, np.ndarray], second: dict[str, np.ndarray] | None = None) -> Analysis:
    other = None if second is None else Model("the other", second)
    return STUDY.compare(Model("the best", best), other, pictures(len(best["y_true"])), Digits())


def test_the_least_sure_catch_the_mistakes_that_are_among_them() -> None:
    confidence, wrong = np.array([0.9, 0.2, 0.5, 0.8]), np.array([True, True, False, False])
    assert caught(confidence, wrong, 0.5) == 0.5
    assert caught(confidence, wrong, 1.0) == 1.0
    assert caught(confidence, np.zeros(4, bool), 0.5) == 0


def test_an_image_is_near_to_the_mean_of_a_class() -> None:
    # Means: class 0 at 0.5, class 1 at 4. The third image, at 1, is called 1 but lies at 0; the fourth, at 3 of class
    # 1, lies nearer to its own; the last is right, its second choice is class 0, and it lies nearer to 1.
    pixels = np.array([0.0, 0.5, 1.0, 3.0, 5.0]).reshape(5, 1, 1)
    arrays = {
        "y_true": np.array([0, 0, 0, 1, 1]),
        "y_pred": np.array([0, 0, 1, 0, 1]),
        "runner_up": np.array([1, 1, 0, 1, 0]),
        "class_names": np.array(["a", "b"]),
    }
    assert nearer_to_predicted(pixels, arrays).tolist() == [False, False, False, False, False]
    pixels[2] = 3.0  # the mean of class 0 becomes 1.17: its third image is now nearer to 4
    assert nearer_to_predicted(pixels, arrays).tolist() == [False, False, True, False, False]


def test_the_numbers_are_those_of_a_slow_loop() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 10, 300)
    guess = np.where(rng.random(300) < 0.7, truth, (truth + rng.integers(1, 4, 300)) % 10)
    best = said(truth.tolist(), guess.tolist(), rng.random(300).tolist())
    best["runner_up"] = (guess + 9) % 10
    second = said(truth.tolist(), rng.permutation(guess).tolist(), 0.5)
    found = analysis(best, second)
    counts, shared, same, next_right = np.zeros((10, 10), int), 0, 0, 0
    for i in range(300):
        counts[truth[i], guess[i]] += 1
        wrong = truth[i] != guess[i]
        next_right += wrong and (guess[i] - truth[i]) % 10 == 1
        shared += wrong and second["y_pred"][i] != truth[i]
        same += wrong and second["y_pred"][i] == guess[i]
    pairs = [(NAMES[i], NAMES[j], counts[i, j]) for i in range(10) for j in range(10) if i != j and counts[i, j]]
    given = [(pair["true"], pair["predicted"], pair["images"]) for pair in found.facts["pairs"]]
    assert given == sorted(pairs, key=lambda pair: -pair[2])
    assert found.facts["mistakes"] == 300 - counts.trace()
    assert found.facts["runner_up_right"] == next_right
    assert (found.facts["second"]["shared"], found.facts["second"]["same_answer"]) == (shared, same)
    matrix = drawn(found, "error_analysis_confusion").axes[0]
    assert sum(int(cell.get_text()) for cell in matrix.texts) == 300
    table = tables_of(found)[0]
    i, j, n = pairs[int(np.argmax([pair[2] for pair in pairs]))]
    assert table.rows[0][:2] == [f"{i} → {j}", str(n)]


def test_the_wall_shows_the_most_confident_mistakes_first() -> None:
    best = said([1, 2, 3, 4], [1, 5, 7, 6], [0.99, 0.7, 0.9999, 0.8])
    found = analysis(best, said([1, 2, 3, 4], [1, 2, 7, 0], 0.5))
    ax = drawn(found, "error_analysis_wall").axes[0]
    words = [t.get_text() for t in ax.texts]
    assert words[:3] == ["called 7  over 99.9 %", "labelled 3  under 0.1 %", "second model: 7 too"]
    assert words[3:6] == ["called 6  80.0 %", "labelled 4  20.0 %", "second model: 0"]
    assert words[6:] == ["called 5  70.0 %", "labelled 2  30.0 %", "second model: as labelled"]
    wall = np.asarray(ax.images[0].get_array())
    images = np.round(255 * pictures(4)).astype(np.uint8)
    for column, row in enumerate((2, 3, 1)):  # of 8 x 8 pixels, with 0.9 inches of 0.15 between them
        np.testing.assert_array_equal(wall[:8, 14 * column : 14 * column + 8, 0], images[row])
    gallery = next(chart for chart in found.charts if isinstance(chart, Gallery))
    assert [row[1:3] for row in gallery.rows] == [["3", "7"], ["4", "6"], ["2", "5"]]
    assert gallery.rows[0][0].dtype == np.uint8


def test_the_means_are_those_of_the_cells() -> None:
    best = said([1, 1, 1, 2, 1], [1, 4, 4, 2, 1], 0.9)
    ax = drawn(analysis(best), "error_analysis_pairs").axes[0]
    pixels = pictures(5)
    wall, pitch_x, pitch_y = np.asarray(ax.images[0].get_array()), 8 + 3, 8 + 3  # pixels, of 0.08 inches
    expected = {(1, 1): (pixels[0] + pixels[4]) / 2, (1, 4): (pixels[1] + pixels[2]) / 2, (2, 2): pixels[3]}
    for i, j in np.ndindex(10, 10):
        cell = wall[pitch_y * i : pitch_y * i + 8, pitch_x * j : pitch_x * j + 8, 0]
        mean = expected.get((i, j), np.ones((8, 8)))
        np.testing.assert_array_equal(cell, np.round(255 * mean))
    assert [t.get_text() for t in ax.texts if t.get_text() not in NAMES or t.get_fontsize() < 9] == ["2"]
    assert [box.get_xy() for box in ax.patches] == [(11, 11), (22, 22)]


def test_the_curves_of_confidence_are_counts() -> None:
    best = said([0] * 10, [0] * 8 + [1, 1], [0.9] * 8 + [0.4, 0.95])
    shares, least = drawn(analysis(best), "error_analysis_confidence").axes
    right, wrong = (patch.get_data().values for patch in shares.patches)
    assert (right.sum(), right.max(), sorted(wrong)[-2:]) == (1, 1, [0.5, 0.5])
    np.testing.assert_allclose(np.asarray(least.lines[0].get_ydata()), [0.5] * 9 + [1.0])


def test_the_verdict_counts_and_names() -> None:
    found = text_of(analysis(said([0, 0, 1, 1, 1], [0, 3, 1, 3, 3], 0.6)))
    assert "**the best misclassifies 3 of the 5 test images of digits, an accuracy of 40.00 %**" in found
    assert "most often 1 → 3 (2), true → predicted. 1 has the lowest recall: 1 of 3, 33.3 %" in found

    once = text_of(analysis(said([0, 0, 1, 1, 1], [0, 3, 1, 3, 1], 0.6)))
    assert "no confusion occurs more than once." in once


def test_without_a_mistake_there_is_little_to_say() -> None:
    found = analysis(said([0, 1], [0, 1], 0.9), said([0, 1], [1, 1], 0.9))
    assert "makes no mistake on the 2 test images" in text_of(found)
    assert [one.name for one in pictures_of(found)] == ["error_analysis_confusion"]


def test_a_model_that_is_never_right_is_described_too() -> None:
    found = analysis(said([0, 1], [1, 0], 0.9), said([0, 1], [1, 0], 0.9))
    assert "2 of the 2 test images" in text_of(found)
    assert drawn(found, "error_analysis_confidence").axes


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (said([0, 1], [1, 1], 0.95), "1 of 1 mistake was made with a probability above 90 %"),
        (said([0, 1], [1, 1], 0.5), "0 of 1 mistake were made"),
        (said([0, 1], [1, 1], 0.5, runner_up=0), "In 1 of 1 (100 %) the second largest probability was right"),
        (said([0, 1], [1, 1], 0.5, runner_up=0), "far more than the 11 % of a guess"),
        (said([0, 1], [1, 1], 0.5, runner_up=5), "no more than the 11 % of a guess"),
        (said([0, 1] * 50, [1, 1] * 50, 0.9), "the model is overconfident"),
        (said([0, 1] * 50, [1, 1] * 50, 0.2), "the model is underconfident"),
        (said([0, 1] * 50, [1, 1] * 50, 0.5), "they do not differ significantly"),
    ],
)
def test_the_text_follows_the_numbers(arrays: dict[str, np.ndarray], words: str) -> None:
    assert words in text_of(analysis(arrays))


def test_the_second_model_tells_the_mistakes_of_the_images_from_those_of_the_model() -> None:
    truth, best = [0] * 12, said([0] * 12, [1, 2, 3] + [0] * 9, 0.8)
    alone = text_of(analysis(best))
    assert "There is no second model of this dataset" in alone
    most = text_of(analysis(best, said(truth, [1, 2] + [0] * 10, 0.8)))
    assert "a second model makes 2 of the same 3 mistakes, so most are due to the images" in most
    assert "(by chance 0.5), 2 with the same answer. The second model is the other, accuracy 83.33 %" in most
    few = text_of(analysis(best, said(truth, [4] + [0] * 10 + [1], 0.8)))
    assert "most are the model's own; a second one makes only 1 of the same 3 mistakes" in few
    assert ", 0 with the same answer" in few
    weak = text_of(analysis(best, said(truth, [1] * 12, 0.8)))
    assert "errs more than twice as often, so its agreement means less" in weak
    assert "errs more than twice as often" not in most


def test_predictions_of_other_data_are_refused() -> None:
    with pytest.raises(UserError, match="the other was measured on other data than the best"):
        analysis(said([0, 1], [0, 0], 0.9), said([1, 1], [0, 0], 0.9))


def test_the_shipped_model_is_the_best_and_its_counts_are_those_of_its_scores(tmp_path: Path) -> None:
    """On MNIST: the confusion counts sum to the test set, and to the accuracy of best_config.json."""
    truth = STUDY.find_runs(tmp_path, "mnist").data.test().labels
    arrays = said(truth.tolist(), ((truth + 1) % 10).tolist(), 0.9)
    make_run(tmp_path / "error_analysis-mnist" / "0", ["seed=1"], {"train_loss": [0.5]}, predictions=arrays)
    found = STUDY.analyse(STUDY.find_runs(tmp_path, "mnist"))
    config = json.loads((error_analysis.paths.home() / "best_config.json").read_text())
    assert found.facts["samples"] == 10_000
    assert found.facts["accuracy"] == pytest.approx(config["test_accuracy"])
    matrix = drawn(found, "error_analysis_confusion").axes[0]
    cells = [int(cell.get_text()) for cell in matrix.texts]
    assert sum(cells) == 10_000
    assert sum(sorted(cells)[-10:]) == round(10_000 * config["test_accuracy"])
    confusion = next(chart for chart in found.charts if isinstance(chart, Confusion))
    assert len(confusion.y_true) == len(confusion.y_pred) == 10_000
    assert "15 labels of this test set are known to be wrong" in text_of(found)
    assert "run 0 of this study (seed 1, 1 epoch)" in text_of(found)
    setup = Chapter(STUDY, "", STUDY.find_runs(tmp_path, "mnist"), found).setup
    assert setup.startswith(
        "**Setup of the judged model:** MNIST; hidden layers 128-128-128-128-128-128; activation ReLU; "
        "normalization batch norm; init Xavier; loss cross-entropy; optimizer Adam; learning rate 0.003; "
    )
    assert f"epochs {config['epochs']}; seed 0; augmentation mnist, noise" in setup
    assert "**Of the second model:** hidden layers" in setup
    assert setup.endswith("seed 1; 1 run.")


def test_label_smoothing_is_named_where_there_was_some() -> None:
    described = [error_analysis._described({"hidden_size": [8], "label_smoothing": share}) for share in (0.1, 0.0)]
    assert [own.get("label smoothing") for own in described] == ["0.1", None]


def test_the_images_of_a_dataset_bear_its_own_changes() -> None:
    assert STUDY.overrides("mnist") == ["+experiment=error_analysis"]
    assert STUDY.overrides("fashion_mnist")[1:] == ["dataset=fashion_mnist", "augment=fashion_mnist"]
    assert STUDY.overrides("digits")[1:] == ["dataset=digits", "augment=none"]


@pytest.mark.slow
def test_a_real_run_is_the_best_model_where_none_is_shipped(tmp_path: Path) -> None:
    run(tmp_path, *STUDY.overrides("digits", quick=True), "seed=1,2", "tracker=none", "search.workers=1")
    found = STUDY.analyse(STUDY.find_runs(tmp_path / "multirun_outputs", "digits", quick=True))
    directory = tmp_path / "multirun_outputs" / "error_analysis-digits-quick"
    summaries = [json.loads((directory / str(i) / "summary.json").read_text()) for i in range(2)]
    best = max(summaries, key=lambda summary: summary["val_accuracy"])
    assert found.facts["samples"] == 359
    assert found.facts["accuracy"] == pytest.approx(best["test_accuracy"])
    assert found.facts["second"]["shared"] <= min(found.facts["mistakes"], found.facts["second"]["mistakes"])
    for block in found.blocks:
        if isinstance(block, Picture):
            block.draw().savefig(tmp_path / "figure.png")


def test_without_a_run_that_came_to_its_end_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished runs in .*error_analysis-digits"):
        STUDY.analyse(STUDY.find_runs(tmp_path, "digits"))
    run_directory = tmp_path / "error_analysis-digits" / "0"
    make_run(run_directory, ["dataset=digits"], {"train_loss": [0.5]}, {"status": "diverged"})
    with pytest.raises(UserError, match="finished"):
        STUDY.analyse(STUDY.find_runs(tmp_path, "digits"))
