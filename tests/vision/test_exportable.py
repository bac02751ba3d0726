"""Learners of images that were exported predict the same in a process that knows nothing of how they were made."""
import json
import re
from concurrent.futures import ThreadPoolExecutor

import fresh_process
import numpy as np
import pytest
import torch
from PIL import Image

from minifast.learner.export import load_learner
from minifast.learner.predictor import Predictor
from minifast.vision.all import *

FRESH = """
import json, sys
from minifast.learner.export import load_learner
items, found = json.loads(sys.argv[1]), []
for file in sys.argv[2:]:
    learn = load_learner(file)
    with learn.no_bar():
        preds, _ = learn.get_preds(dl=learn.dls.test_dl(items))
        found.append([preds.double().tolist(), str(learn.predict(items[0])[0]), str(learn.dls.vocab)])
print(json.dumps(found))
"""


def in_fresh_process(files, items):
    done = fresh_process.run(FRESH, json.dumps([str(i) for i in items]), *map(str, files))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    root, g = tmp_path_factory.mktemp("pets"), np.random.default_rng(0)
    for folder in ("train/cat", "train/dog", "valid/cat", "valid/dog"):
        (root / folder).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(g.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(root / folder / f"{i}.jpg")
    return root


@pytest.fixture(scope="module")
def files(pets):
    return sorted(get_image_files(pets / "valid"))


def pairs(f):
    return [[10.0, 5.0], [20.0, 30.0]]


def boxes(f):
    return [[1.0, 2.0, 20.0, 30.0], [5.0, 5.0, 30.0, 20.0]][:1 + int(f.stem) % 2]


def mask(f):
    return np.arange(40 * 50).reshape(40, 50).astype(np.uint8) % 3


def blocks(target, get_y, **kw):
    return DataBlock((ImageBlock, target), get_y=get_y, item_tfms=Resize(32), **kw)


TASKS = {
    "one label": (lambda: blocks(CategoryBlock, parent_label, batch_tfms=[*aug_transforms(size=28), Normalize.from_stats(*imagenet_stats)]),
                  lambda d: vision_learner(d, "resnet18", pretrained=False, metrics=accuracy)),
    "a lambda labels": (lambda: blocks(CategoryBlock, lambda f: f.parent.name), lambda d: vision_learner(d, "xresnet18", pretrained=False)),
    "several labels": (lambda: blocks(MultiCategoryBlock, lambda f: ["a", "b"] if int(f.stem) % 2 else ["c"]),
                       lambda d: vision_learner(d, "squeezenet1_1", pretrained=False, metrics=accuracy_multi)),
    "a number": (lambda: blocks(RegressionBlock, lambda f: float(f.stem)),
                 lambda d: vision_learner(d, "mobilenet_v3_small", pretrained=False, y_range=(0, 4))),
    "points": (lambda: blocks(PointBlock, pairs, batch_tfms=aug_transforms()),
               lambda d: vision_learner(d, "squeezenet1_1", pretrained=False, y_range=(-1, 1))),
    "masks": (lambda: blocks(MaskBlock(codes=["x", "y", "z"]), mask),
              lambda d: unet_learner(d, "squeezenet1_1", pretrained=False, act_cls=nn.LeakyReLU)),
    "layers of torch": (lambda: blocks(CategoryBlock, parent_label), lambda d: Learner(d, small_net(d.c), loss_func=nn.CrossEntropyLoss())),
    "grey": (lambda: DataBlock((ImageBlock(PILImageBW), CategoryBlock), get_y=parent_label, item_tfms=RandomResizedCrop(32)),
             lambda d: vision_learner(d, "squeezenet1_1", n_in=1, pretrained=False, loss_func=FocalLossFlat(gamma=1.5))),
}


def small_net(n):
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, n))


def trained(pets, block, make):
    set_seed(0)
    learn = make(block().dataloaders(get_image_files(pets), bs=4, device="cpu", path=pets))
    learn.path = pets
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    return learn


def said(label):
    "A decoded target as text. What it is rounded of is compared by itself: the last digits depend on how large a batch is."
    return re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.4f}", str(label))


@pytest.mark.slow
def test_a_fresh_process_predicts_the_same(pets, files):
    exported, expected = [], []
    for i, task in enumerate(TASKS.values()):
        learn = trained(pets, *task)
        with learn.no_bar():
            before, decoded = learn.get_preds(dl=learn.dls.test_dl(files))[0], learn.predict(files[0])[0]
        file = learn.export(f"model{i}.pkl")
        assert file == pets / f"model{i}.pkl"
        content = file.read_bytes()
        assert learn.export(file).read_bytes() == content
        model = Predictor(file, bs=3)
        made = model.predict(list(files))
        assert max((p.probs - b).abs().max() for p, b in zip(made, before, strict=True)) < 1e-6
        assert said(made[0].label) == said(decoded) and said(model.predict(str(files[0])).label) == said(decoded)
        loaded = load_learner(file)
        with loaded.no_bar():
            loaded.show_results(dl=learn.dls.valid)
        plt.close("all")
        exported.append(file)
        expected.append((before, said(decoded), str(learn.dls.vocab)))
    for (preds, decoded, vocab), (before, *rest) in zip(in_fresh_process(exported, files), expected, strict=True):
        assert (torch.tensor(preds) - before).abs().max() < 1e-6 and [said(decoded), vocab] == rest


