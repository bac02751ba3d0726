"""What is said of names of fastai's that are absent, second part: tensors and small functions; and of weights, widgets and fastcore."""
import collections.abc
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from suggestions import told
from torch import nn
from workshop import BodyHead, extra, learner, numbers, wanted

from minifast.compat.fastai_names import ABSENT, FASTCORE
from minifast.compat.fastai_weights import port_weights
from minifast.compat.modules import names_here
from minifast.core.nested import leaves, map_nested
from minifast.vision.all import *


# -- tensors
def test_classes_of_tensors():
    class Flow(TensorBase):
        "A subclass of `TensorBase`."

    x = torch.rand(3, 2, 2)
    with told("compat/fastai_names.py", "write a subclass of `TensorBase`, or use `TensorImage`, `TensorMask`, `TensorPoint` and"):
        wanted("TensorFlowField")
    for cls in (Flow, TensorImage, TensorMask, TensorPoint):
        assert type(cls(x)) is cls
    assert type(TensorBBox(torch.rand(3, 4))) is TensorBBox


def test_nested_batches():
    x, f, indices = torch.arange(3.0), lambda t: t + 1, torch.tensor([2, 0])
    batch = (x, [x, torch.arange(3)])
    with told("compat/fastai_names.py", "write `map_nested(f, x)` of `minifast.core.nested`"):
        wanted("apply")
    assert map_nested(f, x).tolist() == [1, 2, 3] == map_nested(f, batch)[1][1].tolist()
    with told("compat/fastai_names.py", "write `x[indices]`; of a nested batch `map_nested(lambda t: t[indices], batch)` with"):
        wanted("nested_reorder")
    assert x[indices].tolist() == [2, 0] == map_nested(lambda t: t[indices], batch)[1][1].tolist()
    with told("compat/fastai_names.py", "write `x.half()` or `x.float()`; of a nested batch `map_nested(lambda t: t.half() if"):
        wanted("to_half")
    assert x.half().dtype == torch.float16 and x.half().float().dtype == torch.float32
    halves = map_nested(lambda t: t.half() if t.is_floating_point() else t, batch)
    assert [t.dtype for t in leaves(halves)] == [torch.float16, torch.float16, torch.int64]
    with told("compat/fastai_names.py", "write `leaves(x)[0]`, with `leaves` of `minifast.core.nested`, for the first tensor of a nested"):
        wanted("item_find")
    assert leaves(batch)[0] is x


def test_samples_of_a_batch():
    x, df, dl = [3, 4], pd.DataFrame({"a": [5, 6]}), numbers().valid
    with told("compat/fastai_names.py", "write `x[0]`, or `df.iloc[0]` of a table"):
        wanted("get_first")
    assert x[0] == 3 and df.iloc[0]["a"] == 5
    batch = dl.one_batch()
    with told("compat/fastai_names.py", "write `list(zip(*batch))`, or `dl.decode_batch(batch)` for decoded samples"):
        wanted("batch_to_samples")
    samples = list(zip(*batch, strict=True))
    assert len(samples) == 5 == len(dl.decode_batch(batch)) and len(samples[0]) == 2


def test_chunks_and_axes():
    chunks, x, dim = [np.arange(2), np.arange(3)], torch.rand(2, 3), 0
    with told("compat/fastai_names.py", "write `np.concatenate(chunks)`"):
        wanted("Chunks")
    assert np.concatenate(chunks)[2:4].tolist() == [0, 1]
    with told("compat/fastai_names.py", "write `x[..., None]`, or `x.unsqueeze_(dim)` in place"):
        wanted("unsqueeze")
    assert x[..., None].shape == (2, 3, 1) and x.unsqueeze_(dim).shape == (1, 2, 3) == x.shape
    x = torch.tensor([0.0, 0.5, 1.0])
    with told("compat/fastai_names.py", "write `torch.logit(x, eps=1e-7)`"):
        wanted("logit")
    assert torch.logit(x, eps=1e-7).isfinite().all() and torch.logit(x, eps=1e-7)[1] == 0


