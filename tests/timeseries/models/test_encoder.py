"The layers of the encoder against torch's own attention."
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from minifast.timeseries.models.encoder import Encoder, EncoderLayer
from minifast.timeseries.models.masked import StepMask


@pytest.mark.parametrize("with_mask", [False, True])
def test_attention_is_that_of_torch(with_mask):
    torch.manual_seed(0)
    layer, x = EncoderLayer(8, 2, 12, 0.0).eval(), torch.randn(3, 5, 8)
    own = nn.MultiheadAttention(8, 2, batch_first=True)
    own.load_state_dict({"in_proj_weight": layer.qkv.weight, "in_proj_bias": layer.qkv.bias, "out_proj.weight": layer.out.weight,
                         "out_proj.bias": layer.out.bias})
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0.0]]) if with_mask else None
    h = x + own(x, x, x, key_padding_mask=None if mask is None else mask == 0)[0]
    h = h / (1 + layer.norms[0].eps) ** 0.5
    expected = h + layer.narrow(F.gelu(layer.wide(h)))
    expected = expected / (1 + layer.norms[1].eps) ** 0.5
    made = layer(x, None if mask is None else StepMask(mask))
    if mask is not None:
        expected = expected * mask[:, :, None]
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)


def test_heads_that_do_not_share_evenly_are_refused_with_what_to_write():
    with pytest.raises(ValueError, match=r"Net\(d_model=10, n_heads=4\): .* such as d_model=12"):
        Encoder(5, 1, 10, 4, 8, 0.0, "Net")
    assert Encoder(5, 1, 12, 4, 8, 0.0, "Net")(torch.randn(2, 5, 12)).shape == (2, 5, 12)
