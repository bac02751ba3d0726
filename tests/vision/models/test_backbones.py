"""Bodies of torchvision's architectures: features, layer groups, input channels, and fastai's head, layer by layer."""
import pytest
import torch
from torch import nn
from torchvision import models

from minifast.nn.activations import SigmoidRange
from minifast.nn.containers import Flatten
from minifast.nn.layers import AdaptiveConcatPool2d
from minifast.vision.models import pretrained as weights_of
from minifast.vision.models.backbones import (
    arch_meta,
    create_body,
    create_cnn_model,
    create_vision_model,
    default_split,
    num_features,
    replace_input,
    split_in_halves,
)
from minifast.vision.models.heads import create_head
from minifast.vision.models.pretrained import WeightsNotFound

BY_NAME = {"resnet18": 512, "squeezenet1_1": 512, "mobilenet_v3_small": 576, "regnet_y_400mf": 440, "shufflenet_v2_x0_5": 1024,
           "mnasnet0_5": 1280, "alexnet": 256, "vgg11_bn": 512}


def check_groups(groups, model):
    ids = [id(p) for g in groups for p in g]
    assert len(ids) == len(set(ids)) == len(list(model.parameters())), "every parameter in exactly one group"
    assert len(groups) == 3 and all(groups) and groups[-1] == list(model[1].parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_NAME)
def test_architectures_by_name(name):
    model = create_vision_model(name, 5, pretrained=False).eval()
    check_groups(arch_meta(name).split(model), model)
    with torch.no_grad():
        features = model[0](torch.zeros(2, 3, 64, 64))
        assert features.ndim == 4 and features.shape[1] == BY_NAME[name] and model[1](features).shape == (2, 5)


def small_convnext():
    return models.ConvNeXt([models.convnext.CNBlockConfig(4, 8, 1), models.convnext.CNBlockConfig(8, None, 1)])


def small_swin():
    return models.SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4])


def small_maxvit():
    return models.MaxVit((64, 64), 8, 4, [8, 16], [1, 1], 4, 0.1)


SMALL = {"convnext_tiny": (small_convnext, 8), "swin_t": (small_swin, 16), "maxvit_t": (small_maxvit, 16),
         "densenet121": (lambda: models.DenseNet(4, (1, 1, 1, 1), 8), 8), "resnet18": (models.resnet18, 512),
         "mobilenet_v3_small": (models.mobilenet_v3_small, 576), "efficientnet_b0": (models.efficientnet_b0, 1280),
         "googlenet": (lambda: models.GoogLeNet(aux_logits=False, init_weights=False), 1024),
         "inception_v3": (lambda: models.Inception3(aux_logits=False, init_weights=False), 2048)}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_the_body_is_the_network_without_its_head(name):
    "Body, pooling and the classifier of torchvision in a row give what torchvision's model gives."
    torch.manual_seed(0)
    make, n = SMALL[name]
    model = make().eval()
    size = 64 if name == "maxvit_t" else 96
    x = torch.rand(2, 3, size, size)
    with torch.no_grad():
        expected = model(x)
        classifier = next(getattr(model, k) for k in ("fc", "head", "classifier") if hasattr(model, k))
        body = create_body(model).eval()
        pooled = body(x) if name == "maxvit_t" else body(x).mean((2, 3), keepdim=name == "convnext_tiny")
        assert torch.allclose(classifier(pooled), expected, atol=1e-5)
    assert num_features(body) == n
    whole = nn.Sequential(body, create_head(n, 2))
    check_groups(arch_meta(name).split(whole), whole)


def test_vision_transformer_gives_features():
    class Tiny(models.VisionTransformer):
        def __init__(self):
            super().__init__(image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32)

    torch.manual_seed(0)
    model = Tiny().eval()
    expected = model(torch.ones(1, 3, 32, 32))
    head = model.heads
    body = arch_meta("vit_b_16").cut(model)
    assert torch.allclose(head(body(torch.ones(1, 3, 32, 32))), expected)
    groups = split_in_halves(nn.Sequential(body, create_head(16, 2, pool=False)))
    assert sum(map(len, groups)) == len(list(body.parameters())) + 6 and len(groups) == 3


