"""NeuralNetwork.forward and .backward: logits, and the gradients of the mean loss, last layer first."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from networks import graded, random_parameters
from recorded import arrays, assert_close, cases

from mlp.graded import NeuralNetwork
from mlp.nn import softmax

FEATURES, CLASSES = 6, 4
RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(9, FEATURES)), np.array([3, 0, 2, 1, 1, 3, 0, 0, 2])


@pytest.fixture
def network() -> NeuralNetwork:
    return graded(input_size=FEATURES, output_size=CLASSES, hidden_size=[5, 7], activation="tanh")


@pytest.mark.parametrize("case", cases("network"))
def test_logits_and_gradients_are_the_recorded_ones(case: dict[str, Any]) -> None:
    recorded, key = arrays("network"), case["key"]
    network = graded(activation=case["activation"], loss=case["loss"], weight_decay=0.5)
    depth = len(case["hidden_sizes"])
    network.set_weights(
        {f"{kind}{i}": recorded[f"{case['architecture']}/{kind}{i}"] for i in range(depth + 1) for kind in "Wb"}
    )
    logits = network.forward(recorded["x"])
    assert_close(logits, recorded[f"{key.rpartition('/')[0]}/logits"])
    grad_W, grad_b = network.backward(recorded["labels"], logits)
    assert grad_W.shape == grad_b.shape == (depth + 1,)
    assert grad_W.dtype == grad_b.dtype == object
    for i, layer in enumerate(network.layers):
        for gradient, in_layer, name in (
            (grad_W[depth - i], layer.grad_W, f"{key}/grad_W{i}"),  # index 0 is the last layer
            (grad_b[depth - i], layer.grad_b, f"{key}/grad_b{i}"),
        ):
            assert_close(gradient, recorded[name])
            np.testing.assert_array_equal(gradient, in_layer)
            assert gradient.shape == recorded[name].shape


def test_the_object_arrays_hold_one_gradient_per_layer_even_when_all_have_one_shape() -> None:
    network = graded(input_size=4, output_size=4, hidden_size=4, num_layers=2)
    grad_W, grad_b = network.backward(np.array([1, 2]), network.forward(X[:2, :4]))
    assert grad_W.shape == grad_b.shape == (3,)
    assert [gradient.shape for gradient in grad_W] == [(4, 4)] * 3
    assert [gradient.shape for gradient in grad_b] == [(4,)] * 3


def test_forward_returns_logits_that_are_neither_probabilities_nor_clipped() -> None:
    network = graded(input_size=2, output_size=3, num_layers=0)
    network.set_weights({"W0": np.array([[1.0, 0, -1], [0, 2, 0]]), "b0": np.array([0.5, 0, 0])})
    logits = network.forward(np.array([[1.0, 2.0], [1e6, -1e6]]))
    np.testing.assert_array_equal(logits, [[1.5, 4, -1], [1e6 + 0.5, -2e6, -1e6]])
    assert logits.dtype == np.float64


TARGETS: dict[str, Callable[[np.ndarray], Any]] = {
    "(b, 1)": lambda y: y[:, None],
    "a list": lambda y: y.tolist(),
    "uint8": lambda y: y.astype(np.uint8),
    "int32": lambda y: y.astype(np.int32),
    "whole floats": lambda y: y.astype(float),
    "one-hot int": lambda y: np.eye(CLASSES, dtype=int)[y],
    "one-hot float": lambda y: np.eye(CLASSES)[y],
    "one-hot float32": lambda y: np.eye(CLASSES, dtype=np.float32)[y],
    "one-hot bool": lambda y: np.eye(CLASSES, dtype=bool)[y],
    "one-hot, columns first": lambda y: np.asfortranarray(np.eye(CLASSES)[y]),
}


@pytest.mark.parametrize("form", TARGETS)
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_every_form_of_y_true_gives_the_same_gradients(form: str, loss: str) -> None:
    network = graded(input_size=FEATURES, output_size=CLASSES, hidden_size=5, num_layers=1, loss=loss)
    for n in (1, 4, 9):  # 4: as many rows as classes
        logits, labels, formed = network.forward(X[:n]), LABELS[:n], TARGETS[form](LABELS[:n])
        expected, found = network.backward(labels, logits), network.backward(formed, logits)
        for a, b in zip((*expected[0], *expected[1]), (*found[0], *found[1]), strict=True):
            np.testing.assert_array_equal(a, b)
        assert network.evaluate(X[:n], formed) == network.evaluate(X[:n], labels)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_gradients_are_means_over_the_batch(loss: str) -> None:
    """The gradient of a batch is the mean of those of its rows, and does not grow when the batch is repeated."""
    network = graded(input_size=FEATURES, output_size=CLASSES, hidden_size=[5, 7], loss=loss, weight_decay=0.3)

    def flat(X: np.ndarray, y: np.ndarray) -> np.ndarray:
        network.backward(y, network.forward(X))
        return network.network.grad.copy()

    of_rows = [flat(X[i : i + 1], LABELS[i : i + 1]) for i in range(len(X))]
    whole = flat(X, LABELS)
    np.testing.assert_allclose(whole, np.mean(of_rows, axis=0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(flat(np.tile(X, (3, 1)), np.tile(LABELS, 3)), whole, rtol=1e-12, atol=1e-15)


def test_gradients_have_no_weight_decay_term() -> None:
    gradients = []
    for weight_decay in (0.0, 0.7):
        network = graded(
            input_size=FEATURES, output_size=CLASSES, hidden_size=5, num_layers=1, weight_decay=weight_decay
        )
        network.backward(LABELS, network.forward(X))
        gradients.append(network.network.grad)
    np.testing.assert_array_equal(gradients[0], gradients[1])


def test_the_gradient_of_the_last_bias_is_the_mean_error_of_the_probabilities(network: NeuralNetwork) -> None:
    logits = network.forward(X)
    _, grad_b = network.backward(LABELS, logits)
    expected = (softmax(logits) - np.eye(CLASSES)[LABELS]).mean(axis=0)
    assert_close(grad_b[0], expected)


def test_returned_arrays_are_the_callers_own(network: NeuralNetwork) -> None:
    logits = network.forward(X)
    grad_W, grad_b = network.backward(LABELS, logits)
    returned = [logits, *grad_W, *grad_b]
    kept = [array.copy() for array in returned]
    network.backward(LABELS[::-1], network.forward(X[::-1]))
    network.update_weights()
    network.train(X, LABELS, 1, 4)
    network.evaluate(X, LABELS)
    for array, before in zip(returned, kept, strict=True):
        np.testing.assert_array_equal(array, before)
    weights = network.network.theta.copy()
    for array in returned:
        array.fill(np.nan)
    np.testing.assert_array_equal(network.network.theta, weights)
    assert np.isfinite(network.network.grad).all()


def test_inputs_are_left_as_they_are(network: NeuralNetwork) -> None:
    given, labels, one_hot = X.copy(), LABELS.copy(), np.eye(CLASSES)[LABELS]
    logits = network.forward(given)
    before = logits.copy()
    network.backward(one_hot, logits)
    network.train(given, labels, 1, 4)
    np.testing.assert_array_equal(given, X)
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(one_hot, np.eye(CLASSES)[LABELS])
    np.testing.assert_array_equal(logits, before)


def test_other_logits_than_the_last_ones_count_in_the_loss(network: NeuralNetwork) -> None:
    """A grader may change y_pred: dL/dlogits is taken there, and goes back through the last forward pass."""
    logits = network.forward(X)
    _, grad_b = network.backward(LABELS, logits + np.arange(CLASSES))
    expected = (softmax(logits + np.arange(CLASSES)) - np.eye(CLASSES)[LABELS]).mean(axis=0)
    assert_close(grad_b[0], expected)


@pytest.mark.parametrize(
    "picture",
    [
        lambda X: X.reshape(-1, 28, 28),
        lambda X: X.reshape(-1, 28, 28, 1),
        lambda X: X.reshape(-1, 1, 28, 28),
        lambda X: np.asfortranarray(X),
        lambda X: X[::-1][::-1],
        lambda X: X.tolist(),
    ],
    ids=["(b, 28, 28)", "(b, 28, 28, 1)", "(b, 1, 28, 28)", "columns first", "backwards", "a list"],
)
def test_pictures_and_other_layouts_are_accepted(picture: Callable[[np.ndarray], Any]) -> None:
    network, flat, labels = (
        graded(hidden_size=5, num_layers=1),
        np.random.default_rng(0).random((3, 784)),
        np.array([1, 0, 9]),
    )
    logits = network.forward(flat)
    expected = network.backward(labels, logits)[0][-1]
    assert_close(network.forward(picture(flat)), logits)
    assert_close(network.backward(labels, logits)[0][-1], expected)
    assert network.evaluate(picture(flat), labels) == pytest.approx(network.evaluate(flat, labels), rel=1e-12)
    history = [graded(hidden_size=5, num_layers=1).train(x, labels, 2, 2) for x in (flat, picture(flat))]
    assert history[0] == pytest.approx(history[1], rel=1e-12)


def test_integers_and_float32_are_computed_in_float64(network: NeuralNetwork) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, FEATURES), dtype=np.uint8)
    expected = network.forward(pixels.astype(float))
    for dtype in (np.uint8, np.int64, np.float32):
        logits = network.forward(pixels.astype(dtype))
        assert logits.dtype == np.float64
        np.testing.assert_array_equal(logits, expected)


def test_nothing_is_printed(network: NeuralNetwork, capfd: pytest.CaptureFixture[str]) -> None:
    network.backward(LABELS, network.forward(X))
    network.update_weights()
    network.train(X, LABELS, 2, 4)
    network.evaluate(X, LABELS)
    network.set_weights(random_parameters(2, 10, 3))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("wrong", "shape"),
    [
        (np.ones(FEATURES), r"\(6,\)"),
        (np.ones((3, FEATURES - 1)), r"\(3, 5\)"),
        (np.ones((2, 2, 4)), r"\(2, 2, 4\)"),
        (np.ones((0, FEATURES)), r"\(0, 6\)"),
        (np.float64(1), r"\(1?,?\)"),
    ],
)
def test_inputs_of_a_wrong_shape_are_refused(network: NeuralNetwork, wrong: np.ndarray, shape: str) -> None:
    with pytest.raises(ValueError, match=rf"X must have shape \(b, 6\).*Got {shape}"):
        network.forward(wrong)


@pytest.mark.parametrize("n", [3, 0])
def test_training_data_of_a_wrong_shape_are_refused(network: NeuralNetwork, n: int) -> None:
    with pytest.raises(ValueError, match=rf"must have shape \(.*, 6\).*Got \({n}, 5\)"):
        network.train(np.ones((n, FEATURES - 1)), np.zeros(n, int))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (LABELS[:-1], r"Got shape \(8,\)"),
        (np.eye(CLASSES + 1)[LABELS], r"Got shape \(9, 5\)"),
        (LABELS - 1, r"values -1\.\.2"),
        (LABELS + 1, r"values 1\.\.4"),
        (LABELS + 0.5, r"values 0\.5\.\.3\.5"),
        (np.full(9, np.nan), r"values nan"),
        (np.array(list("abcabcabc")), r"Got shape \(9,\), <U1$"),
        (LABELS + 1, r"values 1\.\.4; np\.unique\(y, return_inverse=True\)\[1\] numbers the labels 0, 1, \.\.\."),
        (6000 * LABELS, r"values 0\.\.18000; np\.unique"),
        (np.array(list("abcdabcda")), r"<U1; np\.unique"),
        (np.where(LABELS == 2, 3, LABELS) + 1, r"values 1\.\.4$"),  # a class is missing: numbering would shift
    ],
)
def test_labels_that_make_no_sense_are_refused(network: NeuralNetwork, wrong: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=rf"y must be labels 0\.\.3 of shape .*one-hot \(9, 4\).*{message}"):
        network.backward(wrong, network.forward(X))


def test_backward_without_its_forward_is_refused(network: NeuralNetwork) -> None:
    with pytest.raises(ValueError, match="backward follows forward"):
        network.backward(LABELS, np.zeros((9, CLASSES)))
    network.forward(X[:5])
    with pytest.raises(ValueError, match=r"y_pred must be the logits.*Got shape \(9, 4\), last batch \(5, 4\)"):
        network.backward(LABELS, np.zeros((9, CLASSES)))
