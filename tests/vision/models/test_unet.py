"""U-Nets on every kind of body: sizes, skips, layer groups, and segmentation from files to masks that are shown."""
import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torchvision import models

from minifast.data.files import get_image_files
from minifast.metrics.functions import foreground_acc
from minifast.metrics.segmentation import Dice, DiceMulti, JaccardCoeffMulti
from minifast.nn.activations import SigmoidRange
from minifast.nn.conv import PixelShuffle_ICNR, SelfAttention
from minifast.nn.layers import NormType
from minifast.vision.augment.batch import aug_transforms
from minifast.vision.augment.item import Resize
from minifast.vision.learner import unet_learner
from minifast.vision.loaders import SegmentationDataLoaders
from minifast.vision.models.backbones import arch_meta, create_body
from minifast.vision.models.unet import DynamicUnet, UnetBlock, create_unet_model
from minifast.vision.normalize import Normalize


def small_body():
    "Sizes 1/1, 1/2, 1/4, 1/8."
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1), nn.ReLU(inplace=True)),
                         nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(inplace=True)),
                         nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()))


def small_net():
    return nn.Sequential(*small_body(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2))


def test_block():
    block = UnetBlock(16, 6)
    assert block(torch.zeros(2, 16, 5, 4), torch.zeros(2, 6, 10, 8)).shape == (2, 14, 10, 8) and block.out_c == 14
    assert block(torch.zeros(2, 16, 5, 4), torch.zeros(2, 6, 9, 7)).shape == (2, 14, 9, 7)              # odd sizes
    assert UnetBlock(16, 6, final_div=False)(torch.zeros(2, 16, 5, 4), torch.zeros(2, 6, 10, 8)).shape == (2, 7, 10, 8)
    attends = UnetBlock(16, 8, self_attention=True)
    assert any(isinstance(m, SelfAttention) for m in attends.modules())
    x, skip = torch.randn(2, 16, 4, 4), torch.randn(2, 6, 8, 8)
    block = UnetBlock(16, 6).eval()
    seen = []
    block.conv1.register_forward_hook(lambda m, i, o: seen.append(i[0]))
    block(x, skip)
    assert torch.allclose(seen[0], F.relu(torch.cat([block.shuf(x), block.bn(skip)], 1)))


def test_layout():
    torch.manual_seed(0)
    model = DynamicUnet(small_body(), 5, (32, 32))
    assert model._skip_names == ["1", "2", "3"] and model._channels == [4, 6, 8] and model.n_blocks == 3
    assert [model[i].out_c for i in (2, 3, 4)] == [16, 14, 5]                     # 16/2+8, 16/2+6, (14/2+4)/2: the last has half
    assert len(model) == 7 and not len(model[5])                                   # no upsampling: there is a map of full size
    assert len(list(model[0].parameters())) == 8 and sum(p.numel() for p in model[1:].parameters()) > 0
    for size in ((32, 32), (33, 47), (8, 8), (100, 36)):
        assert model(torch.rand(2, 3, *size)).shape == (2, 5, *size)
    halved = DynamicUnet(small_body()[2:], 5, 32, n_in=4)
    assert halved._skip_names == ["2", "3"] and len(halved[4]) == 1 and isinstance(halved[4][0], PixelShuffle_ICNR)


def test_options():
    x = torch.rand(2, 3, 32, 32)
    assert DynamicUnet(small_body(), 1, 32, y_range=(0, 2))(x).min() >= 0 and isinstance(
        DynamicUnet(small_body(), 1, 32, y_range=(0, 2))[-1][-1], SigmoidRange)
    without = DynamicUnet(small_body(), 2, 32, last_cross=False)
    assert without(x).shape == (2, 2, 32, 32) and len(without[-1]) == 1
    plain = sum(p.numel() for p in DynamicUnet(small_body(), 2, 32).parameters())
    assert sum(p.numel() for p in DynamicUnet(small_body(), 2, 32, bottle=True).parameters()) < plain
    blurred = DynamicUnet(small_body(), 2, 32, blur=True, blur_final=False)
    assert [any(isinstance(m, nn.AvgPool2d) for m in b.shuf) for b in list(blurred.layers)[2:5]] == [True, True, False]
    attends = DynamicUnet(small_body(), 2, 32, self_attention=True)
    assert [any(isinstance(m, SelfAttention) for m in b.modules()) for b in list(attends.layers)[2:5]] == [True, False, False]
    for model in (blurred, attends, DynamicUnet(small_body(), 2, 32, act_cls=nn.SiLU, norm_type=NormType.Weight, init=None)):
        assert model(x).shape == (2, 2, 32, 32)


def test_copies_and_training_do_not_mix():
    "A deep copy looks into its own encoder; gradients reach every parameter; a state dict fits."
    torch.manual_seed(0)
    model = DynamicUnet(small_body(), 2, 32)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(0.5)
    x = torch.rand(2, 3, 32, 32)
    expected = model.eval()(x)
    other.eval()(x)
    assert torch.equal(model(x), expected) and not any(m._forward_hooks for m in model.modules())
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), expected)
    model.train()(x).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


