"""What a person types finds its class or says what is allowed; layer sizes follow from a number or a list."""

import inspect
from typing import Any

import numpy as np
import pytest

from mlp.base.naming import by_name, normalize_name, parse_sizes, subclasses, unknown
from mlp.nn import Activation, Initializer, Loss, Optimizer, Schedule, expand_hidden_sizes

BASES = [Activation, Initializer, Loss, Optimizer, Schedule]
CLASSES = [(base, cls) for base in BASES for cls in subclasses(base)]


@pytest.mark.parametrize(("base", "cls"), CLASSES, ids=lambda cls: cls.__name__)
def test_a_class_is_found_by_its_name_and_aliases_in_any_spelling(base: Any, cls: Any) -> None:
    for name in (cls.name, *cls.aliases):
        spellings = (
            name,
            name.upper(),
            name.title(),
            name.replace("_", "-"),
            name.replace("_", ""),
            f" {name} ",
        )
        assert {by_name(base, spelling) for spelling in spellings} == {cls}


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.__name__)
def test_names_and_aliases_are_unique_and_no_option_is_abstract(base: Any) -> None:
    names = [normalize_name(name) for cls in subclasses(base) for name in (cls.name, *cls.aliases)]
    assert len(set(names)) == len(names)
    assert not any(map(inspect.isabstract, subclasses(base)))


@pytest.mark.parametrize(
    ("base", "typed", "found"),
    [
        (Activation, "ReLU", "relu"), (Activation, "LeakyReLU", "leaky_relu"), (Activation, "SiLU", "swish"),
        (Loss, "mse", "mean_squared_error"), (Loss, "CrossEntropy", "cross_entropy"),
        (Optimizer, "RMSProp", "rmsprop"), (Optimizer, "Nesterov", "nag"), (Optimizer, "ADAM", "adam"),
        (Initializer, "Xavier", "xavier"), (Initializer, "zero", "zeros"), (Initializer, "Glorot", "xavier"),
    ],
)  # fmt: skip
def test_spellings_of_the_assignment(base: Any, typed: str, found: str) -> None:
    assert by_name(base, typed).name == found


def test_a_subclass_of_a_subclass_is_an_option_once() -> None:
    assert [cls.name for cls in subclasses(Optimizer)].count("nadam") == 1  # Nadam is a kind of Adam


@pytest.mark.parametrize("typed", ["adm", "Adan"])
def test_a_near_miss_is_answered_with_the_nearest_name_and_all_names(typed: str) -> None:
    with pytest.raises(ValueError, match=rf"^optimizer '{typed}' is unknown; did you mean 'adam'\? Allowed: adam, "):
        by_name(Optimizer, typed)


def test_a_name_far_from_all_is_answered_with_all_names() -> None:
    assert unknown("loss", "xyzzy", ["b", "a"]) == "loss 'xyzzy' is unknown. Allowed: a, b"


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("optimizer.momentum", ". "),
        ("optimizer.betta1", "; did you mean 'optimizer.beta1'? "),
        ("optimzer.beta2", "; did you mean 'optimizer.beta2'? "),
        ("schedule.gama", "; did you mean 'schedule.gamma'? "),
    ],
)
def test_of_keys_the_last_parts_are_compared(given: str, hint: str) -> None:
    allowed = ["optimizer.beta1", "optimizer.beta2", "model.beta2", "schedule.gamma"]
    assert unknown("key", given, allowed).startswith(f"key '{given}' is unknown{hint}Allowed: ")


@pytest.mark.parametrize(
    ("hidden_sizes", "num_layers", "expected"),
    [
        (128, None, [128, 128, 128]),
        (128, 2, [128, 128]),
        (128, 1, [128]),
        (128, 0, []),
        ([128], None, [128]),
        ([128], 3, [128, 128, 128]),
        ([128], 0, []),
        ([64, 32], None, [64, 32]),
        ([64, 32], 2, [64, 32]),
        ((64, 32), 2, [64, 32]),
        ([64, 32], 0, []),
        ([], None, []),
        ([], 0, []),
        (np.int64(16), np.int64(2), [16, 16]),
        ([np.int64(16), 8], None, [16, 8]),
    ],
)
def test_sizes_of_the_hidden_layers(hidden_sizes: Any, num_layers: Any, expected: list[int]) -> None:
    sizes = expand_hidden_sizes(hidden_sizes, num_layers)
    assert sizes == expected
    assert all(type(size) is int for size in sizes)


@pytest.mark.parametrize(
    ("written", "sizes"),
    [
        (128, [128]), (128.0, [128]), (np.int64(9), [9]), (0, [0]), ("128", [128]), ("128 64", [128, 64]),
        ("128,64", [128, 64]), ("[128, 64]", [128, 64]), ("(128, )", [128]), ("[]", []), ([], []), ([9, 8], [9, 8]),
        ((9, 8), [9, 8]), (np.array([9, 8]), [9, 8]), (np.array(9), [9]), (["128,64", "32"], [128, 64, 32]),
        ([[9], 8], [9, 8]),
    ],
)  # fmt: skip
def test_sizes_are_read_in_every_form_in_which_they_are_written(written: Any, sizes: list[int]) -> None:
    assert parse_sizes("sizes", written) == sizes
    assert all(type(size) is int for size in parse_sizes("sizes", written))


@pytest.mark.parametrize(
    "wrong", ["twelve", "", " ", "12.5", 12.5, True, None, {}, {"a": 1}, [9, "x"], [None], float("inf")]
)
def test_what_says_no_sizes_is_refused_by_its_name(wrong: Any) -> None:
    with pytest.raises(ValueError) as error:
        parse_sizes("my_sizes", wrong)
    assert str(error.value) == f"my_sizes must be an integer or a list of integers. Got {wrong!r}"


def test_the_list_given_is_not_the_list_returned() -> None:
    given = [64, 32]
    expand_hidden_sizes(given).append(1)
    assert given == [64, 32]


@pytest.mark.parametrize(
    ("hidden_sizes", "num_layers", "message"),
    [
        ([64, 32], 3, r"hidden_sizes has 2 entries \[64, 32\], but num_layers is 3: give 3 sizes, or one"),
        ([64, 32], 1, r"hidden_sizes has 2 entries \[64, 32\], but num_layers is 1: give 1 size"),
        ([], 2, r"hidden_sizes has 0 entries \[\], but num_layers is 2"),
        (0, 2, r"hidden_sizes must be an integer >= 1\. Got 0"),
        ([64, -1], None, r"hidden_sizes must be an integer >= 1\. Got -1"),
        ([64, 1.5], None, r"hidden_sizes must be an integer >= 1\. Got 1\.5"),
        (True, 2, r"hidden_sizes must be an integer >= 1\. Got True"),
        ("64", None, r"hidden_sizes must be an integer >= 1 or a list of them\. Got '64'"),
        (64.0, None, r"hidden_sizes must be an integer >= 1 or a list of them\. Got 64\.0"),
        (64, -1, r"num_layers must be an integer >= 0\. Got -1"),
        (64, 2.0, r"num_layers must be an integer >= 0\. Got 2\.0"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(hidden_sizes: Any, num_layers: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expand_hidden_sizes(hidden_sizes, num_layers)
