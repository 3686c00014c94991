"""The training set is divided at random, class by class, and the same way for the same seed."""

from pathlib import Path

import numpy as np
import pytest

from mlp.data import Digits, Samples
from mlp.data.split import stratified_split


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLP_CACHE_DIR", str(tmp_path))


def skewed_labels(seed: int) -> np.ndarray:
    """Labels of 12 classes whose sizes differ by a factor of 50, one of them absent, in random order."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(20, 1000, size=12)
    sizes[5] = 0
    return rng.permutation(np.repeat(np.arange(12), sizes))


@pytest.mark.parametrize("fraction", [0.05, 0.1, 1 / 3, 0.29, 0.5, 0.9])
def test_parts_are_everything_and_every_class_is_within_one_sample_of_its_share(fraction: float) -> None:
    for seed in range(5):
        labels = skewed_labels(seed)
        kept, held_out = stratified_split(labels, fraction, np.random.default_rng(seed))
        assert sorted([*kept, *held_out]) == list(range(len(labels)))
        share = np.bincount(labels[held_out], minlength=12) - fraction * np.bincount(labels, minlength=12)
        assert np.abs(share).max() < 1
        assert len(held_out) == round(fraction * len(labels))


def test_class_counts_agree_with_those_of_scikit_learn() -> None:
    from sklearn.model_selection import train_test_split

    for seed in range(5):
        labels = skewed_labels(seed)
        _, reference = train_test_split(labels, test_size=0.17, stratify=labels, random_state=seed)
        _, held_out = stratified_split(labels, 0.17, np.random.default_rng(seed))
        ours, theirs = (np.bincount(part, minlength=12) for part in (labels[held_out], reference))
        assert np.abs(ours - theirs).max() <= 1


def test_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    labels = skewed_labels(0)
    first, again, other = (stratified_split(labels, 0.2, np.random.default_rng(seed))[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    # Two independent draws of a fifth share a fifth of their rows.
    assert 0.1 < np.isin(first, other).mean() < 0.3


def test_within_a_class_every_sample_is_equally_likely() -> None:
    labels = np.repeat([0, 1], [30, 70])
    draws = 2000
    times = np.zeros(100)
    for seed in range(draws):
        times[stratified_split(labels, 0.1, np.random.default_rng(seed))[1]] += 1
    # Binomial(2000, 0.1): mean 200, standard deviation 13.4. Five deviations on either side.
    assert times.min() > 133
    assert times.max() < 267


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.9, 0.99])
def test_a_class_of_two_is_on_both_sides_and_a_single_sample_is_trained_on(fraction: float) -> None:
    labels = np.repeat([0, 1, 2], [200, 2, 1])
    kept, held_out = stratified_split(labels, fraction, np.random.default_rng(0))
    assert np.bincount(labels[kept], minlength=3)[1:].tolist() == [1, 1]
    assert np.bincount(labels[held_out], minlength=3)[1:].tolist() == [1, 0]


def test_fraction_zero_holds_out_nothing() -> None:
    train, validation = Digits(validation_fraction=0).split(np.random.default_rng(0))
    assert len(validation) == 0
    assert validation.inputs().shape == (0, 64)
    assert len(train) == 1438


@pytest.mark.parametrize("wrong", [1.5, 1, -0.1, float("nan"), "0.1", None])
def test_fraction_outside_its_range_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=rf"^validation_fraction must be in \[0, 1\)\. Got {wrong}$"):
        Digits(validation_fraction=wrong)  # type: ignore[arg-type]


def test_samples_scale_the_chosen_rows_and_leave_the_stored_ones_alone() -> None:
    x = np.array([[0, 255], [51, 102], [153, 204]], dtype=np.uint8)
    x.flags.writeable = False
    samples = Samples(x, np.array([7, 8, 9]), np.array([2, 0]), 255.0)
    assert len(samples) == 2
    assert samples.labels.tolist() == [9, 7]
    assert samples.inputs().dtype == np.float32
    np.testing.assert_allclose(samples.inputs(), [[0.6, 0.8], [0, 1]], rtol=1e-7)
    np.testing.assert_allclose(samples.inputs(1, 2, dtype=np.float64), [[0, 1]], rtol=1e-15)


def test_scaling_float_inputs_does_not_change_the_stored_ones() -> None:
    x = np.full((2, 2), 8, dtype=np.float32)
    samples = Samples(x, np.array([0, 1]), np.arange(2), 16.0)
    assert samples.inputs().tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert (x == 8).all()
