"""Batches hand out every sample once an epoch, in a seeded order, scaled, with its target."""

from dataclasses import replace

import numpy as np
import pytest

from mlp.data import Samples
from mlp.data.batches import Batches

CLASSES = 5


def numbered(n: int, stored: int = 100, dtype: type = np.uint8) -> Samples:
    """n of the stored samples; the first feature of a sample is its row, its label follows from it."""
    rows = np.random.default_rng(1).permutation(stored)[:n]
    x: np.ndarray = np.column_stack([np.arange(stored), 255 - np.arange(stored)]).astype(dtype)
    return Samples(x, np.arange(stored) % CLASSES, rows, 255.0)


def batches(samples: Samples, batch_size: int, seed: int = 0, dtype: type = np.float32) -> Batches:
    return Batches(samples, CLASSES, batch_size, np.random.default_rng(seed), np.dtype(dtype))


def rows_of(source: Batches) -> list[int]:
    """The rows of an epoch in their order, read from the inputs."""
    return [round(float(value) * 255) for X, *_ in source.epoch() for value in X[:, 0]]


@pytest.mark.parametrize("batch_size", [1, 7, 10, 40, 41, 1000])
def test_each_sample_once_in_every_epoch(batch_size: int) -> None:
    samples = numbered(40)
    source = batches(samples, batch_size)
    for _ in range(3):
        assert sorted(rows_of(source)) == sorted(samples.rows)


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [(1, [1] * 10), (3, [3, 3, 3, 1]), (5, [5, 5]), (9, [9, 1]), (10, [10]), (11, [10]), (10**9, [10])],
)
def test_the_last_batch_may_be_short_and_the_length_says_how_many_there_are(
    batch_size: int, sizes: list[int]
) -> None:
    source = batches(numbered(10), batch_size)
    assert [(len(X), len(T), len(y)) for X, T, y, _ in source.epoch()] == [(n, n, n) for n in sizes]
    assert len(source) == len(sizes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stored", [np.uint8, np.float32])
def test_inputs_are_scaled_and_targets_are_one_hot_in_the_networks_precision(dtype: type, stored: type) -> None:
    for X, T, y, _ in batches(numbered(40, dtype=stored), 7, dtype=dtype).epoch():
        assert X.dtype == T.dtype == dtype
        np.testing.assert_allclose(X.sum(axis=1), 1, rtol=1e-6)  # row / 255 + (255 - row) / 255
        np.testing.assert_array_equal(y, np.rint(X[:, 0] * 255).astype(int) % CLASSES)
        np.testing.assert_array_equal(T, [[float(label == c) for c in range(CLASSES)] for label in y])


def test_scaling_is_the_division_that_evaluation_does() -> None:
    samples = numbered(40)
    source = batches(samples, 40)
    order = np.array(rows_of(batches(samples, 40)))
    X, *_ = next(source.epoch())
    expected = Samples(samples.x, samples.y, order, 255.0).inputs()
    assert X.tobytes() == expected.tobytes()


def test_weights_go_with_their_samples() -> None:
    samples = replace(numbered(40), weights=np.arange(100) / 7)
    for X, _, _, weights in batches(samples, 7).epoch():
        assert weights is not None
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights, np.rint(X[:, 0] * 255) / 7, rtol=1e-6)
    assert all(weights is None for *_, weights in batches(numbered(40), 7).epoch())


def test_the_order_follows_from_the_generator_and_changes_every_epoch() -> None:
    samples = numbered(40)
    first, again, other = (batches(samples, 7, seed) for seed in (3, 3, 4))
    epochs = [rows_of(source) for source in (first, first, again, again, other)]
    assert epochs[0] == epochs[2]
    assert epochs[1] == epochs[3]
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_order_does_not_depend_on_the_batch_size() -> None:
    samples = numbered(40)
    assert rows_of(batches(samples, 7)) == rows_of(batches(samples, 16))


def test_the_state_of_the_generator_is_enough_to_repeat_an_epoch() -> None:
    samples = numbered(40)
    source = batches(samples, 7)
    rows_of(source)
    state = source.rng.bit_generator.state
    expected = rows_of(source)
    resumed = batches(samples, 7, seed=99)
    resumed.rng.bit_generator.state = state
    assert rows_of(resumed) == expected


def test_every_order_is_equally_likely() -> None:
    source = batches(numbered(3), 1)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(3000):
        order = tuple(rows_of(source))
        counts[order] = counts.get(order, 0) + 1
    # Six orders of three. Binomial(3000, 1/6): mean 500, standard deviation 20.4; five of them on either side.
    assert len(counts) == 6
    assert min(counts.values()) > 397
    assert max(counts.values()) < 603


def test_the_stored_arrays_stay_as_they_are_and_may_be_read_only() -> None:
    samples = numbered(40, dtype=np.float32)
    samples.x.flags.writeable = samples.rows.flags.writeable = samples.y.flags.writeable = False
    before = samples.x.copy()
    rows_of(batches(samples, 7))
    np.testing.assert_array_equal(samples.x, before)


def test_full_batches_share_one_buffer() -> None:
    addresses = {(X.ctypes.data, T.ctypes.data) for X, T, *_ in batches(numbered(40), 10).epoch()}
    assert len(addresses) == 1
