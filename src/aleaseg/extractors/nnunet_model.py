"""A results folder of nnU-Net 2.8 as a function: an image and a fold in, raw logits out.

nnU-Net's own code does the work (Isensee et al. 2021, Nature Methods 18:203): its
preprocessing, its network built from the plans, its sliding window with mirroring.
Checked here before it runs: that weights are only tensors and numbers, that they fit,
and that the plans name no other classes than networks are made of.
"""

from __future__ import annotations

import contextlib
import io
import pydoc
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aleaseg.case import Voxels
from aleaseg.errors import BadVoxels, ShapeMismatch, UsageError, WeightsRefused
from aleaseg.extractors.base import Cost
from aleaseg.extractors.checkpoint import load_strictly, read_state
from aleaseg.extractors.held_out import nnunet_json
from aleaseg.extractors.orient import depth_first, to_ras
from aleaseg.extras import need

__all__ = ["NnUNetModel", "numpy_numbers"]

_STOCK = "nnUNetTrainer"
_CHECKPOINT = "checkpoint_final.pth"
_BUILDING_BLOCKS = ("dynamic_network_architectures.", "torch.nn.")
_STEP = 0.5  # of the window, nnU-Net's default
# What of nnU-Net can go wrong with plans that are not its own: it asserts, looks up and converts.
_NOT_UNDERSTOOD = (
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """nnU-Net prints what it does and warns of variables that only training needs."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class _Checkpoint:
    """What prediction needs of a fold's checkpoint."""

    weights: dict[str, torch.Tensor]
    training: tuple[str, str, tuple[int, ...] | None]
    """Trainer, configuration, axes to mirror along."""


class NnUNetModel:
    """Plans, network and every fold's weights; nothing of it is changed by predicting.

    Args:
        folder: nnUNet_results/DatasetXXX_NAME/TRAINER__PLANS__CONFIGURATION.
        device: `cpu` or `cuda`.

    Attributes:
        about: its dataset.json.
        checkpoints: fold ("0", ..., or "all") -> file.
        values: foreground label values; the channels of the logits are background and these.
        regions: label values of each channel, where the channels are overlapping regions; else None.

    Raises:
        UsageError: it is no finished results folder, or cannot be used here.
        WeightsRefused: a checkpoint is damaged, unsafe, or does not fit.
        MissingExtra: nnunetv2 is not installed.
    """

    def __init__(self, folder: Path, device: str) -> None:
        need("nnunetv2")
        self.folder = folder
        self.about = nnunet_json(folder / "dataset.json")
        plans = nnunet_json(folder / "plans.json")
        self.checkpoints = _checkpoints(folder)
        self._folds = {fold: _read_checkpoint(path) for fold, path in self.checkpoints.items()}
        first = _trained_alike(self._folds, folder)
        self.trainer, self.configuration, self._mirroring = first.training
        with _quiet():
            self._understand(plans)
            network = self._network(_trainer_class(self.trainer))
        for fold, one in self._folds.items():
            load_strictly(network, one.weights, source=str(self.checkpoints[fold]))
        self._ready(network, torch.device(device))

    def _understand(self, plans: Any) -> None:
        """Plans and labels, read by nnU-Net's own managers.

        Raises:
            UsageError: they are not what nnU-Net writes, or ask for what cannot be done here.
        """
        handler = need("nnunetv2.utilities.plans_handling.plans_handler")
        labels = need("nnunetv2.utilities.label_handling.label_handling")
        try:
            self._plans = handler.PlansManager(plans)
            self._configuration = self._plans.get_configuration(self.configuration)
            self._labels = self._plans.get_label_manager(self.about)
            cascade = self._configuration.previous_stage_name
            self.channels = int(
                labels.determine_num_input_channels(self._plans, self._configuration, self.about)
            )
            self.dataset_name = str(self._plans.dataset_name)
            self.values = tuple(int(value) for value in self._labels.foreground_labels)
            self.regions = (
                tuple(_values(region) for region in self._labels.foreground_regions)
                if self._labels.has_regions
                else None
            )
            self._patch = tuple(int(length) for length in self._configuration.patch_size)
            self._reader = str(plans["image_reader_writer"])
        except _NOT_UNDERSTOOD as error:
            raise UsageError(
                f"plans.json and dataset.json of {self.folder} cannot be used "
                f"({type(error).__name__}: {_line(error)}); copy both again from where nnU-Net trained"
            ) from error
        if cascade:
            raise UsageError(
                f"{self.folder} is the second stage of a cascade and needs the first one's segmentations; give "
                f"{cascade}, another configuration, or `--predictions {self.folder}` after training with --npz"
            )

    def _network(self, trainer: Any) -> torch.nn.Module:
        # Whatever the trainer: which one it was is also only what a file says.
        _check_building_blocks(self._configuration, self.folder)
        try:
            return trainer.build_network_architecture(
                self._plans,
                self._configuration,
                self.channels,
                self._labels.num_segmentation_heads,
                enable_deep_supervision=False,
            )
        except _NOT_UNDERSTOOD as error:
            raise UsageError(
                f"the network of {self.folder} cannot be built by {trainer.__name__} "
                f"({type(error).__name__}: {_line(error)}); expected plans and a trainer of nnunetv2 2.8"
            ) from error

    def _ready(self, network: torch.nn.Module, device: torch.device) -> None:
        predicting = need("nnunetv2.inference.predict_from_raw_data")
        with _quiet():
            self._predictor = predicting.nnUNetPredictor(
                tile_step_size=_STEP,
                perform_everything_on_device=device.type == "cuda",
                device=device,
                allow_tqdm=False,
            )
            self._predictor.manual_initialization(
                network,
                self._plans,
                self._configuration,
                None,
                self.about,
                self.trainer,
                self._mirroring,
            )

    # -- one image ----------------------------------------------------------------------------

    def logits(self, case: str, image: Voxels, folds: Sequence[str]) -> Iterator[NDArray[np.float32]]:
        """Raw logits of one image by each fold in turn; preprocessed once.

        Args:
            case: for errors.
            image: (channel, D, H, W) or (channel, H, W).
            folds: of `checkpoints`.

        Yields:
            float32 (channel, D', H', W') or (channel, H', W') on the preprocessed grid: cropped to
            what is not zero and resampled, with the axes in the image's order.

        Raises:
            ShapeMismatch: the image has other channels or dimensions than the network.
            BadVoxels: what the network says is no finite number.
        """
        if len(image.array) != self.channels:
            raise ShapeMismatch(
                case,
                f"{len(image.array)} image channels",
                f"{self.channels}, as the network was trained on",
                "choose another results folder",
            )
        array, spacing = self._as_read(case, image)
        with _quiet():
            preprocessor = self._configuration.preprocessor_class(verbose=False)
            given, _, _ = preprocessor.run_case_npy(
                array, None, {"spacing": spacing}, self._plans, self._configuration, self.about
            )
        prepared = torch.from_numpy(np.ascontiguousarray(given, dtype=np.float32))
        back = (0, *(axis + 1 for axis in self._plans.transpose_backward))
        for fold in folds:
            self._predictor.list_of_parameters = [self._folds[fold].weights]
            try:
                with _quiet():
                    found = self._predictor.predict_logits_from_preprocessed_data(prepared)
            except RuntimeError as error:
                if "Encountered inf" not in str(error):
                    raise
                found = torch.tensor(torch.inf)  # nnU-Net adds up in half precision, and looks itself
            if not torch.isfinite(found).all():
                raise BadVoxels(
                    case,
                    f"logits of fold {fold} that are no finite numbers",
                    "finite ones",
                    "check whether that fold's training diverged",
                )
            logits: NDArray[np.float32] = found.float().numpy().transpose(back)
            yield logits[:, 0] if image.array.ndim == 3 else logits

    def _as_read(self, case: str, image: Voxels) -> tuple[NDArray[np.float32], tuple[float, ...]]:
        """(channel, D, H, W) and the spacing along D, H, W, as the plans' reader would give them."""
        array, geometry = image.array, image.geometry
        flat = array.ndim == 3
        if (flat and len(self._patch) == 3) or (not flat and self._reader == "NaturalImage2DIO"):
            raise ShapeMismatch(
                case,
                f"a {2 if flat else 3}D image",
                f"{3 if flat else 2}D images, as the network was trained on",
                "choose another results folder",
            )
        if self._reader == "NaturalImage2DIO":
            return array[:, None], (999.0, 1.0, 1.0)
        if flat:
            return array[:, None], (999.0 * max(geometry.spacing_mm), *geometry.spacing_mm)
        if self._reader == "NibabelIOWithReorient":
            turned = [to_ras(channel, geometry) for channel in array]
            return np.stack([depth_first(volume) for volume, _ in turned]), turned[0][1][::-1]
        return array, geometry.spacing_mm

    # -- what it takes ------------------------------------------------------------------------

    def cost(self, shape: tuple[int, ...]) -> Cost:
        """The network's passes over one image, by one fold; reading and resampling come on top.

        Args:
            shape: (D, H, W) or (H, W); taken to have the training data's median spacing.
        """
        dimensions = len(self._patch)
        size = np.array((1,) * (3 - len(shape)) + tuple(shape))[list(self._plans.transpose_forward)]
        median = np.array(self._plans.original_median_spacing_after_transp, dtype=float)
        zoom = median[-dimensions:] / np.array(self._configuration.spacing, dtype=float)
        inner = np.maximum(np.round(size[-dimensions:] * zoom).astype(int), self._patch)
        grid = np.array([*size[: 3 - dimensions], *inner])
        steps = np.ceil((inner - self._patch) / (_STEP * np.array(self._patch))) + 1
        windows = float(np.prod(steps) * np.prod(grid[: 3 - dimensions]))
        passes = 2 ** len(self._mirroring or ())
        network = self._predictor.network
        parameters = sum(4 * one.numel() for one in network.parameters())
        # The image twice in float32; logits and one class map, in half and in float32.
        voxels = int(np.prod(grid)) * (8 * self.channels + 2 * self._labels.num_segmentation_heads + 4)
        return Cost(windows * passes * self._pass[0], parameters + voxels + self._pass[1])

    @cached_property
    def _pass(self) -> tuple[float, int]:
        """Seconds and bytes of one window's way through the network, which is timed here."""
        network, device = self._predictor.network, self._predictor.device
        network.to(device).eval()
        window = torch.zeros((1, self.channels, *self._patch), device=device)
        sizes: list[int] = []
        hooks = [
            module.register_forward_hook(lambda *given: sizes.append(4 * given[2].numel()))
            for module in network.modules()
            if not list(module.children())
        ]
        with _quiet(), torch.inference_mode(), torch.autocast(device.type, enabled=device.type == "cuda"):
            network(window)
            for hook in hooks:
                hook.remove()
            started = perf_counter()
            network(window).sum().item()
        # On plain U-Nets of 64^3 to 96^3 the peak was 0.83 to 0.94 of half of what all layers put out.
        return perf_counter() - started, sum(sizes) // 2


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _values(region: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in (region if isinstance(region, tuple | list) else (region,)))


def _checkpoints(folder: Path) -> dict[str, Path]:
    found = {
        fold: path
        for path in sorted(folder.glob(f"fold_*/{_CHECKPOINT}"))
        if (fold := path.parent.name.removeprefix("fold_")).isdecimal() or fold == "all"
    }
    if not found:
        others = ", ".join(sorted({path.name for path in folder.glob("fold_*/*.pth")}))
        raise UsageError(
            f"{folder} has no fold_*/{_CHECKPOINT}{f' (only {others}: training did not end)' if others else ''}; "
            "finish the training of at least one fold with nnUNetv2_train"
        )
    return found


def _read_checkpoint(path: Path) -> _Checkpoint:
    """Tensors and plain numbers; nothing else is unpickled."""
    with torch.serialization.safe_globals(numpy_numbers()):
        weights = read_state(path, "network_weights")
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    try:
        axes = found.get("inference_allowed_mirroring_axes")
        mirroring = None if axes is None else tuple(int(axis) for axis in axes)
        training = str(found["trainer_name"]), str(found["init_args"]["configuration"]), mirroring
        return _Checkpoint(weights, training)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsRefused(
            f"{path} is not a checkpoint that nnU-Net 2 wrote ({type(error).__name__}: {_line(error)}); expected "
            f"network_weights, trainer_name and init_args; copy {_CHECKPOINT} again from where it was trained"
        ) from error


def _trained_alike(folds: Mapping[str, _Checkpoint], folder: Path) -> _Checkpoint:
    """Any of the folds.

    Raises:
        WeightsRefused: they come from different trainings.
    """
    (first, one), *rest = folds.items()
    for fold, other in rest:
        if other.training != one.training:
            raise WeightsRefused(
                f"the folds of {folder} were not trained alike: fold {first} with {one.training}, fold {fold} with "
                f"{other.training} (trainer, configuration, axes to mirror); give folds of one training"
            )
    return one


def numpy_numbers() -> list[Any]:
    """NumPy's scalars, in which nnU-Net keeps its training curves, under both names of their maker."""
    make = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(code)) for code in "?bhilqBHILQefd"}
    return [np.dtype, *kinds, *((make, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core"))]


def _trainer_class(name: str) -> Any:
    """The trainer that says how the network is built.

    Raises:
        UsageError: it is not the stock trainer, and nnunetv2 does not find it.
    """
    if name == _STOCK:
        return need("nnunetv2.training.nnUNetTrainer.nnUNetTrainer").nnUNetTrainer
    finder = need("nnunetv2.utilities.find_objects")
    try:
        return finder.recursive_find_trainer_class_by_name(name)
    except Exception as error:  # it imports every trainer there is, whatever those import
        raise UsageError(
            f"the checkpoint was trained by {name}, and looking for it nnunetv2 failed "
            f"({type(error).__name__}: {_line(error)}). It imports all of its own trainers on the way, which need "
            "timm and a torchvision that fits torch, and then those in the folders of nnUNet_extTrainer: "
            "install or set what is missing, or use --predictions with what training with --npz left"
        ) from error


def _check_building_blocks(configuration: Any, folder: Path) -> None:
    """Plans name classes that nnU-Net imports and calls: only those that networks are made of may be named.

    Raises:
        UsageError: with the name.
    """
    given = configuration.network_arch_init_kwargs
    names = [
        configuration.network_arch_class_name,
        *(
            given[key]
            for key in configuration.network_arch_init_kwargs_req_import
            if given[key] is not None
        ),
    ]
    for name in map(str, names):
        found = pydoc.locate(name) if name.startswith(_BUILDING_BLOCKS) else None
        if not (isinstance(found, type) and issubclass(found, torch.nn.Module)):
            raise UsageError(
                f"plans.json of {folder} builds its network from {name!r}; expected modules of "
                f"{' or '.join(block.rstrip('.') for block in _BUILDING_BLOCKS)}; for a network of one's own use "
                "--predictions with what training with --npz left"
            )
