"""Weights from a file: nothing in it runs, nothing is missing, nothing is left over."""

import hashlib
import io
import os
import pickle
import re
import warnings
import zipfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from aleaseg.errors import WeightsRefused
from aleaseg.extractors.checkpoint import (
    file_sha256,
    load_strictly,
    random_seed,
    read_state,
    strip_prefix,
)

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2, dtype=torch.float16)}


def same(found, wanted=STATE):
    assert list(found) == list(wanted)
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


class Bomb:
    """What runs when a pickle of it is opened without care: it makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


# -- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("key", ["", "model"])
def test_a_checkpoint_is_read(tmp_path, zipped, key):
    path = tmp_path / "a.pt"
    torch.save({key: STATE, "epoch": 3} if key else STATE, path, _use_new_zipfile_serialization=zipped)
    same(read_state(path, key))
    same(read_state(str(path), key))


def test_a_key_that_is_absent_means_the_top(tmp_path):
    torch.save(STATE, tmp_path / "a.pt")
    same(read_state(tmp_path / "a.pt", "model"))


def test_safetensors_are_read(tmp_path):
    save_file(STATE, tmp_path / "a.safetensors")
    found = read_state(tmp_path / "a.safetensors")
    same({name: found[name] for name in STATE})


def test_tensors_come_to_the_cpu_and_a_parameter_is_one(tmp_path):
    torch.save({"a": nn.Parameter(torch.ones(2))}, tmp_path / "a.pt")
    found = read_state(tmp_path / "a.pt")
    assert found["a"].device.type == "cpu"
    assert torch.equal(found["a"], torch.ones(2))


# -- what would run -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["zip", "before torch 1.6", "bare pickle"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path, form):
    ran, path = tmp_path / "it ran", tmp_path / "a.pt"
    content = {"model": dict(STATE), "extra": Bomb(ran)}
    if form == "bare pickle":
        path.write_bytes(pickle.dumps({"extra": Bomb(ran)}, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(WeightsRefused, match="or reading it would run code") as refused:
        read_state(path, "model")
    assert "weights_only" not in str(refused.value)  # torch's text says how to load it all the same
    assert not ran.exists()
    # The bomb is live: opened without care it goes off.
    if form == "bare pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert ran.exists()


def test_a_bomb_named_safetensors_does_not_run(tmp_path):
    ran, path = tmp_path / "it ran", tmp_path / "a.safetensors"
    torch.save({"extra": Bomb(ran)}, path)
    with pytest.raises(WeightsRefused, match=r"a\.safetensors is damaged"):
        read_state(path)
    assert not ran.exists()


def test_a_whole_module_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "a.pt")
    with pytest.raises(WeightsRefused, match=r"or reading it would run code .*saved as \.safetensors"):
        read_state(tmp_path / "a.pt")


# -- what is damaged ------------------------------------------------------------------------------


def content_of(form):
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(200)}, buffer, _use_new_zipfile_serialization=form == "zip")
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["zip", "before torch 1.6"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_checkpoint_is_refused_by_name(tmp_path, form, share):
    content = content_of(form)
    path = tmp_path / "a.pt"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsRefused, match=r"a\.pt (is damaged|cannot be read)"):
        read_state(path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_safetensors_file_is_refused_by_name(tmp_path, share):
    whole, path = tmp_path / "whole.safetensors", tmp_path / "a.safetensors"
    save_file({"w": torch.zeros(200)}, whole)
    content = whole.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsRefused, match=r"a\.safetensors is damaged .*fetch it again"):
        read_state(path)


@pytest.mark.parametrize(
    "content",
    [b"<html>404</html>", b"version https://git-lfs.github.com/spec/v1\n", b"\x80\x02", bytes(300)],
)
def test_another_file_is_refused_by_name(tmp_path, content):
    for name in ("a.pt", "a.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsRefused, match=re.escape(name)):
            read_state(tmp_path / name)


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("readme.txt", "no tensors")
    with pytest.raises(WeightsRefused, match="is damaged"):
        read_state(tmp_path / "a.pt")


def test_no_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "nowhere.pt", tmp_path):
        with pytest.raises(WeightsRefused, match=f"{re.escape(str(path))} is not a file; expected weights"):
            read_state(path)


# -- what is no tensor ----------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [3, "text", [torch.ones(1)], {"deeper": torch.ones(1)}, None])
def test_an_entry_that_is_no_tensor_is_named(tmp_path, entry):
    torch.save({"model": {**STATE, "step": entry}}, tmp_path / "a.pt")
    with pytest.raises(
        WeightsRefused, match=rf"entry 'step' is a {type(entry).__name__}; expected tensors only"
    ):
        read_state(tmp_path / "a.pt", "model")


def test_what_stands_beside_the_tensors_is_left_alone(tmp_path):
    torch.save({"model": STATE, "epoch": 7, "optimizer": {"lr": 0.1}}, tmp_path / "a.pt")
    same(read_state(tmp_path / "a.pt", "model"))


@pytest.mark.parametrize("top", [[torch.ones(1)], torch.ones(1), 3])
def test_no_table_at_all_is_refused(tmp_path, top):
    torch.save(top, tmp_path / "a.pt")
    with pytest.raises(WeightsRefused, match=f"holds a {type(top).__name__}; expected a table of tensors"):
        read_state(tmp_path / "a.pt")


@pytest.mark.parametrize("inner", [{}, torch.ones(1), 3])
def test_no_table_under_the_key_is_refused(tmp_path, inner):
    torch.save({"model": inner}, tmp_path / "a.pt")
    with pytest.raises(WeightsRefused, match="holds no table of tensors under 'model'"):
        read_state(tmp_path / "a.pt", "model")


# -- loading --------------------------------------------------------------------------------------


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def state(**changes):
    """The state of a network of other weights, some keys changed; None takes one out."""
    torch.manual_seed(1)
    found = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).state_dict() | {
        name.replace("_", ".", 1): tensor for name, tensor in changes.items()
    }
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def test_what_fits_is_loaded(tmp_path):
    module, wanted = network(), state()
    assert not torch.equal(module[0].weight, wanted["0.weight"])
    load_strictly(module, wanted, source="a.pt")
    same(module.state_dict(), wanted)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"0_bias": None}, r"1 missing \(0\.bias\)"),
        ({"2_weight": torch.ones(1)}, r"1 not of this model \(2\.weight\)"),
        (
            {"0_weight": torch.ones(2, 4)},
            r"1 of another shape \(0\.weight is \(2, 4\), expected \(2, 3\)\)",
        ),
        (
            {"0_weight": None, "0_bias": None, "1_weight": None, "1_bias": None},
            r"4 missing \(0\.weight, 0\.bias, 1\.weight, \.\.\.\)",
        ),
        (
            {"0_bias": None, "3_x": torch.ones(1), "1_bias": torch.ones(3)},
            r"1 missing .*; 1 not of this model .*; 1 of another shape",
        ),
    ],
)
def test_what_does_not_fit_names_the_keys_and_changes_nothing(changes, message):
    module = network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(WeightsRefused, match=rf"^a\.pt does not fit Sequential: {message}"):
        load_strictly(module, state(**changes), source="a.pt")
    same(module.state_dict(), before)


def test_exactly_the_keys_that_may_be_missing_may_be_missing():
    module, wanted = network(), state(**{"1_running_mean": None})
    kept = module.state_dict()["1.running_mean"].clone()
    with pytest.raises(WeightsRefused, match=r"1 missing \(1\.running_mean\)"):
        load_strictly(module, wanted, source="a.pt", may_lack=["1.running_var"])
    load_strictly(module, wanted, source="a.pt", may_lack=["1.running_mean"])
    assert torch.equal(module.state_dict()["1.running_mean"], kept)
    same({name: module.state_dict()[name] for name in wanted}, wanted)


def test_a_key_that_may_be_missing_is_loaded_where_it_is_there():
    module, wanted = network(), state()
    load_strictly(module, wanted, source="a.pt", may_lack=["0.bias"])
    same(module.state_dict(), wanted)


@given(st.dictionaries(st.text("abc.", min_size=1), st.integers()))
def test_a_prefix_is_taken_off_once(table):
    table = {name: number for name, number in table.items() if not name.startswith("a.")}
    assert strip_prefix({f"a.{name}": number for name, number in table.items()}, "a.") == table
    assert strip_prefix(table, "a.") == table


# -- seeds and hashes -----------------------------------------------------------------------------


@given(st.integers(0, 2**40))
def test_a_seed_is_read(seed):
    assert random_seed(f"random:{seed}") == seed
    assert random_seed("random") == random_seed("random:") == 0
    assert random_seed(f"random{seed}.pt") is random_seed(None) is None


@pytest.mark.parametrize("text", ["random:x", "random:-1", "random:1.5", "random: 1"])
def test_a_seed_that_is_none_is_refused(text):
    with pytest.raises(
        WeightsRefused, match=re.escape(f"--weights {text}: expected random or random:SEED")
    ):
        random_seed(text)


def test_the_hash_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "a.pt"
    for content in (b"", b"abc", bytes(3_000_000)):
        path.write_bytes(content)
        assert file_sha256(path) == file_sha256(str(path)) == hashlib.sha256(content).hexdigest()


def test_nothing_is_warned_of(tmp_path):
    torch.save({"model": STATE}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_state(tmp_path / "a.pt", "model")
