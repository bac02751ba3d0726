"""`vision_learner` and `unet_learner`: a `Learner` with a pretrained body and a new head, or a U-Net around it."""
from warnings import warn

import torch
from torch import nn

from ..core.messages import describe
from ..core.nested import split_batch
from ..data.dataloader import DataLoader
from ..data.torchvision_v2 import normalizes
from ..learner.learner import Learner
from ..optim.optimizers import Adam
from .channels import check_channels
from .models.backbones import arch_meta, create_vision_model
from .models.heads import start_head_at
from .models.unet import create_unet_model
from .normalize import Normalize

__all__ = ["cnn_learner", "unet_learner", "vision_learner"]


def _is_normalised(dls):
    "Whether images of `dls` are normalised already, by minifast's `Normalize` or by torchvision's."
    pipelines = [getattr(dl, name, ()) for dl in dls for name in ("after_item", "after_batch")]
    return any(isinstance(t, Normalize) or normalizes(t) for pipeline in pipelines for t in pipeline)


def _normalisation(dls, stats):
    "The batch transforms that the pretrained weights need and `dls` lacks."
    if not all(isinstance(dl, DataLoader) for dl in dls):
        warn("the loaders are not minifast's, so nothing is normalised here: the pretrained model expects images normalised with mean "
             f"{stats[0]} and std {stats[1]}. If your dataset does that, say normalize=False", stacklevel=3)
        return []
    return [] if _is_normalised(dls) else [Normalize.from_stats(*stats)]


def _n_out(dls, n_out, where):
    n_out = getattr(dls, "c", None) if n_out is None else n_out
    if not n_out:
        raise ValueError(f"{where} cannot tell from the data how many outputs the model needs: pass n_out=, the number of classes "
                         "or of numbers to predict")
    return n_out


def build_learner(where, make, dls, arch, normalize, n_out, pretrained, weights, cut, n_in, splitter, **learner_args):
    """What `vision_learner` and `unet_learner` share: a `Learner` around the model that `make(n_out, pretrained)` returns, with the layer
    groups of `arch`, normalised by the statistics of its weights and, if pretrained, frozen. where: the name of the caller."""
    if isinstance(arch, nn.Module):
        raise TypeError(f"{where} takes an architecture such as resnet34, from which it builds the model; received a model, "
                        f"{type(arch).__name__}. For a model of your own write Learner(dls, model)")
    meta = arch_meta(arch)
    pretrained = bool(pretrained or weights is not None)
    n_out = _n_out(dls, n_out, where)
    if meta.source != "function":
        check_channels(where, dls, n_in)              # before weights are fetched
    model = make(n_out, pretrained)
    if meta.source == "function":                     # which may make a model for other channels than 3
        check_channels(where, dls, n_in, model[0])
    stats = meta.stats_for(weights) if normalize and pretrained and n_in == 3 else None
    if stats is None and normalize and pretrained and n_in == 3 and not _is_normalised(dls):
        warn(f"nothing is normalised: which mean and std the weights of {meta.name} expect is not known. If they were trained on "
             "normalised images, give the data batch_tfms=Normalize.from_stats(mean, std), for example of imagenet_stats; if not, say "
             f"{where}(normalize=False)", stacklevel=3)
    batch_tfms = [] if stats is None else _normalisation(dls, stats)
    splitter = meta.split_for(cut) if splitter is None else splitter
    learn = Learner(dls, model, splitter=splitter, batch_tfms=batch_tfms, **learner_args)
    if pretrained:
        learn.freeze()
    return learn


def mean_target(dls, n_out, maps=False):
    """The mean (n_out,) of the targets of a training batch; None where they are not `n_out` numbers per item, or per pixel (maps). No
    random stream moves."""
    targets = split_batch(dls.one_batch(), getattr(dls.train, "n_inp", None))[2]
    target = targets[0] if len(targets) == 1 else None
    if not isinstance(target, torch.Tensor) or not target.is_floating_point():
        return None
    if maps:
        target = target[:, None] if target.ndim == 3 else target
        if target.ndim != 4 or target.shape[1] != n_out:
            return None
        target = target.movedim(1, -1)
    elif target.numel() != len(target) * n_out:
        return None
    mean = target.detach().reshape(-1, n_out).double().mean(0)
    return mean if torch.isfinite(mean).all() else None


