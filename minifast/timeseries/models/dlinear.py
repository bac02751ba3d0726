"""`DLinear`: trend and rest of a window, each mapped to the horizon by one linear layer.

Source: A. Zeng, M. Chen, L. Zhang, Q. Xu, "Are Transformers Effective for Time Series Forecasting?", 2022, section 4,
https://arxiv.org/abs/2205.13504. Known and past-only columns are added: the paper has none.
"""
import torch
import torch.nn.functional as F
from torch import nn

from ...core.arguments import check_arguments, is_whole
from ...core.recipe import recorded


class DLinear(nn.Module):
    """Trend (a moving average) and rest of each target, each through a linear layer from the steps of the window to those of the horizon,
    and added. All targets share the layers. Other columns come in by a further linear layer, which starts at 0.

    Args:
        c_in: channels of a window, the targets first.
        c_out: outputs: targets times horizon (times quantiles).
        seq_len: steps of a window.
        n_targets: how many of the channels are targets.
        n_known: inputs that are known for the horizon: columns times horizon.
        kernel: steps of the moving average.
        individual: layers of its own for each target.
    """

    #: it forecasts: it is made with `n_targets` and `n_known`, and called with the known future
    forecasts = True
    masks = False
    min_steps = 1

    @recorded()
    def __init__(self, c_in: int, c_out: int, seq_len: int, n_targets: int = 1, n_known: int = 0, kernel: int = 25,
                 individual: bool = False):
        super().__init__()
        check_arguments("DLinear", seq_len=(seq_len, is_whole(seq_len), "steps of a window"),
                        n_targets=(n_targets, is_whole(n_targets) and n_targets <= c_in and c_out % n_targets == 0,
                                   f"targets among the {c_in} channels, each with as many of the {c_out} outputs"),
                        kernel=(kernel, is_whole(kernel) and kernel % 2, "steps of the moving average, an odd number"))
        self.n_targets, self.kernel, self.individual = n_targets, kernel, individual
        n = n_targets if individual else 1
        self.trend = nn.ModuleList(nn.Linear(seq_len, c_out // n_targets) for _ in range(n))
        self.rest = nn.ModuleList(nn.Linear(seq_len, c_out // n_targets) for _ in range(n))
        n_others = (c_in - n_targets) * seq_len + n_known
        self.others = nn.Linear(n_others, c_out, bias=False) if n_others else None
        if self.others is not None:
            nn.init.zeros_(self.others.weight)

    def forward(self, x: torch.Tensor, known: torch.Tensor | None = None) -> torch.Tensor:
        """(B, c_in, seq_len), and (B, columns, horizon) where there are known ones, -> (B, c_out)."""
        y = x[:, :self.n_targets]
        side = self.kernel // 2
        trend = F.avg_pool1d(F.pad(y, (side, side), mode="replicate"), self.kernel, 1)
        if self.individual:
            pairs = zip(self.trend, self.rest, strict=True)
            out = torch.stack([a(trend[:, i]) + b((y - trend)[:, i]) for i, (a, b) in enumerate(pairs)], 1)
        else:
            out = self.trend[0](trend) + self.rest[0](y - trend)
        out = out.flatten(1)
        if self.others is not None:
            parts = [x[:, self.n_targets:].flatten(1)] + ([] if known is None else [known.flatten(1)])
            out = out + self.others(torch.cat(parts, 1))
        return out
