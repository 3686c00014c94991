"""The six optimizers; `step(theta, grad, num_weights)` updates a flat vector of parameters in place."""

from mlp.nn import NAG, SGD, Adam, Momentum, Nadam, RMSprop

__all__ = ["NAG", "SGD", "Adam", "Momentum", "Nadam", "RMSprop"]