ARCHS = {"alexnet": [64, 192, 256], "densenet121": [64, 256, 512, 1024], "efficientnet_b0": [16, 24, 40, 112],
         "convnext_tiny": [96, 192, 384], "swin_t": [96, 192, 384], "resnet18": [64, 64, 128, 256], "resnet50": [64, 256, 512, 1024],
         "googlenet": [64, 192, 480, 832], "mobilenet_v3_small": [16, 16, 24, 48], "vgg16_bn": [64, 128, 256, 512, 512],
         "squeezenet1_1": [64, 128, 256], "shufflenet_v2_x0_5": [24, 24, 48, 96], "inception_v3": [64, 192, 288, 768]}


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHS)
def test_torchvisions_architectures(name):
    size = 299 if name == "inception_v3" else 96
    with torch.device("meta"):                               # shapes only
        model = create_unet_model(name, 5, (size, size), pretrained=False)
        assert model._channels == ARCHS[name]
        assert model(torch.zeros(2, 3, size, size)).shape == (2, 5, size, size)
        assert model(torch.zeros(2, 3, size + 37, size + 5)).shape == (2, 5, size + 37, size + 5)
    groups = arch_meta(name).split(model)
    assert len(groups) == 3 and sum(map(len, groups)) == len(list(model.parameters()))
    assert len(groups[-1]) == len(list(model[1:].parameters()))


def test_size_of_a_known_one():
    with torch.device("meta"):
        model = create_unet_model("resnet34", 32, (224, 224), pretrained=False)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(41.2, abs=0.2)          # as fastai's


def test_numbers_not_only_shapes():
    "The skips really are what the encoder had: a swin transformer, whose maps have their channels last inside, and a resnet."
    torch.manual_seed(0)
    for body in (create_body(models.SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4])), create_body(models.resnet18())):
        model = DynamicUnet(body, 2, (64, 64)).eval()
        seen = []
        model[-3].register_forward_hook(lambda m, i, o, seen=seen: seen.append(i[1]))       # the last block
        x = torch.rand(1, 3, 64, 64)
        assert model(x).shape == (1, 2, 64, 64)
        with torch.no_grad():
            expected = body[:3](x) if isinstance(body[0], nn.Conv2d) else body[0][0](x).movedim(-1, 1)
        if not isinstance(body[0], nn.Conv2d):
            expected = body[0][1](body[0][0](x)).movedim(-1, 1)
        assert torch.allclose(seen[0], expected, atol=1e-5)


class TimmLike(nn.Module):
    "A body whose layers are called by a method of an inner module, as timm's are."

    def __init__(self):
        super().__init__()
        self.model = nn.Module()
        self.model.stem, self.model.a = nn.Conv2d(3, 8, 4, 4), nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.model.b = nn.Conv2d(8, 12, 2, 2)

    def forward(self, x):
        return self.model.b(self.model.a(self.model.stem(x)))


def test_bodies_that_are_no_sequences():
    model = DynamicUnet(TimmLike(), 3, (32, 48))
    assert model._skip_names == ["model.a"] and len(model[3]) == 2                    # 1/4 -> 1/1
    assert model(torch.rand(2, 3, 30, 41)).shape == (2, 3, 30, 41)
    with pytest.raises(ValueError, match=r"returns maps \(B,C,H,W\), but Sequential returns float32\[1,.*Vision transformers"):
        DynamicUnet(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), 2, 8)
    with pytest.raises(ValueError, match=r"whose maps shrink step by step: Conv2d makes"):
        DynamicUnet(nn.Conv2d(3, 4, 3, padding=1), 2, 8)
    with pytest.raises(ValueError, match=r"does not run on an image of 5 channels and 8 x 8 pixels"):
        DynamicUnet(small_body(), 2, 8, n_in=5)


# -- segmentation -----------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    "Images that are bright where their mask is 1, and have a void column (255)."
    root, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)
    (root / "masks").mkdir()
    for i in range(16):
        m = (rng.random((6, 8)) > 0.5).repeat(4, 0).repeat(4, 1)
        Image.fromarray((m * 150 + 50).astype(np.uint8)).convert("RGB").save(root / f"{i:02}.png")
        m = m.astype(np.uint8)
        m[:, 0] = 255
        Image.fromarray(m).save(root / "masks" / f"{i:02}.png")
    return root


def mask_of(f):
    return f.parent / "masks" / f.name


def scene_dls(scenes, ignore_index=255, **kwargs):
    return SegmentationDataLoaders.from_label_func(scenes, get_image_files(scenes, recurse=False), mask_of, codes=["dark", "bright"],
                                                   ignore_index=ignore_index, bs=4, num_workers=0, device="cpu", **kwargs)


