"""XResNet: layout, layer groups, options, training; as an architecture by name and by function."""
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from minifast.metrics.functions import accuracy
from minifast.nn.conv import ResBlock, SEBlock, SEModule, SimpleSelfAttention
from minifast.vision.images import PILImageBW
from minifast.vision.learner import vision_learner
from minifast.vision.loaders import ImageDataLoaders
from minifast.vision.models.backbones import arch_meta, create_body, create_vision_model, model_meta, num_features
from minifast.vision.models.xresnet import XRESNETS, XResNet, xresnet18, xresnet34, xresnet50

SIZES = {"xresnet18": (11.7, 512), "xresnet34": (21.8, 512), "xresnet50": (25.6, 2048), "xresnet101": (44.6, 2048),
         "xresnet152": (60.2, 2048)}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in ("xresnet101", "xresnet152") else n for n in SIZES])
def test_sizes(name):
    "About torchvision's resnets, which differ in stem and shortcuts by little; whole and as a body."
    millions, features = SIZES[name]
    with torch.device("meta"):
        model = XRESNETS[name]()
        assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.2)
        assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 1000)
        assert num_features(create_body(model)) == features
        whole = create_vision_model(name, 4, pretrained=False)
    groups = arch_meta(name).split(whole)
    assert [len(g) for g in groups] == [9, len(list(whole[0][3:].parameters())), 6]           # stem, stages, head


def test_layout():
    torch.manual_seed(0)
    model = xresnet18(n_out=7)
    stem = [model[i][0] for i in range(3)]
    assert [(c.in_channels, c.out_channels, c.stride, c.kernel_size) for c in stem] == [
        (3, 32, (2, 2), (3, 3)), (32, 32, (1, 1), (3, 3)), (32, 64, (1, 1), (3, 3))]
    assert isinstance(model[3], nn.MaxPool2d) and [len(model[i]) for i in range(4, 8)] == [2] * 4
    blocks = [m for m in model.modules() if isinstance(m, ResBlock)]
    assert all((b.convpath[-1][-1].weight == 0).all() for b in blocks)                        # starts as the identity
    shortcut = model[5][0].idpath
    assert isinstance(shortcut[0], nn.AvgPool2d) and shortcut[1][0].kernel_size == (1, 1)
    x = torch.rand(2, 3, 64, 64)
    assert model(x).shape == (2, 7) and torch.allclose(model[4](model[:4](x)), model[:4](x), atol=3e-3)
    std = model[1][0].weight.std().item()
    assert std == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.05)


def test_options():
    x = torch.rand(2, 1, 28, 28)
    small = XResNet(layers=[1, 1, 1, 1], widths=(32, 64, 128, 256), stem_szs=(16, 32, 32), n_in=1, n_out=10)
    assert small(x).shape == (2, 10) and sum(p.numel() for p in small.parameters()) < 1.3e6
    wide = XResNet(layers=(1, 1), widen=0.25, p=0.1, act_cls=nn.Mish, n_in=1, n_out=3, ks=5, stride=1)
    assert wide(x).shape == (2, 3) and any(isinstance(m, nn.Mish) for m in wide.modules()) and wide[-2].p == 0.1
    assert not any(isinstance(m, nn.ReLU) for m in wide.modules()) and wide[0][0].stride == (1, 1)
    attends = xresnet18(sa=True)
    places = [i for i in range(4, 8) if any(isinstance(m, SimpleSelfAttention) for m in attends[i].modules())]
    assert places == [4] and len([m for m in attends.modules() if isinstance(m, SimpleSelfAttention)]) == 1
    with torch.device("meta"):
        assert any(isinstance(m, SEModule) for m in xresnet50(block=SEBlock, reduction=16).modules())
        assert len(XResNet(layers=(1,) * 6)) == 3 + 1 + 6 + 4
    with pytest.raises(ValueError, match=r"XResNet\(layers=\(1, 1\), widths=\(8,\).* a width for each stage"):
        XResNet(layers=(1, 1), widths=(8,))
    with pytest.raises(ValueError, match="no pretrained weights of xresnet34: pass pretrained=False"):
        xresnet34(pretrained=True)
    with pytest.raises(TypeError, match="sat"):
        xresnet18(sat=True)


def test_as_an_architecture():
    for arch in ("xresnet18", xresnet18, partial(xresnet18, act_cls=nn.SiLU)):
        assert [len(g) for g in arch_meta(arch).split(create_vision_model(arch, 3, pretrained=False, n_in=1))] == [9, 57, 6]
    known = model_meta[xresnet18]
    assert known["stats"] is None and known["weights"] is None and num_features(known["cut"](xresnet18())) == 512
    with pytest.raises(ValueError, match="no pretrained weights of xresnet18"):
        create_vision_model(xresnet18, 3)


def test_it_learns_small_pictures(tmp_path):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    for label in ("row", "column"):
        (tmp_path / label).mkdir()
        for i in range(24):
            a = rng.integers(0, 60, (28, 28), dtype=np.uint8)
            k = int(rng.integers(4, 24))
            a[(slice(k, k + 2), slice(None)) if label == "row" else (slice(None), slice(k, k + 2))] = 255
            Image.fromarray(a).save(tmp_path / label / f"{i}.png")
    dls = ImageDataLoaders.from_folder(tmp_path, valid_pct=0.25, bs=9, num_workers=0, device="cpu", img_cls=PILImageBW)
    small = partial(XResNet, layers=[1, 1, 1], widths=(8, 16, 32), stem_szs=(8, 8, 8), n_in=1)
    learn = vision_learner(dls, small, pretrained=False, metrics=accuracy, n_in=1, ps=0.0, lin_ftrs=[16], lr=1e-2)
    learn.fit(10)
    assert learn.validate()[1] == 1


def test_c_in_is_fastais_name_of_n_in():
    model = xresnet18(c_in=1, n_out=4)
    assert model[0][0].in_channels == 1 and model(torch.rand(2, 1, 32, 32)).shape == (2, 4)
