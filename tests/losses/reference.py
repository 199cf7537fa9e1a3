"""DUO's loss once more, written from its definition in plain NumPy, voxel by voxel where that reads best."""

import numpy as np


def softmax(logits):
    """Over the first axis."""
    e = np.exp(logits - logits.max(0))
    return e / e.sum(0)


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits, dtype=np.float64)))


def dice(p, t):
    return 1 - (2 * (p * t).sum() + 1e-5) / (p.sum() + t.sum() + 1e-5)


def bce(p, t):
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()


def scale(z):
    """S of one class's logits (D, H, W) or (H, W): rows are the first axis."""
    s = np.linalg.svd(np.asarray(z, dtype=np.float64).reshape(len(z), -1), compute_uv=False)
    if (s**2).sum() == 0:
        return 0.0
    p = s**2 / (s**2).sum()
    p = p[p > 0]
    return float(-(p * np.log(p)).sum() / np.log(len(s)))


def official_scale(z):
    """As the authors' script: amplitudes, 1e-6 added to each."""
    s = np.linalg.svd(np.asarray(z, dtype=np.float64).reshape(len(z), -1), compute_uv=False) + 1e-6
    p = s / s.sum()
    return float(-(p * np.log(p)).sum() / np.log(len(s)))


def parts(logits, labels, noise=None, *, beta=0.5, ignore=None):
    """(B, C_fg) of Dice + BCE and of S, for a label map and a softmax with the background in channel 0."""
    batch, channels = logits.shape[:2]
    losses, scales = np.zeros((2, batch, channels - 1))
    for b in range(batch):
        p = softmax(logits[b].astype(np.float64))
        inside = np.ones(labels[b, 0].shape, bool) if ignore is None else labels[b, 0] != ignore
        for c in range(1, channels):
            t = (labels[b, 0] == c).astype(np.float64)
            if noise is not None:
                t = np.clip(t - noise[b, c - 1], 0, 1)
            losses[b, c - 1] = beta * dice(p[c][inside], t[inside]) + (1 - beta) * bce(
                p[c][inside], t[inside]
            )
            scales[b, c - 1] = scale(logits[b, c])
    return losses, scales


def duo(logits, labels, noise=None, *, alpha=0.5, beta=0.5, ignore=None):
    losses, scales = parts(logits, labels, noise, beta=beta, ignore=ignore)
    return (losses / (1 + alpha * scales)).mean()
