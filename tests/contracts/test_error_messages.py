"""A table of wrong calls, and the sentence that each one gives: what is wrong, what was received, what to write instead."""
from functools import partial

import pytest
import torch
from PIL import Image as PIL
from torch import nn
from torch.utils.data import TensorDataset

from minifast.vision.all import *
from minifast.vision.files.reading import UnreadableImage

X, Y = torch.randn(20, 4), torch.arange(20) % 3


def dls(x=X, y=Y, **kwargs):
    ds = TensorDataset(x, y)
    return DataLoaders(DataLoader(ds, bs=5, shuffle=True, **kwargs), DataLoader(ds, bs=5))


def learner(model=None, data=None, loss_func=None, **kwargs):
    learn = Learner(data or dls(), model or nn.Linear(4, 3), loss_func or CrossEntropyLossFlat(), **kwargs)
    learn.remove_cb(ProgressCallback)
    learn.logger = noop
    return learn


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    "Two classes of 10 PNG files in train/ and valid/, one file that is no image, and an empty folder."
    path = tmp_path_factory.mktemp("photos")
    for split, n in (("train", 8), ("valid", 2)):
        for label in ("cat", "dog"):
            (path / split / label).mkdir(parents=True)
            for i in range(n):
                PIL.new("RGB", (20, 16), (i * 9, 80, 200)).save(path / split / label / f"{label}_{i}.png")
    (path / "bad").mkdir()
    for i in range(4):
        PIL.new("RGB", (20, 16)).save(path / "bad" / f"fine_{i}.png")
    (path / "bad" / "page_9.png").write_text("<html>404 not found</html>")
    (path / "empty").mkdir()
    return path


def define(**body):
    return type("Bad", (Callback,), body)


def assign_in_callback():
    class Assigns(Callback):
        def before_batch(self):
            self.xb = ()
    learner(cbs=Assigns()).fit(1)


def set_misspelt():
    learner().mterics = accuracy


def read_bad_image(path):
    data = ImageDataLoaders.from_path_func(path / "bad", get_image_files(path / "bad"), lambda f: "page", valid_pct=0.4,
                                           item_tfms=Resize(16), bs=2, num_workers=0)
    for dl in data:
        list(dl)


def different_sizes(path):
    sizes = path / "sizes"
    sizes.mkdir(exist_ok=True)
    for i in range(6):
        PIL.new("RGB", (20 + i, 16)).save(sizes / f"a_{i}.png")
    ImageDataLoaders.from_path_func(sizes, get_image_files(sizes), lambda f: "a", bs=4, num_workers=0).one_batch()


def nan_target():
    y = torch.randn(20, 1)
    y[7] = float("nan")
    learner(nn.Linear(4, 1), dls(y=y, seed=1), MSELossFlat()).fit(3)


def nan_input():
    x = X.clone()
    x[3, 2] = float("inf")
    learner(data=dls(x=x)).fit(3)


