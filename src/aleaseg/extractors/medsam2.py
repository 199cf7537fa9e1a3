"""MedSAM2: a box on one slice, followed through the volume; the logits before they are overwritten.

MedSAM2 (Ma et al. 2025, arXiv 2504.03600) is SAM2.1 with a Hiera-tiny encoder, tuned on
medical volumes: slices are the frames of a video. The paper's choice of extractor
(arXiv 2604.10963, Table 1). Runs on transformers' implementation of the network.

Where the model thinks that a slice lacks the object it overwrites all logits of that
slice with -1024, and a single such slice takes S from 0.06 to 0.002. The logits are
therefore taken as they leave the mask decoder; the model's opinion is `presence`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from aleaseg.case import Case
from aleaseg.extractors.base import ClassMap, Cost, NoMap, Traits
from aleaseg.extractors.boxed import Boxed
from aleaseg.extractors.boxes import Box, body_box, checked_box, key_slice_box, slice_boxes, z_range
from aleaseg.extractors.checkpoint import read_state
from aleaseg.extractors.medsam2_keys import CONFIGURATION, build, random_network
from aleaseg.extras import need

__all__ = ["MARGIN_PIXELS", "MARGIN_SLICES", "MedSAM2", "Volume", "model_frames", "track"]

MARGIN_PIXELS = 5.0
"""Added to a tight box on each side, in pixels of the model's 512: upstream's `bbox_shift`, not at random."""
MARGIN_SLICES = 2
"""The object is followed so many slices beyond its own."""
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_OBJECT = 1
_BOX_CORNERS = (2, 3)  # SAM's point labels for the two corners of a box
# A tracked slice looks back at most so far for object pointers.
_REMEMBERED = 16
# Features of one slice at 512 pixels: 32 x 128^2 + 64 x 64^2 + 256 x 32^2 numbers of four bytes.
_FEATURE_BYTES = 4_200_000
_GPU_FEATURE_BUDGET = 8 * 2**30


def model_frames(image: NDArray[np.float32], size: int = 512) -> Tensor:
    """Slices as the network wants them: grey levels 0-255, resized, ImageNet's mean and deviation taken out.

    Args:
        image: (D, H, W) in [0, 1].
        size: of the network's input, pixels.

    Returns:
        (D, 3, size, size) float32.
    """
    grey = torch.from_numpy(np.round(image * 255).astype(np.uint8))[:, None]
    # On whole grey levels, as the released model was fed by an imaging library.
    resized = interpolate(grey, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
    scaled = resized.float() / 255
    mean, deviation = torch.tensor(_MEAN)[:, None, None], torch.tensor(_DEVIATION)[:, None, None]
    return (scaled.expand(-1, 3, -1, -1) - mean) / deviation


class Volume:
    """A stack of slices, each encoded once; objects are looked for one after the other.

    Several objects in one session would condition one another's slices, and each object
    in a session of its own would encode every slice again: the features are shared, the
    memory of the object is not.

    Args:
        network: transformers' `Sam2VideoModel`.
        depth: number of slices of the whole volume; positions in time are relative to it.
        device: where the network is.
        bfloat16: whether to run under autocast.
    """

    def __init__(self, network: Any, depth: int, *, device: str = "cpu", bfloat16: bool = False) -> None:
        sam2 = need("transformers.models.sam2_video.modeling_sam2_video")
        self.network = network
        self.device = device
        self.bfloat16 = bfloat16
        on_gpu = device != "cpu" and depth * _FEATURE_BYTES <= _GPU_FEATURE_BUDGET
        self._session = sam2.Sam2VideoInferenceSession(
            inference_device=device,
            inference_state_device=device if on_gpu else "cpu",
            dtype=torch.float32,
            max_vision_features_cache_size=depth + 1,
        )
        # Never read, since every slice's features are there before it is looked at; their number counts.
        self._session.processed_frames = dict.fromkeys(range(depth))
        self._position: list[Tensor] | None = None

    @torch.inference_mode()
    def encode(self, first: int, frames: Tensor) -> None:
        """Encode slices `first`, `first` + 1, ...: (B, 3, S, S)."""
        with self._precision():
            seen = self.network.get_image_features(frames.to(self.device), return_dict=True)
        if self._position is None:
            # The same for every slice: one copy in place of one each.
            self._position = [one[:, :1].clone() for one in seen.fpn_position_encoding]
        for offset in range(len(frames)):
            self._session.cache.cache_vision_features(
                first + offset,
                {
                    "vision_feats": [one[:, offset : offset + 1].clone() for one in seen.fpn_hidden_states],
                    "vision_pos_embeds": self._position,
                },
            )

    @torch.inference_mode()
    def look(self, boxes: Mapping[int, Box], first: int, last: int) -> tuple[Tensor, Tensor]:
        """Follow one object: from its boxes to the end of the range, and from them back to the beginning.

        Args:
            boxes: slice -> (x0, y0, x1, y1) in pixels of the network's input.
            first: of the range.
            last: one beyond the range. Every slice of it must be encoded.

        Returns:
            Raw logits (last - first, S/4, S/4) and the object's score on each slice (last - first,), > 0:
            it is there; float32 on the CPU.
        """
        seen: dict[int, tuple[Tensor, Tensor]] = {}
        with self._precision(), _Overheard(self.network.mask_decoder) as decoder:
            for place, box in boxes.items():
                self._prompt(place, box)
                self.network(self._session, frame_idx=place)
                seen[place] = decoder.last()
            start = min(boxes)
            for reverse in (False, True):
                # Each direction knows the prompts and itself, as if the other had never been.
                self._outputs.clear()
                places = range(start - 1, first - 1, -1) if reverse else range(start + 1, last)
                for place in places:
                    if place in boxes:
                        continue
                    self.network(self._session, frame_idx=place, reverse=reverse)
                    seen[place] = decoder.last()
                    del self._outputs[place]["high_res_masks"]
                    self._outputs.pop(place + _REMEMBERED if reverse else place - _REMEMBERED, None)
        self._session.reset_tracking_data()
        ordered = [seen[place] for place in range(first, last)]
        return torch.stack([logits for logits, _ in ordered]), torch.stack([score for _, score in ordered])

    @property
    def _outputs(self) -> dict[int, dict[str, Tensor]]:
        """What is remembered of the slices without a prompt."""
        found: dict[int, dict[str, Tensor]] = self._session.output_dict_per_obj[0]["non_cond_frame_outputs"]
        return found

    def _prompt(self, place: int, box: Box) -> None:
        index = self._session.obj_id_to_idx(_OBJECT)
        corners = torch.tensor(box, dtype=torch.float32).reshape(1, 1, 2, 2)
        labels = torch.tensor(_BOX_CORNERS, dtype=torch.int32).reshape(1, 1, 2)
        self._session.add_point_inputs(index, place, {"point_coords": corners, "point_labels": labels})
        self._session.obj_with_new_inputs = [_OBJECT]

    def _precision(self) -> torch.autocast:
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.bfloat16)


class _Overheard:
    """Listens to the mask decoder: its logits before they are overwritten where the object seems absent."""

    def __init__(self, decoder: torch.nn.Module) -> None:
        self._decoder = decoder
        self._heard: tuple[Tensor, Tensor, Tensor] | None = None

    def __enter__(self) -> _Overheard:
        self._handle = self._decoder.register_forward_hook(self._hear)
        return self

    def __exit__(self, *error: object) -> None:
        self._handle.remove()

    def _hear(self, module: torch.nn.Module, given: Any, made: tuple[Tensor, ...]) -> None:
        masks, overlap, _, score = made
        self._heard = masks, overlap, score

    def last(self) -> tuple[Tensor, Tensor]:
        """(S/4, S/4) logits of the mask that the model would choose, and the object's score."""
        assert self._heard is not None
        masks, overlap, score = self._heard
        best = overlap[0, 0].argmax() if masks.shape[2] > 1 else 0
        return masks[0, 0, best].float().cpu(), score.reshape(-1)[0].float().cpu()


