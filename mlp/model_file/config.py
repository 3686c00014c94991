"""best_config.json: other people's spellings -> the names of our flags, with numbers as numbers."""

import json
import math
import re
from pathlib import Path
from typing import Any, NoReturn

from mlp.base.errors import UserError
from mlp.base.files import read_bytes, write_json
from mlp.base.naming import find_named, normalize_name, parse_sizes
from mlp.model_file.pickles import ModelFileError
from mlp.nn import Activation, Initializer, Loss, Optimizer

# Our name, then what others call it. Keys are compared in lower case, without leading dashes.
_NAMES = {
    "dataset": "d data dataset_name",
    "epochs": "e epoch num_epochs n_epochs max_epochs",
    "batch_size": "b batch batchsize",
    "loss": "l loss_function loss_func loss_fn loss_type criterion",
    "optimizer": "o opt optimiser optimizer_name",
    "learning_rate": "lr learningrate eta",
    "weight_decay": "wd w_d weightdecay l2 l2_reg l2_lambda",
    "num_layers": "nhl n_layers num_hidden_layers n_hidden_layers number_of_layers",
    "hidden_size": "sz hidden_sizes hidden_layers hidden_layer_sizes hidden_units hidden_dims layer_sizes",
    "activation": "a activations act activation_function activation_functions activation_fn activation_func "
    "activation_name activation_type act_fn act_func act_function hidden_activation hidden_activations hidden_act "
    "hidden_activation_function nonlinearity non_linearity",
    "weight_init": "w_i wi init initializer initialiser initialization weight_initialization init_method",
    "momentum": "m",
    "beta": "",
    "beta1": "beta_1",
    "beta2": "beta_2",
    "epsilon": "eps",
    "seed": "s random_seed random_state",
}
_OURS = {name: ours for ours, others in _NAMES.items() for name in [ours, *others.split()]}
_WRAPPERS = {
    *("config", "best_config", "args", "hyperparameters", "hyperparams", "hparams", "params", "best_params"),
    *("model", "model_config", "network", "architecture", "arch", "mlp"),
}

#: Whose names and aliases the values are.
_KINDS: dict[str, type] = {
    "loss": Loss,
    "optimizer": Optimizer,
    "activation": Activation,
    "weight_init": Initializer,
}
_NAMED = {"dataset", *_KINDS}
_DECISIVE = {"dataset", "loss", "activation"}  # without them the weights are measured as another network
_INTEGERS = {"epochs", "batch_size", "num_layers", "seed"}
_FLOATS = {"learning_rate", "weight_decay", "momentum", "beta", "beta1", "beta2", "epsilon"}


def load_config(path: str | Path) -> dict[str, Any]:
    """The configuration with our names and types. What the file does not say is missing; other keys are kept.

    `hidden_size` becomes a list, one entry per hidden layer, when it can be told; the weights know better.
    """
    try:
        raw = json.loads(read_bytes(path).decode("utf-8-sig"), parse_constant=_refuse_constant)
        if not isinstance(raw, dict):
            raise ModelFileError(f"expected a JSON object {{...}}. Got {type(raw).__name__}")
        return _clean(raw)
    except UserError as error:
        raise ModelFileError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: not valid JSON ({error})") from error


def save_config(path: str | Path, config: dict[str, Any]) -> None:
    """Write strict JSON in one step: NaN and infinities become null, NumPy's numbers plain ones."""
    write_json(path, config)


def _refuse_constant(name: str) -> NoReturn:
    raise ModelFileError(f"{name} is not valid JSON; write null instead")


def _clean(raw: dict[str, Any]) -> dict[str, Any]:
    given: dict[str, list[tuple[str, Any]]] = {}
    config: dict[str, Any] = {}
    for key, value in _entries(raw):
        spelling = _spelling(key)
        if spelling not in _OURS:
            config[key] = value
        elif value is not None:
            given.setdefault(_OURS[spelling], []).append((spelling, value))
    sizes = given.pop("hidden_size", [])
    for name, candidates in given.items():
        config[name] = _value(name, dict(candidates).get(name, candidates[0][1]))  # our own spelling wins
        if name in _DECISIVE and (others := [v for _, v in candidates if _value(name, v) != config[name]]):
            raise ModelFileError(f"says {name} {short(config[name])} and {short(others[0])}; remove one of them")
    return _with_hidden_size(config, dict(sizes))


