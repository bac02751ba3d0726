"""`vision_learner` and `unet_learner`: a `Learner` with a pretrained body and a new head, or a U-Net around it."""
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any
from warnings import warn

import torch
from torch import nn

from ..core.keywords import knows_keywords
from ..core.messages import describe, plural
from ..core.nested import split_batch
from ..core.types import YRange
from ..data.dataloader import DataLoader
from ..data.loaders import DataLoaders
from ..data.torchvision_v2 import normalizes
from ..learner.learner import Learner
from ..optim.optimizers import Adam
from .channels import channels_of, check_channels
from .models.backbones import arch_meta, create_vision_model
from .models.heads import start_head_at
from .models.unet import create_unet_model
from .normalize import Normalize

__all__ = ["cnn_learner", "unet_learner", "vision_learner"]


def _is_normalised(dls):
    "Whether images of `dls` are normalised already, by minifast's `Normalize` or by torchvision's."
    return any(isinstance(t, Normalize) or normalizes(t)
               for dl in dls for name in ("after_item", "after_batch") for t in getattr(dl, name, ()))


def build_learner(where: str, make: Callable[[int, bool, int], Any], dls: Any, arch: Any, normalize: bool, n_out: int | None,
                  pretrained: bool, weights: Any, cut: Callable[[nn.Module], nn.Module] | int | None, n_in: int | None, splitter: Any,
                  **learner_args: Any) -> Learner:
    """What `vision_learner` and `unet_learner` share: a `Learner` around the model that `make(n_out, pretrained, n_in)` returns, with the
    layer groups of `arch`, normalised by the statistics of its weights and, if pretrained, frozen. where: the name of the caller."""
    if isinstance(arch, nn.Module):
        raise TypeError(f"{where} takes an architecture such as resnet34, from which it builds the model; received a model, "
                        f"{type(arch).__name__}. For a model of your own write Learner(dls, model)")
    meta = arch_meta(arch)
    pretrained = bool(pretrained or weights is not None)
    n_out = getattr(dls, "c", None) if n_out is None else n_out
    if isinstance(n_out, list):
        raise ValueError(f"{where} builds a head for one target, and the data have several (dls.c={list(n_out)}): pass n_out={sum(n_out)}, "
                         "say, for one head of all their outputs, and a loss_func=f(pred, *targets) that takes them apart")
    if not n_out:
        raise ValueError(f"{where} cannot tell from the data how many outputs the model needs: pass n_out=, the number of classes "
                         "or of numbers to predict")
    fits_itself = n_in is None
    if n_in is not None and meta.source != "function":
        check_channels(where, dls, n_in)              # before weights are fetched
    n_in = channels_of(dls) if n_in is None else n_in
    model = make(n_out, pretrained, n_in)
    if meta.source == "function":                     # which may make a model for other channels than 3
        check_channels(where, dls, n_in, model[0])
    if fits_itself and n_in != 3:
        warn(f"the images have {plural(n_in, 'channel')}, so the first layer of the model takes that many; n_in={n_in} says so without "
             "this line", stacklevel=3)
    batch_tfms = []                                   # those that the pretrained weights need and `dls` lacks
    if normalize and pretrained and n_in == 3 and not _is_normalised(dls):
        stats = meta.stats_for(weights)
        if stats is None:
            warn(f"nothing is normalised: which mean and std the weights of {meta.name} expect is not known. If they were trained on "
                 "normalised images, give the data batch_tfms=Normalize.from_stats(mean, std), for example of imagenet_stats; if not, "
                 f"say {where}(normalize=False)", stacklevel=3)
        elif not all(isinstance(dl, DataLoader) for dl in dls):
            warn("the loaders are not minifast's, so nothing is normalised here: the pretrained model expects images normalised with "
                 f"mean {stats[0]} and std {stats[1]}. If your dataset does that, say normalize=False", stacklevel=3)
        else:
            batch_tfms = [Normalize.from_stats(*stats)]
    learn = Learner(dls, model, splitter=meta.split_for(cut) if splitter is None else splitter, batch_tfms=batch_tfms, **learner_args)
    learn.arch = arch
    if pretrained:
        learn.freeze()
    return learn


