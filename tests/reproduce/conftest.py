"""The paper's data sets as empty files: names are all that a plan looks at."""

from pathlib import Path

import pytest


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def fake_paper(folder: Path, cases=30):
    """All five, each in the form in which it is handed out."""
    for n in range(cases):
        batch = folder / "LiTS" / f"Training Batch {1 + (n >= cases // 2)}"
        touch(batch / f"volume-{n}.nii")
        touch(batch / f"segmentation-{n}.nii")
        kits = folder / "kits23" / "dataset" / f"case_{n:05d}"
        touch(kits / "imaging.nii.gz")
        touch(kits / "segmentation.nii.gz")
        total = folder / "Totalsegmentator_dataset" / f"s{n:04d}"
        touch(total / "ct.nii.gz")
        for name in ("aorta", "liver", "spleen"):
            touch(total / "segmentations" / f"{name}.nii.gz")
        part = "Tr" if n < 0.8 * cases else "Val"
        word = folder / "WORD-V0.1.0"
        touch(word / f"images{part}" / f"word_{n:04d}.nii.gz")
        touch(word / f"labels{part}" / f"word_{n:04d}.nii.gz")
        feta = folder / "feta_2.2" / f"sub-{n:03d}" / "anat"
        touch(feta / f"sub-{n:03d}_rec-mial_T2w.nii.gz")
        touch(feta / f"sub-{n:03d}_rec-mial_dseg.nii.gz")
    rows = [f"s{n:04d};55;m;{'test' if n % 10 == 0 else 'train'}" for n in range(cases)]
    table = folder / "Totalsegmentator_dataset" / "meta.csv"
    table.write_text("\n".join(["image_id;age;gender;split", *rows]))
    return folder


@pytest.fixture(scope="session")
def paper_data(tmp_path_factory):
    return fake_paper(tmp_path_factory.mktemp("paper data"))


@pytest.fixture(scope="session")
def small_data(tmp_path_factory, write_small):
    """30 small cases: 24 to train on, 6 to test on."""
    folder = tmp_path_factory.mktemp("small") / "Small"
    write_small(folder, cases=30)
    return folder
