"""Which places a score is made of."""
import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn
from torchvision import models

from minifast.interpret.grad_cam import class_activation, grad_cam, plot_class_activation
from minifast.vision.models.backbones import create_body
from minifast.vision.models.heads import create_head


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "densenet121", "shufflenet_v2_x0_5", "mnasnet0_5"])
def test_the_mean_and_the_bias_are_the_score(name):
    torch.manual_seed(0)
    model, x = models.get_model(name, weights=None, num_classes=4).train(), torch.rand(3, 3, 64, 64)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        pred = model.eval()(x)
    last = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    model.train()
    for k in range(4):
        got = class_activation(model, x, k)
        assert got.ndim == 3 and got.shape[-1] > 1
        assert torch.allclose(got.mean((1, 2)) + last.bias[k], pred[:, k], atol=1e-4)
    assert torch.equal(class_activation(model, x), class_activation(model, x, pred.argmax(1)))
    assert model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


def test_a_head_of_ours_and_its_grad_cam():
    torch.manual_seed(0)
    body = create_body(models.resnet18())
    model = nn.Sequential(body, create_head(512, 3, lin_ftrs=[], concat_pool=False, first_bn=False)).eval()
    x = torch.rand(2, 3, 96, 96)
    maps = class_activation(model, x, 1)
    positive = maps.relu()
    cam = grad_cam(model, x, 1)                         # the same but for the sign and the scale
    for m, c in zip(positive, cam, strict=True):
        assert torch.allclose(m / m.max().clamp(min=1e-12), c, atol=1e-4)


@pytest.mark.parametrize("model", [
    nn.Sequential(create_body(models.resnet18()), create_head(512, 3)), models.squeezenet1_1(num_classes=3),
    nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 2)),
    nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 2))],
    ids=["two layers", "no linear layer", "maximum", "batch norm"])
def test_scores_that_are_made_in_another_way(model):
    torch.manual_seed(0)
    with torch.no_grad():
        for m in model.modules():
            if isinstance(m, nn.BatchNorm1d):
                m.weight.fill_(3.0)
    with pytest.raises(ValueError, match=r"needs scores that are a mean .* use grad_cam, or a head such as create_head\("):
        class_activation(model, torch.rand(2, 3, 64, 64))


def test_drawn(data_dir):
    from minifast.interpret.classification import ClassificationInterpretation
    from minifast.vision.all import ImageDataLoaders, Learner, get_image_files
    files = get_image_files(data_dir / "cifar10_tiny")[::40]
    dls = ImageDataLoaders.from_path_func(data_dir, files, lambda p: p.parent.name[0] > "d", bs=8, num_workers=0)
    learn = Learner(dls, nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))
    interp = ClassificationInterpretation.from_learner(learn)
    axes = plot_class_activation(interp, [0, 1, 2], target=1)
    assert len(axes) == 3 and all(len(a.images) == 2 for a in axes)
    plt.close("all")


def test_in_lower_precision():
    torch.manual_seed(0)
    model, x = models.resnet18(num_classes=4).eval(), torch.rand(2, 3, 64, 64)
    exact = class_activation(model, x, 1)
    with torch.autocast("cpu", torch.bfloat16):
        near = class_activation(model, x, 1)
    assert (near - exact).abs().max() < 0.1 * exact.abs().max()
    assert class_activation(model.bfloat16(), x.bfloat16(), 1).shape == exact.shape
