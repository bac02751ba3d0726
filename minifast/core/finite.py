"""Which values are not finite, leaving out what pads series of several lengths."""
import torch


def not_finite(x: torch.Tensor) -> torch.Tensor:
    """Where values are NaN or infinite and do not pad a series.

    Padding is NaN in all channels from a step to the last one. A series that is nothing but NaN is not padded.

    Args:
        x: floats of any shape; series are (B, C, T).

    Returns:
        bool, of the shape of `x`.
    """
    bad = ~torch.isfinite(x)
    if x.ndim != 3 or not x.numel():
        return bad
    after_end = x.isnan().all(1).flip(1).cumprod(1).flip(1).bool() & ~x.isnan().flatten(1).all(1, keepdim=True)
    return bad & ~after_end[:, None]
