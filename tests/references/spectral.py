"""S and AUV once more, written from their definitions in plain NumPy, as slowly as it reads."""

import numpy as np

ORDERS = {"d_hw": (0, 1, 2), "h_dw": (1, 0, 2), "w_dh": (2, 0, 1)}


def unfolded(volume, unfold):
    """Rows and columns of one (D, H, W) volume."""
    turned = np.transpose(np.asarray(volume, dtype=np.float64), ORDERS[unfold])
    return turned.reshape(turned.shape[0], -1)


def paper_scale(matrix, power=2, center=False):
    """Eq. 2-5 of arXiv 2604.10963 for one matrix."""
    matrix = np.asarray(matrix, dtype=np.float64)
    if center:
        matrix = matrix - matrix.mean(axis=1, keepdims=True)
    s = np.linalg.svd(matrix, compute_uv=False)
    total = np.sum(s**power)
    if total == 0:
        return 0.0
    entropy = 0.0
    for p in s**power / total:
        if p > 0:
            entropy -= p * np.log(p)
    return entropy / np.log(len(s))


def official_scale(volume, svd_mode):
    """The public script as the methods describe it: amplitudes, + 1e-6 each, NaN and infinity to 0."""
    matrix = unfolded(volume, svd_mode)
    matrix = np.where(np.isfinite(matrix), matrix, 0.0)
    s = np.linalg.svd(matrix, compute_uv=False) + 1e-6
    p = s / s.sum()
    return -np.sum(p * np.log(p)) / np.log(len(s))


def official_auv(scales):
    """The public read-me's normalisation of case scales."""
    logs = np.log(np.asarray(scales) + 1e-8)
    return 1 - (logs - logs.min()) / (logs.max() - logs.min() + 1e-8)
