"""Record what PyTorch computes, so that the tests can compare with it and never need to install it.

Run it in an environment of its own; the files it writes are kept beside it:

    python3.11 -m venv .venv-peers
    .venv-peers/bin/pip install torch==2.13.0 numpy
    .venv-peers/bin/python tests/references/record.py

Everything is float64 and seeded; README.md describes the files.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# Also the dtype of scalars inside optimizers: NAdam's running product of momenta is float32 otherwise.
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

HERE = Path(__file__).resolve().parent
Arrays = dict[str, np.ndarray]
Case = dict[str, Any]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x * 1.0,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, negative_slope=0.01),
    "elu": lambda x: F.elu(x, alpha=1.0),
    "gelu_erf": lambda x: F.gelu(x, approximate="none"),
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "swish": F.silu,
}
KINKED = ("relu", "leaky_relu")  # no derivative at 0

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": F.cross_entropy,
    "mean_squared_error": lambda logits, labels: F.mse_loss(
        logits.softmax(dim=1), F.one_hot(labels, logits.shape[1]).to(logits.dtype)
    ),
}

# Two settings of coefficients for each optimizer: the usual ones, and others that must make a difference.
COEFFICIENTS: dict[str, tuple[dict[str, float], dict[str, float]]] = {
    "sgd": ({"learning_rate": 0.01}, {"learning_rate": 0.2}),
    "momentum": ({"learning_rate": 0.01, "momentum": 0.9}, {"learning_rate": 0.05, "momentum": 0.7}),
    "nag": ({"learning_rate": 0.01, "momentum": 0.9}, {"learning_rate": 0.05, "momentum": 0.7}),
    "rmsprop": (
        {"learning_rate": 0.01, "beta": 0.99, "epsilon": 1e-8},
        {"learning_rate": 0.05, "beta": 0.9, "epsilon": 1e-3},
    ),
    "adam": (
        {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
        {"learning_rate": 0.05, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3},
    ),
    "nadam": (
        {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "momentum_decay": 4e-3},
        {"learning_rate": 0.05, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3, "momentum_decay": 2e-2},
    ),
}
WEIGHT_DECAYS: dict[str, dict[str, Any]] = {
    "no_decay": {"weight_decay": 0.0, "decoupled_weight_decay": False},
    "coupled": {"weight_decay": 0.01, "decoupled_weight_decay": False},
    "decoupled": {"weight_decay": 0.01, "decoupled_weight_decay": True},
}

ARCHITECTURES = {"linear": [], "one": [5], "three": [7, 6, 5]}


class Optimizer:
    """An optimizer of torch, under the names that this project gives its coefficients. Biases never decay."""

    def __init__(self, name: str, weights: list[Tensor], biases: list[Tensor], k: dict[str, Any]) -> None:
        torch_has_it = not k["decoupled_weight_decay"] or name in ("adam", "nadam")
        groups: list[dict[str, Any]] = [
            {"params": weights, "weight_decay": k["weight_decay"] if torch_has_it else 0.0},
            {"params": biases, "weight_decay": 0.0},
        ]
        optim: torch.optim.Optimizer
        match name:
            case "sgd":
                optim = torch.optim.SGD(groups, k["learning_rate"])
            case "momentum":
                optim = torch.optim.SGD(groups, k["learning_rate"], momentum=k["momentum"])
            case "nag":
                optim = torch.optim.SGD(groups, k["learning_rate"], momentum=k["momentum"], nesterov=True)
            case "rmsprop":
                optim = torch.optim.RMSprop(groups, k["learning_rate"], alpha=k["beta"], eps=k["epsilon"])
            case "adam":
                kind = torch.optim.AdamW if k["decoupled_weight_decay"] else torch.optim.Adam
                optim = kind(groups, k["learning_rate"], betas=(k["beta1"], k["beta2"]), eps=k["epsilon"])
            case "nadam":
                optim = torch.optim.NAdam(
                    groups,
                    k["learning_rate"],
                    betas=(k["beta1"], k["beta2"]),
                    eps=k["epsilon"],
                    momentum_decay=k["momentum_decay"],
                    decoupled_weight_decay=k["decoupled_weight_decay"],
                )
            case _:
                raise ValueError(name)
        self.optim = optim
        self.weights_to_decay = [] if torch_has_it else weights
        self.weight_decay = k["weight_decay"]

    def step(self, learning_rate: float) -> None:
        """Decay the weights where torch has no decoupled form (Loshchilov & Hutter 2019), then step."""
        for group in self.optim.param_groups:
            group["lr"] = learning_rate
        with torch.no_grad():
            for weight in self.weights_to_decay:
                weight.mul_(1 - learning_rate * self.weight_decay)
        self.optim.step()


def parameters(arrays: Iterable[np.ndarray]) -> list[Tensor]:
    """Copy arrays into tensors that collect gradients."""
    return [torch.tensor(array, requires_grad=True) for array in arrays]


def random_layers(rng: np.random.Generator, sizes: list[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw weights (d_in, d_out) and biases (d_out,), large enough to bend every activation."""
    shapes = list(itertools.pairwise(sizes))
    weights = [rng.normal(0, 1.5 / math.sqrt(d_in), (d_in, d_out)) for d_in, d_out in shapes]
    biases = [rng.normal(0, 0.3, d_out) for _, d_out in shapes]
    return weights, biases


