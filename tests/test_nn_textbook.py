"""The fast network computes what the textbook's does, for every activation and loss of the textbook."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from networks import lively
from recorded import assert_close

from mlp.base.naming import by_name
from mlp.nn import Activation, Loss, textbook
from mlp.nn.losses import one_hot

SIZES = [[], [6], [7, 5, 6]]


@pytest.mark.parametrize("n", [1, 9])
@pytest.mark.parametrize(
    ("activation", "loss", "hidden_sizes"), [*itertools.product(textbook.ACTIVATIONS, textbook.LOSSES, SIZES)]
)
def test_logits_loss_and_gradients_are_the_textbooks(
    activation: str, loss: str, hidden_sizes: list[int], n: int
) -> None:
    rng = np.random.default_rng(0)
    fast = lively(
        5, 4, hidden_sizes, activation=by_name(Activation, activation)(), loss=by_name(Loss, loss)(), rng=rng
    )
    plain = textbook.Network([x.W for x in fast.layers], [x.b for x in fast.layers], activation, loss)
    for rows in (n, 3 * n, n):  # the fast one has buffers
        X, T = rng.normal(size=(rows, 5)), one_hot(rng.integers(0, 4, rows), 4)
        value, grad_W, grad_b = plain.loss_and_gradients(X, T)
        found, logits = fast.loss_and_gradients(X, T)
        assert_close(logits, plain.forward(X)[1][-1])
        assert_close(found, value)
        for i, layer in enumerate(fast.layers):
            assert_close(layer.grad_W, grad_W[i])
            assert_close(layer.grad_b, grad_b[i])


def test_a_step_worked_by_hand() -> None:
    # An input of 2, weights 3 and -3: logits 6 and -6, so that P is 1 and 0 to five digits; the truth is the second.
    network = textbook.Network([np.array([[3.0, -3.0]])], [np.zeros(2)])
    value, (grad_W,), (grad_b,) = network.loss_and_gradients(np.array([[2.0]]), np.array([[0.0, 1.0]]))
    assert value == pytest.approx(12, abs=1e-5)
    np.testing.assert_allclose(grad_W, [[2, -2]], atol=2e-5)
    np.testing.assert_allclose(grad_b, [1, -1], atol=1e-5)


def test_it_stays_short_enough_to_be_read_at_once() -> None:
    source = Path(textbook.__file__).read_text()
    assert len(source.splitlines()) < 80
    assert "out=" not in source
