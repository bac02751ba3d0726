import torch

from minifast.timeseries.models.ts_transformer import TSTransformer


def test_the_order_of_the_steps_matters():
    torch.manual_seed(0)
    model = TSTransformer(2, 3, seq_len=6, d_model=8, n_heads=2, n_layers=1, d_ff=8).eval()
    x = torch.randn(2, 2, 6)
    assert not torch.allclose(model(x), model(x.flip(2)), atol=1e-3)


def test_the_sizes_are_those_of_the_paper():
    model = TSTransformer(1, 2, seq_len=10)
    assert (len(model.body.layers), model.body.layers[0].n_heads, model.body.layers[0].wide.weight.shape) == (3, 16, (256, 128))
    assert model.head[-1].in_features == 10 * 128
