"""Padding of series: in a batch the steps after the end of a series are NaN, which cannot be mistaken for values."""
import torch


def is_step(x: torch.Tensor) -> torch.Tensor:
    """Which steps of a batch are not padding.

    Args:
        x: series (B, C, T); padding is NaN in all channels.

    Returns:
        bool (B, T).
    """
    return ~torch.isnan(x).all(1)


def split_padding(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch with 0 in place of padding, and which of its steps are not padding.

    Args:
        x: series (B, C, T).

    Returns:
        (B, C, T) and bool (B, T).
    """
    mask = is_step(x)
    return torch.where(mask.unsqueeze(1), x, torch.zeros((), dtype=x.dtype, device=x.device)), mask


def n_steps(x: torch.Tensor) -> torch.Tensor:
    """The lengths of the series of a batch.

    Args:
        x: series (B, C, T).

    Returns:
        int64 (B,).
    """
    return is_step(x).sum(1)
