"""Images of other kinds in a real browser, each with a run of its own: channels, numbers with a scale, colour."""

import nibabel
import numpy as np
import pytest

from aleaseg.case import Geometry
from aleaseg.readers.voxels import write_nifti, write_png
from aleaseg.run import Run, file_name, write_json, write_table
from aleaseg.scoring.columns import describe_columns


def run_of(folder, data, classes, channels, **dataset):
    """A run of one case, as far as a review needs it, with a folder of predictions."""
    run = Run(folder / "run")
    row = {"case": "a", "status": "ok", "group": "a", "doubt": 0.9, "label_doubt": 0.9, "image_doubt": 0.1}
    row["reasons"] = "oof_dice=0.31"
    write_table(run.path / "cases.csv", list(row), [row])
    write_json(
        run.manifest_file,
        {"dataset": {"name": "one", "path": str(data), "classes": classes, "channels": channels, "cases": 1},
         "settings": {"dataset": str(data), **dataset}, "columns": describe_columns(row),
         "predictions": {"source": "folder", "path": str(folder / "predictions")}},
    )  # fmt: skip
    return run


def two_channels(folder):
    """A data set of nnU-Net whose second channel is stored with a slope."""
    data, shape = folder / "data", (6, 40, 50)
    geometry = Geometry(shape, (3.0, 1.0, 1.0), np.diag([1.0, 1.0, 3.0, 1.0])[:, [2, 1, 0, 3]])
    rng = np.random.default_rng(0)
    first = rng.integers(0, 200, shape).astype(np.uint8)
    second = rng.integers(-500, 500, shape).astype(np.int16)
    write_nifti(data / "imagesTr" / "a_0000.nii.gz", first, geometry)
    write_nifti(data / "imagesTr" / "a_0001.nii.gz", second, geometry)
    image = nibabel.Nifti1Image(second.T, nibabel.load(data / "imagesTr" / "a_0001.nii.gz").affine)
    image.header.set_slope_inter(0.25, 10)
    nibabel.save(image, data / "imagesTr" / "a_0001.nii.gz")
    label = np.zeros(shape, np.uint8)
    label[1:5, 10:30, 10:25], label[1:5, 10:30, 25:40] = 1, 2
    write_nifti(data / "labelsTr" / "a.nii.gz", label, geometry)
    write_nifti(folder / "predictions" / "a.nii.gz", np.roll(label, 3, axis=1), geometry)
    about = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "left": 1, "right": 2}}
    write_json(data / "dataset.json", {**about, "numTraining": 1, "file_ending": ".nii.gz"})
    run = run_of(folder, data, {"left": [1], "right": [2]}, ["T1", "T2"])
    return run, [first.astype(np.float32), second * np.float32(0.25) + 10]


def in_colour(folder):
    data = folder / "data"
    image = np.random.default_rng(0).integers(0, 256, (3, 48, 64)).astype(np.uint8)
    label = np.zeros((48, 64), np.uint8)
    label[10:30, 20:50] = 1
    write_png(data / "imagesTr" / "a.png", image)
    write_png(data / "labelsTr" / "a.png", label)
    write_png(folder / "predictions" / "a.png", np.roll(label, 4, axis=0))
    channels = {"0": "R", "1": "G", "2": "B"}
    about = {"channel_names": channels, "labels": {"background": 0, "thing": 1}, "file_ending": ".png"}
    write_json(
        data / "dataset.json",
        {**about, "numTraining": 1, "overwrite_image_reader_writer": "NaturalImage2DIO"},
    )
    return run_of(folder, data, {"thing": [1]}, ["R", "G", "B"]), [image[k][None] for k in range(3)]


@pytest.mark.parametrize("kind", [two_channels, in_colour])
def test_every_channel_is_shown_with_its_values(kind, tmp_path, browser, Page, start_server, asking):
    run, channels = kind(tmp_path)
    _, address = start_server(run)
    page = Page(browser, asking(address))
    page.open("a")
    flat = len(channels[0]) == 1
    shown = page.run("return [...document.querySelectorAll('.plane')].filter((one) => !one.hidden).length")
    assert shown == (1 if flat else 3)
    assert bool(page.run("return document.getElementById('solid-button') !== null")) is not flat
    names = page.run(
        "return [...document.querySelectorAll('#toggles .channel option')].map((one) => one.text)"
    )
    assert names == list(run.manifest["dataset"]["channels"])
    for number, values in enumerate(channels):
        page.run(
            "const select = document.querySelector('#toggles .channel'); select.value = arguments[0];"
            "select.dispatchEvent(new Event('change'))",
            str(number),
        )
        page.still()
        low, high = (float(page.find(f"#toggles .{end}").get_attribute("value")) for end in ("low", "high"))
        at = page.voxel()
        for name, wanted in (
            ("mask", False),
            ("prediction", False),
            ("cross", False),
            ("voxels", True),
        ):
            page.run(
                "const box = document.querySelector(`[data-toggle=${arguments[0]}]`);"
                "if (box && box.checked !== arguments[1]) box.click()",
                name,
                wanted,
            )
        page.still()
        # The share that the window hides is that of this channel's values, and so are the grey values.
        slice_ = np.take(values, at[page.axis()], axis=page.axis())
        black = np.mean(slice_ <= float(f"{low:.4g}"))
        said = page.text("#toggles .clipped").partition("%")[0]
        assert abs((0.005 if said == "< 1" else int(said) / 100) - black) < 0.02
        grey = page.main_pixels()[..., 0]
        inside = grey[grey.shape[0] // 4 : -grey.shape[0] // 4, grey.shape[1] // 4 : -grey.shape[1] // 4]
        expected = np.clip((slice_ - low) / (high - low) * 255, 0, 255)
        assert abs(inside.mean() - expected.mean()) < 12
    assert (
        browser.execute_script("return document.getElementById('caption').textContent").count("not drawn")
        == 0
    )
    page.press("2")
    page.saved()
    assert page.held("a", page.run("return document.getElementById('rater').value")) == {"": "drop"}
    assert file_name("a") in page.run("return location.hash")
    browser.get("about:blank")
