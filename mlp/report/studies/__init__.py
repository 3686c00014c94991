"""The ten studies of the assignment, in its order. A new one is a module here and a file in conf/experiment/."""

from mlp.report.studies.dead_neurons import DeadNeurons
from mlp.report.studies.loss_comparison import LossComparison
from mlp.report.studies.study import Study
from mlp.report.studies.vanishing_gradients import VanishingGradients

STUDIES: tuple[Study, ...] = (VanishingGradients(), DeadNeurons(), LossComparison())
