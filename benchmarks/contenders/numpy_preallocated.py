"""Plain NumPy with the usual care: one dtype, arrays allocated once, `out=` everywhere. No further tricks."""

from collections.abc import Callable

import numpy as np

from contenders.protocol import DIVISOR, SIZES, Array, Missing, Task, numpy_version


class Preallocated:
    def __init__(self, task: Task) -> None:
        self.versions = numpy_version()
        self.orders, self.coefficients = task.epochs(), task.coefficients
        updates: dict[str, Callable[[], None]] = {"adam": self.adam, "sgd": self.sgd}
        if task.optimizer not in updates:
            raise Missing(f"it has {' and '.join(updates)} only")
        self.update = updates[task.optimizer]
        x, y = task.data()
        self.images, self.one_hot = np.asarray(x), np.eye(SIZES[-1], dtype=task.dtype)[y]
        self.W, self.b = task.initial()
        self.raw = np.empty((task.batch, SIZES[0]), np.uint8)
        self.A = [np.empty((task.batch, width), task.dtype) for width in SIZES]
        self.D = [np.empty_like(A) for A in self.A]
        self.alive = [np.empty_like(A) for A in self.A]
        self.Y = np.empty_like(self.A[-1])
        self.column = np.empty((task.batch, 1), task.dtype)
        self.grad_W, self.grad_b = ([np.empty_like(p) for p in of] for of in (self.W, self.b))
        self.params, self.grads = self.W + self.b, self.grad_W + self.grad_b
        self.m, self.v = ([np.zeros_like(p) for p in self.params] for _ in range(2))
        self.spare = [np.empty_like(p) for p in self.params]
        self.t = 0

    def epoch(self) -> None:
        for rows in next(self.orders):
            np.take(self.images, rows, axis=0, out=self.raw, mode="clip")
            np.divide(self.raw, self.A[0].dtype.type(DIVISOR), out=self.A[0])
            np.take(self.one_hot, rows, axis=0, out=self.Y, mode="clip")
            self.forward()
            self.backward()
            self.update()

    def forward(self) -> None:
        last = len(self.W) - 1
        for i, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            Z = np.matmul(self.A[i], W, out=self.A[i + 1])
            np.add(Z, b, out=Z)
            if i < last:
                np.maximum(Z, 0, out=Z)

    def backward(self) -> None:
        Z, P = self.A[-1], self.D[-1]
        np.max(Z, axis=1, keepdims=True, out=self.column)
        np.subtract(Z, self.column, out=P)
        np.exp(P, out=P)
        np.sum(P, axis=1, keepdims=True, out=self.column)
        np.divide(P, self.column, out=P)
        np.subtract(P, self.Y, out=P)
        np.divide(P, len(P), out=P)
        for i in range(len(self.W) - 1, -1, -1):
            D = self.D[i + 1]
            np.matmul(self.A[i].T, D, out=self.grad_W[i])
            np.sum(D, axis=0, out=self.grad_b[i])
            if i:
                np.matmul(D, self.W[i].T, out=self.D[i])
                np.sign(self.A[i], out=self.alive[i])
                np.multiply(self.D[i], self.alive[i], out=self.D[i])

    def sgd(self) -> None:
        rate = self.coefficients["learning_rate"]
        for p, g, spare in zip(self.params, self.grads, self.spare, strict=True):
            np.multiply(g, rate, out=spare)
            np.subtract(p, spare, out=p)

    def adam(self) -> None:
        k = self.coefficients
        beta1, beta2 = k["beta1"], k["beta2"]
        self.t += 1
        rate = k["learning_rate"] / (1 - beta1**self.t)
        correction = (1 - beta2**self.t) ** -0.5
        for p, g, m, v, spare in zip(self.params, self.grads, self.m, self.v, self.spare, strict=True):
            np.multiply(m, beta1, out=m)
            np.multiply(g, 1 - beta1, out=spare)
            np.add(m, spare, out=m)
            np.multiply(v, beta2, out=v)
            np.multiply(g, g, out=spare)
            np.multiply(spare, 1 - beta2, out=spare)
            np.add(v, spare, out=v)
            np.sqrt(v, out=spare)
            np.multiply(spare, correction, out=spare)
            np.add(spare, k["epsilon"], out=spare)
            np.divide(m, spare, out=spare)
            np.multiply(spare, rate, out=spare)
            np.subtract(p, spare, out=p)

    def weights(self) -> tuple[list[Array], list[Array]]:
        return self.W, self.b


build = Preallocated
