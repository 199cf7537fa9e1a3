"""What is done to patches: labels stay labels, and chance is the transform's own."""

import numpy as np
import pytest

from aleaseg.training.augment import augmentation
from aleaseg.training.preprocessing import IGNORE

SHAPES = {2: (24, 32), 3: (8, 24, 16)}


def item(dims, channels=2):
    rng = np.random.default_rng(dims)
    label = np.zeros((1, *SHAPES[dims]), np.float32)
    label[..., 4:12] = 1
    label[..., 12:15] = 2
    label[..., -1:] = IGNORE
    image = np.repeat(label, channels, 0).clip(0, 2) + rng.normal(0, 0.1, (channels, *SHAPES[dims]))
    return {"image": image.astype(np.float32), "label": label}


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", ["none", "light", "strong"])
def test_labels_stay_labels_and_a_seed_gives_the_same(name, dims):
    changed = 0
    for seed in range(12):
        found = []
        for _ in range(2):
            transform = augmentation(name, dims)
            transform.set_random_state(seed=seed)
            found.append(transform(item(dims)))
        image, label = (np.asarray(found[0][key]) for key in ("image", "label"))
        np.testing.assert_array_equal(image, np.asarray(found[1]["image"]))
        assert image.shape == (2, *SHAPES[dims])
        assert label.shape == (1, *SHAPES[dims])
        assert np.isfinite(image).all()
        assert set(np.unique(label)) <= {0, 1, 2, IGNORE}
        changed += not np.array_equal(image, item(dims)["image"])
    assert changed == 0 if name == "none" else changed > 6


def test_image_and_label_are_turned_together():
    for seed in range(8):
        transform = augmentation("strong", 3)
        transform.set_random_state(seed=seed)
        found = transform(item(3, channels=1))
        image, label = np.asarray(found["image"])[0], np.asarray(found["label"])[0]
        assert image[label == 1].mean() > image[label == 0].mean() + 0.3