def vision_learner(dls, arch, normalize=True, n_out=None, pretrained=True, weights=None, loss_func=None, opt_func=Adam, lr=1e-3,
                   splitter=None, cbs=None, metrics=None, path=None, model_dir="models", wd=None, wd_bn_bias=False, train_bn=True,
                   moms=(0.95, 0.85, 0.95), cut=None, init=nn.init.kaiming_normal_, custom_head=None, concat_pool=True, pool=True,
                   lin_ftrs=None, ps=0.5, first_bn=True, bn_final=False, lin_first=False, y_range=None, n_in=3):
    """A `Learner` on `dls` with the body of `arch` and a new head; if pretrained, the body starts frozen.

    arch: a function of torchvision.models, its name, a name of timm, or a function returning a module (see `arch_meta`).
    normalize: images are normalised with the statistics that the pretrained weights were made with, in a copy of `dls` (the caller's
    stays as it is) and in every loader the learner is given later, unless `dls` normalises already; without pretrained weights, and for
    n_in other than 3, nothing is added.
    n_out: number of outputs, default: what `dls` says. pretrained, weights: weights="DEFAULT" and other names of torchvision, or a file.
    cut, init, custom_head, concat_pool, pool, lin_ftrs, ps, first_bn, bn_final, lin_first, y_range, n_in: see `create_vision_model`.
    With y_range the model begins with predicting the mean target of a training batch, which otherwise is the first thing to be learnt, and
    takes long at the learning rates of fine-tuning. Pooling forgets where things are: for places write a custom_head that flattens.
    The rest: see `Learner`.
    """
    def make(n_out, pretrained):
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


def unet_learner(dls, arch, normalize=True, n_out=None, pretrained=True, weights=None, loss_func=None, opt_func=Adam, lr=1e-3,
                 splitter=None, cbs=None, metrics=None, path=None, model_dir="models", wd=None, wd_bn_bias=False, train_bn=True,
                 moms=(0.95, 0.85, 0.95), cut=None, blur=False, blur_final=True, self_attention=False, y_range=None, last_cross=True,
                 bottle=False, act_cls=nn.ReLU, init=nn.init.kaiming_normal_, norm_type=None, n_in=3):
    """A `Learner` on `dls` with a `DynamicUnet` on the body of `arch`: a prediction for every pixel. If pretrained, the body starts frozen.

    n_out: channels of the result, default: what `dls` says, the number of codes. normalize, pretrained, weights, cut and the arguments
    of `Learner`: as for `vision_learner`. With y_range the model begins with predicting the mean target of a training batch. The rest: see
    `DynamicUnet`.
    """
    def make(n_out, pretrained):
        model = create_unet_model(arch, n_out, _image_size(dls), pretrained=pretrained, weights=weights, cut=cut, n_in=n_in, blur=blur,
                                  blur_final=blur_final, self_attention=self_attention, y_range=y_range, last_cross=last_cross,
                                  bottle=bottle, act_cls=act_cls, init=init, norm_type=norm_type)
        if y_range is not None and init is not None and (mean := mean_target(dls, n_out, maps=True)) is not None:
            start_head_at(model[-1], mean)
        return model
    return build_learner("unet_learner", make, dls, arch, normalize, n_out, pretrained, weights, cut, n_in, splitter, loss_func=loss_func,
                         opt_func=opt_func, lr=lr, cbs=cbs, metrics=metrics, path=path, model_dir=model_dir, wd=wd, wd_bn_bias=wd_bn_bias,
                         train_bn=train_bn, moms=moms)
