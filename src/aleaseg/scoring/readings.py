"""The readings of AUV: of which map, of which voxels, and how the classes are joined."""

from __future__ import annotations

from typing import Any

from aleaseg.measures.adjusted import SizeAdjustment
from aleaseg.measures.auv import aleatoric_uncertainty_value, case_uncertainty
from aleaseg.measures.column import Direction
from aleaseg.measures.robust import RobustScale
from aleaseg.scoring.compared import Auv, SizeAdjusted, TwoSided
from aleaseg.scoring.measure import FROM_0, PAPER, UNIT, Eye

__all__ = ["READINGS"]


def _auv(name: str, title: str, text: str, eye: Eye = Eye.NETWORK, **more: Any) -> Auv:
    """A reading of AUV, of the variant of its name; through its own mask or boxes the mask has a part in it."""
    return Auv(
        name=name,
        title=title,
        text=text,
        direction=Direction.HIGH_BAD,
        limits=UNIT,
        function=case_uncertainty if more.get("how") == "mean_auv" else aleatoric_uncertainty_value,
        sees="image" if eye is Eye.NETWORK else "both",
        eye=eye,
        source=f"{PAPER}, Eq. 4-6",
        family="AUV",
        **{"variant": name.partition("/")[2], **more},
    )


def _two_sided(name: str, title: str, text: str, eye: Eye = Eye.NETWORK, variant: str = "") -> TwoSided:
    return TwoSided(
        name=name,
        title=title,
        text=text,
        direction=Direction.HIGH_BAD,
        limits=FROM_0,
        function=RobustScale.z,
        sees="image" if eye is Eye.NETWORK else "both",
        eye=eye,
        source=f"{PAPER}, Eq. 4-5",
        family="AUV",
        ours=True,
        variant=variant,
    )


READINGS = (
    _auv(
        "auv",
        "AUV",
        "aleatoric uncertainty value as the paper has it: energies, mean S of the classes",
        role="score",
    ),
    _auv(
        "auv/official",
        "AUV, official script",
        "AUV as the public script has it: amplitudes, sum of S",
        how="sum_scale",
        definition="official",
    ),
    _auv("auv/amplitude", "AUV of amplitudes", "AUV from amplitudes, without the script's epsilons"),
    _auv("auv/centered", "AUV, centred", "AUV with the mean of each row subtracted (Eq. 2)"),
    _auv("auv/h_dw", "AUV along the height", "AUV, maps unfolded along the height"),
    _auv("auv/w_dh", "AUV along the width", "AUV, maps unfolded along the width"),
    _auv("auv/probability", "AUV of probabilities", "AUV from probabilities instead of logits"),
    _auv(
        "auv/sum_scale",
        "AUV of summed S",
        "AUV from the sum of S over the classes",
        variant="",
        how="sum_scale",
    ),
    _auv("auv/mean_auv", "mean AUV", "mean over the classes of their AUV", variant="", how="mean_auv"),
    _auv(
        "auv/foreground",
        "AUV, mask-normalised",
        "AUV on the mask-normalised image (scenario c)",
        Eye.MASKED,
    ),
    _auv(
        "auv/foreground_amplitude",
        "AUV of amplitudes, mask-normalised",
        "the same from amplitudes",
        Eye.MASKED,
    ),
    SizeAdjusted(
        name="auv/size_adjusted",
        title="S for its size",
        text="ln S minus what is expected for the field of view",
        direction=Direction.LOW_BAD,
        function=SizeAdjustment.residual,
        sees="image",
        eye=Eye.NETWORK,
        source=f"{PAPER}, Eq. 4-5; Huber 1964",
        ours=True,
    ),
    _two_sided("auv/two_sided", "S either way", "distance of ln S from its median, in either direction"),
    _two_sided(
        "auv/foreground_two_sided",
        "S either way, mask-normalised",
        "the same on the mask-normalised image",
        Eye.MASKED,
        "foreground",
    ),
    _auv(
        "auv/own",
        "AUV, prompted network",
        "AUV through the package's prompted network, raw image (scenario a)",
        Eye.OWN,
    ),
    _auv("auv/own_amplitude", "AUV of amplitudes, prompted network", "the same from amplitudes", Eye.OWN),
    _auv(
        "auv/own_foreground",
        "AUV, prompted network, mask-normalised",
        "AUV through the package's prompted network, mask-normalised image (scenario c)",
        Eye.OWN,
    ),
    _auv(
        "auv/own_foreground_amplitude",
        "AUV of amplitudes, prompted network, mask-normalised",
        "the same from amplitudes",
        Eye.OWN,
    ),
    _two_sided(
        "auv/own_two_sided",
        "S either way, prompted network",
        "the same through the package's prompted network",
        Eye.OWN,
        "own",
    ),
    _two_sided(
        "auv/own_foreground_two_sided",
        "S either way, prompted network, mask-normalised",
        "the same through the package's prompted network, mask-normalised image",
        Eye.OWN,
        "own_foreground",
    ),
)