# -- modules and functions of models
def test_layers_of_a_model():
    model, func, seen = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), nn.init.zeros_, []
    with told("compat/fastai_names.py", "write `model.apply(f)`"):
        wanted("apply_leaf")
    f = seen.append
    model.apply(f)
    assert [type(m) for m in seen] == [nn.Linear, nn.BatchNorm1d, nn.Sequential]
    with told("compat/fastai_names.py", "write `init_default(m, func)`"):
        wanted("cond_init")
    for m in model:
        init_default(m, func)
    assert not model[0].weight.any() and model[1].weight.all()          # a norm layer is left alone
    model = nn.DataParallel(model)
    with told("compat/fastai_names.py", "write `model.module` of a wrapped model"):
        wanted("get_model")
    assert isinstance(model.module, nn.Sequential)


class Twice(torch.autograd.Function):
    "A function with a gradient of its own: `x` squared."

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        x, = ctx.saved_tensors
        return 2 * x * grad


def test_functions_with_gradients():
    class Square(nn.Module):
        "`forward` calls `Function.apply`."

        def forward(self, x):
            return Twice.apply(x)

    x = torch.tensor([3.0], requires_grad=True)
    with told("compat/fastai_names.py", "write an `nn.Module` whose `forward` calls `Function.apply`"):
        wanted("grad_module")
    assert Square()(torch.tensor([2.0])).item() == 4
    with told("compat/fastai_names.py", "in a `torch.autograd.Function` write `ctx.save_for_backward(x)` in `forward` and read"):
        wanted("script_save_ctx")
    Square()(x).backward()
    assert x.grad.item() == 6


def test_functions_of_numpy():
    def f(inp, targ):
        return np.mean(inp.argmax(-1) == targ)

    with told("compat/fastai_names.py", "write `lambda inp, targ: torch.as_tensor(f(to_np(inp), to_np(targ)))`"):
        wanted("np_func")
    ours = lambda inp, targ: torch.as_tensor(f(to_np(inp), to_np(targ)))  # noqa: E731 - as it is told
    learn = learner(BodyHead(), metrics=[AvgMetric(ours), accuracy])
    assert learn.validate()[1] == pytest.approx(learn.validate()[2])


# -- torch
def test_torch(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    with told("compat/fastai_names.py", "write `torch.backends.cudnn.benchmark = True`"):
        wanted("setup_cuda")
    torch.backends.cudnn.benchmark = True
    with told("compat/fastai_names.py", "write `with no_random():`, which puts the random streams back"):
        wanted("get_random_states")
    state = torch.get_rng_state(), np.random.get_state()[1].tolist()
    with no_random():
        torch.rand(1), np.random.rand(1)
    assert torch.equal(state[0], torch.get_rng_state()) and state[1] == np.random.get_state()[1].tolist()
    with told("compat/fastai_names.py", "write `torch.__version__ >= '2.6'`, which compares versions"):
        wanted("ismin_torch")
    assert torch.__version__ >= "1.10" and not torch.__version__ >= "10.2"
    assert (torch.__version__ >= "2.6") == (tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 6))


# -- notebooks
def test_help_and_tables(capsys):
    pytest.importorskip("IPython")
    from IPython.core.inputtransformer2 import TransformerManager
    from IPython.display import display
    f, df, n = noop, pd.DataFrame({"a": [5]}), 2
    with told("compat/fastai_names.py", "write `help(f)`, or `f?` in a notebook"):
        wanted("base_doc")
    help(f)
    assert "noop" in capsys.readouterr().out and "pinfo" in TransformerManager().transform_cell("f?")
    with told("compat/fastai_names.py", "write `display(df)`, which IPython has"):
        wanted("display_df")
    display(df)
    assert "5" in capsys.readouterr().out
    with told("compat/fastai_names.py", "write `pd.DataFrame(index=range(n))`"):
        wanted("get_empty_df")
    assert pd.DataFrame(index=range(n)).shape == (2, 0)


