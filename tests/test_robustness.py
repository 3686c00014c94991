"""The robustness table measures what its rows say."""

import re

import numpy as np
import pytest
from conftest import Command

from mlp.base.errors import UserError
from mlp.tools.robustness import accuracies, moved

SHAPE = (6, 8)


def images(n: int = 5) -> np.ndarray:
    return np.random.default_rng(0).random((n, 48))


@pytest.mark.parametrize(("columns", "rows"), [(1, 0), (-2, 0), (0, 3), (0, -1)])
def test_a_shift_moves_whole_pixels_and_fills_with_black(columns: int, rows: int) -> None:
    X = images()
    before, after = np.pad(X.reshape(5, 6, 8), ((0, 0), (3, 3), (3, 3))), (3 - rows, 3 - columns)
    expected = before[:, after[0] : after[0] + 6, after[1] : after[1] + 8].reshape(5, -1)
    np.testing.assert_allclose(moved(X, SHAPE, shift=(columns, rows)), expected, atol=1e-12)


def test_half_a_turn_is_both_mirrors() -> None:
    X = images()
    np.testing.assert_allclose(moved(X, SHAPE, angle=np.pi), X[:, ::-1], atol=1e-12)


def test_rows_are_accuracies_on_the_changed_images() -> None:
    """A model that says whether an image is bright is right on the images, and wrong on all inverted ones."""
    X = np.concatenate([np.full((4, 48), 0.9), np.full((4, 48), 0.1)])
    labels = np.repeat([1, 0], 4)

    def bright(images: np.ndarray) -> np.ndarray:
        mean = images.mean(axis=1)
        return np.stack([0.5 - mean, mean - 0.5], axis=1)

    rows = dict(accuracies(bright, X, labels, SHAPE))
    assert rows["as they are"] == 1
    assert rows["inverted"] == 0
    assert rows["contrast times 0.6 or 1.4"] == 1
    assert rows["blurred, mean of 3 x 3 pixels"] == 1
    *changes, last = [value for name, value in rows.items() if name != "as they are"]
    assert len(changes) == 17
    assert last == pytest.approx(np.mean(changes))


@pytest.mark.parametrize("scale", [-1, 255])
def test_pixels_beyond_0_to_1_are_refused(scale: float) -> None:
    with pytest.raises(UserError, match="needs pixels from 0 to 1"):
        accuracies(lambda X: X, scale * images(), np.zeros(5), SHAPE)


def test_many_images_are_moved_as_each_alone() -> None:
    X = np.random.default_rng(0).random((70, 48))
    one_by_one = np.concatenate([moved(X[i : i + 1], SHAPE, (0.5, 1), 0.3, 1.1) for i in range(70)])
    np.testing.assert_array_equal(moved(X, SHAPE, (0.5, 1), 0.3, 1.1), one_by_one)


def test_inference_prints_the_table(infer: Command) -> None:
    result = infer("--robustness", check=True)
    accuracy = re.search(r"^accuracy (\S+)", result.stdout, re.MULTILINE)
    row = re.search(r"as they are +(\S+)", result.stdout)
    assert accuracy is not None
    assert row is not None
    assert row[1] == accuracy[1]
    assert re.search(r"mean of the changes +0\.\d{4}  0\.\d{4} to 0\.\d{4}", result.stdout)
