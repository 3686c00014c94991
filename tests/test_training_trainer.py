"""The training loop: what it computes, what it remembers, and whom it tells when."""

import csv
import math
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss
from small_runs import CLASSES, TRAIN, VALIDATION, Recorder, new_run

from mlp.base.errors import Diverged
from mlp.nn import SGD, Cosine
from mlp.training import Callback, Run, Trainer, evaluate, random_streams
from mlp.training.callbacks import CallbackOptions, GradientNorms, MetricsFile


def test_events_come_in_order_with_the_counts_of_what_is_finished() -> None:
    recorder = Recorder()
    Trainer(epochs=2, batch_size=20).fit(new_run(Path(), recorder), TRAIN, VALIDATION)
    assert recorder.events == [
        ("start", 0, 0),
        *[("batch", 0, 1), ("batch", 0, 2), ("batch", 0, 3), ("epoch", 1, 3)],
        *[("batch", 1, 4), ("batch", 1, 5), ("batch", 1, 6), ("epoch", 2, 6)],
    ]
    assert [(row["epoch"], row["step"]) for row in recorder.rows] == [(1, 3), (2, 6)]


def test_callbacks_are_told_in_the_order_of_the_list() -> None:
    told: list[str] = []

    class Named(Callback):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_run_start(self, run: Run) -> None:
            told.append(f"{self.name} start")

        def on_batch_end(self, run: Run) -> None:
            told.append(f"{self.name} batch")

        def on_epoch_end(self, run: Run) -> None:
            told.append(f"{self.name} epoch")

    Trainer(epochs=1, batch_size=50).fit(new_run(Path(), Named("b"), Named("a")), TRAIN, VALIDATION)
    assert told == ["b start", "a start", "b batch", "a batch", "b epoch", "a epoch"]


def test_two_epochs_equal_a_softmax_regression_written_down_in_full() -> None:
    """No hidden layer, SGD by hand; 50 samples in batches of 20, so that the last batch has 10."""
    recorder, rate, size = Recorder(), 0.5, 20
    state = new_run(Path(), recorder, hidden=(), optimizer=SGD(rate), schedule=Cosine())
    W, b = state.network.layers[0].W.copy(), state.network.layers[0].b.copy()
    Trainer(epochs=2, batch_size=size).fit(state, TRAIN, VALIDATION)

    shuffle = random_streams(0)["shuffle"]
    factors = [
        1.0,
        (1 + math.sqrt(3) / 2) / 2,
        0.75,
        0.5,
        0.25,
        (1 - math.sqrt(3) / 2) / 2,
    ]  # cos of 0, 30 ... 150 degrees
    for epoch in range(2):
        order = shuffle.permutation(TRAIN.rows)
        losses, predicted = [], []
        for start in range(0, 50, size):
            rows = order[start : start + size]
            X, y = TRAIN.x[rows] / 255, TRAIN.y[rows]
            P = np.exp(X @ W + b)
            P /= P.sum(axis=1, keepdims=True)
            losses += [-math.log(p[label]) for p, label in zip(P, y, strict=True)]
            predicted += P.argmax(axis=1).tolist()
            error = (P - np.eye(CLASSES)[y]) / len(rows)
            step = rate * factors[3 * epoch + start // size]
            W, b = W - step * (X.T @ error), b - step * error.sum(axis=0)
        row, truth = recorder.rows[epoch], TRAIN.y[order]
        assert row["train_loss"] == pytest.approx(np.mean(losses), rel=1e-12)
        assert row["train_accuracy"] == np.mean(np.array(predicted) == truth)
        assert row["train_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"), rel=1e-12)
        assert row["learning_rate"] == pytest.approx(step, rel=1e-12)

        P = np.exp(VALIDATION.x[VALIDATION.rows] / 255 @ W + b)
        P /= P.sum(axis=1, keepdims=True)
        truth, guess = VALIDATION.y[VALIDATION.rows], P.argmax(axis=1)
        assert row["val_loss"] == pytest.approx(log_loss(truth, P, labels=range(CLASSES)), rel=1e-12)
        assert row["val_accuracy"] == np.mean(guess == truth)
        assert row["val_f1"] == pytest.approx(f1_score(truth, guess, average="macro"), rel=1e-12)
    np.testing.assert_allclose(state.network.layers[0].W, W, rtol=1e-12)
    np.testing.assert_allclose(state.network.layers[0].b, b, rtol=1e-12)


def test_the_optimizer_has_its_own_rate_back_after_an_epoch() -> None:
    state = new_run(optimizer=SGD(0.3), schedule=Cosine())
    Trainer(epochs=1, batch_size=10).fit(state, TRAIN, VALIDATION)
    assert state.optimizer.learning_rate == 0.3


