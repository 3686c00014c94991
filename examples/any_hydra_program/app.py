"""A Hydra program that returns a number: how far (x, y) is from the lowest point of a bowl."""

import hydra
from omegaconf import DictConfig

import hydra_trials


@hydra.main(version_base=None, config_path=".", config_name="config")
def main(cfg: DictConfig) -> float | dict[str, float]:
    distance = (cfg.x - 2) ** 2 + (cfg.y + 1) ** 2 + (cfg.shape == "steep") * cfg.slope
    for step in range(1, 11):
        hydra_trials.report(step, distance + 10 / step)  # a search may prune the trial here
    return {"distance": distance, "cost": abs(cfg.x) + abs(cfg.y)} if cfg.several else distance


if __name__ == "__main__":
    main()
