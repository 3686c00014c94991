"""A study of your own. Its words are in width.md.j2, its runs in conf/experiment/width.yaml."""

from matplotlib.figure import Figure

from mlp.report import style
from mlp.report.blocks import Analysis
from mlp.report.figures.panels import grid
from mlp.report.read import by, over_seeds
from mlp.report.studies.study import Study, StudyRuns


class Width(Study):
    """How accurate is a network with one hidden layer, by the number of its neurons?"""

    name = "width"
    seconds = 10
    quick = ("training.epochs=2",)

    def analyse(self, found: StudyRuns) -> Analysis:
        accuracies = {
            neurons: over_seeds(runs, "test_accuracy")
            for (neurons,), runs in sorted(by(found.with_files(), "model.hidden_sizes").items())
        }
        best = max(accuracies, key=lambda neurons: accuracies[neurons].mean)

        def draw() -> Figure:
            figure, axes = grid([["one hidden layer"]], "neurons", ["test accuracy"])
            means, stds = zip(*((each.mean, each.std) for each in accuracies.values()), strict=True)
            axes[0, 0].errorbar([str(n) for n in accuracies], means, stds, fmt="o-", color=style.BLUE)
            return figure

        return self.answer({"accuracies": accuracies, "best": best}, {"width": draw})