def forward(x: Tensor, weights: list[Tensor], biases: list[Tensor], activation: str) -> Tensor:
    """Return the logits of the network."""
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        x = ACTIVATIONS[activation](x @ weight + bias)
    return x @ weights[-1] + biases[-1]


def record_optimizers() -> tuple[Arrays, list[Case]]:
    """30 steps of every optimizer on one recorded series of gradients."""
    steps, n_weights, n_biases = 30, 12, 4
    n = n_weights + n_biases
    rng = np.random.default_rng(1)
    theta0 = rng.normal(0, 1, n)
    # Both signs, magnitudes from 1e-6 to 10; zeros: scattered, a whole step, at the start, and always.
    gradients = rng.choice([-1.0, 1.0], (steps, n)) * 10.0 ** rng.uniform(-6, 1, (steps, n))
    gradients[rng.random((steps, n)) < 0.1] = 0.0
    gradients[7] = 0.0
    gradients[:5, [5, 14]] = 0.0
    gradients[:, [3, 13]] = 0.0
    # The second setting also warms the learning rate up over 6 steps and lets it fall along a cosine.
    t = np.arange(steps)
    schedule = np.where(t < 6, (t + 1) / 6, 0.05 + 0.475 * (1 + np.cos(np.pi * (t - 6) / (steps - 6))))

    arrays: Arrays = {"theta0": theta0, "gradients": gradients, "n_weights": np.array(n_weights)}
    cases: list[Case] = []
    for name, settings in COEFFICIENTS.items():
        factors = (np.ones(steps), schedule)
        for setting, coefficients, factor in zip(("usual", "other"), settings, factors, strict=True):
            for decay, decay_kwargs in WEIGHT_DECAYS.items():
                key = f"{name}/{setting}/{decay}"
                kwargs = {**coefficients, **decay_kwargs}
                learning_rates = kwargs["learning_rate"] * factor
                weights, biases = parameters(np.split(theta0, [n_weights]))
                optimizer = Optimizer(name, [weights], [biases], kwargs)
                trajectory = np.empty((steps, n))
                for i, (gradient, learning_rate) in enumerate(zip(gradients, learning_rates, strict=True)):
                    weights.grad, biases.grad = torch.tensor(gradient).split([n_weights, n_biases])
                    optimizer.step(float(learning_rate))
                    trajectory[i] = torch.cat([weights, biases]).detach().numpy()
                arrays[f"{key}/learning_rates"] = learning_rates
                arrays[f"{key}/trajectory"] = trajectory
                cases.append({"key": key, "optimizer": name, "kwargs": kwargs})
    return arrays, cases


def record_activations() -> tuple[Arrays, list[Case]]:
    """Every activation and its derivative, from the origin to where exp overflows and far beyond."""
    magnitudes = np.concatenate([[1e-12, 1e-6, 1e-3], np.linspace(0.05, 8, 54), [15, 30, 88, 700, 710, 1e4]])
    grid = np.concatenate([-magnitudes[::-1], [0.0], magnitudes])
    arrays: Arrays = {}
    cases: list[Case] = []
    for name, function in ACTIVATIONS.items():
        points = grid[grid != 0] if name in KINKED else grid
        x = torch.tensor(points, requires_grad=True)
        value = function(x)
        (derivative,) = torch.autograd.grad(value.sum(), x)
        arrays[f"{name}/x"] = points
        arrays[f"{name}/value"] = value.detach().numpy()
        arrays[f"{name}/derivative"] = derivative.numpy()
        cases.append({"key": name, "activation": name})
    return arrays, cases


