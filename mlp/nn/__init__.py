"""The mathematics of the network. Imports NumPy, the standard library and `mlp.base.naming`, nothing else."""

from mlp.nn.activations import ELU, GELU, Activation, Identity, LeakyReLU, ReLU, Sigmoid, Swish, Tanh
from mlp.nn.initializers import He, Initializer, Random, Xavier, Zeros
from mlp.nn.layers import Dropout, Layer, Linear
from mlp.nn.losses import CrossEntropy, Loss, MeanSquaredError, SumSquaredError, softmax
from mlp.nn.network import MLP
from mlp.nn.normalization import BatchNorm, NoNormalization, Normalization
from mlp.nn.optimizers import NAG, SGD, Adam, Momentum, Nadam, Optimizer, RMSprop
from mlp.nn.schedules import Constant, Cosine, Exponential, OneCycle, Schedule, Step
from mlp.nn.sizes import expand_hidden_sizes

__all__ = [
    "ELU", "GELU", "MLP", "NAG", "SGD", "Activation", "Adam", "BatchNorm", "Constant", "Cosine", "CrossEntropy",
    "Dropout", "Exponential", "He", "Identity", "Initializer", "Layer", "LeakyReLU", "Linear", "Loss",
    "MeanSquaredError", "Momentum", "Nadam", "NoNormalization", "Normalization", "OneCycle", "Optimizer", "RMSprop",
    "Random", "ReLU", "Schedule", "Sigmoid", "Step", "SumSquaredError", "Swish", "Tanh", "Xavier", "Zeros",
    "expand_hidden_sizes", "softmax",
]  # fmt: skip
