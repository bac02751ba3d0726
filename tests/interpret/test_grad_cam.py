"""Where Grad-CAM looks by default, in every family of torchvision, and in layers that give something else than maps."""
import pytest
import torch
from torch import nn
from torchvision import models

from minifast.interpret.grad_cam import grad_cam, last_maps
from minifast.vision.models.backbones import create_body

# Of each family: the size of the picture, the layer of the model as torchvision makes it, the resolution of the map.
FAMILIES = {
    "alexnet": (64, "features.11", 3), "convnext_tiny": (64, "features", 2), "densenet121": (64, "features", 2),
    "efficientnet_b0": (64, "features", 2), "googlenet": (64, "inception5b", 2), "mnasnet0_5": (64, "layers", 2),
    "mobilenet_v2": (64, "features", 2), "mobilenet_v3_small": (64, "features", 2), "regnet_y_400mf": (64, "trunk_output", 2),
    "resnet18": (64, "layer4", 2), "resnet34": (32, "layer3", 2), "shufflenet_v2_x0_5": (64, "conv5", 2),
    "squeezenet1_1": (64, "classifier.2", 3), "swin_t": (64, "permute", 2), "vgg11": (32, "features.19", 2),
    "swin_v2_t": (32, "features.5", 2)}


def name_of(model, layer):
    return next(n for n, m in model.named_modules() if m is layer)


def spread(cam):
    return torch.isfinite(cam).all() and cam.min() >= 0 and cam.max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_families(name):
    size, layer, side = FAMILIES[name]
    torch.manual_seed(0)
    options = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    whole = models.get_model(name, weights=None, **options)
    x = torch.rand(1, 3, size, size)
    assert name_of(whole, last_maps(whole, x)) == layer
    cams = [grad_cam(whole, x, k) for k in range(6)]
    assert all(c.shape == (1, side, side) and spread(c) for c in cams) and max(c.max() for c in cams) == 1
    body = create_body(whole)
    model = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(3))
    model.eval()(x)
    cams = [grad_cam(model, x, k) for k in range(3)]
    assert all(c.shape == cams[0].shape and c.shape[-1] > 1 and spread(c) for c in cams)


def test_a_vision_transformer():
    torch.manual_seed(0)
    model = models.VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=3)
    nn.init.normal_(model.heads[-1].weight)
    x = torch.rand(2, 3, 32, 32)
    assert name_of(model, last_maps(model, x)) == "encoder.layers.encoder_layer_1.ln_1"
    cams = [grad_cam(model, x, k) for k in range(3)]
    assert all(c.shape == (2, 4, 4) and spread(c) for c in cams) and max(c.max() for c in cams) == 1
    with pytest.raises(ValueError, match=r"the layer must be run and give .* tokens of a square of patches; Linear gave float32\[2,3\]"):
        grad_cam(model, x, 0, model.heads[-1])


def test_tokens_are_where_their_patches_are():
    class Patches(nn.Module):
        "The class is the sum over its channel of the patches; a token for the class stands before them."
        def __init__(self):
            super().__init__()
            self.tokens = nn.Identity()

        def forward(self, x):
            patches = x.flatten(2).transpose(1, 2)
            return self.tokens(torch.cat([patches.new_ones(len(x), 1, 2), patches], 1))[:, 1:].sum(1)

    x = torch.zeros(1, 2, 3, 3)
    x[0, 0, 1, 2], x[0, 1, 2, 0] = 4.0, 4.0
    model = Patches()
    for k, place in ((0, (1, 2)), (1, (2, 0))):
        cam = grad_cam(model, x, k, model.tokens)
        assert cam[0][place] == 1 and cam.sum() == 1
    last = nn.Sequential(model, nn.Identity())
    with pytest.raises(ValueError, match=r"no layer of Sequential gives maps .* of 3 x 3 pixels: give larger images, or layer="):
        grad_cam(last, x)


def test_tiny_gradients_make_a_map_too():
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2, bias=False))
    with torch.no_grad():
        model[0].weight.fill_(1e-9)
        model[3].weight.fill_(1e-9)
    assert grad_cam(model, torch.rand(1, 1, 3, 3), 0).max() == 1
