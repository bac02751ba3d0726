"""Small learners of minifast and fastai, and what they hold, for benchmarks of files."""
import torch
from torch import nn


def small_model(n=3):
    return nn.Sequential(nn.Linear(4, n), nn.BatchNorm1d(n), nn.Linear(n, 2))


class Rows(torch.utils.data.TensorDataset):
    "fastai exports what `new_empty` gives."

    def new_empty(self):
        return self


def dataset():
    return Rows(torch.rand(16, 4, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 2)


def minifast_learner(folder, model=None):
    from minifast.data.loaders import DataLoader, DataLoaders
    from minifast.learner.learner import Learner
    torch.manual_seed(0)
    dls = DataLoaders(DataLoader(dataset(), 4), DataLoader(dataset(), 4), device="cpu")
    learn = Learner(dls, model or small_model(), nn.CrossEntropyLoss(), path=folder)
    learn.logger = lambda row: None
    return learn.remove_cb(learn.progress)


def fastai_learner(folder, model=None):
    from fastai.basics import DataLoader, DataLoaders, Learner
    torch.manual_seed(0)
    dls = DataLoaders(DataLoader(dataset(), 4), DataLoader(dataset(), 4), device="cpu")
    learn = Learner(dls, model or small_model(), nn.CrossEntropyLoss(), path=folder)
    learn.logger = lambda row: None
    return learn


def state(learn):
    "Copies of all that a checkpoint holds of `learn`."
    opt = learn.opt.state_dict() if learn.opt is not None else {}
    copied = {k: v.clone() for k, v in learn.model.state_dict().items()}
    return copied, [{k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in s.items()} for s in per_parameter(opt)]


def per_parameter(opt):
    "What an optimizer of torch (a dict by number) or of fastai (a list) keeps of each parameter."
    return opt["state"].values() if isinstance(opt.get("state"), dict) else opt.get("state", [])


def same(a, b):
    "Equal in structure, types and values."
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b or (a != a and b != b))