def test_warm_up_and_cosine_in_the_learning_rate_column() -> None:
    recorder = Recorder()
    state = new_run(Path(), recorder, optimizer=SGD(1.0), schedule=Cosine(warmup=0.5, final=0.2))
    Trainer(epochs=4, batch_size=50).fit(state, TRAIN, VALIDATION)
    # Of four steps two warm up, to 1/3 and 2/3; then 1, and half way down from 1 to 0.2.
    assert [row["learning_rate"] for row in recorder.rows] == pytest.approx([1 / 3, 2 / 3, 1.0, 0.6], rel=1e-12)


class Steps(Callback):
    """Copies the network's state and gradient after every step."""

    def __init__(self) -> None:
        self.states: list[np.ndarray] = []
        self.gradients: list[np.ndarray] = []

    def on_batch_end(self, run: Run) -> None:
        self.states.append(run.network.state.copy())
        self.gradients.append(run.network.grad.copy())


def test_the_average_takes_in_every_step_and_is_what_is_validated_and_kept() -> None:
    steps, recorder = Steps(), Recorder()
    state = new_run(Path(), steps, recorder)
    averages = [state.network.state.copy()]
    Trainer(epochs=2, batch_size=20, ema_decay=0.3, monitor="train_loss").fit(state, TRAIN, VALIDATION)
    for after, decay in zip(steps.states, [1 / 10, 2 / 11, 1 / 4, 0.3, 0.3, 0.3], strict=True):
        averages.append(decay * averages[-1] + (1 - decay) * after)
    twin = new_run().network
    for row, average in zip(recorder.rows, [averages[3], averages[6]], strict=True):
        twin.state[...] = average
        for name, value in evaluate(twin, VALIDATION).scores("val_").items():
            assert name not in row or row[name] == pytest.approx(value, rel=1e-12)
    assert state.best_epoch == 2
    np.testing.assert_allclose(state.best_state, averages[6], rtol=1e-12)
    np.testing.assert_array_equal(state.network.state, steps.states[-1])  # goes on from its own weights


def test_a_step_uses_the_clipped_gradient_and_the_whole_weight_decay() -> None:
    """As in PyTorch, where clip_grad_norm_ comes before the optimizer, which adds its decay."""
    free, clipped, size = Steps(), Steps(), 0.01
    for steps, max_grad_norm in ((free, None), (clipped, size)):
        state = new_run(Path(), steps, optimizer=SGD(0.5, weight_decay=0.2))
        before, num_weights = state.network.theta.copy(), state.network.num_weights
        Trainer(epochs=1, batch_size=50, max_grad_norm=max_grad_norm).fit(state, TRAIN, VALIDATION)
    gradient = free.gradients[0] * (size / np.linalg.norm(free.gradients[0]))
    np.testing.assert_allclose(clipped.gradients[0], gradient, rtol=1e-12)
    gradient[:num_weights] += 0.2 * before[:num_weights]
    np.testing.assert_allclose(clipped.states[0], before - 0.5 * gradient, rtol=1e-12)


@pytest.mark.parametrize("every", [1, 2, 4])
def test_gradient_norm_columns_are_means_over_the_measured_steps(every: int) -> None:
    class Gradients(Callback):
        """Copies every gradient as the graded interface shows it, layer by layer."""

        def __init__(self) -> None:
            self.taken: list[list[tuple[np.ndarray, np.ndarray]]] = []

        def on_batch_end(self, run: Run) -> None:
            self.taken.append([(layer.grad_W.copy(), layer.grad_b.copy()) for layer in run.network.layers])

    gradients, recorder = Gradients(), Recorder()
    state = new_run(Path(), gradients, GradientNorms(every), recorder)
    Trainer(epochs=2, batch_size=10).fit(state, TRAIN, VALIDATION)
    for epoch, row in enumerate(recorder.rows):
        steps = [step for step in range(5 * epoch + 1, 5 * epoch + 6) if step % every == 0]
        measured = [gradients.taken[step - 1] for step in steps]
        for i in range(3):
            expected = np.mean([np.linalg.norm(layers[i][0]) for layers in measured])
            assert row[f"grad_norm_{i + 1}"] == pytest.approx(expected, rel=1e-12)
        whole = [np.concatenate([g.ravel() for pair in layers for g in pair]) for layers in measured]
        assert row["grad_norm"] == pytest.approx(np.mean([np.linalg.norm(g) for g in whole]), rel=1e-12)
        assert "grad_norm_4" not in row


