"""Means of an epoch and their table."""

import math

import torch

from aleaseg.plugins.nnunet.record import ClassMeans, write_epoch
from aleaseg.run import read_table

NAN = math.nan


def test_means_leave_nan_out_and_begin_anew():
    means = ClassMeans()
    means.add("scale", torch.tensor([[0.25, NAN], [0.75, NAN]]))
    means.add("scale", torch.tensor([[0.5, 1.0]]))
    means.add("weight", torch.tensor([[NAN, 2.0]], dtype=torch.float64))
    found = means.take()
    assert found["scale"] == [0.5, 1.0]
    assert math.isnan(found["weight"][0])
    assert found["weight"][1] == 2
    assert means.take() == {}


def test_means_hold_no_graph():
    means = ClassMeans()
    means.add("noise", torch.ones(1, 2, requires_grad=True) * 3)
    assert not means._sums["noise"].requires_grad


def epochs(path):
    return read_table(path)["epoch"].tolist()


def test_epochs_that_are_done_again_are_not_told_twice(tmp_path):
    path = tmp_path / "classes.csv"
    for epoch in (0, 1, 2):
        write_epoch(path, epoch, ["=left", "right"], {"weight": [epoch, 0.5], "scale": [NAN, 0.25]})
    write_epoch(path, 1, ["=left", "right"], {"weight": [7, 0.5]})  # a training that goes on from epoch 1
    table = read_table(path)
    assert table["epoch"].tolist() == [0, 0, 1, 1]
    assert table["class"].tolist() == ["=left", "right"] * 2
    assert table["weight"].tolist() == [0, 0.5, 7, 0.5]
    assert table["scale"].isna().tolist() == [True, False, True, True]
    write_epoch(path, 0, ["left"], {"weight": [1]})  # a training that begins
    assert epochs(path) == [0]