def record_losses() -> tuple[Arrays, list[Case]]:
    """Both losses and their gradients with respect to the logits."""
    rng = np.random.default_rng(2)
    extreme = rng.normal(0, 1e4, (7, 10))
    extreme[0] = 1e4  # all equal
    extreme[1] = -1e4
    extreme[2] = np.where(np.arange(10) == 4, 1e4, -1e4)  # surely right
    extreme[3] = np.where(np.arange(10) == 5, 1e4, -1e4)  # surely wrong
    extreme[4] = 1e4 + rng.normal(0, 1, 10)  # moderate differences, far from the origin
    batches = {
        "moderate": (rng.normal(0, 2, (7, 10)), rng.integers(0, 10, 7)),
        "single": (rng.normal(0, 2, (1, 10)), np.array([6])),
        "extreme": (extreme, np.array([0, 9, 4, 4, 2, 1, 8])),
    }
    arrays: Arrays = {}
    cases: list[Case] = []
    for batch, (logits_data, labels) in batches.items():
        arrays[f"{batch}/logits"] = logits_data
        arrays[f"{batch}/labels"] = labels
        for name, loss in LOSSES.items():
            key = f"{batch}/{name}"
            logits = torch.tensor(logits_data, requires_grad=True)
            value = loss(logits, torch.tensor(labels))
            (gradient,) = torch.autograd.grad(value, logits)
            arrays[f"{key}/value"] = value.detach().numpy()
            arrays[f"{key}/gradient"] = gradient.numpy()
            cases.append({"key": key, "batch": batch, "loss": name})
    return arrays, cases


def record_network() -> tuple[Arrays, list[Case]]:
    """Logits, losses and the gradient of every parameter, for each depth, activation and loss."""
    batch, d_in, d_out = 9, 11, 4
    rng = np.random.default_rng(3)
    x, labels = rng.normal(0, 1, (batch, d_in)), rng.integers(0, d_out, batch)
    arrays: Arrays = {"x": x, "labels": labels}
    cases: list[Case] = []
    for architecture, hidden_sizes in ARCHITECTURES.items():
        layers = random_layers(rng, [d_in, *hidden_sizes, d_out])
        for i, (weight, bias) in enumerate(zip(*layers, strict=True)):
            arrays[f"{architecture}/W{i}"] = weight
            arrays[f"{architecture}/b{i}"] = bias
        # Without a hidden layer there is nothing to activate.
        for activation in ACTIVATIONS if hidden_sizes else ["identity"]:
            for name, loss in LOSSES.items():
                key = f"{architecture}/{activation}/{name}"
                weights, biases = parameters(layers[0]), parameters(layers[1])
                logits = forward(torch.tensor(x), weights, biases, activation)
                value = loss(logits, torch.tensor(labels))
                value.backward()
                arrays[f"{architecture}/{activation}/logits"] = logits.detach().numpy()
                arrays[f"{key}/value"] = value.detach().numpy()
                for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                    arrays[f"{key}/grad_W{i}"] = weight.grad.numpy()
                    arrays[f"{key}/grad_b{i}"] = bias.grad.numpy()
                cases.append(
                    {
                        "key": key,
                        "architecture": architecture,
                        "hidden_sizes": hidden_sizes,
                        "activation": activation,
                        "loss": name,
                    }
                )
    return arrays, cases


def record_training() -> tuple[Arrays, list[Case]]:
    """25 steps of a whole network on one full batch: forward, backward, weight decay, update."""
    steps, batch, d_in, hidden_sizes, d_out = 25, 16, 8, [6, 5], 3
    rng = np.random.default_rng(4)
    x, labels = rng.normal(0, 1, (batch, d_in)), rng.integers(0, d_out, batch)
    layers = random_layers(rng, [d_in, *hidden_sizes, d_out])
    arrays: Arrays = {"x": x, "labels": labels}
    for i, (weight, bias) in enumerate(zip(*layers, strict=True)):
        arrays[f"W{i}"] = weight
        arrays[f"b{i}"] = bias
    cases: list[Case] = []
    for name in ("adam", "nag", "nadam"):
        kwargs = {**COEFFICIENTS[name][1], **WEIGHT_DECAYS["coupled"]}
        weights, biases = parameters(layers[0]), parameters(layers[1])
        optimizer = Optimizer(name, weights, biases, kwargs)
        losses = np.empty(steps)
        for step in range(steps):
            optimizer.optim.zero_grad()
            loss = F.cross_entropy(forward(torch.tensor(x), weights, biases, "tanh"), torch.tensor(labels))
            loss.backward()
            losses[step] = loss.item()
            optimizer.step(kwargs["learning_rate"])
        arrays[f"{name}/losses"] = losses
        for i, (trained_weight, trained_bias) in enumerate(zip(weights, biases, strict=True)):
            arrays[f"{name}/W{i}"] = trained_weight.detach().numpy()
            arrays[f"{name}/b{i}"] = trained_bias.detach().numpy()
        cases.append(
            {
                "key": name,
                "hidden_sizes": hidden_sizes,
                "activation": "tanh",
                "loss": "cross_entropy",
                "optimizer": name,
                "kwargs": kwargs,
            }
        )
    return arrays, cases