def test_the_gradient_norm_of_an_epoch_without_a_measured_step_is_nan() -> None:
    recorder = Recorder()
    Trainer(epochs=2, batch_size=50).fit(new_run(Path(), GradientNorms(2), recorder), TRAIN, VALIDATION)
    assert [math.isnan(row["grad_norm"]) for row in recorder.rows] == [True, False]


def test_divergence_names_epoch_step_rate_and_remedy() -> None:
    state = new_run(Path(), recorder := Recorder(), optimizer=SGD(1e200))
    with pytest.raises(
        Diverged, match=r"became (nan|inf) in epoch 1, step \d .*1e\+200.*smaller optimizer\.learning_rate"
    ):
        Trainer(epochs=3, batch_size=10).fit(state, TRAIN, VALIDATION)
    assert recorder.rows == []


def test_metrics_csv_grows_by_a_row_an_epoch_and_reads_back_exactly(tmp_path: Path) -> None:
    seen: list[list[dict[str, str]]] = []

    class Reader(Callback):
        def on_epoch_end(self, run: Run) -> None:
            with (run.directory / "metrics.csv").open(newline="") as file:
                seen.append(list(csv.DictReader(file)))

    recorder = Recorder()
    state = new_run(tmp_path, recorder, MetricsFile(), Reader())
    Trainer(epochs=3).fit(state, TRAIN, VALIDATION)
    assert [len(rows) for rows in seen] == [1, 2, 3]
    assert state.history == recorder.rows
    assert [{key: float(cell) for key, cell in row.items()} for row in seen[-1]] == recorder.rows


def test_a_metric_that_appears_later_leaves_the_rows_before_it_empty(tmp_path: Path) -> None:
    class Late(Callback):
        def on_epoch_end(self, run: Run) -> None:
            if run.epoch == 2:
                run.metrics["late"] = 1.5

    Trainer(epochs=2).fit(new_run(tmp_path, Late(), MetricsFile()), TRAIN, VALIDATION)
    header, first, second = (tmp_path / "metrics.csv").read_text().splitlines()
    assert header.endswith(",late")
    assert first.endswith(",")
    assert second.endswith(",1.5")


def test_seconds_and_samples_per_second_are_those_of_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([10.0, 12.0, 12.5])  # start, training done, validation done
    monkeypatch.setattr("mlp.training.trainer.time.perf_counter", lambda: next(ticks))
    monkeypatch.setattr(Run, "timed", lambda *_: nullcontext())  # another user of the same clock
    recorder = Recorder()
    Trainer(epochs=1).fit(new_run(Path(), recorder), TRAIN, VALIDATION)
    assert recorder.rows[0]["seconds"] == 2.5
    assert recorder.rows[0]["samples_per_second"] == 25.0


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"epochs": 0}, "epochs must be an integer >= 1. Got 0"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1. Got 0"),
        ({"batch_size": 1.5}, "batch_size must be an integer >= 1. Got 1.5"),
        ({"max_grad_norm": 0}, "max_grad_norm must be > 0. Got 0"),
        ({"ema_decay": 1.0}, "ema_decay must be > 0 and < 1. Got 1.0"),
        ({"initial_share": 0.5}, "initial_share=0.5 needs ema_decay, the average .*"),
        ({"class_weight": "equal"}, "class_weight must be 'balanced', a list .*, or a mapping .* Got 'equal'"),
        ({"class_weight": [1, 0]}, r"class_weight\[1\] must be > 0. Got 0"),
        ({"class_weight": {"one": 2}}, "class_weight: a class must be an integer >= 0. Got 'one'"),
        ({"class_weight": {1: float("inf")}}, r"class_weight\[1\] must be finite and > 0. Got inf"),
        ({"monitor": "accuracy"}, "monitor must be one of val_f1, .*train_loss. Got 'accuracy'"),
    ],
)
def test_arguments_out_of_range_are_named(argument: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Trainer(**argument)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"patience": 0}, "patience must be an integer >= 1. Got 0"),
        ({"checkpoint_every": 0}, "checkpoint_every must be an integer >= 1. Got 0"),
        ({"gradient_norm_every": -1}, "gradient_norm_every must be an integer >= 0. Got -1"),
    ],
)
def test_options_of_callbacks_out_of_range_are_named(argument: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        CallbackOptions(**argument)  # type: ignore[arg-type]


def test_random_streams_are_independent_and_repeatable() -> None:
    def draw(seed: int) -> dict[str, float]:
        return {name: generator.random() for name, generator in random_streams(seed).items()}

    assert draw(5) == draw(5)
    assert len({*draw(5).values(), *draw(6).values()}) == 10
