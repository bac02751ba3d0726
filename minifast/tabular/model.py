"""`TabularModel`: an embedding for each categorical column beside the continuous columns, then linear layers.

Source: C. Guo, F. Berkhahn, "Entity Embeddings of Categorical Variables", 2016, https://arxiv.org/abs/1604.06737.
"""
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from ..core.keywords import knows_keywords
from ..core.messages import describe
from ..core.recipe import recorded
from ..core.types import YRange
from ..nn.activations import SigmoidRange, range_ends
from ..nn.containers import Module
from ..nn.layers import Embedding, LinBnDrop
from .columns import check_known
from .hooks_internals import have_forward_hooks

__all__ = ["TabularModel", "emb_sz_rule", "get_emb_sz", "tabular_config"]


def emb_sz_rule(n_cat: int) -> int:
    """The size of an embedding: min(600, round(1.6 * n_cat**0.56)).

    Args:
        n_cat: number of categories, '#na#' included.
    """
    return min(600, round(1.6 * n_cat ** 0.56))


def get_emb_sz(to: Any, sz_dict: Mapping[Any, int] | None = None) -> list[tuple[int, int]]:
    """`[(categories, embedding size), ...]` of the categorical columns.

    Args:
        to: a `TabularPandas`, or loaders made of one.
        sz_dict: sizes of some columns, by name; the others follow `emb_sz_rule`.
    """
    to = to.train.dataset if hasattr(to, "train_ds") else getattr(to, "dataset", to)
    sizes = {} if sz_dict is None else dict(sz_dict)
    check_known("get_emb_sz", sizes, to.classes)
    return [(len(classes), int(sizes.get(name, emb_sz_rule(len(classes))))) for name, classes in to.classes.items()]


@knows_keywords
def tabular_config(ps: float | Sequence[float] | None = None, embed_p: float = 0.0, y_range: YRange | None = None,
                   use_bn: bool = True, bn_final: bool = False, bn_cont: bool = True,
                   act_cls: type[nn.Module] | nn.Module = nn.ReLU, lin_first: bool = True) -> dict[str, Any]:
    """The dict that `tabular_learner(config=...)` takes: the arguments of `TabularModel` besides sizes and layers.

    Args:
        ps, embed_p, y_range, use_bn, bn_final, bn_cont, act_cls, lin_first: see `TabularModel`.
    """
    return {"ps": ps, "embed_p": embed_p, "y_range": y_range, "use_bn": use_bn, "bn_final": bn_final, "bn_cont": bn_cont,
            "act_cls": act_cls, "lin_first": lin_first}


class TabularModel(Module):
    """(categorical int64 (B, n_cat), continuous float32 (B, n_cont)) -> (B, out_sz).

    Embeddings and batch-normed continuous columns side by side; then for each of `layers` a linear layer, activation, batch norm and
    dropout; then a linear layer to `out_sz`.

    Args:
        emb_szs: (categories, embedding size) of each categorical column.
        n_cont: number of continuous columns.
        out_sz: number of outputs.
        layers: sizes of the hidden layers.
        ps: dropout after each hidden layer, or one probability for all.
        embed_p: dropout of the embeddings.
        y_range: (low, high) that a sigmoid scales the outputs to.
        use_bn: batch norm after the hidden layers.
        bn_final: batch norm in the last layer too.
        bn_cont: batch norm of the continuous columns.
        act_cls: activation, a class or a module to copy.
        lin_first: False: batch norm and dropout before each linear layer instead of after it.
    """

    @recorded()
    def __init__(self, emb_szs: Sequence[tuple[int, int]], n_cont: int, out_sz: int, layers: Sequence[int],
                 ps: float | Sequence[float] | None = None, embed_p: float = 0.0, y_range: YRange | None = None,
                 use_bn: bool = True, bn_final: bool = False, bn_cont: bool = True,
                 act_cls: type[nn.Module] | nn.Module = nn.ReLU, lin_first: bool = True):
        if isinstance(layers, (int, float, str)):
            raise TypeError(f"layers takes the sizes of the hidden layers, a list such as [200, 100]; received {describe(layers)}")
        layers = list(layers)
        dropouts: list = list(ps) if isinstance(ps, (list, tuple)) else [ps or 0.0] * len(layers)
        if len(dropouts) != len(layers):
            raise ValueError(f"TabularModel(ps=...): received {len(dropouts)} probabilities of dropout for {len(layers)} layers {layers}")
        embeds = [Embedding(ni, nf) for ni, nf in emb_szs]
        self.embeds = nn.ModuleList(embeds)
        self.emb_drop = nn.Dropout(embed_p) if embed_p else nn.Identity()
        self.bn_cont = nn.BatchNorm1d(n_cont) if bn_cont and n_cont else None
        self.n_emb, self.n_cont = sum(e.embedding_dim for e in embeds), n_cont
        if not self.n_emb + n_cont:
            raise ValueError("TabularModel has no input: neither embeddings (emb_szs) nor continuous columns (n_cont)")
        sizes = [self.n_emb + n_cont, *layers]
        steps = [LinBnDrop(i, o, bn=use_bn, p=p, act=_activation(act_cls), lin_first=lin_first)
                 for i, o, p in zip(sizes, sizes[1:], dropouts, strict=False)]
        steps.append(LinBnDrop(sizes[-1], out_sz, bn=use_bn and bn_final, lin_first=lin_first))
        self.layers = nn.Sequential(*steps, *([] if y_range is None else [SigmoidRange(*range_ends(y_range))]))

    def forward(self, x_cat: torch.Tensor, x_cont: torch.Tensor | None = None) -> torch.Tensor:
        parts = []
        if self.n_emb:
            embedded = [e(column) for e, column in zip(self.embeds, x_cat.unbind(1), strict=True)]
            parts.append(self.emb_drop(embedded[0] if len(embedded) == 1 else torch.cat(embedded, 1)))
        if self.n_cont:
            parts.append(x_cont if self.bn_cont is None else self.bn_cont(x_cont))
        return self.layers(parts[0] if len(parts) == 1 else torch.cat(parts, 1))

    def forward_row(self, codes: Sequence[int], x_cont: torch.Tensor) -> torch.Tensor:
        """`forward` of one row in evaluation mode: a list of categorical codes and (1, n_cont) -> (1, out_sz).

        With a single row most of the time goes into calling modules, and here fewer are called.
        """
        parts = [e.weight[code] for e, code in zip(self.embeds, codes, strict=True)]  # type: ignore[index]  # a Module's, to mypy
        if self.n_cont:
            parts.append((x_cont if self.bn_cont is None else self.bn_cont(x_cont))[0])
        return self.layers(torch.cat(parts)[None])

    @property
    def takes_rows(self) -> bool:
        "Whether `forward_row` does all that a call of the model does: no subclass, hook or other embedding changes it."
        parts = [self, self.embeds, self.emb_drop, *self.embeds]
        return (type(self).forward is TabularModel.forward and "forward" not in vars(self) and all(type(e) is Embedding for e in parts[3:])
                and not have_forward_hooks(parts))


def _activation(act_cls: type[nn.Module] | nn.Module) -> nn.Module:
    if act_cls is nn.ReLU:
        return nn.ReLU(inplace=True)        # no layer before it needs what it overwrites
    return act_cls() if isinstance(act_cls, type) else deepcopy(act_cls)
