"""Asynchronous, pruned, resumable searches for any Hydra program: `hydra/sweeper=trials`, `hydra/launcher=local`.

What the program's task returns is the objective: a number, several, or a mapping that has them by name. A task that
calls `hydra_trials.report(step, value)` can be pruned.
"""

from hydra_trials.reporting import report

__all__ = ["report"]
