"""NeuralNetwork(cli_args): forward, backward, update_weights, train, evaluate, get_weights, set_weights."""

from mlp.graded import NeuralNetwork

__all__ = ["NeuralNetwork"]