def test_rows_of_a_table(pets, files):
    df = pd.DataFrame({"name": [str(f.relative_to(pets)) for f in files], "label": [f.parent.name for f in files]})
    dls = ImageDataLoaders.from_df(df, pets, item_tfms=Resize(32), bs=4, device="cpu")
    learn = Learner(dls, small_net(dls.c), path=pets)
    loaded = load_learner(learn.export("rows.pkl"))
    with learn.no_bar(), loaded.no_bar():
        assert torch.equal(loaded.get_preds(dl=loaded.dls.test_dl(df[["name"]]))[0], learn.get_preds(dl=dls.test_dl(files))[0])
        _, targs = loaded.get_preds(dl=loaded.dls.test_dl(df, with_labels=True))
    assert targs.tolist() == [0, 0, 0, 0, 1, 1, 1, 1] and loaded.predict(df.iloc[0])[0] == learn.predict(files[0])[0]


class OwnNet(nn.Module):
    def __init__(self, n, width=3):
        super().__init__()
        self.n, self.width, self.body = n, width, nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU())
        self.head = nn.Linear(width, n)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


def test_own_model_and_loss(pets, files):
    learn = trained(pets, lambda: blocks(CategoryBlock, parent_label),
                    lambda d: Learner(d, OwnNet(d.c, width=5), loss_func=lambda p, y: nn.functional.cross_entropy(p, y)))
    with pytest.warns(UserWarning, match=r"own.pkl refers to .*OwnNet.*load_learner\('own.pkl', objects=\{.*'OwnNet': OwnNet"):
        file = learn.export("own.pkl")
    with pytest.raises(ValueError, match=r"it uses OwnNet, of your own code.*pass it, load_learner\(file, objects=\{'OwnNet': OwnNet\}\)"):
        load_learner(file)
    with learn.no_bar():
        before = learn.get_preds(dl=learn.dls.test_dl(files))[0]
    for given in (OwnNet, OwnNet(2, width=5)):
        loaded = load_learner(file, objects={"OwnNet": given})
        with loaded.no_bar():
            assert torch.equal(loaded.get_preds(dl=loaded.dls.test_dl(files))[0], before)
        with pytest.raises(ValueError, match="loss <lambda> is of your own code"):
            loaded.loss_func(torch.zeros(1, 2), torch.zeros(1))
    with pytest.raises(ValueError, match=r"do not fit the model OwnNet.*head.weight is float32\[2,5\] on cpu in the file"):
        load_learner(file, objects={"OwnNet": OwnNet(2)})


@pytest.mark.slow
def test_a_changed_model_is_the_users_own(pets):
    learn = trained(pets, *TASKS["layers of torch"])
    learn.model = vision_learner(learn.dls, "resnet18", pretrained=False).model
    learn.model[1][-1] = OwnNet(2)
    with pytest.warns(UserWarning, match=r"load it with load_learner\('changed.pkl', objects="):
        learn.export("changed.pkl")


def test_without_data(pets):
    learn = trained(pets, *TASKS["layers of torch"])
    loaded = load_learner(learn.export("model.pkl"))
    for use in (lambda: loaded.fit(1), loaded.validate, loaded.dls.one_batch, loaded.show_results):
        with pytest.raises(ValueError, match=r"this learner was loaded without data.*learn.dls = dls"):
            use()
    loaded.dls = learn.dls
    with loaded.no_bar(), loaded.no_logging():
        loaded.fit(1)


@pytest.mark.slow
def test_light_and_from_threads(pets, files):
    file = trained(pets, *TASKS["one label"]).export("light.pkl")
    code = """
import sys
from concurrent.futures import ThreadPoolExecutor
from minifast.core.seeds import rng_state
from minifast.learner.predictor import Predictor
model, files = Predictor(sys.argv[1]), sys.argv[2:]
alone = model.predict(files)
sys.setswitchinterval(1e-4)
before = rng_state()
with ThreadPoolExecutor(8) as pool:
    together = list(pool.map(model.predict, files * 4))
assert all((a.probs - b.probs).abs().max() < 1e-6 and a.label == b.label for a, b in zip(together, alone * 4))
after = rng_state()
assert before["random"] == after["random"] and before["torch"].equal(after["torch"]), "the program's own random numbers"
assert not {"pandas", "matplotlib", "sklearn", "scipy"} & set(sys.modules), "heavy"
"""
    done = fresh_process.run(code, str(file), *map(str, files), libraries=False)
    assert done.returncode == 0, done.stderr


def test_the_learner_from_threads(pets, files):
    learn = trained(pets, *TASKS["layers of torch"])
    with learn.no_bar():
        alone = [learn.predict(f)[2] for f in files]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(learn.predict, files * 3))
    assert all(torch.allclose(a[2], b, atol=1e-6) for a, b in zip(together, alone * 3, strict=True))
