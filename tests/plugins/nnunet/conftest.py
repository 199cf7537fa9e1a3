"""A preprocessed data set of small plans, without voxels: trainers are made, and step on random tensors."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nnunetv2", reason="nnunetv2 is not installed (the extra `nnunet`)")

import torch

LABELS = {"background": 0, "left": 1, "right": 2}
REGIONS = {"background": 0, "whole": [1, 2], "core": 2}
CASES = [f"case_{number}" for number in range(6)]
SPLITS = [{"train": CASES[:4], "val": CASES[4:]}, {"train": CASES[2:], "val": CASES[:2]}]


def plans_of(dimensions=3, stages=4):
    """Plans as nnU-Net's planner writes them, of a network that is small."""
    one, two = [1] * dimensions, [2] * dimensions
    patch = [16, 8, 24][:dimensions]
    return {
        "dataset_name": "Dataset001_Small",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [1.0, 1.0, 1.0],
        "original_median_shape_after_transp": [16, 16, 24],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {"mean": 0.0, "std": 1.0}},
        "configurations": {
            "small": {
                "data_identifier": "nnUNetPlans_small",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": patch,
                "median_image_size_in_voxels": patch,
                "spacing": [1.0] * dimensions,
                "normalization_schemes": ["ZScoreNormalization"],
                "use_mask_for_norm": [False],
                **{f"resampling_fn_{what}": "resample_data_or_seg_to_shape" for what in ("data", "seg")},
                "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
                **{f"resampling_fn_{what}_kwargs": {} for what in ("data", "seg", "probabilities")},
                "batch_dice": False,
                "architecture": {
                    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                    "arch_kwargs": {
                        "n_stages": stages,
                        "features_per_stage": [4, 8, 8, 8][:stages],
                        "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
                        "kernel_sizes": [[3] * dimensions] * stages,
                        "strides": [one, *[two] * (stages - 1)],
                        "n_conv_per_stage": [1] * stages,
                        "n_conv_per_stage_decoder": [1] * (stages - 1),
                        "conv_bias": True,
                        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimensions}d",
                        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                        "dropout_op": None,
                        "dropout_op_kwargs": None,
                        "nonlin": "torch.nn.LeakyReLU",
                        "nonlin_kwargs": {"inplace": True},
                    },
                    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
                },
            }
        },
    }


@pytest.fixture(name="plans_of")
def _plans_of():
    """plans_of(dimensions=3, stages=4): plans of a small network."""
    return plans_of


@pytest.fixture
def with_norm():
    """with_norm("BatchNorm3d"): those plans with another normalisation; nnU-Net takes any of PyTorch's."""

    def make(norm):
        plans = plans_of(int(norm[-2]))
        kind = norm.removesuffix(norm[-2:]).lower()
        arguments = plans["configurations"]["small"]["architecture"]["arch_kwargs"]
        arguments["norm_op"] = f"torch.nn.modules.{kind}.{norm}"
        return plans

    return make


@pytest.fixture
def blobs():
    """(2, 1, 16, 8, 24) labels: two structures at one end of each patch, so that the other is far from them."""
    drawn = torch.zeros((2, 1, 16, 8, 24), dtype=torch.int64)
    drawn[0, 0, 3:12, 2:7, 2:8] = 1
    drawn[0, 0, 5:9, 3:6, 3:6] = 2
    drawn[1, 0, 4:14, 1:6, 15:22] = 1
    drawn[1, 0, 6:9, 2:5, 18:21] = 2
    return drawn


@pytest.fixture
def nnunet(tmp_path, monkeypatch):
    """nnU-Net's three folders; returns the preprocessed data set's. No option of ours is set."""
    for name in [name for name in os.environ if name.startswith(("nnUNet_", "ALEASEG_"))]:
        monkeypatch.delenv(name)
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / f"nnUNet_{name}"))
    folder = tmp_path / "nnUNet_preprocessed" / "Dataset001_Small"
    (folder / "nnUNetPlans_small").mkdir(parents=True)
    for case in CASES:
        (folder / "nnUNetPlans_small" / f"{case}.b2nd").touch()  # nnU-Net lists cases by their files alone
    (folder / "splits_final.json").write_text(json.dumps(SPLITS))
    (folder / "dataset_fingerprint.json").write_text("{}")
    return folder


