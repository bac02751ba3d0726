"""PatchTST: pieces of a series are the words of a transformer, which reads each channel for itself.

Source: Y. Nie et al., "A Time Series is Worth 64 Words: Long-term Forecasting with Transformers", 2023, section 3.1,
https://arxiv.org/abs/2211.14730. Scaling each series by itself, as the paper does, is a matter of the data or of
what forecasts.
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ...core.messages import plural
from ...core.recipe import recorded
from ...core.types import YRange
from .encoder import Encoder
from .series_model import SeriesModel, check_sizes, linear_head


class PatchTST(SeriesModel):
    """Transformer of patches: float (B, c_in, T) -> (B, c_out). Series of one length, at least that of a patch.

    Args:
        c_in: channels of a series.
        c_out: outputs, or the shape of the output.
        seq_len: steps of a series.
        n_targets: for forecasts: the first `n_targets` channels each give their share of the outputs, by one and the same layer (the
            paper's channel independence); None: one layer reads all channels, for classes and numbers.
        patch_len: steps of a patch.
        stride: steps from one patch to the next.
        d_model: features of a patch.
        n_heads: heads of the attention.
        n_layers: layers of the encoder.
        d_ff: features between the linear layers of an encoder layer.
        enc_dropout: within the encoder.
        dropout: before the last layer.
        y_range: (low, high) of numbers to predict.
        padded: refused, see `SeriesModel`.
    """

    min_steps = 16
    masks = False
    needs_seq_len = True

    @recorded()
    def __init__(self, c_in: int, c_out: int | Sequence[int], seq_len: int | None = None, n_targets: int | None = None,
                 patch_len: int = 16, stride: int = 8, d_model: int = 128, n_heads: int = 16, n_layers: int = 3, d_ff: int = 256,
                 enc_dropout: float = 0.2, dropout: float = 0.0, y_range: YRange | None = None, padded: bool = False):
        super().__init__(c_in, c_out, seq_len, padded)
        check_sizes("PatchTST", patch_len=patch_len, stride=stride, n_targets=1 if n_targets is None else n_targets)
        n_steps, self.min_steps = seq_len or 1, patch_len
        if n_steps < patch_len:
            raise ValueError(f"PatchTST needs series of {plural(patch_len, 'step')} or more, the length of its patches, and these have "
                             f"{n_steps}: take a model that reads series of any length, such as InceptionTime, or make the patches "
                             f"shorter, patch_len={n_steps}")
        self.patch_len, self.stride, self.n_targets = patch_len, stride, n_targets
        n_patches = (n_steps - patch_len) // stride + 2         # one more reaches beyond the end, where the last value is repeated
        self.embed = nn.Linear(patch_len, d_model)
        self.body = Encoder(n_patches, n_layers, d_model, n_heads, d_ff, enc_dropout, "PatchTST")
        n_in, n_out = n_patches * d_model, c_out
        if n_targets is None:
            n_in *= c_in
        elif not isinstance(c_out, int) or c_out % n_targets or n_targets > c_in:
            raise ValueError(f"PatchTST(c_in={c_in}, c_out={c_out}, n_targets={n_targets}): c_out is n_targets * horizon, and the targets "
                             "are the first of the channels")
        else:
            n_out = c_out // n_targets
        self.head = linear_head(n_in, n_out, dropout, y_range)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, _ = self.read(x)
        self.check_seq_len(x)
        if self.n_targets is not None:
            x = x[:, :self.n_targets]
        patches = F.pad(x, (0, self.stride), mode="replicate").unfold(2, self.patch_len, self.stride)
        made = self.body(self.embed(patches.flatten(0, 1)))
        if self.n_targets is None:
            return self.head(made.unflatten(0, x.shape[:2]).flatten(1))
        return self.head(made.flatten(1)).unflatten(0, x.shape[:2]).flatten(1)
