"""Flips and half turns of a batch of images: geometry that moves pixels and needs no interpolation.

The matrices `m`, an array (B,3,3), are those of `augment.affine`: from a place in the result, -1 to 1, to its place in the image.
"""
import numpy as np
import torch


def is_symmetry(m: np.ndarray) -> bool:
    "Whether every matrix is a flip, a half turn or nothing: pixels only change places and nothing needs interpolating."
    return bool((np.abs(m) == np.eye(3)).all() and (m[:, 2, 2] == 1).all())


def flips(m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    "Which images the matrices `m` (see `is_symmetry`) mirror left and right, and which top and bottom."
    return m[:, 0, 0] < 0, m[:, 1, 1] < 0


def symmetries(x: torch.Tensor, m: np.ndarray) -> torch.Tensor:
    "Batch `x` with the flips `m` (see `is_symmetry`) done by moving pixels."
    for axis, flipped in zip((-1, -2), flips(m), strict=True):
        if flipped.all():
            x = x.flip(axis)
        elif flipped.any():
            where = torch.from_numpy(flipped.copy()).to(x.device, non_blocking=True).view(-1, *[1] * (x.ndim - 1))
            x = torch.where(where, x.flip(axis), x)
    return x
