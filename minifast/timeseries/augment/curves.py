"""Curves over the steps of series that are each of its own length, and series read at places between steps."""
import torch

from ..padding import n_steps

__all__ = ["curve", "own_steps", "read_at"]


def own_steps(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    "The numbers of the steps of series `x` (B, C, T), float32 (T,), and that of the last step of each series, (B, 1)."
    return torch.arange(x.shape[2], device=x.device, dtype=torch.float32), (n_steps(x)[:, None] - 1).clamp_min_(0).float()


def curve(pieces: torch.Tensor, steps: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Piecewise polynomials from the first to the last step of each series.

    Args:
        pieces: coefficients (B, C, degree + 1, m), constant first, of m pieces of equal length, each a polynomial on 0..1.
        steps: (T,).
        last: (B, 1).

    Returns:
        (B, C, T); after the last step its value there.
    """
    b, c, k, m = pieces.shape
    place = (steps * (m / last.clamp_min(1))).clamp_max_(m)                                     # (B, T)
    piece = place.floor().clamp_max_(m - 1)
    at = pieces.gather(3, piece.long()[:, None, None].expand(b, c, k, -1))
    place = place.sub_(piece)[:, None]
    value = at[:, :, -1]
    for i in range(k - 2, -1, -1):
        value = torch.addcmul(at[:, :, i], value, place)
    return value


def read_at(x: torch.Tensor, places: torch.Tensor, steps: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Series read at other places, between two steps on the straight line that joins them; padding stays.

    Args:
        x: series (B, C, T).
        places: where each step is read, in steps, (B, T); those outside of a series are read at its ends.
        steps: (T,).
        last: (B, 1).
    """
    end = torch.maximum(last, steps)                                                            # padding reads itself
    places = torch.where(steps > last, steps, torch.minimum(places.clamp_min(0), last))
    low = places.floor()
    high = torch.minimum(low + 1, end)

    def read(at: torch.Tensor) -> torch.Tensor:
        return x.gather(2, at.long()[:, None].expand(x.shape))
    return torch.lerp(read(low), read(high), (places - low)[:, None].to(x.dtype))
