"""Callbacks that look inside a network while it trains, for `training.callbacks`. Each keeps a file of arrays."""