def test_bars():
    items = range(3)
    with told("compat/fastai_names.py", "write `progress_bar(items)` around a loop, or install fastprogress and write `from fastprogress"):
        wanted("master_bar")
    assert list(progress_bar(items)) == [0, 1, 2]
    pytest.importorskip("fastprogress")
    from fastprogress import master_bar
    assert len(list(master_bar(items))) == 3


def test_widgets_are_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with told("compat/modules.py", 'is of ipywidgets: pip install "minifast[notebook]"'):
        wanted("VBox")
    assert "ipywidgets" in extra("notebook")                            # pip install "minifast[notebook]"


# -- small functions
def test_comparisons(capsys):
    a, b, cls, verbose, text = [1, 2], [1, 2], list, True, "yes"
    with told("compat/fastai_names.py", "write `a == b`; of arrays and tensors `np.array_equal(a, b)` and `torch.equal(a, b)`"):
        wanted("equals")
    assert a == b and np.array_equal(np.array(a), np.array(b)) and torch.equal(tensor(a), tensor(b))
    with told("compat/fastai_names.py", "write `isinstance(o, collections.abc.Sized)`"):
        wanted("is_coll")
    assert [isinstance(o, collections.abc.Sized) for o in (a, "ab", iter(a), 3)] == [True, True, False, False]
    with told("compat/fastai_names.py", "write `isinstance(o, collections.abc.Iterable)`"):
        wanted("is_iter")
    assert [isinstance(o, collections.abc.Iterable) for o in (a, "ab", iter(a), 3)] == [True, True, True, False]
    with told("compat/fastai_names.py", "write `isinstance(o, (str, bytes))`"):
        wanted("string_classes")
    assert [isinstance(o, (str, bytes)) for o in ("a", b"a", a)] == [True, True, False]
    with told("compat/fastai_names.py", "write `any(isinstance(o, cls) for o in (a, b))`"):
        wanted("one_is_instance")
    assert any(isinstance(o, cls) for o in (a, b))
    with told("compat/fastai_names.py", "write `if verbose: print(text)`"):
        wanted("pv")
    if verbose:
        print(text)
    assert capsys.readouterr().out == "yes\n"


def test_methods_that_do_nothing():
    class Quiet:
        then = lambda self, x=None, *args, **kwargs: x  # noqa: E731 - as it is told

    with told("compat/fastai_names.py", "write `lambda self, x=None, *args, **kwargs: x`"):
        wanted("noops")
    assert Quiet().then(3, 4) == 3 and Quiet().then() is None


FASTCORES = [name for name in FASTCORE.split() if name not in names_here() and name not in ABSENT]


@pytest.mark.slow
def test_functions_of_fastcore():
    pytest.importorskip("fastcore")
    with told("compat/fastai_names.py", "write `from fastcore.all import …`"):
        wanted("gt")
    code = f"from fastcore.all import {', '.join(FASTCORES)}"           # in a process of its own: it adds methods to pathlib.Path
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# -- weights
def test_files_without_weights(tmp_path):
    file, model = tmp_path / "x.pkl", nn.Linear(2, 1)
    torch.save([1, 2], file)
    with told("compat/fastai_weights.py", "Give a file of fastai's learn.export() or learn.save(), or of torch.save(model.state_dict())"):
        port_weights(file)
    fastais = SimpleNamespace(model=model, dls=None)                    # what fastai's learn.export() pickles has these
    for saved in (fastais, {"model": model.state_dict(), "opt": {}}, model.state_dict()):
        torch.save(saved, file)
        out, _ = port_weights(file)
        Learner(numbers(), nn.Linear(2, 1), CrossEntropyLossFlat()).load(out, with_opt=False)
