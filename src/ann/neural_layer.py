"""A dense layer with W (in, out), b (out,), grad_W and grad_b; a network owns its layers and their arrays."""

from mlp.nn import Linear as NeuralLayer

__all__ = ["NeuralLayer"]
