"""Datasets: one class per source, each with a YAML file of the same name in `conf/dataset`.

A new one is a subclass of `Dataset` with `name`, `class_names`, `image_shape`, `divisor` and a `load` method;
`OwnData` is the base of those that read what the user has.
"""

from mlp.data.augmentation import Augmentation, Compose
from mlp.data.cifar10 import CIFAR10
from mlp.data.csv_file import CSV
from mlp.data.dataset import Dataset
from mlp.data.digits import Digits
from mlp.data.fashion_mnist import FashionMNIST
from mlp.data.folder import ImageFolder
from mlp.data.mnist import MNIST
from mlp.data.npz import NPZ
from mlp.data.pixel_augmentation import Blur, Brightness, Noise, Stroke
from mlp.data.samples import Samples, divisor_of

__all__ = [
    "CIFAR10",
    "CSV",
    "MNIST",
    "NPZ",
    "Augmentation",
    "Blur",
    "Brightness",
    "Compose",
    "Dataset",
    "Digits",
    "FashionMNIST",
    "ImageFolder",
    "Noise",
    "Samples",
    "Stroke",
    "divisor_of",
]