CASES = {
    # callbacks and the learner
    "misspelt event": (lambda p: define(after_bach=noop), TypeError, r"Bad\.after_bach is not a training event; did you mean 'after_batch'"),
    "misspelt event in Callback()": (lambda p: Callback(befor_fit=noop), TypeError, r"befor_fit is not a training event; did you mean 'before_fit'"),
    "assigning state in a callback": (lambda p: assign_in_callback(), AttributeError, r"write `self\.learn\.xb = \.\.\.`"),
    "callback that is none": (lambda p: learner(cbs=print), TypeError, r"a callback must be a minifast Callback.*Callback\(after_batch=f\)"),
    "misspelt attribute": (lambda p: set_misspelt(), AttributeError, r"no attribute 'mterics'; did you mean 'metrics'"),
    "misspelt method": (lambda p: learner().fit_one_cyle(1), AttributeError, r"no attribute 'fit_one_cyle'; did you mean 'fit_one_cycle'"),
    "misspelt keyword of Learner": (lambda p: learner(metrcs=accuracy), TypeError, r"metrcs"),
    "model class instead of model": (lambda p: learner(model=nn.Linear), TypeError, r"model is the class Linear; give an instance"),
    "torch loader instead of dls": (lambda p: Learner([1], nn.Linear(4, 3)), TypeError, r"dls must be DataLoaders.*DataLoaders\(train_dl, valid_dl\)"),
    "loss class": (lambda p: learner(loss_func=nn.CrossEntropyLoss), TypeError, r"loss_func is the class CrossEntropyLoss; give an instance"),
    "no loss": (lambda p: Learner(dls(), nn.Linear(4, 3)).fit(1), ValueError, r"no loss function.*loss_func="),
    "optimizer instance": (lambda p: learner(opt_func=torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1)), TypeError,
                           r"opt_func is an optimizer; give the function that makes one"),
    "unknown metric name": (lambda p: learner(metrics="acuracy"), ValueError, r"no metric named 'acuracy'; did you mean 'accuracy'"),
    "metric class": (lambda p: learner(metrics=F1Score), TypeError, r"write F1Score\(\)"),
    "accuracy of one output": (lambda p: learner(nn.Linear(4, 1), dls(y=torch.rand(20).round()), BCEWithLogitsLossFlat(), metrics=accuracy).fit(1),
                               ValueError, r"accuracy"),
    "freeze_to beyond the only layer group": (lambda p: learner().freeze_to(1), ValueError, r"1 layer group, so n must be from -1 to 0"),
    "event of another library": (lambda p: type("Mine", (Callback,), {"on_epoch_end": print}), TypeError, r"Mine\.on_epoch_end .*write after_epoch"),
    "wrong number of lrs": (lambda p: learner().fit(1, [1e-3, 1e-2]), ValueError, r"2 values .* for 1 layer group"),
    "fraction of an epoch": (lambda p: learner().fit(0.5), ValueError, r"n_epoch must be a whole number of epochs"),
    "unknown hyper-parameter": (lambda p: Adam(nn.Linear(1, 1).parameters(), lr=1e-3, weight_dcay=1), TypeError, r"weight_dcay"),
    "no such saved file": (lambda p: learner(path=p).load("nothing"), FileNotFoundError, r"no file .*nothing\.safetensors"),
    "a pickle": (lambda p: learner(path=p).load((p / "x.pkl", (p / "x.pkl").write_bytes(b"x"))[0]), ValueError, r"is a pickle"),
    "schedule that is a number": (lambda p: learner().fit(1, cbs=_scheduler({"lr": 0.1})), TypeError, r"a schedule is a function of progress"),
    "schedule of an unknown hyper": (lambda p: learner().fit(1, cbs=_scheduler({"lrr": SchedCos(1, 0)})), ValueError, r"'lrr'; did you mean 'lr'"),
    # shapes and values
    "wrong n_out": (lambda p: learner(nn.Linear(4, 2), dls(y=Y * 0 + 2)).fit(1), ValueError, r"2 outputs.* 2"),
    "(n,1) against (n,)": (lambda p: learner(nn.Linear(4, 1), dls(y=torch.randn(20)), nn.MSELoss()).fit(1), ValueError, r"\[5,1\].*\[5\]"),
    "class ids as floats": (lambda p: learner(data=dls(y=Y.float())).fit(1), ValueError, r"float"),
    "NaN target": (lambda p: nan_target(), (ValueError, FloatingPointError), r"NaN or infinite|became nan"),
    "infinite input": (lambda p: nan_input(), (ValueError, FloatingPointError), r"NaN or infinite|became"),
    "loss per item": (lambda p: learner(loss_func=nn.CrossEntropyLoss(reduction="none")).fit(1), ValueError, r"loss must be one number.*reduction='mean'"),
    "everything frozen": (lambda p: _all_frozen().fit(1), ValueError, r"no (trainable parameters|parameters|gradient|layer group)|is empty"),
    "fewer outputs than classes": (lambda p: Learner(_pictures(p), nn.Sequential(nn.Flatten(), nn.Linear(768, 1))).fit(1), ValueError, r"1 output"),
    # data
    "misspelt keyword of DataLoader": (lambda p: DataLoader(TensorDataset(X, Y), shufle=True), TypeError, r"shufle.*did you mean 'shuffle'"),
    "training set smaller than the batch": (lambda p: DataLoader(TensorDataset(X, Y), bs=64, drop_last=True), ValueError,
                                            r"smaller than one batch.*bs=20 or less"),
    "empty dataset": (lambda p: DataLoader(TensorDataset(X[:0], Y[:0])), ValueError, r"(?i)no items|empty|0 items"),
    "missing folder": (lambda p: get_image_files(p / "trian"), FileNotFoundError, r"trian.*did you mean 'train'"),
    "no images in the folder": (lambda p: ImageDataLoaders.from_folder(p / "empty"), (ValueError, FileNotFoundError), r"empty"),
    "wrong name of the validation folder": (lambda p: ImageDataLoaders.from_folder(p, valid="val"), (ValueError, FileNotFoundError), r"'val'; did you mean 'valid'"),
    "too few items to split": (lambda p: RandomSplitter()([1]), ValueError, r"1 item"),
    "wrong valid_pct": (lambda p: RandomSplitter(20), ValueError, r"valid_pct"),
    "regex that does not match": (lambda p: ImageDataLoaders.from_name_re(p, get_image_files(p / "train"), r"^(\d+)$"), ValueError, r"cat_0|dog_|cat_"),
    "missing column": (lambda p: ColReader("lable")(pd.Series({"label": 1})), KeyError, r"lable.*did you mean 'label'"),
    "unknown label": (lambda p: Categorize(vocab=["cat", "dog"])("dgo"), (KeyError, ValueError), r"dgo.*did you mean 'dog'"),
    "item_tfms given to dataloaders": (lambda p: DataBlock().dataloaders([1, 2, 3], item_tfms=noop), TypeError, r"item_tfms.*DataBlock"),
    "file that is no image": (lambda p: read_bad_image(p), UnreadableImage, r"page_9\.png"),
    "pictures of different sizes": (lambda p: different_sizes(p), ValueError, r"Resize\(224\)"),
    "random transform with before_call": (lambda p: type("Old", (RandTransform,), {"draw": noop, "before_call": noop}), TypeError, r"def draw\(self, sample, rng, split_idx\)"),
    "wrong resize method": (lambda p: Resize(16, method="sqish"), ValueError, r"did you mean 'squish'"),
    "loader of the learner out of range": (lambda p: learner().get_preds(ds_idx=5), IndexError, r"2 loaders.*test_dl"),
    # vision
    "misspelt architecture": (lambda p: vision_learner(_pictures(p), "resnet81", pretrained=False), (ValueError, ImportError), r"resnet18"),
    "a model instead of an architecture": (lambda p: vision_learner(_pictures(p), nn.Linear(1, 1)), TypeError, r"Learner\(dls, model\)"),
    "no such weights file": (lambda p: vision_learner(_pictures(p), resnet18, weights=p / "none.pth"), OSError, r"none\.pth.*no such file"),
    "tta with nothing to vary": (lambda p: _small_vision(p).tta(), ValueError, r"nothing to vary.*aug_transforms"),
    "misspelt keyword of aug_transforms": (lambda p: aug_transforms(max_rot=5), TypeError, r"max_rot"),
    "grey pictures for a model of colours": (lambda p: vision_learner(_grey(p), "resnet18", pretrained=False, n_in=3), ValueError,
                                             r"3 channels, those of the data have 1\..*vision_learner\(\.\.\., n_in=1\)"),
    "normalised twice": (lambda p: _pictures(p).with_tfms([Normalize(), Normalize.from_stats(*imagenet_stats)]), ValueError,
                         r"two transforms of this pipeline normalise.*Keep one of them"),
    "draws of the wrong number": (lambda p: Rotate(p=1, draw=[1, 2, 3])(torch.rand(4, 3, 8, 8)), ValueError,
                                  r"Rotate\(draw=\.\.\.\) takes .* one per image of the batch, 4 here; received list of 3"),
    "draws that are no numbers": (lambda p: Zoom(draw="big"), TypeError, r"Zoom\(draw=\.\.\.\) takes a number.*received str 'big'"),
    "no name to save under": (lambda p: learner().save(None), TypeError, r"name, such as 'stage-1'.*received NoneType"),
    "item of a test set that is none": (lambda p: list(_pictures(p).test_dl([get_image_files(p / "train")[0], 3])), TypeError,
                                        r"PILImage.create takes a file name.*received int 3"),
    "a dict as a test set": (lambda p: _pictures(p).test_dl({"a": 1}), TypeError, r"items must be a list.*received dict"),
    "init_head without a bias to set": (lambda p: learner(nn.Linear(4, 3, bias=False)).init_head(), ValueError,
                                        r"linear or convolutional layer with bias.*Linear\(in_features=4"),
    "probability above one": (lambda p: Flip(p=3), ValueError, r"p=3.*0 to 1|p is a probability"),
}


