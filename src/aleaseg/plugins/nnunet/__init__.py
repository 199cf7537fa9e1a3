"""Trainers for nnU-Net 2.8, found through its `nnUNet_extTrainer`; selections honoured; checkpoints made plain.

Importing this imports neither nnunetv2 nor torch.
"""

from pathlib import Path

__all__ = ["TRAINER_FOLDER"]

TRAINER_FOLDER = Path(__file__).resolve().parent / "shim"
"""What `nnUNet_extTrainer` names: nnU-Net imports every module in it."""
