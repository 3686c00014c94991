"""The training loop, its callbacks and checkpoints."""

from mlp.training.evaluate import Evaluation, evaluate
from mlp.training.run import Callback, Run, random_streams
from mlp.training.trainer import Trainer

__all__ = ["Callback", "Evaluation", "Run", "Trainer", "evaluate", "random_streams"]
