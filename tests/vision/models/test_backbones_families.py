"""Every family of torchvision's classifiers, by name: builds, is cut, falls into layer groups, runs at its size."""
import re

import pytest
import torch
from torch import nn
from torchvision import models

from minifast.vision.models.backbones import arch_meta, create_body, create_vision_model, model_meta, split_in_halves
from minifast.vision.models.pretrained import TimmBody

# One of each family; [parameters per layer group without the head], features, and the size where it takes only one.
FAMILIES = {
    "alexnet": ([4, 6], 256), "convnext_tiny": ([66, 112], 768), "densenet121": ([114, 248], 1024), "efficientnet_b0": ([143, 68], 1280),
    "efficientnet_v2_s": ([317, 133], 1280), "googlenet": ([63, 108], 1024), "inception_v3": ([78, 204], 2048),
    "maxvit_t": ([169, 284], 512), "mnasnet0_5": ([36, 120], 1280), "mobilenet_v2": ([72, 84], 1280),
    "mobilenet_v3_small": ([57, 81], 576), "resnet18": ([30, 30], 512), "resnext50_32x4d": ([72, 87], 2048),
    "shufflenet_v2_x0_5": ([123, 45], 1024), "squeezenet1_1": ([14, 36], 512), "swin_t": ([62, 109], 768), "swin_v2_t": ([74, 133], 768),
    "vgg11": ([8, 8], 512), "vgg16_bn": ([28, 24], 512), "vit_b_16": ([64, 86], 768), "wide_resnet50_2": ([72, 87], 2048)}
SMALLEST = {"maxvit_t": 224, "vit_b_16": 224, "inception_v3": 96}


def check(name, groups, features, size):
    model = create_vision_model(name, 5, pretrained=False).eval()
    found = arch_meta(name).split(model)
    assert [len(g) for g in found] == [*groups, 6]
    ids = [id(p) for g in found for p in g]
    assert len(set(ids)) == len(ids) == len(list(model.parameters()))
    out = model[0](torch.zeros(2, 3, size, size))
    assert out.shape[:2] == (2, features) and model[1](out).shape == (2, 5)
    known = model_meta[name]
    assert known["weights"] is models.get_model_weights(name) and known["split"].__class__ is arch_meta(name).split.__class__
    assert len(known["stats"]) == 2 and callable(known["cut"])


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_families(name):
    groups, features = FAMILIES[name]
    with torch.device("meta"):                       # shapes only: no memory, no time
        check(name, groups, features, SMALLEST.get(name, 64))


def test_regnet():
    check("regnet_y_400mf", [158, 65], 440, 64)      # its constructor computes with its weights


def test_no_family_is_missing():
    "A new family in torchvision shows up here."
    known = {re.match("[a-z]+", n)[0] for n in [*FAMILIES, "regnet"]}
    assert {re.match("[a-z]+", n)[0] for n in models.list_models(module=models)} == known


@pytest.mark.slow
@pytest.mark.parametrize(("name", "attention"), [("vit_b_16", "self_attention"), ("swin_t", "attn")])
def test_transformers_have_more_than_two_groups(name, attention):
    "Early blocks, late blocks, head: and the late ones really are the late ones."
    with torch.device("meta"):
        model = create_vision_model(name, 2, pretrained=False)
    names = {id(p): n for n, p in model.named_parameters()}
    early, late, head = ([names[id(p)] for p in g] for g in arch_meta(name).split(model))
    assert any(attention in n for n in early) and any(attention in n for n in late) and all(n.startswith("1.") for n in head)
    order = list(names.values())
    if name == "swin_t":
        assert max(map(order.index, early)) < min(map(order.index, late))


class LikeTimm(nn.Module):
    "The children of timm's resnets and transformers."
    default_cfg = {"input_size": (3, 32, 32)}

    def __init__(self, transformer):
        super().__init__()
        self.transformer, self.num_features = transformer, 8
        if transformer:
            self.cls_token, self.pos_embed = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.zeros(1, 65, 8))
            self.patch_embed = nn.Conv2d(3, 8, 4, 4)
            self.blocks = nn.Sequential(*(nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8)) for _ in range(6)))
            self.norm = nn.LayerNorm(8)
        else:
            self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8)
            for i in range(4):
                setattr(self, f"layer{i + 1}", nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)))

    def forward_features(self, x):
        if not self.transformer:
            x = self.bn1(self.conv1(x))
            for i in range(4):
                x = getattr(self, f"layer{i + 1}")(x)
            return x
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        return self.norm(self.blocks(torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed))

    def forward(self, x):
        return self.forward_features(x)[:, 0] if self.transformer else self.forward_features(x).mean((2, 3))


@pytest.mark.parametrize("transformer", [False, True])
def test_layer_groups_of_timms_models(transformer):
    body = TimmBody(LikeTimm(transformer))
    model = nn.Sequential(body, nn.Linear(8, 2))
    groups = split_in_halves(model)
    names = {id(p): n.removeprefix("0.model.") for n, p in model.named_parameters()}
    early, late, head = ([names[id(p)] for p in g] for g in groups)
    assert head == ["1.weight", "1.bias"] and len(early) + len(late) + 2 == len(list(model.parameters()))
    if transformer:
        assert {"cls_token", "pos_embed", "patch_embed.weight"} <= set(early)
        assert "norm.weight" in late and any("blocks.5" in n for n in late)
    else:
        assert "conv1.weight" in early and "layer4.0.weight" in late


def test_model_meta_is_a_mapping():
    assert "resnet18" in model_meta and models.resnet18 in model_meta and "xresnet18" in model_meta and "resnet81" not in model_meta
    assert 3 not in model_meta and len(model_meta) == len(list(model_meta)) > 80
    assert model_meta["resnet18"]["stats"][0] == [0.485, 0.456, 0.406] and "architectures" in repr(model_meta)
    with pytest.raises(ValueError, match="resnet81"):
        model_meta["resnet81"]


def test_create_body_is_pretrained_unless_told_otherwise(monkeypatch):
    from minifast.vision.models import backbones
    asked = []
    monkeypatch.setattr(backbones, "load_pretrained", lambda *args: asked.append(args[2]) or models.squeezenet1_1().state_dict())
    create_body("squeezenet1_1")
    create_body("squeezenet1_1", pretrained=False)
    create_body(models.squeezenet1_1())
    assert asked == ["squeezenet1_1"]


@pytest.mark.slow
@pytest.mark.parametrize("n_in", [1, 2, 5])
@pytest.mark.parametrize("name", ["convnext_tiny", "vit_b_16", "mobilenet_v3_small", "vgg11"])
def test_other_channels(name, n_in):
    with torch.device("meta"):
        model = create_vision_model(name, 3, pretrained=False, n_in=n_in)
        assert model(torch.zeros(2, n_in, 224, 224)).shape == (2, 3)
