"""Hydra's doors to hydra_trials. Hydra executes these files at every start of every program, so they are thin."""
