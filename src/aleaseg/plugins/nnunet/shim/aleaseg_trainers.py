"""nnU-Net searches this folder for trainers; they are in aleaseg.plugins.nnunet."""

from aleaseg.plugins.nnunet.confidence import nnUNetTrainerConfidence
from aleaseg.plugins.nnunet.networks import (
    nnUNetTrainerSwinUNETR,
    nnUNetTrainerSwinUNETRDUO,
    nnUNetTrainerUMambaBot,
    nnUNetTrainerUMambaBotDUO,
)
from aleaseg.plugins.nnunet.sure import nnUNetTrainerEDL, nnUNetTrainerSURE
from aleaseg.plugins.nnunet.trainers import nnUNetTrainerDUO, nnUNetTrainerDUO_EN, nnUNetTrainerDUO_RW

__all__ = [
    "nnUNetTrainerConfidence",
    "nnUNetTrainerDUO",
    "nnUNetTrainerDUO_EN",
    "nnUNetTrainerDUO_RW",
    "nnUNetTrainerEDL",
    "nnUNetTrainerSURE",
    "nnUNetTrainerSwinUNETR",
    "nnUNetTrainerSwinUNETRDUO",
    "nnUNetTrainerUMambaBot",
    "nnUNetTrainerUMambaBotDUO",
]
