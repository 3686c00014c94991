"""Pictures are treated alike wherever their channels lie, and not at all where that cannot be told."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Command

from mlp.data import NPZ, Augmentation
from mlp.data.pictures import as_pictures, is_picture
from mlp.nn.types import Array
from mlp.tools.robustness import moved
from mlp.training.evaluate import Evaluation
from mlp.training.predictions import prediction_arrays

N, HEIGHT, WIDTH = 40, 7, 9
PICTURES = np.random.default_rng(0).integers(0, 256, (N, HEIGHT, WIDTH, 3), dtype=np.uint8)


def channels_first(pictures: Array) -> Array:
    return pictures.transpose(0, 3, 1, 2)


def flat(pictures: Array) -> Array:
    return np.ascontiguousarray(pictures).reshape(len(pictures), -1)


@pytest.mark.parametrize(
    "shape",
    [(28, 28), (28, 28, 1), (1, 28, 28), (32, 32, 3), (3, 32, 32), (8, 8, 1), (2, 5), (3, 9), (3, 2, 2)],
    ids=str,
)
def test_shapes_that_are_those_of_pictures(shape: tuple[int, ...]) -> None:
    assert is_picture(shape)
    assert as_pictures(np.zeros((2, int(np.prod(shape)))), shape).shape[-1] == (
        3 if len(shape) == 3 and 3 in shape else 1
    )


@pytest.mark.parametrize(
    "shape",
    [
        (),
        (784,),
        (784, 1),
        (1, 784),
        (3, 28, 3),
        (1, 28, 1),
        (3, 28, 1),
        (3, 3, 28),
        (28, 1, 3),
        (4, 28, 28),
        (2, 3, 4, 5),
    ],
    ids=str,
)
def test_shapes_of_which_it_cannot_be_told(shape: tuple[int, ...]) -> None:
    assert not is_picture(shape)
    with pytest.raises(ValueError, match="not images with recognisable axes"):
        as_pictures(np.zeros((2, int(np.prod(shape)))), shape)


@pytest.mark.parametrize("change", [Augmentation(shift=2, rotation=0.3), Augmentation(erase=1), Augmentation(flip=1)])
def test_channels_first_are_augmented_as_channels_last(change: Augmentation) -> None:
    def applied(images: Array, shape: tuple[int, ...]) -> Array:
        out = images.astype(np.float32)
        change.apply(out, np.zeros((N, 2), np.float32), shape, np.random.default_rng(1))
        return out

    expected = applied(flat(PICTURES), (HEIGHT, WIDTH, 3)).reshape(PICTURES.shape)
    assert not np.array_equal(expected, PICTURES)
    found = applied(flat(channels_first(PICTURES)), (3, HEIGHT, WIDTH))
    np.testing.assert_array_equal(found, flat(channels_first(expected)))


def test_channels_first_are_moved_as_channels_last() -> None:
    X = (PICTURES / 255).astype(np.float32)
    shifted = moved(flat(channels_first(X)), (3, HEIGHT, WIDTH), shift=(2, 0)).reshape(N, 3, HEIGHT, WIDTH)
    np.testing.assert_allclose(shifted[..., 2:], channels_first(X)[..., :-2], atol=1e-6)
    assert not shifted[..., :2].any()
    single = moved(flat(X[..., :1]), (1, HEIGHT, WIDTH), shift=(2, 0))
    np.testing.assert_array_equal(single, moved(flat(X[..., :1]), (HEIGHT, WIDTH), shift=(2, 0)))


@pytest.mark.parametrize("layout", ["first", "last", "grey", "grey first"])
def test_pictures_of_the_predictions_are_ready_to_be_drawn(tmp_path: Path, layout: str) -> None:
    x, y = (
        {
            "first": channels_first(PICTURES),
            "last": PICTURES,
            "grey": PICTURES[..., 0],
            "grey first": PICTURES[:, None, ..., 0],
        }[layout],
        np.arange(N) % 2,
    )
    np.savez(tmp_path / "mine.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    dataset = NPZ(path=str(tmp_path / "mine.npz"))
    samples = dataset.test()
    said = prediction_arrays(
        Evaluation(0, samples.labels, np.zeros((N, 2))), samples, ("0", "1"), dataset.image_shape
    )
    expected = PICTURES[..., 0] if "grey" in layout else PICTURES
    np.testing.assert_array_equal(said["images"], expected[said["image_rows"]])


def test_a_run_says_that_samples_are_not_drawn_and_refuses_robustness(
    tmp_path: Path, train: Command, infer: Command
) -> None:
    x, y = np.random.default_rng(0).random((60, 4, 6, 6)), np.arange(60) % 3
    np.savez(tmp_path / "mine.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    words = ("-d", "npz", "dataset.path=mine.npz")
    done = train(*words, "-e", "1", "-sz", "4", "--no_wandb", "hydra.run.dir=run", check=True)
    assert "Note: samples of shape (4, 6, 6) are not drawn" in done.stdout + done.stderr
    refused = infer("-mp", "run/best_model.npy", *words, "--robustness")
    assert refused.returncode == 2
    assert "(channels, height, width) with 1 or 3 channels. Those of npz are (4, 6, 6)" in refused.stderr
    assert refused.stdout == ""  # before the work


def test_the_checksums_of_the_data_are_in_the_summary(tmp_path: Path, train: Command) -> None:
    train("-d", "digits", "-e", "1", "-sz", "4", "--no_wandb", "hydra.run.dir=run", check=True)
    found = json.loads((tmp_path / "run" / "summary.json").read_text())["data_sha256"]
    # Recorded; scikit-learn's digits have not changed since 1998.
    assert {part: value[:16] for part, value in found.items()} == {
        "train": "bfad96e0bfcea9de",
        "test": "95f0022b5bc797b7",
    }
