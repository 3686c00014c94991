"""Augmentation moves pixels as its parameters say, repeats itself for a seed, and leaves everything else alone."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
from scipy import ndimage
from scipy.interpolate import BSpline

from mlp.config.build import build
from mlp.config.compose import compose
from mlp.config.files import options
from mlp.data import Augmentation, Blur, Brightness, Compose, Noise, Samples, Stroke
from mlp.data.augmentation import interpolate
from mlp.data.batches import Batches
from mlp.data.pixel_augmentation import blur, stroke
from mlp.nn.types import Array
from mlp.report.read import build_option

SHAPE = (28, 28)


def pictures(n: int = 40, shape: tuple[int, ...] = SHAPE) -> Array:
    """Smooth random pictures (n, d), uint8, dark at the border."""
    rng, (height, width, *channels) = np.random.default_rng(0), shape
    rows, columns = np.mgrid[:height, :width]
    bumps = rng.uniform(0.3, 0.7, (n, 2, *(channels or [1])))
    distance = ((rows / height)[None, :, :, None] - bumps[:, 0, None, None]) ** 2 + (
        (columns / width)[None, :, :, None] - bumps[:, 1, None, None]
    ) ** 2
    return (255 * np.exp(-distance / 0.02)).astype(np.uint8).reshape(n, -1)


def applied(augmentation: Augmentation, images: Array, shape: tuple[int, ...] = SHAPE, seed: int = 1) -> Array:
    out = images.astype(np.float32)
    targets = np.eye(10, dtype=np.float32)[np.arange(len(images)) % 10]
    augmentation.apply(out, targets, shape, np.random.default_rng(seed))
    return out


def slow_interpolation(picture: Array, x: float, y: float) -> float:
    """The definition, a pixel at a time: neighbours weighted by their distance, 0 outside."""
    total = 0.0
    for row in range(picture.shape[0]):
        for column in range(picture.shape[1]):
            total += picture[row, column] * max(0.0, 1 - abs(x - column)) * max(0.0, 1 - abs(y - row))
    return total


def test_interpolation_is_bilinear_and_zero_outside() -> None:
    rng = np.random.default_rng(2)
    picture = rng.random((1, 5, 7, 1))
    x, y = rng.uniform(-3, 9, (1, 35)), rng.uniform(-3, 7, (1, 35))
    expected = [slow_interpolation(picture[0, :, :, 0], a, b) for a, b in zip(x[0], y[0], strict=True)]
    out = np.empty((1, 5, 7, 1))
    interpolate(picture, x, y, out)
    np.testing.assert_allclose(out.ravel(), expected, atol=1e-12)
    assert min(expected) == 0 < max(expected)


def test_interpolation_finds_pixels_whose_numbers_the_precision_cannot_hold() -> None:
    """Float16 is exact to 2^11, so that 12 small pictures show what float32, exact to 2^24, does to large ones."""
    pictures = np.random.default_rng(0).random((12, 30, 30, 1), np.float32)
    rows, columns = np.mgrid[:30, :30].astype(np.float16).reshape(2, 1, -1)
    out = np.empty_like(pictures)
    interpolate(pictures, np.tile(columns, (12, 1)), np.tile(rows, (12, 1)), out)
    np.testing.assert_array_equal(out, pictures)


def test_nothing_asked_for_changes_nothing() -> None:
    augmentation = Augmentation()
    assert not augmentation.active
    np.testing.assert_array_equal(applied(augmentation, pictures()), pictures())


def test_kept_images_stay_as_they_are() -> None:
    images = pictures()
    np.testing.assert_allclose(
        applied(Augmentation(shift=3, rotation=0.5, elastic=2, keep=1.0), images), images, atol=1e-2
    )


def centre(images: Array) -> Array:
    """Centres of mass (n, 2), as (row, column)."""
    grid = images.reshape(-1, 28, 28).astype(float)
    mass = grid.sum((1, 2))
    rows, columns = np.mgrid[:28, :28]
    return np.stack([(grid * rows).sum((1, 2)) / mass, (grid * columns).sum((1, 2)) / mass], 1)


def test_shifts_move_the_centre_by_at_most_that_far_in_each_direction() -> None:
    images = pictures(400)
    moved = centre(applied(Augmentation(shift=2.0), images)) - centre(images)
    assert np.abs(moved).max() < 2.1
    assert (moved.min(axis=0) < -1.8).all()
    assert (moved.max(axis=0) > 1.8).all()


def second_moments(images: Array) -> Array:
    """Width and height of the pictures' masses squared, (n, 2) as (vertical, horizontal)."""
    grid, middle = images.reshape(-1, 28, 28).astype(float), centre(images)
    rows, columns = np.mgrid[:28, :28]
    mass = grid.sum((1, 2))
    vertical = (grid * (rows - middle[:, 0, None, None]) ** 2).sum((1, 2)) / mass
    horizontal = (grid * (columns - middle[:, 1, None, None]) ** 2).sum((1, 2)) / mass
    return np.stack([vertical, horizontal], 1)


