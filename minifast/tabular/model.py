"""`TabularModel`: an embedding for each category column beside the numbers, then linear layers.

Source: C. Guo, F. Berkhahn, "Entity Embeddings of Categorical Variables", 2016, https://arxiv.org/abs/1604.06737.
"""
from copy import deepcopy

import torch
from torch import nn

from ..core.messages import describe, did_you_mean, reject_unknown
from ..nn.activations import SigmoidRange
from ..nn.layers import Embedding, LinBnDrop
from ..nn.module import Module

__all__ = ["TabularModel", "emb_sz_rule", "get_emb_sz", "tabular_config"]


def emb_sz_rule(n_cat):
    "The size of the embedding of `n_cat` categories, '#na#' included: min(600, round(1.6 * n_cat**0.56))."
    return min(600, round(1.6 * n_cat ** 0.56))


def get_emb_sz(to, sz_dict=None):
    """`[(categories, embedding size), ...]` of the category columns of a `TabularPandas`, or of loaders made of one.

    sz_dict: sizes of some columns, by name; the others follow `emb_sz_rule`.
    """
    to = to.train.dataset if hasattr(to, "train_ds") else getattr(to, "dataset", to)
    sizes = {} if sz_dict is None else dict(sz_dict)
    unknown = [name for name in sizes if name not in to.classes]
    if unknown:
        raise KeyError(f"get_emb_sz: {unknown[0]!r} is no category column{did_you_mean(unknown[0], to.classes) or '.'} Columns: "
                       f"{', '.join(map(str, to.classes))}")
    return [(len(classes), int(sizes.get(name, emb_sz_rule(len(classes))))) for name, classes in to.classes.items()]


def tabular_config(ps=None, embed_p=0.0, y_range=None, use_bn=True, bn_final=False, bn_cont=True, act_cls=nn.ReLU, lin_first=True):
    "The arguments of `TabularModel` besides sizes and layers, as the dict that `tabular_learner(config=...)` takes."
    return {"ps": ps, "embed_p": embed_p, "y_range": y_range, "use_bn": use_bn, "bn_final": bn_final, "bn_cont": bn_cont,
            "act_cls": act_cls, "lin_first": lin_first}


def check_config(config, where):
    "`config` as a dict of arguments of `TabularModel`."
    config = {} if config is None else dict(config)
    reject_unknown(config, tabular_config(), where)
    return config


class TabularModel(Module):
    """(codes int64 (B, categories), numbers float32 (B, n_cont)) -> (B, out_sz).

    Embeddings, dropped out with probability `embed_p`, beside the batch-normed numbers (bn_cont); then for each of `layers` a linear layer,
    `act_cls`, batch norm and dropout (lin_first=False: batch norm and dropout before the linear layer); then a linear layer to `out_sz`.
    emb_szs: `(categories, size)` of each category column. ps: dropout of each layer, or one for all. y_range: (low, high) that the
    outputs are scaled to by a sigmoid. use_bn: batch norm after the layers; bn_final: in the last one too.
    """

    def __init__(self, emb_szs, n_cont, out_sz, layers, ps=None, embed_p=0.0, y_range=None, use_bn=True, bn_final=False, bn_cont=True,
                 act_cls=nn.ReLU, lin_first=True):
        if isinstance(layers, (int, float, str)):
            raise TypeError(f"layers takes the sizes of the hidden layers, a list such as [200, 100]; received {describe(layers)}")
        layers = list(layers)
        ps = [0.0 if ps is None else ps] * len(layers) if not isinstance(ps, (list, tuple)) else list(ps)
        if len(ps) != len(layers):
            raise ValueError(f"TabularModel(ps=...): received {len(ps)} probabilities of dropout for {len(layers)} layers {layers}")
        self.embeds = nn.ModuleList([Embedding(ni, nf) for ni, nf in emb_szs])
        self.emb_drop = nn.Dropout(embed_p) if embed_p else nn.Identity()
        self.bn_cont = nn.BatchNorm1d(n_cont) if bn_cont and n_cont else None
        self.n_emb, self.n_cont = sum(e.embedding_dim for e in self.embeds), n_cont
        if not self.n_emb + n_cont:
            raise ValueError("TabularModel has no input: neither embeddings (emb_szs) nor numbers (n_cont)")
        sizes = [self.n_emb + n_cont, *layers]
        steps = [LinBnDrop(i, o, bn=use_bn, p=p, act=_activation(act_cls), lin_first=lin_first)
                 for i, o, p in zip(sizes, sizes[1:], ps, strict=False)]
        steps.append(LinBnDrop(sizes[-1], out_sz, bn=use_bn and bn_final, lin_first=lin_first))
        if y_range is not None:
            steps.append(SigmoidRange(*_checked_range(y_range)))
        self.layers = nn.Sequential(*steps)

    def forward(self, x_cat, x_cont=None):
        if self.n_emb:
            x = [e(column) for e, column in zip(self.embeds, x_cat.unbind(1), strict=True)]
            x = x[0] if len(x) == 1 else torch.cat(x, 1)
            x = self.emb_drop(x)
        if self.n_cont:
            numbers = x_cont if self.bn_cont is None else self.bn_cont(x_cont)
            x = torch.cat([x, numbers], 1) if self.n_emb else numbers
        return self.layers(x)

    def forward_row(self, codes, x_cont):
        """`forward` of one row whose codes are a list of whole numbers, in evaluation: (1, n_cont) -> (1, out_sz). With one row most of the
        time goes into calling things, and there is less to call."""
        parts = [e.weight[code] for e, code in zip(self.embeds, codes, strict=True)]
        if not self.n_cont:
            return self.layers(torch.cat(parts)[None])
        numbers = x_cont if self.bn_cont is None else self.bn_cont(x_cont)
        return self.layers(torch.cat([*parts, numbers[0]])[None] if parts else numbers)

    @property
    def takes_rows(self):
        "Whether `forward_row` is all that a call of the model does: no subclass, hook or other embedding changes what happens on the way."
        parts = [self, self.embeds, self.emb_drop, *self.embeds]
        return (type(self).forward is TabularModel.forward and "forward" not in vars(self) and all(type(e) is Embedding for e in parts[3:])
                and not any(m._forward_hooks or m._forward_pre_hooks for m in parts))


def _activation(act_cls):
    if act_cls is nn.ReLU:
        return nn.ReLU(inplace=True)        # no layer before it needs what it overwrites
    return act_cls() if isinstance(act_cls, type) else deepcopy(act_cls)


def _checked_range(y_range):
    if not isinstance(y_range, (tuple, list)) or len(y_range) != 2 or not y_range[0] < y_range[1]:
        raise ValueError(f"y_range takes (low, high), low < high; received {describe(y_range)}")
    return y_range
