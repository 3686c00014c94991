"""NeuralNetwork.train and .evaluate: the loss falls, the same every time, and the scores are scikit-learn's."""

from inspect import signature
from typing import Any

import numpy as np
import pytest
from networks import graded
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score

from mlp.base.naming import subclasses
from mlp.graded import NeuralNetwork
from mlp.nn import Activation, Loss, Optimizer, softmax

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = DIGITS / 16


def network(**fields: Any) -> NeuralNetwork:
    return graded(**{"dataset": "digits", "hidden_size": 32, "num_layers": 1, **fields})


@pytest.mark.parametrize("rule", subclasses(Optimizer), ids=lambda rule: rule.name)
@pytest.mark.parametrize("loss", subclasses(Loss), ids=lambda loss: loss.name)
def test_training_reduces_the_loss_with_every_optimizer(rule: type[Optimizer], loss: type[Loss]) -> None:
    rate = 0.003 if {"beta", "beta1"} & set(signature(rule).parameters) else 0.1
    net = network(optimizer=rule.name, loss=loss.name, learning_rate=rate)
    before = net.evaluate(DIGITS, LABELS)
    history = net.train(DIGITS, LABELS, epochs=3, batch_size=32)
    after = net.evaluate(DIGITS, LABELS)
    assert len(history) == 3
    assert history[2] < history[1] < history[0]
    assert after["loss"] < history[0] < 1.05 * before["loss"]
    assert after["accuracy"] > before["accuracy"]


@pytest.mark.parametrize("activation", subclasses(Activation), ids=lambda activation: activation.name)
def test_digits_are_learnt_with_every_activation(activation: type[Activation]) -> None:
    net = network(activation=activation.name, learning_rate=0.01)
    net.train(DIGITS[:1400], LABELS[:1400], epochs=8, batch_size=32)
    assert net.evaluate(DIGITS[1400:], LABELS[1400:])["accuracy"] > 0.85


def test_epochs_and_batch_size_default_to_the_fields() -> None:
    by_fields, by_arguments = network(epochs=2, batch_size=50), network()
    assert by_fields.train(DIGITS, LABELS) == by_arguments.train(DIGITS, LABELS, 2, 50)
    np.testing.assert_array_equal(by_fields.network.theta, by_arguments.network.theta)


def test_the_same_seed_trains_the_same_network_and_another_does_not() -> None:
    thetas = []
    for seed in (5, 5, 6):
        net = network(seed=seed)
        net.train(DIGITS, LABELS, 2, 50)
        thetas.append(net.network.theta)
    assert np.array_equal(thetas[0], thetas[1])
    assert not np.array_equal(thetas[0], thetas[2])


@pytest.mark.parametrize("rule", subclasses(Optimizer), ids=lambda rule: rule.name)
def test_epochs_in_several_calls_are_those_of_one_call_to_the_last_bit(rule: type[Optimizer]) -> None:
    at_once, bit_by_bit = network(optimizer=rule.name), network(optimizer=rule.name)
    history = at_once.train(DIGITS, LABELS, epochs=4, batch_size=50)
    assert [bit_by_bit.train(DIGITS, LABELS, 1, 50)[0] for _ in range(4)] == history
    np.testing.assert_array_equal(bit_by_bit.network.theta, at_once.network.theta)


@pytest.mark.parametrize("rule", subclasses(Optimizer), ids=lambda rule: rule.name)
def test_set_weights_is_a_new_start_of_the_training(rule: type[Optimizer]) -> None:
    used, fresh = network(optimizer=rule.name), network(optimizer=rule.name)
    start = used.get_weights()
    used.train(DIGITS, LABELS, 2, 50)
    used.set_weights(start)
    assert used.train(DIGITS, LABELS, 2, 50) == fresh.train(DIGITS, LABELS, 2, 50)
    np.testing.assert_array_equal(used.network.theta, fresh.network.theta)


def test_training_does_not_touch_the_global_random_state() -> None:
    np.random.seed(1)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    network().train(DIGITS[:100], LABELS[:100], 1, 10)
    assert np.random.random() == expected  # noqa: NPY002


def test_every_sample_is_seen_once_an_epoch_the_shorter_last_batch_too() -> None:
    """With a vanishing learning rate the mean training loss is the loss of the data, batches weighted by size."""
    net = network(optimizer="sgd", learning_rate=1e-14)
    (history,) = net.train(DIGITS[:103], LABELS[:103], epochs=1, batch_size=10)
    assert history == pytest.approx(net.evaluate(DIGITS[:103], LABELS[:103])["loss"], rel=1e-10)


def test_a_batch_larger_than_the_data_is_one_batch() -> None:
    net, by_hand = (network(optimizer="sgd", learning_rate=0.1) for _ in range(2))
    net.train(DIGITS[:20], LABELS[:20], epochs=1, batch_size=1000)
    by_hand.backward(LABELS[:20], by_hand.forward(DIGITS[:20]))
    by_hand.update_weights()
    np.testing.assert_allclose(net.network.theta, by_hand.network.theta, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("classes", [range(10), [0, 3, 8]], ids=["all classes", "three classes"])
def test_scores_are_those_of_scikit_learn(classes: Any) -> None:
    net = network()
    net.train(DIGITS[:300], LABELS[:300], epochs=2, batch_size=20)
    rows = np.isin(LABELS, list(classes))
    X, y = DIGITS[rows], LABELS[rows]
    logits = net.forward(X)
    predicted, average = logits.argmax(axis=1), {"average": "macro", "zero_division": 0}
    expected = {
        "loss": log_loss(y, softmax(logits), labels=range(10)),
        "accuracy": accuracy_score(y, predicted),
        "precision": precision_score(y, predicted, **average),
        "recall": recall_score(y, predicted, **average),
        "f1": f1_score(y, predicted, **average),
    }
    measured = net.evaluate(X, y)
    assert list(measured) == list(expected)
    assert measured == pytest.approx(expected, rel=1e-9)
    assert all(type(value) is float for value in measured.values())
    assert 0 < measured["accuracy"] < 1


def test_evaluation_changes_nothing() -> None:
    net = network()
    before = net.network.theta.copy()
    assert net.evaluate(DIGITS, LABELS) == net.evaluate(DIGITS, LABELS)
    np.testing.assert_array_equal(net.network.theta, before)


@pytest.mark.parametrize(("epochs", "batch_size"), [(0, 10), (1, 0), (1.5, 10)])
def test_epochs_and_batch_sizes_that_make_no_sense_are_refused(epochs: Any, batch_size: Any) -> None:
    with pytest.raises(ValueError, match=r"(epochs|batch_size) must be an integer >= 1\. Got (0|1\.5)"):
        network().train(DIGITS[:20], LABELS[:20], epochs, batch_size)
