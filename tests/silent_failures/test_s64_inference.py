"""Silent failures after and around training: predictions, architectures, interpretation, files."""
import os
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from small_learners import make, same, weights_of
from torch import nn

from minifast.callbacks.base import Callback
from minifast.callbacks.loggers import CSVLogger
from minifast.callbacks.trackers import SaveModelCallback
from minifast.data.files import get_image_files
from minifast.data.loaders import DataLoaders
from minifast.data.transforms import RandTransform
from minifast.interpret.classification import ClassificationInterpretation
from minifast.learner.learner import Learner
from minifast.optim.optimizers import SGD
from minifast.vision.augment.geometry import Flip
from minifast.vision.augment.item import Resize
from minifast.vision.learner import vision_learner
from minifast.vision.loaders import ImageDataLoaders, SegmentationDataLoaders
from minifast.vision.models.backbones import create_body


class Noise(RandTransform):
    "Adds a number drawn for the batch, in training."

    def draw(self, sample, rng, split_idx):
        return {"by": float(rng.random())}

    def encodes(self, x: torch.Tensor, by):
        return x + by if x.is_floating_point() else x


def augmented(**kwargs):
    "A learner whose training rows are augmented."
    learn = make(**kwargs)
    learn.dls = DataLoaders(learn.dls.train.new(after_batch=[Noise(split_idx=0)], split_idx=0), learn.dls.valid)
    return learn


def small_net():
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(6, 2))


@pytest.fixture
def scenes(tmp_path):
    "Pictures, wider than high, that are bright in some places; their masks say where."
    rng = np.random.default_rng(0)
    (tmp_path / "masks").mkdir()
    for i in range(6):
        bright = (rng.random((4, 6)) > 0.5).repeat(4, 0).repeat(4, 1)
        Image.fromarray((bright * 200 + 20).astype(np.uint8)).convert("RGB").save(tmp_path / f"{i}.png")
        Image.fromarray(bright.astype(np.uint8)).save(tmp_path / "masks" / f"{i}.png")
    return tmp_path


def pictures(folder, **kwargs):
    return ImageDataLoaders.from_name_func(folder, get_image_files(folder, recurse=False), lambda name: ("even", "odd")[int(name[0]) % 2],
                                           valid_pct=0.5, bs=2, num_workers=0, device="cpu", **kwargs)


# -- predictions --------------------------------------------------------------------------------------------------------------------
def test_s64_training_items_are_predicted_without_augmentation():
    """`get_preds(ds_idx=0)`: predictions on the training set.

    Elsewhere: its items are augmented, randomly cropped and shuffled as in training, so predictions differ from call to call.
    Here: they are processed as in validation, in the order of the dataset; `tta` is for predictions on augmented items.
    """
    learn = augmented()
    preds = learn.get_preds(ds_idx=0)[0]
    assert torch.equal(preds, learn.get_preds(ds_idx=0)[0])
    assert torch.allclose(preds, learn.model.eval()(learn.dls.train_ds.tensors[0]).softmax(1))


def test_s65_tta_says_what_it_varies(scenes):
    """`tta()` on images that are only resized.

    Elsewhere: the only augmentation it averages over is the random crop that resizing does in training, and nothing says so.
    Here: one line says what varies ("tta varies Resize(...)"), and if nothing does, `tta` is refused.
    """
    torch.manual_seed(0)
    said = []
    learn = Learner(pictures(scenes, item_tfms=Resize(12)), small_net(), nn.CrossEntropyLoss())
    learn.logger = said.append
    with learn.no_bar():
        learn.tta(n=1)
        assert len(said) == 1 and said[0].startswith("tta varies Resize(")
        learn.dls = pictures(scenes, item_tfms=Resize(12, method="squish"))
        with pytest.raises(ValueError, match=r"tta\(\) has nothing to vary: these loaders have no random transform"):
            learn.tta()


class Bright(nn.Module):
    "Class 1 where it is bright: right for any picture, however it is turned."

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        score = (x[:, :1] - 0.5) * 20 * self.weight
        return torch.cat([-score, score], 1)


def test_s66_tta_of_masks_turns_predictions_back(scenes):
    """`tta()` when the targets are masks or points.

    Elsewhere: predictions on flipped and rotated images are averaged as they are, flipped and rotated.
    Here: each is mapped back to the original image first; boxes, for which that is not possible, are refused.
    """
    dls = SegmentationDataLoaders.from_label_func(scenes, get_image_files(scenes, recurse=False), lambda f: f.parent / "masks" / f.name,
                                                  codes=["dark", "bright"], bs=3, num_workers=0, device="cpu", batch_tfms=Flip(1.0))
    learn = Learner(dls, Bright())
    with learn.no_bar():
        preds, targs = learn.tta(n=1, beta=0.0)                # nothing but the flipped pass
        assert torch.allclose(preds, learn.get_preds()[0], atol=1e-6) and torch.equal(preds.argmax(1), targs)