def track(
    state_dict: Mapping[str, Tensor],
    frames: Tensor,
    key_slice: int,
    box: Tensor | NDArray | tuple[float, float, float, float],
    *,
    configuration: Mapping[str, Any] = CONFIGURATION,
    batch: int = 4,
) -> tuple[Tensor, Tensor]:
    """MedSAM2 as a function of tensors: a box on one slice, followed to both ends of the stack.

    Args:
        state_dict: in the names of the released checkpoint.
        frames: (D, 3, 512, 512), normalised as `model_frames` does.
        key_slice: where the box is, 0 to D - 1.
        box: (x0, y0, x1, y1) in pixels of the 512.
        configuration: of the network, where it is not the released one.
        batch: slices encoded together.

    Returns:
        Raw logits (D, 128, 128), > 0: inside; and the object's score on each slice (D,), > 0: it is there.

    Raises:
        WeightsRefused: the state dict is not that of the network.
        ValueError: key slice or box cannot be.
    """
    depth = len(frames)
    if not 0 <= key_slice < depth:
        raise ValueError(f"key_slice is {key_slice}; expected 0 to {depth - 1}, the slices of frames")
    prompt = checked_box(box)
    volume = Volume(build(state_dict, configuration), depth)
    for first in range(0, depth, batch):
        volume.encode(first, frames[first : first + batch])
    return volume.look({key_slice: prompt}, 0, depth)


