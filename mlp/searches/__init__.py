"""Searches of many runs, on Optuna: `python train.py -m ...` starts one, `python -m mlp.search` reads it."""