def _spelling(key: str) -> str:
    """hiddenSize, hidden-size, --Hidden_Size -> hidden_size."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[\s-]+", "_", key.strip().lstrip("-")).lower()


def _entries(raw: dict[str, Any]) -> list[tuple[str, Any]]:
    """The keys of the file, those of wrappers such as {"config": {...}} included."""
    entries: list[tuple[str, Any]] = []
    for key, value in raw.items():
        ours = _OURS.get(_spelling(key))
        if isinstance(value, dict) and key.lower() in _WRAPPERS:
            entries += _entries(value)
        elif isinstance(value, dict) and "value" in value and value.keys() <= {"value", "desc"}:
            entries.append((key, value["value"]))  # as W&B writes it
        elif isinstance(value, dict) and ours in _NAMED and (name := value.get("name") or value.get("type")):
            options = {k: v for k, v in value.items() if k not in ("name", "type")}
            entries.append((key, name))  # {"activation": {"name": "leaky_relu", "negative_slope": 0.2}}
            entries += [("activation_options", options)] if ours == "activation" else _entries(options)
        else:
            entries.append((key, value))
    return entries


def _value(name: str, value: Any) -> Any:
    if name in _INTEGERS | _FLOATS:
        return _number(name, value)
    names = _split(value)
    if names is None:
        raise ModelFileError(
            f"{name} must be a name{' or a list of names' * (name == 'activation')}. Got {short(value)}"
        )
    known = [_our_name(name, word) for word in names]
    if len(known) == 1:
        return known[0]
    if name != "activation":
        raise ModelFileError(f"{name} must be one name. Got {short(value)}")
    return known


def _our_name(name: str, word: str) -> str:
    """`word` in our spelling; one that we do not know stays, in lower case with underscores."""
    if name == "dataset":
        word = {"fashionmnist": "fashion_mnist"}.get(normalize_name(word), word)
    elif cls := find_named(_KINDS[name], word):
        return str(cls.name)
    return re.sub(r"[\s-]+", "_", word.lower())


def _number(name: str, value: Any) -> int | float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(value)
        if not math.isfinite(number) or (name in _INTEGERS and number != int(number)):
            raise ValueError
    except (ValueError, OverflowError):
        kind = "an integer" if name in _INTEGERS else "a number"
        raise ModelFileError(f"{name} must be {kind}. Got {short(value)}") from None
    return int(value if isinstance(value, int) else number) if name in _INTEGERS else number


def _split(value: Any) -> list[str] | None:
    """'ReLU' -> ['ReLU']; 'relu,tanh', "['relu', 'tanh']", ['relu', 'tanh'] -> ['relu', 'tanh']; or None."""
    if isinstance(value, list):
        parts = [_split(item) for item in value]
        return None if None in parts or not parts else [word for part in parts if part for word in part]
    if not isinstance(value, str):
        return None
    return [word.strip(" '\"") for word in value.strip(" []()").split(",") if word.strip(" '\"")] or None


def _with_hidden_size(config: dict[str, Any], sizes: dict[str, Any]) -> dict[str, Any]:
    """Settle which of the spellings are sizes and which a number of layers, then one size for each layer."""
    parsed = {spelling: _sizes(value) for spelling, value in sizes.items()}
    if len(parsed) > 1 and isinstance(sizes.get("hidden_layers"), int | str):
        count = parsed.pop("hidden_layers")  # {"hidden_layers": 5, "hidden_size": 64}: a count beside a size
        if count is not None and len(count) == 1:
            config.setdefault("num_layers", count[0])
    layers = parsed.pop("layer_sizes", None)  # with the inputs and the outputs
    hidden = next((value for value in parsed.values() if value is not None), layers[1:-1] if layers else None)
    count = config.get("num_layers")
    if hidden is not None and len(hidden) == 1 and count is not None and 0 <= count <= 1000:
        hidden = hidden * count
    return config if hidden is None else {**config, "hidden_size": hidden}


def _sizes(value: Any) -> list[int] | None:
    try:
        sizes = parse_sizes("hidden_size", value)
    except ValueError:
        return None
    return sizes if all(size >= 1 for size in sizes) else None


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
