"Which settings are tried where, and what each one does to a learner."
from functools import partial

import pytest
import torch
from slow_nets import Net, Slow, images, learner
from torch import nn
from zoo import mlp

from minifast.callbacks import ChannelsLast, MixedPrecision
from minifast.checks.speedup import options
from minifast.checks.speedup.options import AS_IT_IS, OTHER_BS, PIXELS, ROUNDING, SAME, Option
from minifast.data.loaders import DataLoader, DataLoaders


def test_settings_together():
    a, b = Option("a", SAME, ("x",), 1e-5, loader=(("cache", "ram"),)), Option("b", ROUNDING, ("y",), 0.05)
    both = a & b
    assert both.name == "a + b" and both.changes == ROUNDING and both.write == ("x", "y") and both.tolerance == 0.05
    assert AS_IT_IS & a is a and a & AS_IT_IS is a and (b & Option("c", PIXELS)).changes == PIXELS and OTHER_BS != SAME


def test_precision_on_a_cpu():
    found, left = options.precision_options(learner(Net()))
    assert [o.name for o in found] == ["bf16"] and left[0][0] == "fp16"
    learn = learner(Net())
    found[0].set_on[0](learn)
    assert next(cb for cb in learn.cbs if isinstance(cb, MixedPrecision)).amp_mode == "bf16"
    assert options.precision_options(learn)[0] == []


@pytest.mark.parametrize("model, inputs", [(mlp(), torch.zeros(2, 6)), (nn.Linear(3, 2), torch.zeros(2, 3, 4, 4)),
                                           (Net(), torch.zeros(2, 3, 4, 4, dtype=torch.uint8))])
def test_no_images_no_layout(model, inputs):
    assert options.layout_options(learner(model), (inputs, torch.zeros(2)))[0] == []


def test_layout():
    learn = learner(Net())
    option, = options.layout_options(learn, (torch.zeros(2, 3, 4, 4), torch.zeros(2)))[0]
    option.set_on[0](learn)
    assert any(isinstance(cb, ChannelsLast) for cb in learn.cbs)


def test_optimizers():
    learn = learner(Net(), opt_func=torch.optim.AdamW)
    option, = options.optimizer_options(learn, learn.twin().create_opt())[0]
    learn.create_opt()
    option.set_on[0](learn)
    assert learn.opt.param_groups[0]["fused"] and isinstance(learn.opt_func, partial)
    assert options.optimizer_options(learn, learn.opt) == ([], [("fused optimizer", "it is on already")])
    no_kernel = learner(Net(), opt_func=torch.optim.Rprop)
    assert "no fused kernel" in options.optimizer_options(no_kernel, no_kernel.create_opt())[1][0][1]
    used = learner(Net(), opt_func=torch.optim.AdamW)
    with used.no_bar(), used.no_logging():
        used.fit(1)
    assert "forget" in options.optimizer_options(used, used.twin().create_opt())[1][0][1]


def slow_loaders(**kw):
    return DataLoaders(DataLoader(Slow(), bs=12, shuffle=True, **kw), DataLoader(Slow(), bs=12, **kw))


def test_workers():
    names = [o.name for o in options.worker_options(slow_loaders(num_workers=0).train)[0]]
    assert "no workers" not in names and any("process" in n for n in names) and any("thread" in n for n in names)
    names = [o.name for o in options.worker_options(slow_loaders(num_workers=1, worker_type="thread").train)[0]]
    assert "no workers" in names and "1 thread" not in names
    found, left = options.worker_options(images().train)
    assert found == [] and "in memory" in left[0][1]


def test_loaders_continue_where_they_were():
    learn = learner(mlp(), slow_loaders(num_workers=0))
    for _ in learn.dls.train:
        pass
    before = learn.dls.train
    options.with_loaders(learn, num_workers=1, worker_type="thread")
    assert learn.dls.train is not before and learn.dls.train.num_workers == 1 and learn.dls.train.epoch == before.epoch


def test_images_that_do_not_fit_are_kept_on_disk_instead(monkeypatch, tmp_path):
    from PIL import Image

    from minifast.vision.all import ImageDataLoaders, Resize
    for i in range(8):
        Image.new("RGB", (60, 60), (i, i, i)).save(tmp_path / f"{'ab'[i % 2]}_{i}.png")
    dls = ImageDataLoaders.from_path_func(tmp_path, sorted(tmp_path.glob("*.png")), lambda f: f.name[0], item_tfms=Resize(16), bs=2)
    sample = dls.new(cache="ram").train
    list(sample)
    assert [o.name for o in options.cache_options(dls.train, sample.cache)[0]] == ["cache='ram'"]
    monkeypatch.setattr(options, "free_memory", lambda: (100, 1000))
    found, left = options.cache_options(dls.train, sample.cache)
    assert found == [] and "learn.dls = learn.dls.new(cache='disk')" in left[0][1]
    assert "on already" in options.cache_options(sample)[1][0][1]