def mean_target(dls: Any, n_out: int, maps: bool = False) -> torch.Tensor | None:
    """The mean (n_out,) of the targets of a training batch; None where they are not `n_out` numbers per item, or per pixel (maps). No
    random stream moves."""
    targets = split_batch(dls.one_batch(), getattr(dls.train, "n_inp", None))[2]
    target = targets[0] if len(targets) == 1 else None
    if not isinstance(target, torch.Tensor) or not target.is_floating_point():
        return None
    if maps and target.ndim == 3:
        target = target[:, None]
    fits = target.ndim == 4 and target.shape[1] == n_out if maps else target.numel() == len(target) * n_out
    if not fits:
        return None
    mean = (target.movedim(1, -1) if maps else target).detach().reshape(-1, n_out).double().mean(0)
    return mean if torch.isfinite(mean).all() else None


@knows_keywords
def vision_learner(dls: DataLoaders, arch: Any, normalize: bool = True, n_out: int | None = None, pretrained: bool = True,
                   weights: Any = None,
                   loss_func: Any = None, opt_func: Callable[..., Any] = Adam, lr: float | slice = 1e-3, splitter: Any = None,
                   cbs: Any = None, metrics: Any = None, path: str | PathLike | None = None, model_dir: str | PathLike = "models",
                   wd: float | None = None, wd_bn_bias: bool = False, train_bn: bool = True,
                   moms: Sequence[float] | None = (0.95, 0.85, 0.95), cut: Callable[[nn.Module], nn.Module] | int | None = None,
                   init: Callable[..., Any] | None = nn.init.kaiming_normal_, custom_head: nn.Module | None = None,
                   concat_pool: bool = True, pool: bool = True, lin_ftrs: Sequence[int] | None = None, ps: float | Sequence[float] = 0.5,
                   first_bn: bool = True, bn_final: bool = False, lin_first: bool = False, y_range: YRange | None = None,
                   n_in: int | None = None) -> Learner:
    """Make a `Learner` with a pretrained body and a new head; if pretrained, the body starts frozen.

    The images are normalised with the statistics that the pretrained weights were made with, in a copy of `dls` (the caller's stays as it
    is) and in every loader the learner is given later, unless `dls` normalises already; called by hand, `learn.model` needs batches of
    `learn.dls`. Without pretrained weights, and for n_in other than 3, nothing is added. With y_range the model starts by predicting the
    mean target of a training batch; otherwise that is the first thing it has to learn, which takes long at the learning rates of
    fine-tuning.

    Args:
        dls: the data.
        arch: a function of torchvision.models, its name, a name of timm, or a function returning a module (see `arch_meta`).
        normalize: whether to normalise as described above.
        n_out: number of outputs (default: what `dls` says).
        pretrained: start from pretrained weights.
        weights: "DEFAULT" and other names of torchvision, or a file.
        loss_func: see `Learner`.
        opt_func: see `Learner`.
        lr: see `Learner`.
        splitter: see `Learner`; default: the layer groups that suit `arch`.
        cbs: see `Learner`.
        metrics: see `Learner`.
        path: see `Learner`.
        model_dir: see `Learner`.
        wd: see `Learner`.
        wd_bn_bias: see `Learner`.
        train_bn: see `Learner`.
        moms: see `Learner`.
        cut: how many children of the model are the body, or a function of the model that returns it.
        init: for the weights of the head (None: as they are).
        custom_head: a module instead of `create_head`'s. Pooling forgets where things are: to predict places, give a head that flattens.
        concat_pool: see `create_head`.
        pool: see `create_head`.
        lin_ftrs: see `create_head`.
        ps: see `create_head`.
        first_bn: see `create_head`.
        bn_final: see `create_head`.
        lin_first: see `create_head`.
        y_range: see `create_head`.
        n_in: channels of the images (default: those of the data, which a line says where they are not 3).
    """
    def make(n_out, pretrained, n_in):
        model = create_vision_model(arch, n_out, pretrained=pretrained, weights=weights, cut=cut, n_in=n_in, init=init,
                                    custom_head=custom_head, concat_pool=concat_pool, pool=pool, lin_ftrs=lin_ftrs, ps=ps,
                                    first_bn=first_bn, bn_final=bn_final, lin_first=lin_first, y_range=y_range)
        if y_range is not None and custom_head is None and init is not None and (mean := mean_target(dls, n_out)) is not None:
            start_head_at(model[1], mean)
        return model
    return build_learner("vision_learner", make, dls, arch, normalize, n_out, pretrained, weights, cut, n_in, splitter,
                         loss_func=loss_func, opt_func=opt_func, lr=lr, cbs=cbs, metrics=metrics, path=path, model_dir=model_dir, wd=wd,
                         wd_bn_bias=wd_bn_bias, train_bn=train_bn, moms=moms)