def test_scaling_changes_the_size_within_its_limits() -> None:
    images = pictures(400)
    ratio = np.sqrt(second_moments(applied(Augmentation(scale=0.15), images)) / second_moments(images))
    assert 0.82 < ratio.min() < 0.89
    assert 1.11 < ratio.max() < 1.18


def test_rotation_keeps_the_distance_to_the_middle() -> None:
    images = pictures(400)
    before, after = centre(images) - 13.5, centre(applied(Augmentation(rotation=0.4), images)) - 13.5
    np.testing.assert_allclose(np.hypot(*after.T), np.hypot(*before.T), atol=0.15)
    angle = np.arctan2(*after.T) - np.arctan2(*before.T)
    far = np.hypot(*before.T) > 2
    angle = (angle[far] + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(angle).max() < 0.42
    assert angle.min() < -0.3
    assert angle.max() > 0.3


def test_a_certain_flip_is_the_mirror_image() -> None:
    images = pictures()
    mirrored = images.reshape(-1, 28, 28)[:, :, ::-1].reshape(-1, 784)
    np.testing.assert_allclose(applied(Augmentation(flip=1.0), images), mirrored, atol=1e-2)


def test_flips_have_the_share_asked_for() -> None:
    x, _ = sources(Augmentation(flip=0.3), 2000)
    assert (x[:, 5, 5] > 14).mean() == pytest.approx(0.3, abs=0.05)  # 2000 draws: five standard deviations


def test_erased_rectangles_have_the_share_and_the_size_asked_for() -> None:
    images = np.full((2000, 784), 200, np.uint8)
    changed = applied(Augmentation(erase=0.5, erase_size=6), images).reshape(-1, 28, 28)
    black = changed == 0
    touched = black.any((1, 2))
    assert touched.mean() == pytest.approx(0.5, abs=0.05)
    heights, widths = black.any(2).sum(1)[touched], black.any(1).sum(1)[touched]
    assert set(heights) == set(widths) == set(range(1, 7))
    np.testing.assert_array_equal(black.sum((1, 2))[touched], heights * widths)  # each one a rectangle


def test_mixup_mixes_images_and_targets_with_the_same_weights() -> None:
    images, targets = np.eye(30, 784, dtype=np.float32) * 255, np.eye(30, dtype=np.float32)
    Augmentation(mixup=0.5).apply(images, targets, SHAPE, np.random.default_rng(0))
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(images[:, :30] / 255, targets, atol=1e-6)
    assert ((targets > 0).sum(axis=1) == 2).any()


@pytest.mark.parametrize("shape", [(), (2, 3, 4, 5), (3, 8, 3)], ids=str)
def test_samples_that_are_no_images_can_be_mixed_but_not_moved(tmp_path: Path, shape: tuple[int, ...]) -> None:
    rng, labels = np.random.default_rng(0), np.arange(60) % 3
    x = rng.normal(size=(60, *(shape or (4,))))
    np.savez(tmp_path / "mine.npz", x_train=x, y_train=labels, x_test=x, y_test=labels)
    words = "dataset=npz", "dataset.path=mine.npz", "-e", "1", "-sz", "4", "--no_wandb"
    runs.run(tmp_path, *words, "augment=mixup", "hydra.run.dir=mixed")
    refused = runs.run(tmp_path, *words, "augment=shift", code=2)
    assert refused.err.startswith("Error: augment changes images")
    assert str(x.shape[1:]) in refused.err


def test_colours_move_together() -> None:
    images = pictures(6, (16, 20, 3))
    grey = np.repeat(images.reshape(6, 320, 3)[:, :, :1], 3, axis=2).reshape(6, -1)
    out = applied(Augmentation(shift=2, rotation=0.3, elastic=1, flip=0.5), grey, (16, 20, 3)).reshape(6, 320, 3)
    np.testing.assert_array_equal(out[..., 0], out[..., 1])
    np.testing.assert_array_equal(out[..., 0], out[..., 2])


def sources(augmentation: Augmentation, n: int, height: int = 28, width: int = 28) -> tuple[Array, Array]:
    """Where the pixels of n pictures come from, columns and rows (n, height, width): read from pictures of ramps."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    ramps = (np.tile(ramp.ravel(), (n, 1)) for ramp in (columns, rows))
    x, y = (applied(augmentation, ramp, (height, width)).reshape(n, height, width) for ramp in ramps)
    return x, y


def test_shear_slants_columns_about_the_middle_and_keeps_rows() -> None:
    x, y = sources(Augmentation(shear=0.2), 300, 20, 12)
    rows, columns = np.mgrid[:20, :12] - np.array([9.5, 5.5])[:, None, None]
    inside = np.s_[:, 4:16, 3:9]
    slant = x[:, 4, 5] - x[:, 14, 5]
    slant /= -10
    assert -0.2 <= slant.min() < -0.19 < 0.19 < slant.max() <= 0.2
    np.testing.assert_allclose((x - 5.5)[inside], (columns + slant[:, None, None] * rows)[inside], atol=1e-4)
    np.testing.assert_allclose(y[inside], np.broadcast_to(rows + 9.5, y.shape)[inside], atol=1e-4)


def test_width_and_height_are_scaled_each_by_its_own_factor() -> None:
    x, y = sources(Augmentation(scale=0.2), 300)
    zooms = 10 / np.stack([x[:, 14, 19] - x[:, 14, 9], y[:, 19, 14] - y[:, 9, 14]])
    assert zooms.min() > 0.799
    assert zooms.max() < 1.201
    assert abs(np.corrcoef(zooms)[0, 1]) < 0.25  # four standard deviations of 300 independent pairs


def test_elastic_displacements_have_the_covariance_of_the_splines() -> None:
    """The splines are SciPy's; 4000 independent pictures err by less than 10 % of the variance."""
    n, inside = 4000, np.s_[6:22:5]
    x, y = sources(Augmentation(elastic=0.8), n)
    knots, pixels = np.arange(-3.0, 8.0), (np.arange(28) + 0.5) / 7
    splines = BSpline.design_matrix(pixels, knots, 3).toarray()[inside]
    overlap = splines @ splines.T
    expected = 0.8**2 * np.kron(overlap, overlap)
    rows, columns = np.mgrid[:28, :28]
    moves = [(moved - still)[:, inside, inside].reshape(n, -1) for moved, still in ((x, columns), (y, rows))]
    for move in moves:
        np.testing.assert_allclose(move.T @ move / n, expected, atol=0.1 * expected.max())
    np.testing.assert_allclose(moves[0].T @ moves[1] / n, 0, atol=0.1 * expected.max())  # independent of each other


@pytest.mark.parametrize("name", options("augment"))
def test_every_recipe_repeats_itself_for_a_seed_and_changes_with_it(name: str) -> None:
    augmentation: Augmentation = build(compose([f"augment={name}"])["augment"], "augment", Augmentation)
    images = pictures()
    once = applied(augmentation, images)
    np.testing.assert_array_equal(applied(augmentation, images), once)
    assert np.isfinite(once).all()
    assert once.min() >= 0
    assert once.max() <= 255
    assert (applied(augmentation, images, seed=2) != once).any() == augmentation.active
    in_units = (images / 255).astype(np.float32)  # the same from 0 to 1, which uint8 is not
    augmentation.apply(in_units, np.eye(40, 10, dtype=np.float32), SHAPE, np.random.default_rng(1), 1.0)
    np.testing.assert_allclose(255 * in_units, once, atol=2e-3)


@pytest.mark.parametrize("name", ["mnist", "erasing", "mixup", "none"])
def test_a_composition_of_one_is_that_one_to_the_last_bit(name: str) -> None:
    one: Augmentation = build_option("augment", name, Augmentation)
    composed = Compose({name: one})
    np.testing.assert_array_equal(applied(composed, pictures()), applied(one, pictures()))
    for fact in ("moves", "needs_images", "active", "mixup"):
        assert getattr(composed, fact) == getattr(one, fact)


def test_a_composition_applies_its_steps_in_their_order() -> None:
    """Right by two pixels, then a mirror image: left by two in the mirror image, and the other way round."""

    class Right(Augmentation):
        def change(self, pictures: Array, rng: np.random.Generator, white: float) -> None:
            pictures[...] = np.roll(pictures, 2, axis=2)

    images, mirror = pictures(5), Augmentation(flip=1.0)
    mirrored = images.reshape(-1, 28, 28)[:, :, ::-1]
    before = applied(Compose({"right": Right(shift=2), "mirror": mirror}), images).reshape(-1, 28, 28)
    after = applied(Compose({"mirror": mirror, "right": Right(shift=2)}), images).reshape(-1, 28, 28)
    np.testing.assert_allclose(before, np.roll(mirrored, -2, axis=2), atol=1e-3)
    np.testing.assert_allclose(after, np.roll(mirrored, 2, axis=2), atol=1e-3)


def test_what_is_no_augmentation_cannot_be_composed() -> None:
    with pytest.raises(ValueError, match=r"steps\.x must be an Augmentation\. Got 3"):
        Compose({"x": 3})  # type: ignore[dict-item]


def test_noise_has_deviations_up_to_the_one_asked_for_in_the_share_asked_for() -> None:
    grey = np.full((2000, 784), 128, np.uint8)
    deviations = (applied(Noise(deviation=0.1, share=0.4), grey) / 255).std(axis=1)
    noisy = deviations[deviations > 1e-6]
    assert len(noisy) / 2000 == pytest.approx(0.4, abs=0.055)  # five standard deviations
    assert 0.097 < noisy.max() < 0.11
    assert noisy.mean() == pytest.approx(0.05, abs=0.006)


def test_brightness_and_contrast_are_a_line_through_the_pixels_cut_off_at_black_and_white() -> None:
    ramp = np.tile(np.linspace(0, 255, 784), (300, 1)).astype(np.float32)
    changed = applied(Brightness(brightness=0.2, contrast=0.3, share=1), ramp)
    assert changed.min() == 0
    assert changed.max() == 255
    middle = changed[:, 340:440]  # which nothing cuts off
    slopes, levels = np.polynomial.polynomial.polyfit(ramp[0, 340:440], middle.T, 1)[::-1]
    assert 0.7 <= slopes.min() < 0.71 < 1.29 < slopes.max() <= 1.3 + 1e-3
    assert -0.2 * 255 - 0.1 <= levels.min() < -48 < 48 < levels.max() <= 0.2 * 255 + 0.1


def test_a_full_blur_and_a_full_stroke_are_those_of_scipy() -> None:
    images = np.random.default_rng(0).random((6, 9, 7, 1))
    size = (1, 3, 3, 1)
    changed = images.copy()
    blur(changed, 1 / 3)
    np.testing.assert_allclose(changed, ndimage.uniform_filter(images, size, mode="nearest"), atol=1e-12)
    for width, extreme in ((1, ndimage.grey_dilation(images, size)), (-0.5, ndimage.grey_erosion(images, size))):
        changed = images.copy()
        stroke(changed, width)
        np.testing.assert_allclose(changed, images + abs(width) * (extreme - images), atol=1e-12)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Noise(-1),
        lambda: Brightness(contrast=2),
        lambda: Blur(0.4),
        lambda: Stroke(1.1),
        lambda: Noise(share=2),
    ],
)
def test_a_strength_out_of_range_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        wrong()


