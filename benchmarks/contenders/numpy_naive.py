"""A plain NumPy network as it is usually written for a course: correct, clear, and a new array everywhere."""

import numpy as np

from contenders.protocol import DIVISOR, Array, Task, numpy_version
from contenders.rules import RULES, initial_state


class Layer:
    def __init__(self, W: Array, b: Array, last: bool) -> None:
        self.params = {"W": W.astype(np.float64), "b": b.astype(np.float64)}
        self.last = last
        self.cache: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}

    def forward(self, X: Array) -> Array:
        Z = X @ self.params["W"] + self.params["b"]
        self.cache = {"X": X, "Z": Z}
        return Z if self.last else np.maximum(0, Z)

    def backward(self, dA: Array) -> Array:
        dZ = dA if self.last else dA * (self.cache["Z"] > 0)
        self.grads = {"W": self.cache["X"].T @ dZ, "b": np.sum(dZ, axis=0)}
        return dZ @ self.params["W"].T


class Naive:
    def __init__(self, task: Task) -> None:
        self.versions = numpy_version()
        self.task, self.orders = task, task.epochs()
        x, y = task.data()
        self.X, self.Y = x / DIVISOR, np.eye(10)[y]  # float64, as NumPy makes them
        weights, biases = task.initial()
        self.layers = [
            Layer(W, b, last=i == len(weights) - 1) for i, (W, b) in enumerate(zip(weights, biases, strict=True))
        ]
        self.states = [
            {key: initial_state(task.optimizer, np.zeros_like(p)) for key, p in layer.params.items()}
            for layer in self.layers
        ]
        self.rule = RULES[task.optimizer]
        self.t = 0

    def epoch(self) -> None:
        for rows in next(self.orders):
            X, Y = self.X[rows], self.Y[rows]
            A = X
            for layer in self.layers:
                A = layer.forward(A)
            exps = np.exp(A - np.max(A, axis=1, keepdims=True))
            probabilities = exps / np.sum(exps, axis=1, keepdims=True)
            self.loss = -np.mean(np.sum(Y * np.log(probabilities + 1e-12), axis=1))
            dA = (probabilities - Y) / len(X)
            for layer in reversed(self.layers):
                dA = layer.backward(dA)
            self.update()

    def update(self) -> None:
        self.t += 1
        for layer, states in zip(self.layers, self.states, strict=True):
            for key in layer.params:
                step, states[key] = self.rule(
                    layer.grads[key], states[key], self.t, np.sqrt, **self.task.coefficients
                )
                layer.params[key] = layer.params[key] - step

    def weights(self) -> tuple[list[Array], list[Array]]:
        return [layer.params["W"] for layer in self.layers], [layer.params["b"] for layer in self.layers]


build = Naive
