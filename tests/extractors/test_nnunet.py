"""nnU-Net's logits: equal to its own predictor's, each case by the fold that did not see it.

The results folders are written by nnU-Net's own trainer, with seeded random weights; one
slow test plans, preprocesses and trains for real.
"""

import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aleaseg.case import Geometry
from aleaseg.errors import CaseError, MissingExtra, UsageError, WeightsRefused
from aleaseg.extractors import ExtractorSettings, NoMap, checked, make_extractor
from aleaseg.predictions.folder import PredictionFolder
from aleaseg.readers import open_dataset
from aleaseg.readers.voxels import write_nifti, write_png
from aleaseg.testing import check_extractor

pytest.importorskip("nnunetv2", reason="nnunetv2 is not installed (the extra `nnunet`)")

import torch
from torch.serialization import get_safe_globals

SPLITS = [
    {"train": ["g1_01", "g1_03"], "val": ["g0_00", "g0_04"]},
    {"train": ["g0_00", "g0_04"], "val": ["g1_01"]},
    {"train": ["g0_00", "g1_01"], "val": ["g0_02"]},
]
# Not among them: g1_05, which is new. Fold 2 has no checkpoint, no fold was validated on g1_03.
LABELS = {"background": 0, "left": 1, "right": 2}


@dataclass(frozen=True)
class Plans:
    """Small plans as nnU-Net's planner writes them."""

    configuration: str = "3d_fullres"
    patch: tuple = (12, 16, 16)
    spacing: tuple = (2.0, 1.0, 1.0)
    median: tuple = (2.0, 1.0, 1.0)
    forward: tuple = (0, 1, 2)
    reader: str = "SimpleITKIO"
    channels: int = 1
    labels: dict = field(default_factory=lambda: LABELS)
    regions_class_order: tuple = ()
    ending: str = ".nii.gz"
    mirroring: tuple | None = (0, 2)
    residual: bool = False

    @property
    def plans(self):
        dimensions = len(self.patch)
        resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
        architecture = {
            "network_class_name": "dynamic_network_architectures.architectures.unet."
            + ("ResidualEncoderUNet" if self.residual else "PlainConvUNet"),
            "arch_kwargs": {
                "n_stages": 3,
                "features_per_stage": [4, 8, 8],
                "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
                "kernel_sizes": [[3] * dimensions] * 3,
                "strides": [[1] * dimensions, [2] * dimensions, [2] * dimensions],
                "n_blocks_per_stage" if self.residual else "n_conv_per_stage": [1, 1, 1],
                "n_conv_per_stage_decoder": [1, 1],
                "conv_bias": True,
                "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimensions}d",
                "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        }
        return {
            "dataset_name": "Dataset001_Small",
            "plans_name": "nnUNetPlans",
            "original_median_spacing_after_transp": list(self.median),
            "original_median_shape_after_transp": [12, 16, 16],
            "image_reader_writer": self.reader,
            "transpose_forward": list(self.forward),
            "transpose_backward": [self.forward.index(axis) for axis in range(3)],
            "experiment_planner_used": "ExperimentPlanner",
            "label_manager": "LabelManager",
            "foreground_intensity_properties_per_channel": {
                str(channel): {
                    "mean": 150.0,
                    "std": 20.0,
                    "percentile_00_5": 90.0,
                    "percentile_99_5": 230.0,
                }
                for channel in range(self.channels)
            },
            "configurations": {
                self.configuration: {
                    "data_identifier": f"nnUNetPlans_{self.configuration}",
                    "preprocessor_name": "DefaultPreprocessor",
                    "batch_size": 2,
                    "patch_size": list(self.patch),
                    "median_image_size_in_voxels": list(self.patch),
                    "spacing": list(self.spacing),
                    "normalization_schemes": ["CTNormalization", "ZScoreNormalization"][-self.channels :],
                    "use_mask_for_norm": [False] * self.channels,
                    **{
                        f"resampling_fn_{what}": "resample_data_or_seg_to_shape" for what in ("data", "seg")
                    },
                    "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
                    "resampling_fn_data_kwargs": {**resampling, "order": 3},
                    "resampling_fn_seg_kwargs": {**resampling, "is_seg": True},
                    "resampling_fn_probabilities_kwargs": resampling,
                    "batch_dice": False,
                    "architecture": architecture,
                }
            },
        }

    @property
    def about(self):
        return {
            "channel_names": {str(number): f"MRI{number}" for number in range(self.channels)},
            "labels": self.labels,
            "numTraining": 5,
            "file_ending": self.ending,
            **({"regions_class_order": list(self.regions_class_order)} if self.regions_class_order else {}),
        }


def write_results(root, plans, folds=("0", "1")):
    """A results folder by nnU-Net's own trainer: seeded random weights, another seed for each fold."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    there = {f"nnUNet_{name}": str(root / f"nnUNet_{name}") for name in ("raw", "preprocessed", "results")}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**there, "nnUNet_compile": "f", "nnUNet_n_proc_DA": "0"}.items():
            environment.setenv(name, value)
        preprocessed = root / "nnUNet_preprocessed" / "Dataset001_Small"
        cases = preprocessed / f"nnUNetPlans_{plans.configuration}"
        cases.mkdir(parents=True)
        (cases / "case.b2nd").touch()  # the trainer looks at file endings alone
        (preprocessed / "splits_final.json").write_text(json.dumps(SPLITS))
        for fold in folds:
            seed = 99 if fold == "all" else int(fold)
            torch.manual_seed(seed)
            trainer = nnUNetTrainer(
                {**plans.plans, "continue_training": False},
                plans.configuration,
                fold if fold == "all" else int(fold),
                plans.about,
                torch.device("cpu"),
            )
            trainer.initialize()
            trainer.inference_allowed_mirroring_axes = plans.mirroring
            # What an epoch leaves in a checkpoint: numbers of NumPy's types.
            trainer.logger.log("mean_fg_dice", np.float64(0.25), 0)
            trainer.logger.log("train_losses", np.float32(0.5), 0)
            trainer._best_ema = np.float64(0.25)
            trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
    folder = Path(trainer.output_folder_base)
    (folder / "plans.json").write_text(json.dumps(plans.plans))
    (folder / "dataset.json").write_text(json.dumps(plans.about))
    return folder


@dataclass(frozen=True)
class Trained:
    folder: Path
    dataset: object
    plans: Plans

    def extractor(self, dataset=None, **settings):
        asked = ExtractorSettings("nnunet", **{"weights": str(self.folder), **settings})
        dataset = dataset or self.dataset
        return make_extractor(asked, dataset)

    def maps(self, case, **settings):
        return list(self.extractor(**settings).class_maps(self.dataset[case]))

    def own(self, case, fold):
        """Logits by nnU-Net's own reader, preprocessing and predictor, and its label map of the image."""
        from nnunetv2.inference.data_iterators import PreprocessAdapterFromNpy
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(self.folder), (fold,))
        files = [str(path) for path in self.dataset[case].image_files]
        image, properties = predictor.plans_manager.image_reader_writer_class().read_images(files)
        given = next(
            PreprocessAdapterFromNpy(
                [image],
                None,
                [properties],
                None,
                predictor.plans_manager,
                predictor.dataset_json,
                predictor.configuration_manager,
            )
        )
        logits = predictor.predict_logits_from_preprocessed_data(given["data"]).float().numpy()
        label = predictor.predict_single_npy_array(image, properties)
        return logits, label


def write_images(folder, plans, shape=(12, 16, 16), spacing=(2.0, 1.0, 1.0), affine=None):
    """Six cases of noise and a ball, `plans.channels` files each."""
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    for index in range(6):
        case = f"g{index % 2}_{index:02d}"
        rng = np.random.default_rng(index)
        grid = np.indices(shape)
        ball = (
            sum((axis - size / 2) ** 2 for axis, size in zip(grid, shape, strict=True))
            < (min(shape) / 3) ** 2
        )
        label = ball.astype(np.uint8) * (1 + (grid[-1] > shape[-1] / 2))
        for channel in range(plans.channels):
            image = rng.normal(100 + 60 * label, 15 + 5 * channel).clip(1, 255)
            path = folder / "imagesTr" / f"{case}_{channel:04d}{plans.ending}"
            if plans.ending == ".png":
                write_png(path, image.astype(np.uint8))
            else:
                write_nifti(path, image.astype(np.float32), Geometry(shape, spacing, affine))
        path = folder / "labelsTr" / f"{case}{plans.ending}"
        if plans.ending == ".png":
            write_png(path, label.astype(np.uint8))
        else:
            write_nifti(path, label.astype(np.uint8), Geometry(shape, spacing, affine))
    (folder / "dataset.json").write_text(json.dumps(plans.about))
    return open_dataset(folder)


def build(root, plans, folds=("0", "1"), **images):
    dataset = write_images(root / "nnUNet_raw" / "Dataset001_Small", plans, **images)
    return Trained(write_results(root, plans, folds), dataset, plans)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folds 0, 1 and all of a plain configuration."""
    return build(tmp_path_factory.mktemp("plain"), Plans(), ("0", "1", "all"))


@pytest.fixture
def copy(trained, tmp_path):
    """The same, to be spoilt."""
    root = trained.folder.parents[2]
    shutil.copytree(root, tmp_path / "copy")
    return replace(trained, folder=tmp_path / "copy" / trained.folder.relative_to(root))


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("nnUNet_")]:
        monkeypatch.delenv(name)


# -- the numbers ----------------------------------------------------------------------------------

TURNED = np.array([[0, 0, -1.25, 90], [-1.5, 0, 0, 40], [0, 1.0, 0, -60], [0, 0, 0, 1]])
VARIANTS = {
    "plain": (Plans(), {}),
    "resampled": (Plans(spacing=(1.5, 1.3, 1.25), median=(2.0, 1.0, 1.0)), {}),
    "transposed": (
        Plans(patch=(16, 12, 16), spacing=(1.0, 2.0, 1.25), median=(1.0, 2.0, 1.0), forward=(2, 0, 1)),
        {"shape": (12, 16, 18)},
    ),
    "several windows": (Plans(patch=(8, 8, 8), mirroring=(0, 1, 2)), {"shape": (12, 16, 18)}),
    "residual encoder": (Plans(residual=True), {}),
    "no mirroring": (Plans(mirroring=None), {}),
    "2d": (Plans("2d", patch=(16, 16), spacing=(1.0, 1.0), mirroring=(0, 1)), {}),
    "2d images": (
        Plans(
            "2d",
            patch=(16, 16),
            spacing=(1.0, 1.0),
            median=(999.0, 1.0, 1.0),
            reader="NaturalImage2DIO",
            ending=".png",
            mirroring=(1,),
        ),
        {"shape": (24, 20)},
    ),
    "2d images in mm": (
        Plans("2d", patch=(16, 16), spacing=(1.0, 1.3), median=(1500.0, 1.5, 1.0), mirroring=(0,)),
        {"shape": (24, 20), "spacing": (1.5, 1.0)},
    ),
    "two channels": (Plans(channels=2), {}),
    "reoriented": (Plans(reader="NibabelIOWithReorient"), {"spacing": (1.5, 1.0, 1.25), "affine": TURNED}),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_logits_are_those_of_nnunets_own_predictor(name, tmp_path):
    plans, images = VARIANTS[name]
    trained = build(tmp_path, plans, ("0",), **images)
    maps = trained.maps("g0_00")
    own, _ = trained.own("g0_00", 0)
    assert [one.name for one in maps] == ["left", "right"]
    for one, theirs in zip(maps, own[1:], strict=True):
        expected = theirs.transpose(np.argsort(plans.forward))
        expected = expected[0] if "images" in name else expected
        assert one.values.shape == expected.shape
        np.testing.assert_allclose(one.values, expected, rtol=0, atol=1e-6)
        assert one.values.std() > 0.01
        assert (one.kind, one.prompt, one.values.dtype) == ("logit", "none", np.float32)
        assert one.z_range == (0, expected.shape[0])


def test_axes_are_those_of_the_case(tmp_path):
    """Where nothing is resampled the maps lie on the image, whatever order the plans transpose to."""
    plans = Plans(patch=(16, 12, 16), spacing=(1.0, 2.0, 1.0), median=(1.0, 2.0, 1.0), forward=(2, 0, 1))
    trained = build(tmp_path, plans, ("0",), shape=(12, 16, 18))
    extractor = trained.extractor()
    image = trained.dataset["g0_00"].read_image()
    (logits,) = extractor._model.logits("g0_00", image, ["0"])
    assert logits.shape[1:] == image.geometry.shape
    assert np.array_equal(logits.argmax(axis=0), trained.own("g0_00", 0)[1])


def test_cropped_to_what_is_not_zero(tmp_path):
    plans = Plans()
    dataset = write_images(tmp_path / "nnUNet_raw" / "Dataset001_Small", plans)
    path = dataset["g0_00"].image_files[0]
    voxels = dataset["g0_00"].read_image()
    voxels.array[:, :, :3] = 0
    write_nifti(path, voxels.array[0], voxels.geometry)
    trained = Trained(write_results(tmp_path, plans, ("0",)), dataset, plans)
    own, _ = trained.own("g0_00", 0)
    assert own.shape[1:] == (12, 13, 16)
    np.testing.assert_allclose(trained.maps("g0_00")[0].values, own[1], rtol=0, atol=1e-6)


def test_the_contract(trained):
    assert len(check_extractor(trained.extractor(), trained.dataset["g0_00"])) == 2
    assert check_extractor(trained.extractor(), trained.dataset["g0_02"]) == []


# -- which fold -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "fold"), [("g0_00", 0), ("g0_04", 0), ("g1_01", 1)])
def test_each_case_only_by_the_fold_that_did_not_see_it(trained, case, fold):
    left, right = trained.maps(case)
    own, other = trained.own(case, fold)[0], trained.own(case, 1 - fold)[0]
    np.testing.assert_allclose(left.values, own[1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(right.values, own[2], rtol=0, atol=1e-6)
    assert np.abs(left.values - other[1]).mean() > 0.01


@pytest.mark.parametrize(
    "case", ["g0_02", "g1_03"], ids=["its fold is missing", "every fold trained on it"]
)
def test_no_fold_no_map(trained, case):
    assert trained.maps(case) == [NoMap("left", "no_fold"), NoMap("right", "no_fold")]


def test_a_new_case_by_every_fold(trained):
    maps = trained.maps("g1_05")
    assert [one.name for one in maps] == ["left", "right"] * 3
    for number, fold in enumerate((0, 1, "all")):
        own = trained.own("g1_05", fold)[0]
        for one, theirs in zip(maps[2 * number : 2 * number + 2], own[1:], strict=True):
            np.testing.assert_allclose(one.values, theirs, rtol=0, atol=1e-6)


def test_fold_all_alone_speaks_of_new_cases_only(copy):
    for fold in ("0", "1"):
        shutil.rmtree(copy.folder / f"fold_{fold}")
    assert copy.maps("g0_00") == [NoMap("left", "no_fold"), NoMap("right", "no_fold")]
    assert len(copy.maps("g1_05")) == 2


def test_without_splits(copy):
    (copy.folder.parents[2] / "nnUNet_preprocessed" / "Dataset001_Small" / "splits_final.json").unlink()
    with pytest.raises(UsageError, match="no splits_final"):
        copy.extractor()


# -- classes --------------------------------------------------------------------------------------


def with_labels(dataset, labels, root):
    about = json.loads((dataset.root / "dataset.json").read_text())
    shutil.copytree(dataset.root, root)
    (root / "dataset.json").write_text(json.dumps({**about, "labels": labels}))
    return open_dataset(root)


def test_a_class_of_several_labels_by_its_log_odds(trained, tmp_path):
    dataset = with_labels(trained.dataset, {"background": 0, "whole": [1, 2]}, tmp_path / "data")
    (whole,) = trained.extractor(dataset).class_maps(dataset["g0_00"])
    z = trained.own("g0_00", 0)[0].astype(np.float64)
    expected = np.log(np.exp(z[1]) + np.exp(z[2])) - z[0]
    np.testing.assert_allclose(whole.values, expected, rtol=0, atol=1e-5)


def test_some_of_the_classes_by_their_values(trained, tmp_path):
    dataset = open_dataset(trained.dataset.root, classes="right")
    (right,) = trained.extractor(dataset).class_maps(dataset["g0_00"])
    np.testing.assert_allclose(right.values, trained.own("g0_00", 0)[0][2], rtol=0, atol=1e-6)


def test_regions_by_their_values(tmp_path):
    labels = {"background": 0, "whole": [1, 2], "core": 2}
    trained = build(tmp_path, Plans(labels=labels, regions_class_order=(1, 2)), ("0",))
    own, _ = trained.own("g0_00", 0)
    assert len(own) == 2
    for one, theirs in zip(trained.maps("g0_00"), own, strict=True):
        np.testing.assert_allclose(one.values, theirs, rtol=0, atol=1e-6)
    turned = with_labels(
        trained.dataset, {"background": 0, "core": 2, "whole": [2, 1]}, tmp_path / "turned"
    )
    core, whole = trained.extractor(turned).class_maps(turned["g0_00"])
    np.testing.assert_allclose(whole.values, own[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(core.values, own[1], rtol=0, atol=1e-6)
    single = with_labels(trained.dataset, LABELS, tmp_path / "single")
    with pytest.raises(UsageError, match=r"class 'left' of .* is the label \[1\]"):
        trained.extractor(single)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"background": 0, "left": 1, "right": 2, "third": 3}, r"class 'third' of .* is the label \[3\]"),
        ({"background": 0, "left": 2, "right": 1}, r"class 'left' .*\[2\].* trained on .*left=\[1\]"),
    ],
    ids=["a label the model lacks", "names exchanged"],
)
def test_classes_of_another_data_set(trained, tmp_path, labels, said):
    with pytest.raises(UsageError, match=said):
        trained.extractor(with_labels(trained.dataset, labels, tmp_path / "data"))


def test_other_names_for_the_same_labels_do(trained, tmp_path):
    dataset = with_labels(trained.dataset, {"background": 0, "a": 1, "b": 2}, tmp_path / "data")
    assert [one.name for one in trained.extractor(dataset).class_maps(dataset["g0_00"])] == ["a", "b"]


def test_no_classes_are_refused(trained):
    with pytest.raises(UsageError, match="declares no classes; name those of the model with --classes"):
        trained.extractor(replace(trained.dataset, classes={}))


# -- channels and dimensions ----------------------------------------------------------------------


def test_channels_are_compared(trained, tmp_path):
    two = write_images(tmp_path / "two", Plans(channels=2))
    with pytest.raises(UsageError, match=r"trained on 1 image channel.* has 2 \(MRI0, MRI1\)"):
        trained.extractor(two)


def test_one_channel_may_be_chosen(trained, tmp_path):
    two = write_images(tmp_path / "two", Plans(channels=2))
    first = next(iter(trained.extractor(two, channel=0).class_maps(two["g0_00"])))
    second = next(iter(trained.extractor(two, channel=1).class_maps(two["g0_00"])))
    plain = write_images(tmp_path / "plain", Plans())
    assert np.array_equal(
        first.values, next(iter(trained.extractor(plain).class_maps(plain["g0_00"]))).values
    )
    assert not np.allclose(first.values, second.values)


def test_a_case_of_another_dimension_is_named(trained, tmp_path):
    flat = write_images(tmp_path / "flat", replace(Plans(), ending=".png"), shape=(24, 20))
    with pytest.raises(CaseError, match="g0_00: found a 2D image; expected 3D images"):
        list(trained.extractor(flat).class_maps(flat["g0_00"]))


# -- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weights": None}, "needs a trained model: --weights RESULTS_FOLDER"),
        ({"weights": "random"}, r"random has no plans\.json; expected a results folder such as"),
        ({"window": (-160, 240)}, "takes no --window; leave it out"),
        ({"precision": "bfloat16"}, "expected one of: auto, float32"),
        ({"precision": "float32", "device": "cuda"}, "expected one of: auto$"),
        ({"normalize": "foreground"}, "cannot take --normalize foreground; .* leave --normalize .* out"),
        ({"prompt": "text"}, "cannot take --prompt text; expected one of: none"),
    ],
)
def test_settings_that_cannot_work(trained, settings, said):
    asked = ExtractorSettings("nnunet", **{"weights": str(trained.folder), **settings})
    with pytest.raises(UsageError, match=said):
        make_extractor(checked(asked, trained.dataset, None), trained.dataset)


@pytest.mark.parametrize("near", ["parent", "fold"])
def test_a_folder_beside_the_right_one_is_told(trained, near):
    given = trained.folder.parent if near == "parent" else trained.folder / "fold_0"
    with pytest.raises(UsageError, match=r"give .*nnUNetTrainer__nnUNetPlans__3d_fullres$"):
        trained.extractor(weights=str(given))


def test_precision_float32_is_what_a_cpu_does(trained):
    ours, auto = trained.maps("g0_00", precision="float32"), trained.maps("g0_00")
    assert np.array_equal(ours[0].values, auto[0].values)


# -- what is in the folder ------------------------------------------------------------------------


def respelt(path, **entries):
    """Put other entries into a checkpoint; None takes one out."""
    found = torch.load(path, weights_only=False) | entries
    torch.save({key: value for key, value in found.items() if value is not None}, path)


class Evil:
    """What makes a folder where it is unpickled without care."""

    def __init__(self, folder):
        self._folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self._folder,)


def checkpoint(copy):
    return copy.folder / "fold_1" / "checkpoint_final.pth"


def test_numbers_are_read_and_nothing_else_is_allowed_later(trained):
    held = torch.load(trained.folder / "fold_0" / "checkpoint_final.pth", weights_only=False)
    assert isinstance(held["_best_ema"], np.float64)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(trained.folder / "fold_0" / "checkpoint_final.pth", weights_only=True)
    before = set(get_safe_globals())
    trained.extractor()
    assert set(get_safe_globals()) == before


def test_numbers_of_numpy_1_are_read(copy):
    expected = copy.maps("g1_01")[0].values
    path = checkpoint(copy)
    with zipfile.ZipFile(path) as archive:
        entries = {entry: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert b"numpy.core.multiarray" in path.read_bytes()
    assert np.array_equal(copy.maps("g1_01")[0].values, expected)


@pytest.mark.parametrize("harm", ["cut short", "empty", "text", "code", "an object"])
def test_a_damaged_or_unsafe_checkpoint(copy, harm):
    path = checkpoint(copy)
    if harm == "cut short":
        path.write_bytes(path.read_bytes()[:-2000])
    elif harm in ("empty", "text"):
        path.write_bytes(b"" if harm == "empty" else b"version https://git-lfs.github.com/spec/v1\n" * 5)
    elif harm == "code":
        respelt(path, logging=Evil(path.with_name("harm")))
    else:
        respelt(path, _best_ema=Path("somewhere"))
    with pytest.raises(WeightsRefused, match=r"fold_1/checkpoint_final\.pth"):
        copy.extractor()
    assert not path.with_name("harm").exists()


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"network_weights": None}, "expected tensors only"),
        ({"network_weights": {}}, "holds no table of tensors under 'network_weights'"),
        ({"network_weights": {"weight": torch.zeros(3)}}, r"missing .*; 1 not of this model \(weight\)"),
        ({"trainer_name": None}, "is not a checkpoint that nnU-Net 2 wrote"),
        ({"init_args": {}}, "is not a checkpoint that nnU-Net 2 wrote"),
        (
            {"init_args": {"configuration": "2d"}},
            "were not trained alike: fold 0 with .*3d_fullres.* fold 1",
        ),
        ({"inference_allowed_mirroring_axes": (1,)}, "were not trained alike"),
    ],
)
def test_a_checkpoint_of_something_else(copy, entries, said):
    respelt(checkpoint(copy), **entries)
    with pytest.raises(WeightsRefused, match=said):
        copy.extractor()


@pytest.mark.parametrize("change", [lambda one: one * torch.nan, lambda one: one * 1e3], ids=["nan", "inf"])
def test_a_diverged_network_is_named(copy, change):
    path = checkpoint(copy)
    weights = torch.load(path, weights_only=False)["network_weights"]
    respelt(path, network_weights={name: change(one) for name, one in weights.items()})
    with pytest.raises(CaseError, match="g1_01: found logits of fold 1 that are no finite numbers"):
        copy.maps("g1_01")


def test_copies_of_folds_are_not_folds(copy):
    shutil.copytree(copy.folder / "fold_1", copy.folder / "fold_1_before")
    assert list(copy.extractor().identity()["checkpoints_sha256"]) == ["0", "1", "all"]


def change_plans(copy, change):
    path = copy.folder / "plans.json"
    plans = json.loads(path.read_text())
    change(plans, plans["configurations"]["3d_fullres"])
    path.write_text(json.dumps(plans))


def architecture(name, value):
    def change(plans, configuration):
        block = configuration["architecture"]
        (block if name == "network_class_name" else block["arch_kwargs"])[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda plans, one: plans.pop("configurations"), "cannot be used .*KeyError"),
        (lambda plans, one: plans["configurations"].clear(), "cannot be used .*3d_fullres not found"),
        (lambda plans, one: plans.pop("image_reader_writer"), "cannot be used .*KeyError"),
        (lambda plans, one: one.update(previous_stage="3d_lowres"), "second stage of a cascade"),
        (architecture("network_class_name", "os.system"), r"builds its network from 'os\.system'"),
        (architecture("conv_op", "subprocess.Popen"), r"builds its network from 'subprocess\.Popen'"),
        (
            architecture("nonlin", "monai.networks.blocks.Swish"),
            r"builds its network from 'monai\.networks",
        ),
        (architecture("conv_op", "torch.nn.functional.conv3d"), "expected modules of"),
        (architecture("n_stages", 2), "cannot be built by nnUNetTrainer"),
        (architecture("features_per_stage", [4, 8, 16]), "does not fit PlainConvUNet: .* of another shape"),
    ],
)
def test_plans_that_cannot_work(copy, change, said):
    change_plans(copy, change)
    with pytest.raises(UsageError, match=said):
        copy.extractor()


@pytest.mark.parametrize("name", ["plans.json", "dataset.json"])
def test_damaged_json(copy, name):
    (copy.folder / name).write_text("{")
    with pytest.raises(UsageError, match=rf"{name} is damaged"):
        copy.extractor()


def test_training_that_did_not_end(copy):
    for fold in ("0", "1", "all"):
        path = copy.folder / f"fold_{fold}" / "checkpoint_final.pth"
        path.rename(path.with_name("checkpoint_best.pth"))
    with pytest.raises(UsageError, match=r"only checkpoint_best\.pth: training did not end"):
        copy.extractor()


# -- other trainers -------------------------------------------------------------------------------


def by_another_trainer(copy, name="nnUNetTrainerNoMirroring"):
    for fold in ("0", "1", "all"):
        respelt(copy.folder / f"fold_{fold}" / "checkpoint_final.pth", trainer_name=name)


def test_another_trainer_is_asked_for_the_network(copy, monkeypatch):
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities import find_objects

    class nnUNetTrainerNoMirroring(nnUNetTrainer):  # noqa: N801
        pass

    found = {"nnUNetTrainerNoMirroring": nnUNetTrainerNoMirroring}
    monkeypatch.setattr(find_objects, "recursive_find_trainer_class_by_name", found.__getitem__)
    expected = copy.maps("g0_00")
    by_another_trainer(copy)
    assert np.array_equal(copy.maps("g0_00")[0].values, expected[0].values)
    assert copy.extractor().identity()["trainer"] == "nnUNetTrainerNoMirroring"


def test_another_trainer_does_not_open_the_door(copy, monkeypatch):
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities import find_objects

    monkeypatch.setattr(find_objects, "recursive_find_trainer_class_by_name", lambda name: nnUNetTrainer)
    by_another_trainer(copy)
    change_plans(copy, architecture("network_class_name", "os.system"))
    with pytest.raises(UsageError, match=r"builds its network from 'os\.system'"):
        copy.extractor()


def test_a_trainer_that_is_not_found(copy, monkeypatch):
    from nnunetv2.utilities import find_objects

    def fail(name):
        raise ModuleNotFoundError("No module named 'timm'")

    monkeypatch.setattr(find_objects, "recursive_find_trainer_class_by_name", fail)
    by_another_trainer(copy)
    with pytest.raises(
        UsageError, match=r"trained by nnUNetTrainerNoMirroring, .*'timm'.*nnUNet_extTrainer"
    ):
        copy.extractor()


# -- the rest -------------------------------------------------------------------------------------


def test_identity(copy):
    before = copy.extractor().identity()
    assert json.loads(json.dumps(before)) == before
    assert before["results"] == "Dataset001_Small/nnUNetTrainer__nnUNetPlans__3d_fullres"
    assert (before["configuration"], before["trainer"]) == ("3d_fullres", "nnUNetTrainer")
    assert before["nnunetv2"].startswith("2.")
    assert sorted(before["checkpoints_sha256"]) == ["0", "1", "all"]
    assert len({*before["checkpoints_sha256"].values()}) == 3
    respelt(checkpoint(copy), current_epoch=7)
    after = copy.extractor().identity()
    assert {key for key in before if before[key] != after[key]} == {"checkpoints_sha256"}
    (copy.folder / "splits_final.json").write_text(json.dumps(SPLITS[:2]))
    assert copy.extractor().identity()["folds_sha256"] != before["folds_sha256"]


def test_cost_follows_windows_and_passes(trained, tmp_path):
    extractor = trained.extractor()
    one, four = extractor.cost((12, 16, 16), 2), extractor.cost((12, 16, 40), 2)
    assert one.seconds > 0
    assert four.seconds == pytest.approx(4 * one.seconds)
    assert four.memory_bytes > one.memory_bytes > 10_000
    assert extractor._model._pass[0] * 4 == pytest.approx(one.seconds)  # mirrored along two axes
    flat = build(
        tmp_path, Plans("2d", patch=(16, 16), spacing=(1.0, 1.0), mirroring=None), ("0",)
    ).extractor()
    assert flat.cost((24, 16, 16), 2).seconds == pytest.approx(24 * flat._model._pass[0])


def test_it_says_nothing_and_needs_no_variables(trained, capfd):
    trained.maps("g0_00")
    assert capfd.readouterr() == ("", "")


def test_what_is_missing_is_named(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "nnunetv2", None)
    with pytest.raises(MissingExtra, match=r"pip install 'aleaseg\[nnunet\]'"):
        trained.extractor()


def test_importing_it_does_not_import_nnunetv2():
    code = "import sys, aleaseg.extractors.nnunet; assert 'nnunetv2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# -- for real -------------------------------------------------------------------------------------

TRAIN = """
import json, os
from pathlib import Path

def main():
    import torch
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    torch.set_num_threads(1)
    api.extract_fingerprints([4], num_processes=1)
    api.plan_experiments([4])
    api.preprocess([4], configurations=("3d_fullres",), num_processes=(1,))
    # No worker processes: planning would divide by their number, so it is set here.
    os.environ["nnUNet_n_proc_DA"] = "0"
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    folder = Path(os.environ["nnUNet_preprocessed"], "Dataset004_Hippocampus")
    plans, about = (json.loads((folder / name).read_text()) for name in ("nnUNetPlans.json", "dataset.json"))
    for fold in (0, 1):
        given = {**plans, "continue_training": False}
        trainer = nnUNetTrainer(given, "3d_fullres", fold, about, torch.device("cpu"))
        trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 1, 2, 1
        trainer.run_training()
        trainer.perform_actual_validation(save_probabilities=True)

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_a_real_training_and_what_it_wrote_itself(data, tmp_path, type_aleaseg):
    """Two folds planned and trained by nnU-Net for a moment: our logits give the probabilities it kept."""
    source, raw = data / "Dataset004_Hippocampus", tmp_path / "nnUNet_raw" / "Dataset004_Hippocampus"
    about = json.loads((source / "dataset.json").read_text()) | {"numTraining": 8}
    ids = sorted(path.name.removesuffix(".nii.gz") for path in (source / "labelsTr").glob("*.nii.gz"))[:8]
    for folder, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        (raw / folder).mkdir(parents=True)
        for case in ids:
            shutil.copy(source / folder / f"{case}{ending}", raw / folder)
    (raw / "dataset.json").write_text(json.dumps(about))
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    there = {
        f"nnUNet_{name}": str(tmp_path / f"nnUNet_{name}") for name in ("raw", "preprocessed", "results")
    }
    environment = {
        **os.environ,
        **there,
        "nnUNet_compile": "f",
        "nnUNet_def_n_proc": "1",
        "OMP_NUM_THREADS": "1",
    }
    subprocess.run([sys.executable, script], env=environment, check=True, timeout=900, capture_output=True)

    folder = Path(there["nnUNet_results"]) / raw.name / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    trained = Trained(folder, open_dataset(raw), None)
    extractor, kept = trained.extractor(), PredictionFolder(folder, trained.dataset)
    splits = json.loads((tmp_path / "nnUNet_preprocessed" / raw.name / "splits_final.json").read_text())
    spoken = []
    for case in trained.dataset.cases:
        fold = next(number for number, one in enumerate(splits) if case.id in one["val"])
        maps = list(extractor.class_maps(case))
        if fold > 1:
            assert maps == [NoMap("anterior", "no_fold"), NoMap("posterior", "no_fold")]
            continue
        spoken.append(case.id)
        (theirs,) = kept.read(case)
        (logits,) = extractor._model.logits(case.id, case.read_image(), [str(fold)])
        # One spacing and nothing cropped: the preprocessed grid is the image's.
        powers = np.exp(logits - logits.max(axis=0))
        np.testing.assert_allclose(powers / powers.sum(axis=0), theirs.maps, rtol=0, atol=1e-5)
        for one, channel in zip(maps, logits[1:], strict=True):
            assert np.array_equal(one.values, channel)
    assert len(spoken) == 4

    options = ("--extractor", "nnunet", "--weights", folder, "--predictions", folder)
    done = type_aleaseg("score", raw, "-o", tmp_path / "run", *options, timeout=600)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "run" / "measures.csv", keep_default_na=False)
    scale = table[(table.measure == "perception_scale") & (table.variant == "")]
    status = scale.groupby("case").status.unique().map(list)
    assert {case for case, found in status.items() if found == ["ok"]} == set(spoken)
    assert {case for case, found in status.items() if found == ["no_fold"]} == set(ids) - set(spoken)