class MedSAM2(Boxed):
    """Class maps of MedSAM2: each class is an object, prompted by a box, followed through its slices."""

    name = "medsam2"
    traits = Traits(
        "MedSAM2, prompted by a box on one slice of each class",
        prompts=("label_box", "label_slice_boxes", "pseudo", "auto_box"),
        normalizations=("foreground", "raw"),
        channels=1,
        weights="medsam2",
        licence="CC BY-SA 4.0",
    )
    configuration: Mapping[str, Any] = CONFIGURATION

    def _built(self) -> Any:
        if self.seed is not None:
            return random_network(self.seed, self.configuration)
        return build(read_state(self.weights, "model"), self.configuration, source=self.source)

    @property
    def _size(self) -> int:
        return int(self.configuration["image_size"])

    def identity(self) -> dict[str, Any]:
        """Also margins and the size of the network's input."""
        return {
            **super().identity(),
            "margin_pixels": MARGIN_PIXELS,
            "margin_slices": MARGIN_SLICES,
            "image_size": self._size,
        }

    def cost(self, shape: tuple[int, ...], classes: int) -> Cost:
        """At most: every class on every slice."""
        depth = shape[0] if len(shape) == 3 else 1
        encoder, follower = (0.9, 1.3) if self.settings.device == "cpu" else (0.02, 0.03)
        share = (self._size / 512) ** 2
        seconds = share * depth * (encoder + follower * classes)
        return Cost(seconds, int(600e6 + share * depth * _FEATURE_BYTES))

    def class_maps(self, case: Case) -> Iterator[ClassMap | NoMap]:
        """One map a class on its slices, (D', 128, 128); (128, 128) for a 2D image.

        Raises:
            CaseError: the image, or the label that is looked at, cannot be used.
        """
        volume, label, picture = self.stack(case)
        boxes = dict(self._boxes(case, volume, label))
        ranges = {name: found[1] for name, found in boxes.items() if found is not None}
        if not ranges:
            yield from (NoMap(name, self.why_none) for name in boxes)
            return
        seen = self._encoded(self.normalized(case, volume, label), sorted(ranges.values()))
        scale = np.array([self._size / volume.shape[2], self._size / volume.shape[1]] * 2)
        for name, found in boxes.items():
            if found is None:
                yield NoMap(name, self.why_none)
                continue
            prompts, (first, last) = found
            logits, score = seen.look(
                {z: self._widened(box, scale) for z, box in prompts.items()}, first, last
            )
            values = logits.numpy()
            yield ClassMap(
                name,
                values[0] if picture else values,
                "logit",
                (first, last),
                self.settings.prompt,
                tuple(score.tolist()),
            )

    def _boxes(
        self, case: Case, volume: NDArray, label: NDArray | None
    ) -> Iterator[tuple[str, tuple[Mapping[int, Box], tuple[int, int]] | None]]:
        """Class -> its boxes in pixels of the slice, and the range to follow it in; None where there is none."""
        prompt = self.settings.prompt
        if prompt == "auto_box":
            yield "", (body_box(volume), (0, len(volume)))
            return
        about = slice_boxes if prompt == "label_slice_boxes" else key_slice_box
        for name, mask in self.masks(case, volume, label):
            yield name, None if mask is None else (about(mask), z_range(mask, MARGIN_SLICES))

    def _encoded(self, image: NDArray[np.float32], ranges: list[tuple[int, int]]) -> Volume:
        """Every slice that some class will be looked for on, encoded once."""
        seen = Volume(self.network, len(image), device=self.settings.device, bfloat16=self.bfloat16)
        batch = 1 if self.settings.device == "cpu" else 8
        wanted = sorted({z for first, last in ranges for z in range(first, last)})
        while wanted:
            first = wanted[0]
            run = [z for offset, z in enumerate(wanted[:batch]) if z == first + offset]
            seen.encode(first, model_frames(image[first : first + len(run)], self._size))
            wanted = wanted[len(run) :]
        return seen

    def _widened(self, box: Box, scale: NDArray) -> Box:
        wider = np.asarray(box) * scale + MARGIN_PIXELS * np.array([-1, -1, 1, 1])
        x0, y0, x1, y1 = wider.clip(0, self._size).tolist()
        return x0, y0, x1, y1