# -- architectures ------------------------------------------------------------------------------------------------------------------
def test_s67_cut_and_weights_are_honoured(scenes, monkeypatch):
    """`vision_learner(dls, arch, cut=...)`, and `weights=` with an architecture of timm.

    Elsewhere: both are accepted and ignored: the body is cut at the default place, and the weights are the default ones or none.
    Here: `cut` decides where the body ends, and the head has the matching size; `weights` may name a file for timm, too.
    """
    dls = pictures(scenes)
    bodies = [vision_learner(dls, small_net, pretrained=False, cut=cut).model[0] for cut in (None, 2)]
    assert [len(b) for b in bodies] == [4, 2]
    calls = []

    class Maps(nn.Module):
        default_cfg, num_features = {"input_size": (3, 8, 8)}, 6

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3)

        def forward_features(self, x):
            return self.conv(x)

    def create_model(name, **kwargs):
        calls.append(kwargs)
        return Maps()

    timm = SimpleNamespace(create_model=create_model, is_model=lambda n: n == "mapnet", get_pretrained_cfg=lambda n: None)
    monkeypatch.setitem(sys.modules, "timm", timm)
    create_body("mapnet", weights="own/file.safetensors")
    assert calls[0]["pretrained"] and calls[0]["pretrained_cfg_overlay"] == {"file": "own/file.safetensors"}


def test_s68_more_channels_keep_the_bias():
    """A pretrained network for images with a different number of channels than three.

    Elsewhere: the first convolution is replaced, and if it has a bias (vgg, alexnet), that is random.
    Here: weights and bias are kept: one channel gets the sum of the weights, channels after the third start at zero.
    """
    trained = small_net()
    weight, bias = trained[0].weight.clone(), trained[0].bias.clone()
    new = create_body(trained, n_in=5)[0]
    assert torch.equal(new.bias, bias) and torch.equal(new.weight[:, :3], weight) and not new.weight[:, 3:].any()


# -- interpretation -----------------------------------------------------------------------------------------------------------------
def test_s69_an_interpretation_computes_once():
    """Confusion matrix and top losses of one `ClassificationInterpretation`.

    Elsewhere: each method runs the model again, and on the training set each run is augmented differently, so their numbers disagree.
    Here: one pass, in `from_learner`, without augmentation; every method reads its results.
    """
    learn, passes = augmented(), []
    learn.add_cb(Callback(before_validate=lambda: passes.append(1)))
    interp = ClassificationInterpretation.from_learner(learn, ds_idx=0)
    matrix = interp.confusion_matrix()
    values, indices = interp.top_losses(3)
    interp.most_confused()
    interp.frame()
    assert passes == [1] and matrix.trace() == interp.right.sum() and torch.equal(interp.losses[indices], values)
    assert torch.equal(interp.preds, learn.get_preds(ds_idx=0)[0])


@pytest.mark.parametrize(("other", "why"), [
    ({"opt_func": partial(SGD, mom=0.9)}, "another kind of optimizer, with betas.*; this learner's SGD has .*momentum"),
    ({"splitter": lambda m: list(m.parameters())}, "parameters in its groups, this learner's optimizer"),
], ids=["other optimizer", "other groups"])
def test_s70_an_optimizer_state_that_does_not_fit_is_refused(other, why, tmp_path):
    """`learn.load` of a file with the state of a different optimizer.

    Elsewhere: a warning, and training continues with an empty optimizer; or the state is loaded, and the next step fails.
    Here: a `ValueError`, before anything is changed, that says what differs: "the optimizer state in ... does not fit this learner ...
    load the weights alone: load(..., with_opt=False)".
    """
    saved = make(path=tmp_path)
    saved.fit(1)
    saved.save("model")
    learn = make(path=tmp_path, **other)
    before = weights_of(learn)
    with pytest.raises(ValueError, match=f"the optimizer state in .* does not fit this learner: .*{why}.*with_opt=False"):
        learn.load("model")
    assert same(learn, before)
    assert same(learn.load("model", with_opt=False), weights_of(saved))
    learn.fit(1)


def test_s71_probabilities_say_whose_they_are():
    """The probability above an image of `plot_top_losses`.

    Elsewhere: it is that of the predicted class, and reads as that of the target.
    Here: both, by name: "target cat, p(cat) = 0.03", "predicted dog, p(dog) = 0.97".
    """
    interp = ClassificationInterpretation.from_learner(make())
    interp.vocab = ["ant", "bee", "cat"]
    i = int(torch.nonzero(~interp.right)[0])
    t, d = int(interp.targs[i]), int(interp.decoded[i])
    p = interp.preds[i].tolist()
    assert f"target {interp.vocab[t]}, p({interp.vocab[t]}) = {p[t]:.2f}\n" in interp.title(i)
    assert f"predicted {interp.vocab[d]}, p({interp.vocab[d]}) = {p[d]:.2f}\n" in interp.title(i)
    assert interp.losses[i].item() == pytest.approx(-np.log(p[t]), rel=1e-4)


# -- files --------------------------------------------------------------------------------------------------------------------------
def test_s72_nothing_is_written_into_the_dataset(scenes, tmp_path_factory, monkeypatch):
    """Where `save`, `SaveModelCallback` and logs write.

    Elsewhere: into the folder of the dataset, which may be shared, read-only, or scanned for images the next time.
    Here: into `learn.path`, the working directory unless you say otherwise, whatever `dls.path` is.
    """
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))
    before = sorted(scenes.rglob("*"))
    dls = pictures(scenes)
    dls.path = scenes
    learn = Learner(dls, small_net(), nn.CrossEntropyLoss())
    learn.logger = lambda row: None
    with learn.no_bar():
        learn.fit(1, cbs=[SaveModelCallback(), CSVLogger()])
        learn.lr_find(num_it=6, suggest_funcs=None, show_plot=False)
    file = learn.save("mine")
    assert sorted(scenes.rglob("*")) == before and file.parts == ("models", "mine.safetensors")
    assert sorted(os.listdir()) == ["history.csv", "models"]
    assert sorted(os.listdir("models")) == ["mine.run.json", "mine.safetensors", "model.run.json", "model.safetensors"]