def test_it_learns_to_segment(scenes):
    torch.manual_seed(0)
    dls = scene_dls(scenes, batch_tfms=aug_transforms(max_lighting=0, max_rotate=0, max_warp=0))
    learn = unet_learner(dls, small_net, pretrained=False, metrics=[DiceMulti(), JaccardCoeffMulti(), foreground_acc], lr=3e-3)
    before = learn.validate()
    learn.fit_one_cycle(12, 1e-2)
    loss, dice, iou, _ = learn.validate()
    assert dice > 0.9 and iou > 0.8 and loss < before[0]
    preds, targs = learn.get_preds()
    assert preds.shape == (3, 2, 24, 32) and torch.allclose(preds.sum(1), torch.ones(3, 24, 32), atol=1e-5) and targs.shape == (3, 24, 32)
    decoded = learn.predict(get_image_files(scenes, recurse=False)[0])[0]
    assert decoded.shape == (24, 32) and set(decoded.unique().tolist()) <= {0, 1}
    plt = pytest.importorskip("matplotlib.pyplot")
    learn.show_results(max_n=2)
    axes = [a for a in plt.gcf().axes if a.images]
    assert [len(a.images) for a in axes] == [2] * 4
    for a in axes:
        assert a.images[1].get_alpha() == 0.5 and a.images[1].get_cmap().name == "tab20" and a.images[1].get_clim() == (0, 1)
    shown = axes[0].images[1].get_array()
    assert np.ma.getmaskarray(shown)[:, 0].all() or np.isnan(np.asarray(shown)[:, 0]).all()        # void is clear
    plt.close("all")


def test_masks_that_do_not_fit_are_refused_by_name(scenes):
    with pytest.raises(ValueError, match=r"masks/\d\d.png holds the class numbers 255, but there are 2 codes, 0 to 1.*ignore_index=255"):
        scene_dls(scenes, ignore_index=None).one_batch()


def test_two_class_metric(scenes):
    dls = scene_dls(scenes)
    learn = unet_learner(dls, small_net, pretrained=False, metrics=Dice())
    dice = learn.validate()[1]                              # of all pixels but the void ones, which the loss ignores
    preds, targs = learn.get_preds()
    seen, counted = preds.argmax(1), targs != 255
    assert dice == pytest.approx(float(2 * (seen * targs)[counted].sum() / (seen[counted].sum() + targs[counted].sum())))
    learn.loss_func = lambda preds, targs: preds.mean()            # which ignores no pixel
    with pytest.raises(ValueError, match="Dice takes masks of 0 and 1; .* pixels have other values"):
        learn.validate()


def test_colours_of_many_classes():
    plt = pytest.importorskip("matplotlib.pyplot")
    from minifast.vision.blocks import MaskBlock
    few, many = MaskBlock(list("abc")).show, MaskBlock([str(i) for i in range(30)]).show
    mask = torch.tensor([[0, 1], [2, 2]])
    assert few(mask).images[0].get_clim() == (0, 2)
    colours = many(mask).images[0].get_cmap().colors
    assert len(colours) == 30 and len({tuple(c) for c in np.round(colours, 3)}) == 30
    unnamed = MaskBlock().show(torch.tensor([[0, 25]])).images[0]
    assert unnamed.get_clim() == (0, 19) and unnamed.get_array().tolist() == [[0, 5]]
    plt.close("all")


@pytest.mark.slow
def test_pretrained_unet(scenes, tmp_path):
    torch.manual_seed(0)
    torch.save(models.squeezenet1_1().state_dict(), tmp_path / "w.pth")
    dls = scene_dls(scenes, item_tfms=Resize(32))
    learn = unet_learner(dls, "squeezenet1_1", weights=tmp_path / "w.pth")
    groups = learn.splitter(learn.model)
    assert [any(p.requires_grad for p in g) for g in groups] == [False, False, True] and [len(g) for g in groups][:2] == [14, 36]
    assert any(isinstance(t, Normalize) for t in learn.dls.train.after_batch)
    assert not any(isinstance(t, Normalize) for t in dls.train.after_batch)
    learn.fit(1)
    assert unet_learner(dls, "squeezenet1_1", pretrained=False, n_out=7).model.eval()(torch.rand(1, 3, 20, 20)).shape == (1, 7, 20, 20)
    with pytest.raises(TypeError, match="unet_learner takes an architecture such as resnet34"):
        unet_learner(dls, models.squeezenet1_1())


def test_real_streets(data_dir):
    folder = data_dir / "camvid_half"
    if not folder.is_dir():
        pytest.skip("no street scenes")
    torch.manual_seed(0)
    codes = (folder / "codes.txt").read_text().split()
    files = get_image_files(folder / "train")[:10]
    dls = SegmentationDataLoaders.from_label_func(folder, files, lambda f: folder / "trainannot" / f"{f.stem}.png", codes=codes[:-1],
                                                  ignore_index=11, item_tfms=Resize((48, 64), "squish"), batch_tfms=aug_transforms(), bs=4,
                                                  num_workers=0, device="cpu")
    learn = unet_learner(dls, small_net, pretrained=False, metrics=DiceMulti())
    learn.fit(1)
    assert np.isfinite(learn.validate()[0]) and dls.c == 11
