"""One experiment: a resolved configuration becomes objects, they run, and a directory is left behind."""

from mlp.experiment.components import Components
from mlp.experiment.run import PlotCallback, plot_callbacks, run

__all__ = ["Components", "PlotCallback", "plot_callbacks", "run"]
