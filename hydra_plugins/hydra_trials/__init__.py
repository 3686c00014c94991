"""Hydra's entry points to hydra_trials: thin, since Hydra executes these files at every start of every program."""
