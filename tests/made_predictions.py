"""Predictions made by hand for tests of their plots, and how far a figure reaches over its page."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"]
FASHION += ["Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def predictions(n: int = 400, classes: int = 10, pictures: int = 12) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    y_true = rng.integers(0, classes, n)
    y_pred = np.where(rng.random(n) < 0.7, y_true, rng.integers(0, classes, n))
    return {
        "y_true": y_true,
        "y_pred": y_pred,
        "confidence": rng.uniform(0.2, 1, n).astype(np.float32),
        "class_names": np.array(FASHION if classes == 10 else [f"class {i}" for i in range(classes)]),
        "images": rng.integers(0, 256, (pictures, 6, 5), dtype=np.uint8),
        "image_rows": rng.permutation(n)[:pictures],
    }


def overhang(figure: Figure) -> float:
    """How far, in inches, anything drawn reaches over the edge of the page."""
    FigureCanvasAgg(figure).draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return max(0.0, -drawn.x0, -drawn.y0, drawn.x1 - width, drawn.y1 - height)
