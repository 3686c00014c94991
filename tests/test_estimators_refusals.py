"""What MLPClassifier refuses, and what a failure leaves."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import NotFittedError
from test_estimators import X, Y, fitted

from mlp import MLPClassifier
from mlp.nn import LeakyReLU

REFUSED = {
    "hidden_layer_sizes must be an integer >= 1. Got 0": {"hidden_layer_sizes": (3, 0)},
    "hidden_layer_sizes must be an integer >= 1. Got '8'": {"hidden_layer_sizes": "8"},
    "activation 'rleu' is unknown; did you mean 'relu'": {"activation": "rleu"},
    "activation must be a name or a mlp.nn.Activation. Got 3": {"activation": 3},
    "activations has 2 entries .*, but the network has 1 hidden": {"activation": ["relu", "tanh"]},
    "optimizer 'adm' is unknown; did you mean 'adam'": {"optimizer": "adm"},
    "optimizer option 'beta3' is unknown; did you mean 'beta": {"optimizer_options": {"beta3": 1}},
    "optimizer option 'learning_rate' is unknown": {"optimizer_options": {"learning_rate": 1}},
    "optimizer_options must be a mapping or None. Got 3": {"optimizer_options": 3},
    "beta1 must be >= 0 and < 1. Got 2": {"optimizer_options": {"beta1": 2}},
    "loss 'hinge' is unknown": {"loss": "hinge"},
    "init must be a name or a mlp.nn.Initializer": {"init": LeakyReLU()},
    "learning_rate_init must be > 0. Got 0": {"learning_rate_init": 0},
    "weight_decay must be >= 0. Got -1": {"weight_decay": -1},
    "dropout must be >= 0 and < 1. Got 1": {"dropout": 1},
    "batch_size must be 'auto' or an integer >= 1. Got 'all'": {"batch_size": "all"},
    "batch_size must be an integer >= 1. Got 0": {"batch_size": 0},
    "max_iter must be an integer >= 1. Got 0": {"max_iter": 0},
    "tol must be >= 0. Got -1": {"tol": -1},
    "n_iter_no_change must be an integer >= 1. Got 0.5": {"n_iter_no_change": 0.5},
    "early_stopping must be True or False. Got 'yes'": {"early_stopping": "yes"},
    "validation_fraction must be > 0 and < 1. Got 1": {"early_stopping": True, "validation_fraction": 1},
    "class_weight must be None, 'balanced' or a mapping of labels to weights. Got 'equal'": {"class_weight": "equal"},
    r"class_weight\[1\] must be > 0. Got 0": {"class_weight": {1: 0}},
    "dtype must be one of float32, float64. Got 'float16'": {"dtype": "float16"},
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_parameters_are_stored_as_given_and_checked_by_fit(message: str) -> None:
    model = MLPClassifier((4,)).set_params(**REFUSED[message])
    assert all(model.get_params()[name] is value for name, value in REFUSED[message].items())
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)


def test_data_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TypeError, match="Sparse data was passed for X, but dense data is required"):
        MLPClassifier().fit(csr_array(X), Y)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        MLPClassifier().fit(X, X[:, 0])
    with pytest.raises(ValueError, match="y should be a 1d array"):
        MLPClassifier().fit(X, np.eye(3)[Y])
    for weights, message in {
        -1.0: "sample_weight must be >= 0, and not zero for all samples. Got -1 at least",
        0.0: "sample_weight must be >= 0, and not zero for all samples. Got 0 at least",
    }.items():
        with pytest.raises(ValueError, match=message):
            MLPClassifier().fit(X, Y, sample_weight=np.full(90, weights))
    with pytest.raises(ValueError, match=r"validation_fraction=0.1 of 3 samples holds out none of them"):
        MLPClassifier(early_stopping=True).fit(X[:3], [0, 1, 2])
    with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
        MLPClassifier().partial_fit(X, Y)
    with pytest.raises(ValueError, match="class_weight with partial_fit must be a mapping or None"):
        MLPClassifier(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="early_stopping with partial_fit must be False"):
        MLPClassifier(early_stopping=True).partial_fit(X, Y, classes=[0, 1, 2])


def test_a_loss_that_diverges_is_said_and_leaves_no_network() -> None:
    model = MLPClassifier((4,), "identity", "sgd", learning_rate_init=1e200, random_state=0)
    with pytest.raises(ValueError, match=r"infinite or NaN in epoch \d with a learning rate of 1e\+200. A smaller"):
        model.fit(X, Y)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_a_fit_that_fails_leaves_nothing_that_could_predict() -> None:
    model = fitted().set_params(tol=-1)
    with pytest.raises(ValueError, match="tol"):
        model.fit(X[:, :2], Y)
    with pytest.raises(NotFittedError):
        model.predict(X)
    with pytest.raises(AttributeError):
        _ = model.coefs_
