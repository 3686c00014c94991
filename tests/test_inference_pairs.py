"""A model is measured as the network that its own configuration describes; what is doubtful about that is said."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
from conftest import ROOT, Refusal

from mlp.base.errors import UserError
from mlp.cli.inference import main
from mlp.config.compose import compose
from mlp.config.resolve import resolve
from mlp.experiment.best_model import make_room, strengths
from mlp.experiment.components import Components
from mlp.model_file import config_beside, load_weights, save_weights, weights_sha256

TRAINED = ("epochs", "batch_size", "ema_decay")
OPTIMIZED = ("learning_rate", "weight_decay", "decoupled_weight_decay")

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shipped model, and mine.npy beside it: digits, tanh, 64-32-16-10; its run is in run/."""
    place = tmp_path_factory.mktemp("trained")
    for name in ("best_model.npy", "best_config.json"):
        shutil.copy(ROOT / name, place)
    line = "-d digits -a tanh -e 5 -sz 32 16 -lr 0.01 -msp mine.npy --no_wandb hydra.run.dir=run"
    runs.run(place, *line.split())
    return place


@pytest.fixture(autouse=True)
def copied(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of it without the run is the working directory."""
    for path in trained.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def accuracy(trained: Path) -> Any:
    """The accuracy that mine.npy has."""
    return pytest.approx(runs.summary(trained / "run")["test_accuracy"])


def rewrite(path: str, **values: Any) -> None:
    """Set values of a configuration; None takes them out."""
    config = {**json.loads(Path(path).read_text()), **values}
    Path(path).write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def notes(capsys: Captured) -> list[str]:
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("Note: ") for line in lines)
    return [line.removeprefix("Note: ") for line in lines]


# The pair


@pytest.mark.parametrize(
    ("model", "config"),
    [
        ("best_model.npy", "best_config.json"),
        ("models/mine.npy", "models/mine_config.json"),
        ("my_model.npz", "my_config.json"),
        ("a.b.npy", "a.b_config.json"),
    ],
)
def test_a_model_has_one_place_for_its_configuration(model: str, config: str) -> None:
    assert config_beside(Path(model)) == Path(config)


def test_a_saved_model_takes_its_configuration_along(trained: Path) -> None:
    for copy, original in (("mine.npy", "best_model.npy"), ("mine_config.json", "best_config.json")):
        assert (trained / copy).read_bytes() == (trained / "run" / original).read_bytes()
    assert (trained / "best_config.json").read_bytes() == (ROOT / "best_config.json").read_bytes()


@pytest.mark.parametrize(("kept", "given"), [("best_model.npy", "best.npy"), ("z.npy", "z_model.npy")])
def test_a_copy_does_not_take_the_configuration_of_another_model(kept: str, given: str) -> None:
    for path in (Path(kept), config_beside(Path(kept))):
        path.write_text("the other's")
    save = {"model_path": given, "config_path": None}
    with pytest.raises(UserError, match=rf"its configuration would replace \w+_config\.json, that of {kept}"):
        make_room(save)
    make_room({**save, "config_path": "elsewhere.json"})
    make_room({**save, "model_path": kept})  # its own


def test_a_model_and_its_configuration_are_two_files() -> None:
    with pytest.raises(UserError, match="are the same file, one"):
        make_room({"model_path": "one", "config_path": "./one"})


def test_a_model_beside_another_is_measured_by_its_own_configuration(capsys: Captured, accuracy: Any) -> None:
    assert main(["-mp", "mine.npy"])["accuracy"] == accuracy
    assert notes(capsys) == []


def test_configuration_and_summary_hold_the_digest_of_the_weights(trained: Path) -> None:
    digest = weights_sha256(load_weights(trained / "run/best_model.npy"))
    assert json.loads((trained / "run/best_config.json").read_text())["weights_sha256"] == digest
    assert runs.summary(trained / "run")["weights_sha256"] == digest


@pytest.mark.parametrize("folder", [".", *(f"models/{path.name}" for path in sorted((ROOT / "models").iterdir()))])
def test_shipped_pairs_belong_together(folder: str) -> None:
    config = json.loads((ROOT / folder / "best_config.json").read_text())
    assert config["weights_sha256"] == weights_sha256(load_weights(ROOT / folder / "best_model.npy"))


@pytest.mark.parametrize(("folder", "recipe"), [(".", "best_mnist"), ("models/fashion_mnist", "best_fashion_mnist")])
def test_the_shipped_models_come_from_their_recipes(folder: str, recipe: str) -> None:
    shipped = json.loads((ROOT / folder / "best_config.json").read_text())
    config = resolve(compose([f"+experiment={recipe}"]))
    parts = Components.build(config)
    assert parts.network.hidden_sizes == shipped["hidden_size"]
    assert [getattr(parts.trainer, key) for key in TRAINED] == [shipped[key] for key in TRAINED]
    assert strengths(config["augment"]) == shipped["augment"]
    assert [config["optimizer"][key] for key in OPTIMIZED] == [shipped[key] for key in OPTIMIZED]


def test_a_resumed_fine_tuning_names_the_weights_that_it_started_from(trained: Path) -> None:
    shutil.copy(trained / "run/best_model.npy", trained / "start.npy")
    line = "-d digits -a tanh -sz 32 16 -w_i pretrained init.path=start.npy --no_wandb hydra.run.dir=tuned"
    runs.run(trained, *line.split(), "-e", "1")
    shutil.copy(trained / "tuned/best_model.npy", trained / "start.npy")
    runs.run(trained, "resume=tuned", "-e", "2")
    config = json.loads((trained / "tuned/best_config.json").read_text())
    assert config["epochs"] == 2
    assert config["pretrained_sha256"] == weights_sha256(load_weights(trained / "run/best_model.npy"))
    assert config["weights_sha256"] != config["pretrained_sha256"]


def test_the_digest_is_of_every_number_and_of_no_layout() -> None:
    weights = {"W0": np.arange(6.0).reshape(2, 3), "b0": np.zeros(3)}
    same = {"b0": np.zeros(3), "W0": np.asfortranarray(weights["W0"]).astype(">f8")}
    assert weights_sha256(weights) == weights_sha256(same)
    for changed in (
        {"b0": np.array([0, 0, 1e-9])},
        {"W0": weights["W0"].astype("f4")},
        {"W0": weights["W0"][:, ::-1]},
    ):
        assert weights_sha256({**weights, **changed}) != weights_sha256(weights)


def test_the_configuration_of_another_model_is_not_used(capsys: Captured, accuracy: Any) -> None:
    Path("mine_config.json").unlink()
    assert main(["-mp", "mine.npy", "-d", "digits", "-a", "tanh"])["accuracy"] == accuracy
    assert notes(capsys) == [
        "best_config.json is not used: it belongs to another model.",
        "no mine_config.json beside mine.npy: taking loss cross_entropy, unless -l is given.",
    ]


def test_a_configuration_that_names_the_weights_is_found_under_its_old_name(capsys: Captured, accuracy: Any) -> None:
    Path("mine_config.json").replace("best_config.json")
    assert main(["-mp", "mine.npy"])["accuracy"] == accuracy
    assert notes(capsys) == []


def test_a_nameless_configuration_is_taken_with_a_note(capsys: Captured, accuracy: Any) -> None:
    rewrite("mine_config.json", weights_sha256=None)
    Path("mine_config.json").replace("best_config.json")
    Path("best_model.npy").unlink()
    assert main(["-mp", "mine.npy"])["accuracy"] == accuracy
    assert notes(capsys) == ["taking best_config.json for the configuration of mine.npy."]


def test_weights_that_changed_are_noted_with_what_is_believed(capsys: Captured, accuracy: Any) -> None:
    weights = load_weights("mine.npy")
    weights["b0"][0] += 1e-6
    save_weights("mine.npy", weights)
    assert main(["-mp", "mine.npy"])["accuracy"] == accuracy
    assert notes(capsys) == [
        "mine_config.json belongs to other weights (its weights_sha256 is not theirs). Taking its dataset digits, "
        "activation tanh, loss cross_entropy all the same, unless -d/-a/-l is given."
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"hidden_size": [32, 8]}, "hidden_size [32, 8]"),
        ({"hidden_size": 128, "num_layers": 6}, "hidden_size [128, 128, 128, 128, 128, 128]"),
        ({"hidden_size": None, "num_layers": 6}, "num_layers 6"),
        ({"input_size": 784}, "input_size 784"),
        ({"num_classes": 3}, "num_classes 3"),
    ],
)
def test_sizes_that_contradict_the_weights_are_said(
    capsys: Captured, accuracy: Any, values: dict[str, Any], said: str
) -> None:
    rewrite("mine_config.json", **values)
    assert main(["-mp", "mine.npy"])["accuracy"] == accuracy
    assert notes(capsys) == [
        f"mine_config.json says {said}, but the weights are 64-32-16-10. Taking its dataset digits, activation tanh, "
        "loss cross_entropy all the same, unless -d/-a/-l is given."
    ]


def test_both_kinds_of_contradiction_are_said(capsys: Captured) -> None:
    rewrite("mine_config.json", input_size=784, weights_sha256="0")
    main(["-mp", "mine.npy", "-d", "digits", "-a", "tanh"])
    assert notes(capsys) == [
        "mine_config.json says input_size 784, but the weights are 64-32-16-10; it belongs to other weights (its "
        "weights_sha256 is not theirs). Taking its loss cross_entropy all the same, unless -l is given."
    ]


@pytest.mark.parametrize("hidden_size", [[32, 16], [64, 32, 16], [32, 16, 10], [64, 32, 16, 10], "32 16"])
def test_sizes_in_every_way_of_counting_agree(capsys: Captured, hidden_size: Any) -> None:
    rewrite("mine_config.json", hidden_size=hidden_size, num_layers=3)
    main(["-mp", "mine.npy"])
    assert notes(capsys) == []


# The activation


@pytest.mark.parametrize(
    "config",
    [
        {"activation": "Tanh"},
        {"act_fn": "tanh"},
        {"hidden_activation": "tanh"},
        {"hiddenActivation": ["tanh", "tanh"]},
        {"nonlinearity": "tanh"},
        {"model": {"activation": "tanh"}},
        {"network": {"act_func": "tanh", "output_activation": "softmax"}},
        {"activation": ["tanh", "tanh", "softmax"]},
        {"activation": "tanh,softmax"},
        {"activations": ["tanh", "tanh", "linear"]},
        {"activation": "tanh", "model": {"activation": "TANH"}},
        {"activation": {"name": "tanh"}},
        {"model": {"act_fn": {"type": "Tanh"}}, "optimizer": {"name": "adam", "lr": 0.1}},
    ],
    ids=json.dumps,
)
def test_the_activation_is_understood(capsys: Captured, accuracy: Any, config: dict[str, Any]) -> None:
    Path("mine_config.json").write_text(json.dumps({"dataset": "digits", "loss": "ce", **config}))
    assert main(["-mp", "mine.npy"])["accuracy"] == accuracy
    assert notes(capsys) == []


def test_the_options_of_a_named_activation_count(capsys: Captured) -> None:
    logits = []
    for activation in ({"name": "leaky_relu", "negative_slope": 0.3}, "leaky_relu"):
        Path("mine_config.json").write_text(json.dumps({"dataset": "digits", "loss": "ce", "activation": activation}))
        logits.append(main(["-mp", "mine.npy"])["logits"])
    rewrite("mine_config.json", activation_options={"negative_slope": 0.3})
    np.testing.assert_array_equal(main(["-mp", "mine.npy"])["logits"], logits[0])
    assert not np.allclose(*logits)
    assert notes(capsys) == []


def test_what_the_configuration_does_not_say_is_noted(capsys: Captured, accuracy: Any) -> None:
    Path("mine_config.json").write_text('{"dataset": "digits", "fancy": "tanh"}')
    assert main(["-mp", "mine.npy", "-a", "relu"])["accuracy"] != accuracy
    assert notes(capsys) == ["mine_config.json does not say the loss: taking loss cross_entropy, unless -l is given."]
    assert main(["-mp", "mine.npy"])["accuracy"] != accuracy
    assert notes(capsys) == [
        "mine_config.json does not say the activation and the loss: taking activation relu, loss cross_entropy, "
        "unless -a/-l is given."
    ]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"activation": ["tanh", "tanh", "relu"]}, "gives the output layer relu, but here that layer is linear"),
        ({"activation": "relu", "model": {"act_fn": "tanh"}}, "says activation 'relu' and 'tanh'"),
        ({"activation": "tanh", "config": {"activation": "relu"}}, "says activation"),
        ({"activation": "tahn"}, "activation 'tahn' is unknown; did you mean 'tanh'?"),
        ({"activation": ["tanh", "tanh", "tanh", "tanh"]}, "activation names 4 functions (tanh, tanh, tanh, tanh), "),
        ({"activation": {"name": "tanh", "slope": 0.1}}, "key 'activation_options.slope' is unknown. Allowed: none"),
        ({"activation": "leaky_relu", "activation_options": {"negative_slope": "x"}}, "must be a number. Got 'x'"),
        ({"activation": "tanh", "activation_options": [1]}, "activation_options must be a mapping. Got [1]"),
        ({"activation": "tanh", "activation_options": 0}, "activation_options must be a mapping. Got 0"),
        ({"activation": "tanh", "loss": "hinge"}, "loss 'hinge' is unknown"),
    ],
)
def test_an_activation_that_cannot_be_meant_is_refused(
    refusal: Refusal, config: dict[str, Any], message: str
) -> None:
    Path("mine_config.json").write_text(json.dumps({"dataset": "digits", "loss": "ce", **config}))
    line = refusal(main, "-mp", "mine.npy")
    assert line.startswith("Error: mine_config.json: ")
    assert message in line


# The flags and the data


def test_the_command_line_of_the_training_measures_what_it_saved(capsys: Captured, accuracy: Any) -> None:
    assert main(["-d", "digits", "-a", "tanh", "-e", "5", "-msp", "mine.npy", "--no_wandb"])["accuracy"] == accuracy
    assert notes(capsys) == [
        "inference.py saves nothing: it reads the model mine.npy (--model_path).",
        "inference.py ignores --epochs, which only training reads.",
    ]
    Path("folder").mkdir()
    for name, new in (("mine.npy", "best_model.npy"), ("mine_config.json", "best_config.json")):
        Path(name).replace(Path("folder") / new)
    assert main(["-msp", "folder/"])["accuracy"] == accuracy
    assert main(["-msp", "folder/best_model.npy", "--config_save_path", "folder"])["accuracy"] == accuracy


def test_a_model_path_counts_more_than_a_path_to_save_to(capsys: Captured, accuracy: Any) -> None:
    assert main(["-mp", "mine.npy", "-msp", "new.npy", "--config_save_path", "new.json"])["accuracy"] == accuracy
    assert notes(capsys) == ["inference.py ignores --model_save_path, --config_save_path, which only training reads."]


def test_another_dataset_than_that_of_the_training_is_said(capsys: Captured) -> None:
    assert main(["-mp", "best_model.npy", "-d", "fashion-mnist"])["accuracy"] < 0.2
    assert notes(capsys) == ["best_config.json: the model was trained on mnist. This measures it on fashion_mnist."]
    rewrite("best_config.json", dataset="MNIST")
    main(["-mp", "best_model.npy", "-d", "mnist"])
    assert notes(capsys) == []


def test_arrays_that_are_scaled_otherwise_than_in_training_are_noted(tmp_path: Path, capsys: Captured) -> None:
    pixels, y = np.random.default_rng(0).integers(0, 256, (60, 5)), np.arange(60) % 3
    for name, x in (("pixels", pixels.astype(np.uint8)), ("numbers", pixels)):
        np.savez(f"{name}.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    line = "-d npz dataset.path=pixels.npz -e 1 -sz 4 -msp mine.npy --no_wandb"
    runs.run(tmp_path, *line.split())
    main(["-mp", "mine.npy", "dataset.path=pixels.npz"])
    assert notes(capsys) == []
    main(["-mp", "mine.npy", "dataset.path=numbers.npz"])
    assert notes(capsys) == [
        "in training, inputs were divided by 255; these are divided by 1 (uint8 by 255, all other types by 1)."
    ]


def test_a_note_stays_short_and_plain_whatever_the_file_says(capsys: Captured) -> None:
    rewrite("mine_config.json", dataset="\x1b[2J" + "m" * 10_000, hidden_size=[7] * 10_000, num_layers=None)
    main(["-mp", "mine.npy", "-d", "digits"])
    said = notes(capsys)
    assert len(said) == 2
    assert all(len(line) < 300 and line.isprintable() for line in said)
