"""`TCN`: causal dilated convolutions with residual connections; the last step sees the whole window and decides.

Source: S. Bai, J. Kolter, V. Koltun, "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling",
2018, section 3, https://arxiv.org/abs/1803.01271.

A convolution of dilation d at the last step looks at every d-th step alone. So each block keeps every second step, counted from the end,
and the next one convolves those: the same numbers, and all blocks together cost as much as two on the whole window.
"""
import torch
import torch.nn.functional as F
from torch import nn

from ...core.arguments import check_arguments, is_whole
from ...core.recipe import recorded
from .series_model import too_short


class _Causal(nn.Conv1d):
    "A convolution whose output at a step depends on that step and those before."

    def forward(self, x):
        return super().forward(F.pad(x, (self.kernel_size[0] - 1, 0)))


class _Block(nn.Module):
    "Two causal convolutions, and the input added (figure 1 b of the paper); every second step of it, the last one included."

    def __init__(self, n_in, n_out, kernel, dropout):
        super().__init__()
        self.convs = nn.Sequential(
            nn.utils.parametrizations.weight_norm(_Causal(n_in, n_out, kernel)), nn.ReLU(), nn.Dropout1d(dropout),
            nn.utils.parametrizations.weight_norm(_Causal(n_out, n_out, kernel)), nn.ReLU(), nn.Dropout1d(dropout))
        self.skip = nn.Conv1d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, x):
        return F.relu(self.convs(x) + self.skip(x))[:, :, (x.shape[2] - 1) % 2::2]


class TCN(nn.Module):
    """A temporal convolutional network. As many blocks as it takes for the last step to see all of a window.

    Args:
        c_in: channels of a series.
        c_out: outputs.
        seq_len: steps of a series.
        n_hidden: channels within.
        kernel: steps of a convolution.
        dropout: of whole channels.
    """

    masks = False
    min_steps = 1

    @recorded()
    def __init__(self, c_in: int, c_out: int, seq_len: int, n_hidden: int = 32, kernel: int = 3, dropout: float = 0.1):
        super().__init__()
        check_arguments("TCN", seq_len=(seq_len, is_whole(seq_len), "steps of a series"),
                        kernel=(kernel, is_whole(kernel, 2), "steps of a convolution, at least 2"))
        blocks, dilation, seen = [], 1, 1
        while seen < seq_len or not blocks:
            blocks.append(_Block(n_hidden if blocks else c_in, n_hidden, kernel, dropout))
            seen += 2 * (kernel - 1) * dilation
            dilation *= 2
        self.body = nn.Sequential(*blocks)
        self.head = nn.Linear(n_hidden, c_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        "(B, c_in, seq_len) -> (B, c_out)."
        if not x.shape[-1]:
            raise ValueError(too_short("TCN", 1, 0))
        return self.head(self.body(x)[:, :, -1])
