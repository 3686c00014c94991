"""Reports read what runs have left: plots of one run, and the ten studies."""

from pathlib import Path


def draw_run(directory: Path) -> None:
    """Draw the plots of a run directory into its `plots/`."""
    from mlp.report import run_plots  # matplotlib takes a third of a second to import

    run_plots.draw_run(directory)