def record_normalization() -> tuple[Arrays, list[Case]]:
    """15 steps of SGD with batch normalisation and smoothed labels on batches of two sizes, then inference."""
    steps, d_in, hidden_sizes, d_out = 15, 8, [6, 5], 3
    rng = np.random.default_rng(5)
    x, labels = rng.normal(1, 2, (steps, 16, d_in)), rng.integers(0, d_out, (steps, 16))
    layers = random_layers(rng, [d_in, *hidden_sizes, d_out])
    arrays: Arrays = {"x": x, "labels": labels}
    for i, (weight, bias) in enumerate(zip(*layers, strict=True)):
        arrays[f"W{i}"], arrays[f"b{i}"] = weight, bias
    weights, biases = parameters(layers[0]), parameters(layers[1])
    norms = [torch.nn.BatchNorm1d(size) for size in hidden_sizes]
    for norm, bias in zip(norms, biases, strict=False):
        norm.bias = torch.nn.Parameter(bias.detach().clone())
    trained = [*weights, biases[-1], *(p for norm in norms for p in (norm.weight, norm.bias))]
    optimizer = torch.optim.SGD(trained, lr=0.1)

    def logits(rows: Tensor) -> Tensor:
        for weight, norm in zip(weights, norms, strict=False):
            rows = torch.tanh(norm(rows @ weight))
        return rows @ weights[-1] + biases[-1]

    losses = np.empty(steps)
    for step in range(steps):
        n = 16 if step % 3 else 7
        optimizer.zero_grad()
        output = logits(torch.tensor(x[step, :n]))
        loss = F.cross_entropy(output, torch.tensor(labels[step, :n]), label_smoothing=0.1)
        loss.backward()
        losses[step] = loss.item()
        optimizer.step()
    for norm in norms:
        norm.eval()
    arrays |= {"losses": losses, "logits": logits(torch.tensor(x[0])).detach().numpy()}
    for i, norm in enumerate(norms):
        arrays[f"mean{i}"], arrays[f"variance{i}"] = norm.running_mean.numpy(), norm.running_var.numpy()
        arrays[f"gamma{i}"] = norm.weight.detach().numpy()
    return arrays, [{"key": "batch_norm", "hidden_sizes": hidden_sizes, "label_smoothing": 0.1, "learning_rate": 0.1}]


def record_schedules() -> tuple[Arrays, list[Case]]:
    """The learning rates of 40 steps, over the highest one."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=40, pct_start=0.3, div_factor=25, final_div_factor=1e4, cycle_momentum=False
    )
    rates = []
    for _ in range(40):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step() if len(rates) < 40 else None
    return {"one_cycle": np.array(rates)}, [{"key": "one_cycle"}]


def main() -> None:
    """Write one .npz per subject, and cases.json, which lists what is in each."""
    recordings = {
        "optimizers": record_optimizers,
        "activations": record_activations,
        "losses": record_losses,
        "network": record_network,
        "training": record_training,
        "normalization": record_normalization,
        "schedules": record_schedules,
    }
    cases: dict[str, list[Case]] = {}
    for subject, record in recordings.items():
        arrays, cases[subject] = record()
        for key, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"{subject}: {key} is not finite")
        np.savez_compressed(HERE / f"{subject}.npz", **arrays)
    lines = [
        f'  "{subject}": [\n    ' + ",\n    ".join(map(json.dumps, listed)) + "\n  ]"
        for subject, listed in cases.items()
    ]
    (HERE / "cases.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
