"""Options from the environment: read, checked, and told as they would be set."""

import math
from dataclasses import fields
from pathlib import Path

import pytest

from aleaseg.errors import UsageError
from aleaseg.plugins.nnunet.options import ConfidenceOptions, DuoOptions, Options, SureOptions

describe, given, read_options = DuoOptions.describe, DuoOptions.given, DuoOptions.read


def environment(**values):
    return {f"ALEASEG_DUO_{name}": str(value) for name, value in values.items()} | {"HOME": "/somewhere"}


def test_nothing_set_is_the_defaults():
    assert read_options({"PATH": "/bin"}) == DuoOptions()
    assert given({"PATH": "/bin"}) == frozenset()


def test_every_option_is_read(tmp_path):
    asked = environment(
        ALPHA="0.25", BETA="0.75", VARIANT="official_readme", RENORM="1", CERTAINTY="fisher",
        CLASS_WEIGHTS="1, 0.5", WARMUP="10", PENALTY="1e-1", INITIAL="0.3", SHARED="true", DETACH_TARGET="T", SEED="3",
        EPOCHS="100", ITERATIONS="20", VAL_ITERATIONS="5", DEEP_SUPERVISION="0", SELECTION=tmp_path / "run",
    )  # fmt: skip
    options = read_options(asked)
    assert options == DuoOptions(
        alpha=0.25, beta=0.75, variant="official_readme", renorm=True, certainty="fisher",
        class_weights=(1.0, 0.5), warmup=10, penalty=0.1, initial=0.3, shared=True, detach_target=True, seed=3,
        epochs=100, iterations=20, val_iterations=5, deep_supervision=False, selection=str(tmp_path / "run"),
    )  # fmt: skip
    assert given(asked) == frozenset(vars(options))


def test_what_is_told_can_be_set_again():
    options = read_options(environment(ALPHA="0.1", CLASS_WEIGHTS="1,0.25", RENORM="1", EPOCHS="7"))
    told = dict(word.split("=") for word in describe(options).split())
    assert told["ALEASEG_DUO_CLASS_WEIGHTS"] == "1.0,0.25"
    assert read_options(told) == options


def test_a_selection_is_the_same_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_options(environment(SELECTION="run")).selection == str(tmp_path / "run")
    assert read_options(environment(SELECTION="none")).selection == "none"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ALPHA", "-1", "a number from 0;"),
        ("ALPHA", "nan", "a number from 0;"),
        ("ALPHA", "inf", "a number from 0;"),
        ("ALPHA", "0,5", "a number from 0;"),
        ("BETA", "1.5", "a number from 0 to 1;"),
        ("VARIANT", "readme", "one of paper, official_readme;"),
        ("CERTAINTY", "S", "one of scale, fisher, mahalanobis;"),
        ("RENORM", "maybe", "0 or 1;"),
        ("WARMUP", "-1", "a whole number from 0;"),
        ("EPOCHS", "0", "a whole number from 1;"),
        ("EPOCHS", "1.5", "a whole number from 1;"),
        ("EPOCHS", "", "a whole number from 1;"),
        ("CLASS_WEIGHTS", "1;2", "a number from 0 for each foreground class"),
    ],
)
def test_a_value_that_cannot_be(name, value, expected):
    with pytest.raises(UsageError) as raised:
        read_options(environment(**{name: value}))
    assert f"ALEASEG_DUO_{name} is {value!r}; expected {expected}" in str(raised.value)


@pytest.mark.parametrize("name", ["ALPA", "alpha", "EPOCH", ""])
def test_an_option_that_does_not_exist_is_no_default_training(name):
    with pytest.raises(UsageError, match=rf"ALEASEG_DUO_{name} is set, .*ALEASEG_DUO_ALPHA, .*; unset it"):
        read_options(environment(**{name: "1"}))


def test_defaults_are_those_of_the_losses():
    """What a plain PyTorch loop gets without a word, nnU-Net gets too."""
    import inspect

    from aleaseg.losses import DUOLoss, LabelDenoising

    loss = inspect.signature(DUOLoss.__init__).parameters
    denoising = inspect.signature(LabelDenoising.__init__).parameters
    options = DuoOptions()
    for name, parameter in (
        *((name, loss[name]) for name in ("alpha", "beta", "variant", "renorm")),
        *((name, denoising[name]) for name in ("penalty", "shared", "detach_target", "seed")),
        ("warmup", denoising["warm_up"]),
    ):
        assert getattr(options, name) == parameter.default, name
    assert math.isfinite(options.alpha)


@pytest.mark.parametrize("family", [DuoOptions, SureOptions, ConfidenceOptions])
def test_every_option_stands_on_the_page(family):
    page = (Path(__file__).parents[3] / "docs" / "nnunet.md").read_text(encoding="utf-8")
    everywhere = {one.name for one in fields(Options)}
    for one in fields(family):
        told = f"…_{one.name.upper()}" if one.name in everywhere else family.variable(one.name)
        assert f"`{told}`" in page, told
