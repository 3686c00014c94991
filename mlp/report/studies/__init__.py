"""The ten studies of the assignment, in its order.

A new one is a module here with its class, an entry of `STUDIES`, a template of its text (`NAME.md.j2`), a question
in `questions.md`, and its runs in `conf/experiment/NAME.yaml`.
"""

from mlp.report.studies.data_exploration import DataExploration
from mlp.report.studies.dead_neurons import DeadNeurons
from mlp.report.studies.error_analysis import ErrorAnalysis
from mlp.report.studies.global_performance import GlobalPerformance
from mlp.report.studies.hyperparameter_search import HyperparameterSearch
from mlp.report.studies.loss_comparison import LossComparison
from mlp.report.studies.optimizer_showdown import OptimizerShowdown
from mlp.report.studies.study import Study
from mlp.report.studies.symmetry import Symmetry
from mlp.report.studies.transfer import Transfer
from mlp.report.studies.vanishing_gradients import VanishingGradients

STUDIES: tuple[Study, ...] = (
    DataExploration(),
    HyperparameterSearch(),
    OptimizerShowdown(),
    VanishingGradients(),
    DeadNeurons(),
    LossComparison(),
    GlobalPerformance(),
    ErrorAnalysis(),
    Symmetry(),
    Transfer(),
)
