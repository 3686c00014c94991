"""How runs fare on changed validation images: python benchmarks/validation.py RUN_DIRECTORY...

What chose the strengths of the shipped models' augmentation, so that the test set had no part in it.
"""

import sys
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from mlp.config.build import build
from mlp.data import Dataset
from mlp.inference import load_model, network_of
from mlp.tools.robustness import accuracies
from mlp.training import random_streams

for directory in map(Path, sys.argv[1:]):
    config = OmegaConf.to_container(OmegaConf.load(directory / "config.yaml"), resolve=True)
    dataset = build(config["dataset"], "dataset", Dataset)
    _, validation = dataset.split(random_streams(config["seed"])["split"])
    network = network_of(load_model(directory / "best_model.npy"))
    table = accuracies(network.forward, validation.inputs(dtype=np.float64), validation.labels, dataset.image_shape)
    print(f"{directory}: " + ", ".join(f"{name} {100 * value:.2f}" for name, value in table))
