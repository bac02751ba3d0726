"""fp16 where there is no accelerator."""
import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback
from minifast.callbacks.gradients import SAM
from minifast.callbacks.precision import MixedPrecision
from minifast.callbacks.progress import ProgressCallback
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat


def make(**kwargs):
    torch.manual_seed(0)
    ds = TensorDataset(torch.randn(16, 4), torch.arange(16) % 3)
    learn = Learner(DataLoaders(DataLoader(ds, bs=8), DataLoader(ds, bs=8)), nn.Linear(4, 3), CrossEntropyLossFlat(), **kwargs)
    learn.logger = lambda row: None
    return learn.remove_cb(ProgressCallback)


@pytest.mark.parametrize("halved", [lambda: make().to_fp16(), lambda: make(cbs=MixedPrecision()), lambda: make(cbs=MixedPrecision)],
                         ids=["to_fp16", "callback", "class"])
def test_fp16_on_a_cpu_warns_once_in_one_line_and_trains_in_full_precision(halved):
    plain, seen = make(), []
    plain.fit(2)
    sentence = r"fp16 needs an accelerator and the data is on the CPU: training is in full precision \(to_bf16"
    with pytest.warns(UserWarning, match=sentence) as told:
        learn = halved()
        learn.add_cb(Callback(after_pred=lambda cb: seen.append(cb.learn.pred.dtype)))
        learn.fit(1)
        learn.fit(1)
        learn.get_preds()
        learn.lr_find(show_plot=False, num_it=8)
    assert len(told) == 1 and "\n" not in str(told[0].message) and set(seen) == {torch.float32}
    plain.lr_find(show_plot=False, num_it=8)
    assert torch.equal(plain.model.weight, learn.model.weight) and learn.mixed_precision.scaler is None
    assert repr(learn.mixed_precision) == "MixedPrecision(fp16, off: the data is on the CPU)"
    assert learn.to_fp32() is learn and not hasattr(learn, "mixed_precision")


def test_bf16_works_on_a_cpu_and_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learn = make().to_bf16()
        learn.fit(1)
    assert repr(learn.mixed_precision) == "MixedPrecision(bf16)"


def test_fp16_that_is_off_is_no_hindrance_to_sam():
    with pytest.warns(UserWarning, match="fp16 needs an accelerator"):
        make(cbs=[SAM(), MixedPrecision()]).fit(1)


def test_fastais_arguments_of_the_scaler():
    with pytest.warns(UserWarning, match="fp16 needs an accelerator"):
        learn = make().to_fp16(init_scale=8.0, growth_factor=1.5, backoff_factor=0.25, growth_interval=10)
    with pytest.raises(ValueError, match="amp_mode is one of 'fp16', 'bf16'; did you mean 'fp16'"):
        MixedPrecision("fp61")
    assert learn.mixed_precision.amp_mode == "fp16"
