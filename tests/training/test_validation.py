"""Pseudo-Dice against a plain count, and patches that are the same every time."""

import numpy as np
import torch
from sklearn.metrics import f1_score

from aleaseg.training.copies import copy_of, write_copy
from aleaseg.training.grid import WorkingGrid
from aleaseg.training.plan import NetworkPlan, TrainingPlan
from aleaseg.training.preprocessing import IGNORE, Preprocessing
from aleaseg.training.schedule import Schedule
from aleaseg.training.validation import Validation, pseudo_dice


def test_pseudo_dice_is_f1_of_the_pooled_voxels():
    rng = np.random.default_rng(0)
    found, target = (torch.as_tensor(rng.integers(0, 4, (3, 6, 7))) for _ in range(2))
    target[0, :2] = IGNORE
    counted = target != IGNORE
    for indices in ([1], [3], [1, 2]):
        both, only_found, only_true = map(int, pseudo_dice(found, target, indices))
        wanted = f1_score(
            np.isin(target[counted], indices), np.isin(found[counted], indices), zero_division=0
        )
        np.testing.assert_allclose(2 * both / (2 * both + only_found + only_true), wanted)


class Seen(torch.nn.Module):
    """Class 1 where the image is above 0, at two resolutions; keeps what it was shown."""

    def __init__(self):
        super().__init__()
        self.images = []

    def forward(self, x):
        self.images.append(x.clone())
        logits = torch.cat([0 * x, 50 * x, 0 * x - 50], 1)
        return [logits, logits[..., ::2]]


def test_the_same_patches_every_time_and_a_right_answer_scores_one(tmp_path):
    cases = []
    for index in range(3):
        label = np.zeros((6, 9, 9), np.uint8)
        label[1:4, 2:6, 2 : 5 + index] = 1
        case = copy_of(tmp_path, f"c{index}")
        write_copy(case, np.where(label == 1, 1.0, -1.0)[None].astype(np.float16), label)
        cases.append(case)
    how = Schedule(100, 2, epoch_steps=10)
    preprocessing = Preprocessing(WorkingGrid((1, 1, 1), (4, 8, 8), (0, 0, 0)), [None], (3, 7))
    classes = {"a": (3,), "b": (7,), "both": (3, 7)}
    plan = TrainingPlan(preprocessing, NetworkPlan("small"), ("MR",), classes, "plain", how, ())
    validation = Validation(cases, plan, how, "cpu")
    network = Seen()
    first, second = validation(network.train()), validation(network.train())
    assert first == second or (np.isnan(first.dice["b"]) and first.loss == second.loss)
    assert len(network.images) == 4, "a fifth of an epoch's ten steps, twice"
    torch.testing.assert_close(network.images[0], network.images[2])
    assert first.dice["a"] == first.dice["both"] == 1
    assert np.isnan(first.dice["b"])
    assert first.loss < 0.6, "class b has no voxel: its soft Dice is what is left"
    assert not network.training
    nobody = Validation([], plan, how, "cpu")(network)
    assert np.isnan(nobody.loss)
    assert np.isnan(nobody.dice["a"])