cnn_learner = vision_learner


def _image_size(dls):
    batch = dls.one_batch()
    x = batch[0] if isinstance(batch, (tuple, list)) else batch
    if not isinstance(x, torch.Tensor) or x.ndim != 4:
        raise ValueError(f"unet_learner needs batches whose first element is images (B,C,H,W); received {describe(x)}")
    return tuple(x.shape[-2:])


@knows_keywords
def unet_learner(dls: DataLoaders, arch: Any, normalize: bool = True, n_out: int | None = None, pretrained: bool = True,
                 weights: Any = None,
                 loss_func: Any = None, opt_func: Callable[..., Any] = Adam, lr: float | slice = 1e-3, splitter: Any = None,
                 cbs: Any = None, metrics: Any = None, path: str | PathLike | None = None, model_dir: str | PathLike = "models",
                 wd: float | None = None, wd_bn_bias: bool = False, train_bn: bool = True,
                 moms: Sequence[float] | None = (0.95, 0.85, 0.95), cut: Callable[[nn.Module], nn.Module] | int | None = None,
                 blur: bool = False, blur_final: bool = True, self_attention: bool = False, y_range: YRange | None = None,
                 last_cross: bool = True, bottle: bool = False, act_cls: Callable[..., nn.Module] = nn.ReLU,
                 init: Callable[..., Any] | None = nn.init.kaiming_normal_, norm_type: Any = None, n_in: int | None = None) -> Learner:
    """Make a `Learner` with a U-Net: a prediction for every pixel. If pretrained, the body starts frozen.

    With y_range the model starts by predicting the mean target of a training batch.

    Args:
        dls: the data.
        arch: a function of torchvision.models, its name, a name of timm, or a function returning a module (see `arch_meta`).
        normalize: see `vision_learner`.
        n_out: channels of the result (default: what `dls` says, the number of codes).
        pretrained: start from pretrained weights.
        weights: "DEFAULT" and other names of torchvision, or a file.
        loss_func: see `Learner`.
        opt_func: see `Learner`.
        lr: see `Learner`.
        splitter: see `Learner`; default: the layer groups that suit `arch`.
        cbs: see `Learner`.
        metrics: see `Learner`.
        path: see `Learner`.
        model_dir: see `Learner`.
        wd: see `Learner`.
        wd_bn_bias: see `Learner`.
        train_bn: see `Learner`.
        moms: see `Learner`.
        cut: how many children of the model are the body, or a function of the model that returns it.
        blur: see `DynamicUnet`.
        blur_final: see `DynamicUnet`.
        self_attention: see `DynamicUnet`.
        y_range: see `DynamicUnet`.
        last_cross: see `DynamicUnet`.
        bottle: see `DynamicUnet`.
        act_cls: see `DynamicUnet`.
        init: see `DynamicUnet`.
        norm_type: see `DynamicUnet`.
        n_in: channels of the images (default: those of the data, which a line says where they are not 3).
    """
    def make(n_out, pretrained, n_in):
        model = create_unet_model(arch, n_out, _image_size(dls), pretrained=pretrained, weights=weights, cut=cut, n_in=n_in, blur=blur,
                                  blur_final=blur_final, self_attention=self_attention, y_range=y_range, last_cross=last_cross,
                                  bottle=bottle, act_cls=act_cls, init=init, norm_type=norm_type)
        if y_range is not None and init is not None and (mean := mean_target(dls, n_out, maps=True)) is not None:
            start_head_at(model[-1], mean)
        return model
    return build_learner("unet_learner", make, dls, arch, normalize, n_out, pretrained, weights, cut, n_in, splitter, loss_func=loss_func,
                         opt_func=opt_func, lr=lr, cbs=cbs, metrics=metrics, path=path, model_dir=model_dir, wd=wd, wd_bn_bias=wd_bn_bias,
                         train_bn=train_bn, moms=moms)