@pytest.fixture
def make_trainer(nnunet, monkeypatch):
    """make_trainer("DUO", labels=..., fold=..., dimensions=..., ALPHA=1): an initialised trainer on the CPU."""

    def make(
        name="DUO",
        *,
        labels=LABELS,
        fold=0,
        dimensions=3,
        initialize=True,
        plans=None,
        about=None,
        **options,
    ):
        from aleaseg.plugins.nnunet import confidence, sure, trainers

        rooms = {"EDL": sure, "SURE": sure, "Confidence": confidence}
        kind = getattr(rooms.get(name, trainers), f"nnUNetTrainer{name}")
        for option, value in options.items():
            monkeypatch.setenv(kind.family.variable(option), str(value))
        told = {
            "channel_names": {"0": "MRI"},
            "labels": labels,
            "numTraining": 6,
            "file_ending": ".nii.gz",
        }
        if any(isinstance(value, list) for value in labels.values()):
            told["regions_class_order"] = [1, 2]
        torch.manual_seed(0)
        given = {**plans_of(dimensions), **(plans or {}), "continue_training": False}
        trainer = kind(given, "small", fold, {**told, **(about or {})}, torch.device("cpu"))
        if initialize:
            trainer.initialize()
        return trainer

    return make


@pytest.fixture
def found_by_nnunet():
    """found_by_nnunet("nnUNetTrainerDUO"): what nnU-Net finds by this name, as it searches external folders."""

    def find(name):
        from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

        from aleaseg.plugins.nnunet import TRAINER_FOLDER

        return recursive_find_python_class(
            str(TRAINER_FOLDER),
            name,
            None,
            base_folder=str(TRAINER_FOLDER),
            cleanup_imports_from_base_folder=True,
        )

    return find


def _targets_of(transforms, images, drawn):
    made = [
        transforms(image=image, segmentation=label.to(torch.int16))["segmentation"]
        for image, label in zip(images, drawn, strict=True)
    ]
    several = isinstance(made[0], list)
    return [torch.stack(level) for level in zip(*made, strict=True)] if several else torch.stack(made)


@pytest.fixture
def targets_of():
    """targets_of(transforms, images, drawn): targets of (B, 1, *X) labels as nnU-Net's loader hands them over."""
    return _targets_of


@pytest.fixture
def make_batch():
    """make_batch(trainer, seed, drawn): noise, and targets as nnU-Net's loader and augmentation hand them over.

    Labels are drawn voxel by voxel, or given, (2, 1, *X).
    """

    def make(trainer, seed=0, drawn=None):
        generator = torch.Generator().manual_seed(seed)
        size, labels = trainer.configuration_manager.patch_size, trainer.label_manager
        images = torch.randn((2, 1, *size), generator=generator)
        if drawn is None:
            drawn = torch.randint(0, 3 + labels.has_ignore_label, (2, 1, *size), generator=generator)
        transforms = trainer.get_validation_transforms(
            trainer._get_deep_supervision_scales(),
            regions=labels.foreground_regions if labels.has_regions else None,
            ignore_label=labels.ignore_label,
        )
        settings = getattr(trainer, "settings", None)
        if settings is not None and settings.ordered:
            transforms = trainer.with_maps(transforms)
        target = _targets_of(transforms, images, drawn)
        return {"data": images, "target": target, "keys": np.array([trainer.cases[0], trainer.cases[2]])}

    return make


@pytest.fixture
def results(tmp_path):
    """Where a trainer's checkpoints lie: results("DUO", fold) -> folder."""

    def where(name, fold=0) -> Path:
        return (
            tmp_path / "nnUNet_results" / "Dataset001_Small" / f"nnUNetTrainer{name}__nnUNetPlans__small"
            / f"fold_{fold}"
        )  # fmt: skip

    return where
