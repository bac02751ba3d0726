"""Ridge regression in closed form, of any number of features, with the penalty that predicts left-out samples best."""
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

_BLOCK = 1024       # features that are made float64 at once


class Ridge(NamedTuple):
    """A fitted ridge regression: predictions are `x @ weight.T + bias`.

    Args:
        weight: float32 (targets, features).
        bias: float32 (targets,).
        alpha: the chosen penalty of squared weights, those of features of deviation 1.
        left_out: what is predicted for each sample by the regression of all others, float64 (samples, targets).
    """

    weight: torch.Tensor
    bias: torch.Tensor
    alpha: float
    left_out: torch.Tensor


def ridge(x: torch.Tensor, y: torch.Tensor, alphas: Sequence[float]) -> Ridge:
    """Fit one ridge regression per target, all with the one penalty of `alphas` whose predictions of left-out samples have the least
    mean squared error. Features are scaled to deviation 1; the bias is not penalised.

    It takes the eigenvectors of a symmetric matrix of as many rows as there are samples, or features if those are fewer.

    Args:
        x: float (samples, features).
        y: float (samples, targets).
        alphas: penalties to choose from.

    Source: Hastie, Tibshirani, Friedman, "The Elements of Statistical Learning", 2009, sections 3.4.1 and 7.10 (equation 7.64).
    """
    n, n_features = x.shape
    mean_y = y.double().mean(0)
    y = y.double() - mean_y
    blocks = [_Block(x[:, i:i + _BLOCK]) for i in range(0, n_features, _BLOCK)]
    if n <= n_features:
        gram = torch.zeros(n, n, dtype=torch.float64, device=x.device)
        for block in blocks:
            scaled = block.scaled()
            gram.addmm_(scaled, scaled.T)
        s, u = torch.linalg.eigh(gram)
    else:
        scaled = torch.cat([block.scaled() for block in blocks], 1)
        s, v = torch.linalg.eigh(scaled.T @ scaled)
        u = scaled @ v / s.clamp(min=1e-300).sqrt()
    real = s > s[-1] * 1e-13                        # the rest is rounding: of constant features, and of the mean that was taken out
    s, u = s[real], u[:, real]
    uy, squares = u.T @ y, u.square()
    rest = (1 - 1 / n - squares.sum(1, keepdim=True)).clamp(min=0)      # of each sample, what no feature explains
    best, alpha, left_out = math.inf, float(alphas[0]), y
    for candidate in map(float, alphas):
        keep = candidate / (s + candidate)
        residual = y - u @ (uy * (1 - keep).unsqueeze(1))
        alone = residual / (rest + squares @ keep.unsqueeze(1)).clamp(min=1e-12)
        if (error := float(alone.square().mean())) < best:
            best, alpha, left_out = error, candidate, y - alone
    dual = u @ (uy / (s + alpha).unsqueeze(1))
    weight = torch.cat([block.unscaled(block.scaled().T @ dual) for block in blocks]).T
    mean_x = torch.cat([block.mean for block in blocks])
    return Ridge(weight.float(), (mean_y - weight @ mean_x).float(), alpha, left_out + mean_y)


class _Block:
    "Some of the features: they are made float64 and scaled when asked for."

    def __init__(self, x: torch.Tensor):
        self.x = x
        self.mean, std = x.double().mean(0), x.double().std(0, correction=0)
        self.std = torch.where(std > 1e-12, std, torch.ones_like(std))

    def scaled(self) -> torch.Tensor:
        return (self.x.double() - self.mean) / self.std

    def unscaled(self, weight: torch.Tensor) -> torch.Tensor:
        return weight / self.std.unsqueeze(1)