def _scheduler(scheds):
    return ParamScheduler(scheds)


def _all_frozen():
    model = nn.Linear(4, 3)
    for p in model.parameters():
        p.requires_grad_(False)
    return learner(model)


def _pictures(path):
    return ImageDataLoaders.from_folder(path, item_tfms=Resize(16), bs=4, num_workers=0)


def _grey(path):
    return ImageDataLoaders.from_folder(path, item_tfms=Resize(16), bs=4, num_workers=0, img_cls=PILImageBW)


def _small_vision(path):
    data = ImageDataLoaders.from_folder(path, item_tfms=Resize(16, method="squish"), bs=4, num_workers=0)
    return Learner(data, nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2)))


@pytest.mark.parametrize("case", CASES)
def test_wrong_call(case, photos):
    call, error, sentence = CASES[case]
    with pytest.raises(error, match=f"(?s){sentence}") as caught:
        call(photos)
    text = str(caught.value)
    assert len(text) > 25 and text[0] != "(", text


def test_the_table_is_long_enough():
    assert len(CASES) >= 40


def test_several_problems_are_told_at_once():
    with pytest.raises(TypeError, match=r"(?s)dls must be.*model is the class.*splitter must be"):
        Learner(3, nn.Linear, splitter=4)
    assert partial(noop, 3)() == 3
