"""Heads that predict numbers in a range: where they begin, and that they learn."""
import numpy as np
import pytest
import torch
from torch import nn

from minifast.data.loaders import DataLoader, DataLoaders
from minifast.nn.losses import CrossEntropyLossFlat, MSELossFlat
from minifast.vision.learner import vision_learner
from minifast.vision.models.backbones import create_vision_model
from minifast.vision.models.heads import add_head, create_head, start_head_at

MEAN = torch.tensor([-0.4, -0.75, 0.4, 0.1])


def tiny(pretrained=False):
    return nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1))


def images(n=64):
    "Random images, and four numbers that depend on their brightness, around `MEAN`."
    gen = torch.Generator().manual_seed(0)
    light = torch.rand(n, 1, generator=gen)
    x = (light[..., None, None] + 0.1 * torch.randn(n, 3, 8, 8, generator=gen))
    return x, (MEAN + 0.2 * (light - light.mean())).reshape(n, 1, 4)


@pytest.fixture
def dls():
    parts = [torch.utils.data.TensorDataset(*images(n)) for n in (64, 32)]
    return DataLoaders(DataLoader(parts[0], bs=16, shuffle=True, seed=1), DataLoader(parts[1], bs=32), device="cpu")


def test_a_range_keeps_the_layout_and_the_draws():
    layers = []
    for y_range in (None, (-1, 1)):
        torch.manual_seed(0)
        layers.append(add_head(nn.Identity(), 16, 4, y_range=y_range)[1])
    plain, ranged = layers
    assert [type(m) for m in ranged[:-1]] == [type(m) for m in plain] and list(plain.state_dict()) == list(ranged.state_dict())
    changed = [k for k, v in plain.state_dict().items() if not torch.equal(v, ranged.state_dict()[k])]
    assert changed == [list(plain.state_dict())[-1]]
    torch.testing.assert_close(ranged[-2].weight, plain[-1].weight * 0.1)


@pytest.mark.parametrize("args", [{}, {"lin_first": True}, {"bn_final": True}, {"lin_ftrs": []}, {"lin_ftrs": [], "first_bn": False}])
def test_outputs_begin_where_the_sigmoid_is_steep(args):
    torch.manual_seed(0)
    head = add_head(nn.Identity(), 256, 4, y_range=(-1, 1), pool=False, **args)[1]
    x, before = torch.randn(256, 256), {}
    head[-1].register_forward_pre_hook(lambda m, inputs: before.update(x=inputs[0]))
    out = head(x)
    assert before["x"].std() < 0.5 and out.abs().mean() < 0.25          # without it: 2 and 0.6
    (out - MEAN).square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in head.parameters())
    start_head_at(head, MEAN)
    torch.testing.assert_close(head(x).mean(0), MEAN, atol=0.07, rtol=0)


def test_values_out_of_range_and_other_heads():
    head = create_head(8, 2, y_range=(0, 10), pool=False)
    start_head_at(head, torch.tensor([-5.0, 20.0]))
    assert np.allclose(head.eval()(torch.zeros(1, 8)).detach()[0], [0.05, 9.95], atol=0.2)
    with pytest.raises(ValueError, match="this one ends with Linear"):
        start_head_at(create_head(8, 2, pool=False), torch.zeros(2))
    for wrong in ((1, -1), (0,), (2, 2)):
        with pytest.raises(ValueError, match=r"y_range takes \(low, high\), low < high; received"):
            create_head(8, 2, y_range=wrong)


def test_a_learner_begins_at_the_mean_target_and_learns(dls):
    torch.manual_seed(0)
    stream = torch.get_rng_state()
    create_vision_model(tiny, 4, pretrained=False, y_range=(-1, 1))
    expected = torch.get_rng_state()
    torch.set_rng_state(stream)
    learn = vision_learner(dls, tiny, pretrained=False, n_out=4, loss_func=MSELossFlat(), y_range=(-1, 1))
    assert torch.equal(torch.get_rng_state(), expected)                 # looking at the targets took nothing from the stream
    x, y = dls.train_ds.tensors
    learn.model.train()
    with torch.no_grad():
        torch.testing.assert_close(learn.model(x).mean(0), y.reshape(-1, 4).mean(0), atol=0.08, rtol=0)
    learn.fit(6, 1e-3)                                                  # 24 steps: without the start about 0.25
    y = dls.valid_ds.tensors[1].reshape(-1, 4)
    assert learn.validate()[0] < 0.02, "worse than a constant" + str((y - y.mean(0)).square().mean())


def test_targets_that_have_no_mean_start_in_the_middle(dls):
    x, _ = images(32)
    both = DataLoaders(DataLoader(torch.utils.data.TensorDataset(x, torch.arange(32) % 4), bs=8), device="cpu")
    torch.manual_seed(0)
    learn = vision_learner(both, tiny, pretrained=False, n_out=4, loss_func=CrossEntropyLossFlat(), y_range=(-4, 4))
    assert learn.model.eval()(x).abs().mean() < 0.6
    head = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    weight = head[1].weight.detach().clone()
    assert vision_learner(dls, tiny, pretrained=False, n_out=4, loss_func=MSELossFlat(), custom_head=head, init=None,
                          y_range=(-1, 1)).model[1] is head and torch.equal(head[1].weight, weight)
