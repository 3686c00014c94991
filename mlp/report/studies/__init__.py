"""The ten studies of the assignment, in its order. A new one is a module here and a file in conf/experiment/."""

from mlp.report.studies.global_performance import GlobalPerformance
from mlp.report.studies.hyperparameter_search import HyperparameterSearch
from mlp.report.studies.loss_comparison import LossComparison
from mlp.report.studies.optimizer_showdown import OptimizerShowdown
from mlp.report.studies.study import Study

STUDIES: tuple[Study, ...] = (HyperparameterSearch(), OptimizerShowdown(), LossComparison(), GlobalPerformance())