def test_default_split_is_body_and_head():
    model = create_vision_model("resnet18", 2, pretrained=False)
    assert list(map(len, default_split(model))) == [60, 6] and len(arch_meta("resnet18").split(model)) == 3


def test_resnet_groups_are_fastais():
    for arch in ("resnet18", models.resnet18):
        model = create_vision_model(arch, 2, pretrained=False)
        assert [len(g) for g in arch_meta(arch).split(model)] == [30, 30, 6]
        assert next(k for k, _ in model.named_parameters()) == "0.0.weight"


def test_stats_come_from_the_weights():
    for name in models.list_models(module=models):
        mean, std = arch_meta(name).stats
        preset = models.get_model_weights(name).DEFAULT.transforms()
        if name in ("googlenet", "inception_v3"):
            assert (mean, std) == ([0.5] * 3, [0.5] * 3)
        else:
            assert (mean, std) == (preset.mean, preset.std)
    meta = arch_meta("vit_b_16")
    assert meta.stats_for("IMAGENET1K_SWAG_E2E_V1") == meta.stats_for(models.ViT_B_16_Weights.DEFAULT) == meta.stats
    assert meta.stats_for("some/file.pth") == meta.stats


def test_stats_of_googlenet_are_what_its_first_layer_sees():
    x = torch.rand(1, 3, 4, 4)
    mean, std = (torch.tensor(s).view(1, 3, 1, 1) for s in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    model = models.googlenet(weights=None, init_weights=False, transform_input=True)
    assert torch.allclose(model._transform_input((x - mean) / std), (x - 0.5) / 0.5, atol=1e-6)


# -- input channels ---------------------------------------------------------------------------------------------------------------

@pytest.mark.slow
@pytest.mark.parametrize("n_in", [1, 2, 4, 5])
def test_other_numbers_of_channels_keep_what_was_learnt(n_in):
    torch.manual_seed(0)
    model = models.alexnet()
    old = model.features[0]
    body = create_body(model, n_in=n_in)
    new = body[0][0]
    w, v = old.weight, new.weight
    assert v.shape[1] == n_in and torch.equal(new.bias, old.bias) and new.stride == old.stride and new.padding == old.padding
    if n_in == 1:
        assert torch.allclose(v[:, 0], w.sum(1))
    elif n_in == 2:
        assert torch.allclose(v, w[:, :2] * 1.5)
    else:
        assert torch.equal(v[:, :3], w) and not v[:, 3:].any()
    assert num_features(body, n_in) == 256


def test_channels_without_pretrained_weights():
    body = create_body("resnet18", n_in=6, pretrained=False)
    assert body[0].in_channels == 6 and body[0].weight[:, 3:].abs().sum() > 0
    same = nn.Sequential(nn.Conv2d(4, 2, 3))
    conv = same[0]
    replace_input(same, 4)
    assert same[0] is conv
    with pytest.raises(ValueError, match="n_in=1: Sequential has no Conv2d"):
        replace_input(nn.Sequential(nn.Linear(3, 3)), 1)


# -- cut --------------------------------------------------------------------------------------------------------------------------

@pytest.mark.slow
def test_cut_is_honoured():
    assert num_features(create_body("resnet18", pretrained=False, cut=-3)) == 256
    assert num_features(create_body("resnet18", pretrained=False, cut=6)) == 128
    assert num_features(create_body("resnet18", pretrained=False, cut=lambda m: nn.Sequential(m.conv1, m.bn1))) == 64
    model = create_vision_model("resnet18", 3, pretrained=False, cut=6)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    groups = arch_meta("resnet18").split_for(6)(model)
    assert len(groups) == 3 and sum(map(len, groups)) == len(list(model.parameters()))
    with pytest.raises(TypeError, match=r"cut is a number .* or a function of the model; received str 'avgpool'"):
        create_body("resnet18", pretrained=False, cut="avgpool")


def own_net():
    return nn.Sequential(nn.Conv2d(3, 7, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 2))


def test_architectures_of_ones_own(tmp_path):
    body = create_body(own_net, pretrained=False)
    assert len(body) == 2 and num_features(body) == 7
    assert len(create_body(own_net())) == 2
    model = create_vision_model(own_net, 4, pretrained=False)
    assert sum(map(len, arch_meta(own_net).split(model))) == len(list(model.parameters()))
    with pytest.raises(ValueError, match=r"no pretrained weights are known for own_net: pass pretrained=False .*weights='path/of/file'"):
        create_vision_model(own_net, 4)
    torch.save(own_net().state_dict(), tmp_path / "own.pth")
    create_vision_model(own_net, 4, weights=tmp_path / "own.pth")
    with pytest.raises(ValueError, match=r"cannot tell where the body of Sequential ends: it has no pooling layer.*cut=-1"):
        create_body(nn.Sequential(nn.Conv2d(3, 7, 3), nn.Linear(7, 2)))
    with pytest.raises(TypeError, match=r"arch <lambda> must return an nn.Module; it returned int 3"):
        create_body(lambda: 3, pretrained=False)
    with pytest.raises(TypeError, match="received int 18"):
        arch_meta(18)
    with pytest.raises(ValueError, match=r"does not run on an image of 3 channels.*Choose another cut or n_in"):
        num_features(nn.Sequential(nn.Conv2d(5, 7, 3)))
    with pytest.raises(ValueError, match=r"must return maps \(B,C,H,W\) or features \(B,F\); it returned float32\[1,3"):
        num_features(nn.Sequential(nn.Flatten(2)))


def test_num_features_leaves_the_model_as_it_was():
    body = create_body("resnet18", pretrained=False)
    body.train()
    before = {k: v.clone() for k, v in body.state_dict().items()}
    num_features(body)
    assert body.training and all(torch.equal(v, before[k]) for k, v in body.state_dict().items())


def test_unknown_names():
    with pytest.raises(ValueError, match=r"arch='resnet81'.*did you mean 'resnet"):
        arch_meta("resnet81")


def test_timm_is_asked_for_other_names(monkeypatch, tmp_path):
    "With a stand-in for timm: names, channels, statistics and both kinds of features."
    import sys
    from types import SimpleNamespace

    class Maps(nn.Module):
        default_cfg, num_features = {"input_size": (3, 32, 32)}, 6

        def __init__(self, n_in, maps):
            super().__init__()
            self.conv, self.maps = nn.Conv2d(n_in, 6, 3), maps

        def forward_features(self, x):
            x = self.conv(x)
            return x if self.maps else x.flatten(2).transpose(1, 2)

        def forward(self, x):
            return self.forward_features(x).mean((2, 3) if self.maps else 1)

    calls = []

    def create_model(name, pretrained, num_classes, in_chans, **kwargs):
        calls.append((name, pretrained, num_classes, in_chans, kwargs))
        if pretrained and "broken" in name:
            raise OSError("no network")
        return Maps(in_chans, "vit" not in name)

    fake = SimpleNamespace(create_model=create_model, is_model=lambda n: n.startswith(("resnet26", "vit_x", "broken")),
                           list_models=lambda: ["resnet26d"],
                           get_pretrained_cfg=lambda n: SimpleNamespace(mean=(0.5,) * 3, std=(0.25,) * 3, architecture=n, tag="tag",
                                                                        hf_hub_id="timm/"))
    monkeypatch.setitem(sys.modules, "timm", fake)
    monkeypatch.setattr(weights_of, "reachable", lambda url: True)
    assert arch_meta("resnet26d").stats == ([0.5] * 3, [0.25] * 3) == arch_meta("resnet26d").stats_for()
    model = create_vision_model("resnet26d", 3, n_in=2)
    assert calls[-1] == ("resnet26d", True, 0, 2, {}) and model(torch.zeros(2, 2, 32, 32)).shape == (2, 3)
    assert [len(g) for g in arch_meta("resnet26d").split(model)][-1] == 6
    vit = create_vision_model("vit_x.a1_in1k", 3, pretrained=False)
    assert vit(torch.zeros(2, 3, 32, 32)).shape == (2, 3) and isinstance(vit[1][0], nn.BatchNorm1d)
    create_body("timm/resnet26d", weights="some/file.safetensors")
    assert calls[-1][4] == {"pretrained_cfg_overlay": {"file": "some/file.safetensors"}}
    with pytest.raises(WeightsNotFound, match=r"weights of timm's broken could not be loaded: OSError: no network.*pretrained=False"):
        create_body("broken", pretrained=True)
    monkeypatch.setattr(weights_of, "reachable", lambda url: False)
    with pytest.raises(WeightsNotFound, match="not on this machine, and the server they come from does not answer"):
        create_body("resnet26d", pretrained=True)
    monkeypatch.setenv("MINIFAST_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "resnet26d.tag.safetensors").touch()
    create_body("resnet26d", pretrained=True)
    assert calls[-1][4]["pretrained_cfg_overlay"]["file"].endswith("resnet26d.tag.safetensors")
    with pytest.raises(ValueError, match="known neither to torchvision nor to timm; did you mean 'resnet26d'"):
        arch_meta("resnext26dd")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"arch='convnext_tini' is no architecture of torchvision; did you mean 'convnext_tiny'\? "
                                         r"If it is one of timm: pip install minifast\[timm\]"):
        arch_meta("convnext_tini")


# -- head -------------------------------------------------------------------------------------------------------------------------

def layout(head):
    found = []
    for m in head.modules():
        if isinstance(m, nn.Linear):
            found.append(f"Linear({m.in_features},{m.out_features}{'' if m.bias is not None else ',no bias'})")
        elif isinstance(m, nn.BatchNorm1d):
            found.append(f"BN({m.num_features})")
        elif isinstance(m, nn.Dropout):
            found.append(f"Dropout({m.p})")
        elif isinstance(m, (AdaptiveConcatPool2d, Flatten, nn.ReLU, SigmoidRange, nn.AdaptiveAvgPool2d)):
            found.append(type(m).__name__)
    return [f for f in found if f != "AdaptiveAvgPool2d" or "AdaptiveConcatPool2d" not in found]          # it holds one


def test_head_layout():
    assert layout(create_head(512, 10)) == [
        "AdaptiveConcatPool2d", "Flatten", "BN(1024)", "Dropout(0.25)", "Linear(1024,512,no bias)", "ReLU", "BN(512)", "Dropout(0.5)",
        "Linear(512,10,no bias)"]
    assert layout(create_head(8, 2, lin_ftrs=[4, 3], ps=[0.1, 0.2, 0.3], concat_pool=False)) == [
        "AdaptiveAvgPool2d", "Flatten", "BN(8)", "Dropout(0.1)", "Linear(8,4,no bias)", "ReLU", "BN(4)", "Dropout(0.2)",
        "Linear(4,3,no bias)", "ReLU", "BN(3)", "Dropout(0.3)", "Linear(3,2,no bias)"]
    assert layout(create_head(8, 2, pool=False, lin_ftrs=[], first_bn=False, y_range=(0, 5), ps=0.5)) == [
        "Dropout(0.5)", "Linear(8,2)", "SigmoidRange"]
    final = create_head(8, 2, bn_final=True)
    assert layout(final)[-1] == "BN(2)" and final[-1].momentum == 0.01
    assert layout(create_head(8, 2, lin_first=True)) == [
        "AdaptiveConcatPool2d", "Flatten", "Dropout(0.25)", "Linear(16,512,no bias)", "ReLU", "BN(512)", "Dropout(0.5)", "Linear(512,2)"]
    with pytest.raises(ValueError, match=r"ps has 3 dropout probabilities for 2 linear layers"):
        create_head(8, 2, ps=[0.1, 0.2, 0.3])


def test_head_init_and_custom_head():
    torch.manual_seed(0)
    model = create_vision_model("resnet18", 10, pretrained=False)
    lin = model[1][4] if isinstance(model[1][4], nn.Linear) else next(m for m in model[1].modules() if isinstance(m, nn.Linear))
    assert lin.weight.std().item() == pytest.approx((2 / lin.in_features) ** 0.5, rel=0.05)      # kaiming_normal_
    bn = next(m for m in model[1].modules() if isinstance(m, nn.BatchNorm1d))
    assert (bn.weight == 1).all() and bn.bias.abs().max() < 0.01             # untouched by the initialisation of the weights
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 3))
    weight = head[2].weight.clone()
    kept = create_cnn_model("resnet18", 10, pretrained=False, custom_head=head, init=None)
    assert kept[1] is head and torch.equal(head[2].weight, weight) and kept.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
