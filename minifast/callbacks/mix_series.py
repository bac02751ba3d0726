"""MixUp and CutMix of series of unequal lengths: in a batch (B,C,T) the steps after the end of a series are NaN in all channels.

Each series keeps its length and its padding, and what counts is the share of its own steps. Lengths are never read back from the device.
"""
import torch


def lengths_with_partner(x: torch.Tensor, perm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The lengths of series, and how many of these steps their partners have too.

    Args:
        x: series (B,C,T).
        perm: index of each item's partner, (B,).

    Returns:
        Two tensors (B,).
    """
    n = (~x.isnan().all(1)).sum(1)
    return n, torch.minimum(n, n[perm])


def own_share(x: torch.Tensor, perm: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
    """What each series is made of its own, if it is blended with its partner where that has steps too, and else stays as it is.

    Args:
        x: series (B,C,T).
        perm: index of each item's partner, (B,).
        lam: the fraction of the item itself where it is blended, (B,).

    Returns:
        (B,); lam itself where the partner is as long or longer.
    """
    n, both = lengths_with_partner(x, perm)
    return lam + (1 - lam) * (1 - both / n.clamp_min(1))


def with_own_steps(blended: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    "The `blended` series, and `x` where its partners have ended; (B,C,T)."
    return torch.where(blended.isnan(), x, blended)


def cut_steps(x: torch.Tensor, perm: torch.Tensor, start: torch.Tensor, share: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which steps to paste from the partners of series.

    Args:
        x: series (B,C,T).
        perm: index of each item's partner, (B,).
        start: where the stretch begins, as a share of the steps that both have, (B,).
        share: how long it is, likewise.

    Returns:
        bool (B,T), and the share of its own steps that each series keeps, (B,).
    """
    n, both = lengths_with_partner(x, perm)
    first, stop = (start * both).round(), ((start + share) * both).round()
    steps = torch.arange(x.shape[2], device=x.device)
    return (steps >= first[:, None]) & (steps < stop[:, None]), 1 - (stop - first) / n.clamp_min(1)


def paste_steps(x: torch.Tensor, perm: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """A copy of a tensor whose `steps` come from the partners.

    Args:
        x: (B,...,T).
        perm: index of each item's partner, (B,).
        steps: bool (B,T).
    """
    return torch.where(steps.reshape(len(x), *[1] * (x.ndim - 2), -1), x[perm], x)
