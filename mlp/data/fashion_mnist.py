"""Fashion-MNIST."""

from mlp.data.idx import IDXDataset


class FashionMNIST(IDXDataset):
    """Articles of clothing in the format of MNIST: 60,000 for training, 10,000 for the test.

    Xiao, Rasul, Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms,
    2017. https://arxiv.org/abs/1708.07747
    """

    name = "fashion_mnist"
    class_names = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip
    aliases = ("fashion", "fmnist")
    openml = 40996
    keras_cache = "fashion-mnist"
    md5 = {  # noqa: RUF012
        "x_train": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "y_train": "9018921c3c673c538a1fc5bad174d6f9",
        "x_test": "8181f5470baa50b63fa0f6fddb340f0a",
        "y_test": "15d484375f8d13e6eb1aabb0c3f46965",
    }
