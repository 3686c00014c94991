"""MNIST."""

from mlp.data.idx import IDXDataset


class MNIST(IDXDataset):
    """Handwritten digits, 28 x 28, grey: 60,000 for training, 10,000 for the test.

    LeCun, Cortes, Burges: The MNIST database of handwritten digits, 1998.
    """

    name = "mnist"
    class_names = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    keras_cache = "mnist.npz"
    openml = 554
    md5 = {  # noqa: RUF012
        "x_train": "6bbc9ace898e44ae57da46a324031adb",
        "y_train": "a25bea736e30d166cdddb491f175f624",
        "x_test": "2646ac647ad5339dbf082846283269ea",
        "y_test": "27ae3e4e09519cfbb04c329615203637",
    }