@pytest.mark.parametrize("strength", ["shift", "rotation", "scale", "shear", "elastic", "flip", "erase", "mixup"])
def test_a_negative_strength_is_refused(strength: str) -> None:
    with pytest.raises(ValueError, match=f"{strength} must be"):
        Augmentation(**{strength: -0.1})


def test_batches_prepared_beside_the_training_are_those_prepared_one_by_one() -> None:
    images = pictures(50)
    samples = Samples(images, np.arange(50) % 10, np.arange(50), 255.0)
    prepared = threading.Semaphore(0)

    class Counted(Augmentation):
        def apply(self, *args: Any) -> None:
            super().apply(*args)
            prepared.release()

    augmentation = Counted(shift=1, elastic=1, erase=0.5, mixup=0.3)

    def batches() -> Batches:
        streams = (np.random.default_rng(seed) for seed in (1, 2))
        return Batches(samples, 10, 16, next(streams), np.dtype(np.float32), augmentation, next(streams), SHAPE)

    threaded = []
    for (X, T, labels, _), further in zip(batches().epoch(), [2, 1, 1, 0], strict=True):
        for _ in range(further):  # until the batch after this one is ready too
            assert prepared.acquire(timeout=300)
        threaded.append((X.copy(), T.copy(), labels))
    serial = batches()
    order = serial.rng.permutation(samples.rows)
    for i, (X, T, labels) in enumerate(threaded):
        *expected, _ = serial._prepare(order[16 * i : 16 * i + 16], 0)
        for got, wanted in zip((X, T, labels), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
    assert [len(X) for X, _, _ in threaded] == [16, 16, 16, 2]
