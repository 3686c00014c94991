"""The network as an estimator of scikit-learn: in its pipelines, searches and cross-validations."""

import copy
import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from mlp.base.errors import Diverged, UserError, unknown
from mlp.base.naming import by_name
from mlp.data import Samples
from mlp.data.split import stratified_split
from mlp.nn import MLP, Activation, Constant, Initializer, Loss, Optimizer, checks
from mlp.nn.network import DTYPES
from mlp.nn.types import Array
from mlp.training import Callback, Run, Trainer, random_streams
from mlp.training.evaluate import ROWS_AT_ONCE

FULL_BATCH = 200  # samples of a step with batch_size="auto", as in scikit-learn


class MLPClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A multi-layer perceptron that classifies, trained by the same loop as `train.py`.

    Parameters are stored as given and checked by `fit`, which raises ValueError with parameter, range and value.
    Names of activations, optimizers, losses and initial weights are those of the command line, in any spelling.

    Args:
        hidden_layer_sizes: neurons of each hidden layer; a number is one layer, () none.
        activation: name or `mlp.nn.Activation` for all hidden layers, or a list with one for each.
        optimizer: name of the rule.
        optimizer_options: its further coefficients, such as {"beta1": 0.95} or {"decoupled_weight_decay": True}.
        loss: name or `mlp.nn.Loss`, such as `CrossEntropy(label_smoothing=0.1)`.
        init: name or `mlp.nn.Initializer` of the initial weights.
        learning_rate_init: of every step; None: the rule's own default.
        weight_decay: λ of λ W, added to the gradient of the weights and not of the biases. scikit-learn's `alpha` is
            λ times the samples of a batch.
        dropout: share of each hidden layer's outputs that a step sets to zero.
        batch_size: samples of a step; "auto": 200, or all of fewer.
        max_iter: most epochs of `fit`.
        tol: the least change of the training loss, or with `early_stopping` of the validation accuracy, that counts
            as an improvement.
        n_iter_no_change: `fit` ends after more than this many epochs in a row without an improvement.
        early_stopping: hold out `validation_fraction` of each class, and keep the weights that classify it best.
        class_weight: {label: weight > 0}, where missing labels weigh 1; "balanced": n / (c n_k) for a class with n_k
            of the n samples of c classes, counted with their `sample_weight`. Not seen by the validation.
        dtype: of all arithmetic, "float32" or "float64"; None: that of X, float64 for what is neither.
        random_state: the same integer gives the same bits; None or a RandomState draws one.

    Attributes:
        classes_: the labels, sorted, (c,): column k of `predict_proba` is that of `classes_[k]`.
        network_: the `mlp.nn.MLP`. optimizer_: its `mlp.nn.Optimizer`.
        n_iter_: epochs trained. loss_curve_: their training losses; loss_, best_loss_: the last and the lowest.
        validation_scores_, best_validation_score_: accuracies with `early_stopping`, else None; best_loss_ then is.
        n_features_in_, feature_names_in_: of X.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> model = MLPClassifier((64,), early_stopping=True, random_state=0).fit(X / 16, y)
        >>> model.score(X / 16, y) > 0.95, model.predict_proba(X[:2]).shape
        (True, (2, 10))
    """

    loss_curve_: list[float]
    best_loss_: float | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (128,),
        activation: str | Activation | Sequence[str | Activation] = "relu",
        optimizer: str = "adam",
        *,
        optimizer_options: Mapping[str, Any] | None = None,
        loss: str | Loss = "cross_entropy",
        init: str | Initializer = "xavier",
        learning_rate_init: float | None = None,
        weight_decay: float = 0.0,
        dropout: float = 0.0,
        batch_size: int | Literal["auto"] = "auto",
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        dtype: str | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.optimizer = optimizer
        self.optimizer_options = optimizer_options
        self.loss = loss
        self.init = init
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
        self.dtype = dtype
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network on X (n, d) and labels y (n,).

        `sample_weight` (n,), >= 0, makes the loss the weighted mean Σ w l / Σ w of each batch: whole numbers are
        repetitions, and a sample of weight 0 is left out. Raises ValueError for what cannot be trained on.
        """
        self.__dict__.pop("network_", None)  # what fails has trained nothing
        X, y = validate_data(self, X, y, dtype=self._dtypes())
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        train = _weighted_samples(X, labels, sample_weight)
        validation, run = replace(train, rows=train.rows[:0]), self._new_run(X)
        if not isinstance(self.early_stopping, bool | np.bool_):
            raise ValueError(f"early_stopping must be True or False. Got {self.early_stopping!r}")
        if self.early_stopping:
            train, validation = self._split(train, run.random["split"])
        stop = _NoImprovement(
            checks.number("tol", self.tol, ge=0),
            checks.integer("n_iter_no_change", self.n_iter_no_change, ge=1),
            "val_accuracy" if self.early_stopping else "train_loss",
        )
        run.callbacks = [stop]
        self._train(run, train, validation, checks.integer("max_iter", self.max_iter, ge=1))
        if self.early_stopping:
            run.network.state[...] = run.best_state
            self.validation_scores_ = [row["val_accuracy"] for row in run.history]
            self.best_validation_score_ = run.best_value
            self.best_loss_ = None
        if not run.stop:
            warnings.warn(
                f"max_iter={self.max_iter} epochs ended before {stop.metric} stopped improving; raise it, or tol",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch over X (n, d) and y (n,), going on from earlier calls of `partial_fit` or `fit`.

        The first call needs all `classes`. Of the parameters `learning_rate_init`, `weight_decay`, `batch_size` and
        `class_weight` may change from call to call; the others are those of the first.
        """
        if self.early_stopping:
            raise ValueError(f"early_stopping with partial_fit must be False. Got {self.early_stopping!r}")
        if isinstance(self.class_weight, str):
            raise ValueError(f"class_weight with partial_fit must be a mapping or None. Got {self.class_weight!r}")
        first = not hasattr(self, "network_")
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if not first and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes must be those of the first call, {self.classes_}. Got {classes}")
        X, y = validate_data(self, X, y, dtype=self._dtypes() if first else self.network_.dtype, reset=first)
        check_classification_targets(y)
        known = np.unique(classes) if first else self.classes_
        labels = np.searchsorted(known, y).clip(max=len(known) - 1)
        if np.any(other := known[labels] != y):
            raise ValueError(f"y must hold the classes {known} only. Got {np.unique(y[other])}")
        train = _weighted_samples(X, labels, sample_weight)
        if first:
            self.classes_ = known
            run = self._new_run(X)
        else:
            rule = self._new_optimizer()
            self.optimizer_.learning_rate, self.optimizer_.weight_decay = rule.learning_rate, rule.weight_decay
            run = Run(Path(), {}, self.network_, self.optimizer_, Constant(), self._random)
        self._train(run, train, replace(train, rows=train.rows[:0]), epochs=1)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Probabilities (n, c) of the classes, in the order of `classes_`."""
        check_is_fitted(self, "network_")
        X = validate_data(self, X, dtype=self.network_.dtype, reset=False)
        network = copy.deepcopy(self.network_)  # layers own buffers, and other threads may predict at the same time
        parts = range(0, len(X), ROWS_AT_ONCE)
        return np.concatenate([network.predict_proba(X[i : i + ROWS_AT_ONCE]) for i in parts])

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms (n, c) of the probabilities."""
        return np.asarray(np.log(self.predict_proba(X)))

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest label of each sample, (n,)."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[likeliest])

    @property
    def coefs_(self) -> list[Array]:
        """The weights of each layer, (d_in, d_out), from the input side: the network's own arrays."""
        return [layer.W for layer in self.network_.layers]

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of each layer, (d_out,)."""
        return [layer.b for layer in self.network_.layers]

    def _dtypes(self) -> Any:
        """What X is converted to; of several the first, where it is none of them."""
        return (
            [np.float64, np.float32] if self.dtype is None else np.dtype(checks.choice("dtype", self.dtype, DTYPES))
        )

    def _new_run(self, X: Array) -> Run:
        """A new network and all that belongs to its training, from the parameters."""
        random = random_streams(int(check_random_state(self.random_state).randint(2**31)))
        sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object)).tolist()
        given = self.activation
        several = [_object(Activation, "activation", a) for a in given] if isinstance(given, list | tuple) else None
        network = MLP(
            X.shape[1],
            len(self.classes_),
            [checks.integer("hidden_layer_sizes", size, ge=1) for size in sizes],
            activations=several,
            activation=None if several is not None else _object(Activation, "activation", given),
            init=_object(Initializer, "init", self.init),
            loss=_object(Loss, "loss", self.loss),
            dropout=self.dropout,
            dtype=X.dtype.name,
            rng=random["init"],
        )
        self.n_iter_, self.loss_curve_ = 0, []
        self.best_loss_ = self.validation_scores_ = self.best_validation_score_ = None
        return Run(Path(), {}, network, self._new_optimizer(), Constant(), random)

    def _new_optimizer(self) -> Optimizer:
        rule, options = by_name(Optimizer, self.optimizer), self.optimizer_options or {}
        if not isinstance(options, Mapping):
            raise ValueError(f"optimizer_options must be a mapping or None. Got {options!r}")
        allowed = inspect.signature(rule).parameters.keys() - {"learning_rate", "weight_decay"}
        for name in options.keys() - allowed:
            raise ValueError(unknown("optimizer option", name, allowed))
        if self.learning_rate_init is not None:
            rate = checks.number("learning_rate_init", self.learning_rate_init, gt=0)
            options = {**options, "learning_rate": rate}
        made: Optimizer = rule(weight_decay=self.weight_decay, **options)
        return made

    def _split(self, samples: Samples, rng: np.random.Generator) -> tuple[Samples, Samples]:
        """Training and validation samples, of each class the same share."""
        fraction = checks.number("validation_fraction", self.validation_fraction, gt=0, lt=1)
        kept, held_out = stratified_split(samples.labels, fraction, rng)
        if not len(held_out):
            raise ValueError(f"validation_fraction={fraction:g} of {len(samples)} samples holds out none of them")
        return replace(samples, rows=samples.rows[kept]), replace(samples, rows=samples.rows[held_out])

    def _train(self, run: Run, train: Samples, validation: Samples, epochs: int) -> None:
        """Train for `epochs` epochs, or fewer if a callback says stop. Raises ValueError where the loss diverges."""
        batch_size = min(FULL_BATCH, len(train)) if self.batch_size == "auto" else self.batch_size
        if isinstance(batch_size, str):
            raise ValueError(f"batch_size must be 'auto' or an integer >= 1. Got {batch_size!r}")
        monitor = "val_accuracy" if len(validation) else "train_loss"
        trainer = Trainer(epochs, batch_size, monitor, class_weight=self._weights_by_number())
        try:
            trainer.fit(run, train, validation)
        except Diverged as error:
            self.__dict__.pop("network_", None)
            raise ValueError(
                f"the loss became infinite or NaN in epoch {run.epoch + 1} with a learning rate of "
                f"{run.optimizer.learning_rate:g}. A smaller learning_rate_init helps, or a scaled X"
            ) from error
        except UserError as error:
            raise ValueError(str(error)) from error
        self.network_, self.optimizer_, self._random = run.network, run.optimizer, run.random
        self.n_iter_ += run.epoch
        self.loss_curve_ += [row["train_loss"] for row in run.history]
        self.loss_, self.best_loss_ = self.loss_curve_[-1], min(self.loss_curve_)

    def _weights_by_number(self) -> Any:
        """`class_weight` with the numbers of the classes in the place of their labels."""
        given, labels = self.class_weight, self.classes_.tolist()
        if given is None or (isinstance(given, str) and given == "balanced"):
            return given
        if not isinstance(given, Mapping):
            raise ValueError(
                f"class_weight must be None, 'balanced' or a mapping of labels to weights. Got {given!r}"
            )
        # As in scikit-learn: a fold of a cross-validation may lack a class, but then none lacks its weight.
        if (other := given.keys() - set(labels)) and set(labels) - given.keys():
            raise ValueError(f"class_weight: the classes are {labels}. Got {sorted(other, key=repr)}")
        for label, weight in given.items():
            checks.number(f"class_weight[{label!r}]", weight, gt=0)
        return {number: given[label] for number, label in enumerate(labels) if label in given}


class _NoImprovement(Callback):
    """Ends a run as scikit-learn does: after more than `patience` epochs in a row that are not better by `tol`."""

    def __init__(self, tol: float, patience: int, metric: str) -> None:
        self.tol, self.patience, self.metric = tol, patience, metric
        self.best, self.epochs = -np.inf, 0

    def on_epoch_end(self, run: Run) -> None:
        value = run.metrics[self.metric] * (-1 if self.metric.endswith("loss") else 1)
        self.epochs = self.epochs + 1 if value < self.best + self.tol else 0
        self.best = max(self.best, value)
        run.stop = self.epochs > self.patience


def _object(kind: Any, parameter: str, given: Any) -> Any:
    """The object that a name stands for, or a copy of the one that is given."""
    if isinstance(given, str):
        return by_name(kind, given)()
    if not isinstance(given, kind):
        raise ValueError(f"{parameter} must be a name or a mlp.nn.{kind.__name__}. Got {given!r}")
    return copy.deepcopy(given)


def _weighted_samples(X: Array, labels: np.ndarray, sample_weight: Any) -> Samples:
    """The samples that have a weight, and how much they weigh."""
    if sample_weight is None:
        return Samples(X, labels, np.arange(len(X)), 1.0)
    weights = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weights.ndim != 1:
        raise ValueError(f"sample_weight must have shape ({len(X)},). Got {weights.shape}")
    check_consistent_length(X, weights)
    if weights.min() < 0 or not weights.any():
        raise ValueError(f"sample_weight must be >= 0, and not zero for all samples. Got {weights.min():g} at least")
    return Samples(X, labels, np.flatnonzero(weights), 1.0, weights / weights.max())
