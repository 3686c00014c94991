"""MNIST and Fashion-MNIST from elsewhere than the repository: Keras, OpenML, or nowhere."""

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.datasets
from sklearn.utils._param_validation import validate_parameter_constraints
from test_data_mnist import DATA, KINDS, use_nothing

from mlp.base.errors import UserError
from mlp.data import MNIST, FashionMNIST, published
from mlp.data.idx import IDXDataset

pytestmark = pytest.mark.usefixtures("no_other_data")


def write_keras_npz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, x_test: np.ndarray) -> None:
    path = tmp_path / "keras" / "datasets" / "mnist.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, x_test=x_test, y_test=MNIST().test().y.astype(np.uint8))
    use_nothing(tmp_path, monkeypatch)


def test_mnist_is_read_from_what_keras_has_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = np.array(MNIST().test().x)
    write_keras_npz(tmp_path, monkeypatch, expected.reshape(-1, 28, 28))
    np.testing.assert_array_equal(MNIST().test().x, expected)


def test_damage_in_what_keras_has_downloaded_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = np.array(MNIST().test().x).reshape(-1, 28, 28)
    damaged[0, 0, 0] ^= 1
    write_keras_npz(tmp_path, monkeypatch, damaged)
    with pytest.raises(UserError, match=r"mnist\.npz is damaged"):
        MNIST().test()


def test_mnist_npz_with_arrays_of_another_shape_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_keras_npz(tmp_path, monkeypatch, np.zeros((3, 28, 28), np.uint8))
    with pytest.raises(UserError, match=r"wrong x_test: uint8 \(3, 28, 28\), not uint8 \(10000, 28, 28\)"):
        MNIST().test()


def test_fashion_mnist_is_read_from_what_keras_has_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "keras" / "datasets" / "fashion-mnist"
    cache.mkdir(parents=True)
    for file in (DATA / "fashion_mnist").glob("t10k-*"):
        shutil.copy(file, cache)
    use_nothing(tmp_path, monkeypatch)
    assert len(FashionMNIST().test()) == 10_000


def test_keras_is_asked_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = MNIST().test()
    x, y = np.array(test.x).reshape(-1, 28, 28), test.y.astype(np.uint8)
    use_nothing(tmp_path, monkeypatch)
    module = SimpleNamespace(load_data=lambda: ((None, None), (x, y)))
    monkeypatch.setitem(sys.modules, "keras", SimpleNamespace(datasets=SimpleNamespace(mnist=module)))
    np.testing.assert_array_equal(MNIST().test().x, test.x)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_everywhere_lists_the_places_and_the_ways_to_get_it(
    kind: type[IDXDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_nothing(tmp_path, monkeypatch)
    with pytest.raises(UserError) as error:
        kind().split(np.random.default_rng(0))
    for hint in (
        str(tmp_path / "nowhere"),
        str(tmp_path / "keras"),
        "git checkout -- data",
        "dataset.data_dir=FOLDER",
    ):
        assert hint in str(error.value)
    assert "cannot be loaded: <urlopen error [Errno 111] Connection refused>. Ways" in str(error.value)


@pytest.mark.parametrize("kind", [KINDS[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])])
def test_openml_has_the_training_set_first_and_is_checked(
    kind: type[IDXDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = kind().load("train"), kind().load("test")
    pixels = np.concatenate([train[0], test[0]]).astype(float)  # as scikit-learn gives them
    labels = np.concatenate([train[1], test[1]]).astype(str).astype(object)
    asked = []

    constraints = sklearn.datasets.fetch_openml._skl_parameter_constraints

    def fetch(**words: object) -> SimpleNamespace:
        validate_parameter_constraints(constraints, words, "fetch_openml")  # what the real one takes
        asked.append(words["data_id"])
        assert (words["as_frame"], words["parser"]) == (False, "liac-arff")  # arrays, without pandas
        return SimpleNamespace(data=pixels, target=labels)

    use_nothing(tmp_path, monkeypatch)
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    x, y = kind().load("test")
    np.testing.assert_array_equal(x, test[0])
    np.testing.assert_array_equal(y, test[1])
    kind().load("train")
    assert asked == [kind.openml]  # the archive has both parts
    published.fetch.cache_clear()
    pixels[60_000, 0] += 1
    shutil.rmtree(tmp_path / "cache2", ignore_errors=True)
    monkeypatch.setenv("MLP_CACHE_DIR", str(tmp_path / "cache2"))
    with pytest.raises(UserError, match=f"openml.org/d/{kind.openml} is damaged or another dataset"):
        kind().load("test")


def test_failed_download_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_data() -> None:
        raise Exception("URL fetch failure: no route to host")

    use_nothing(tmp_path, monkeypatch)
    module = SimpleNamespace(mnist=SimpleNamespace(load_data=load_data))
    monkeypatch.setitem(sys.modules, "keras", SimpleNamespace(datasets=module))
    with pytest.raises(UserError, match="no route to host"):
        MNIST().test()
