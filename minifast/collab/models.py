"""Models that predict a rating from the ids of a user and an item."""
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core.messages import did_you_mean
from ..core.recipe import Recipe, recorded
from ..core.titled import TensorBase
from ..core.types import YRange
from ..data.categories import CategoryMap
from ..nn.activations import SigmoidRange, range_ends, sigmoid_range
from ..nn.containers import Module
from ..nn.init import inverse_sigmoid_range
from ..nn.layers import Embedding
from ..tabular.model import TabularModel


class EmbeddingDotBias(Module):
    """(B, 2) ids of users and items -> (B,) ratings: the dot product of their vectors plus a bias of each.

    Args:
        n_factors: the length of the vectors.
        n_users, n_items: how many there are, `'#na#'` included.
        y_range: (low, high) that a sigmoid scales the ratings to.

    Source: Y. Koren, R. Bell, C. Volinsky, "Matrix Factorization Techniques for Recommender Systems", 2009.
    """

    recipe: Any                 #: how it was made

    @recorded()
    def __init__(self, n_factors: int, n_users: int, n_items: int, y_range: YRange | None = None):
        self.y_range = None if y_range is None else range_ends(y_range)
        self.classes: dict[Any, CategoryMap] | None = None
        self.user = self.item = None
        self.u_weight, self.i_weight = Embedding(n_users, n_factors), Embedding(n_items, n_factors)
        self.u_bias, self.i_bias = Embedding(n_users, 1), Embedding(n_items, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        users, items = x[:, 0], x[:, 1]
        dot = (self.u_weight(users) * self.i_weight(items)).sum(1)
        return self._scaled(dot + self.u_bias(users).squeeze(1) + self.i_bias(items).squeeze(1))

    def _scaled(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.y_range is None else sigmoid_range(x, *self.y_range)

    def all_items(self, users: torch.Tensor) -> torch.Tensor:
        "(n,) user ids -> (n, items) ratings of every item."
        return self._scaled(self.u_weight(users) @ self.i_weight.weight.T + self.u_bias(users) + self.i_bias.weight.T)

    def start_at(self, outputs: torch.Tensor) -> None:
        "Set the biases of the users so that the model predicts the rating `outputs` (1,) on average; for `init_head`."
        target = outputs if self.y_range is None else inverse_sigmoid_range(outputs, SigmoidRange(*self.y_range))[0]
        self.u_bias.weight.add_(target.to(self.u_bias.weight) - self.u_bias.weight.mean() - self.i_bias.weight.mean())

    @classmethod
    def from_classes(cls, n_factors: int, classes: Mapping[Any, CategoryMap], user: Any = None, item: Any = None,
                     y_range: YRange | None = None) -> "EmbeddingDotBias":
        """A model that knows users and items by name.

        Args:
            n_factors: the length of the vectors.
            classes: the categories of the user and the item column, by the names of the columns.
            user, item: these names; default: the first and second.
            y_range: (low, high) that a sigmoid scales the ratings to.
        """
        names = list(classes)
        user, item = names[0] if user is None else user, names[1] if item is None else item
        model = cls(n_factors, len(classes[user]), len(classes[item]), y_range)
        model.classes, model.user, model.item = dict(classes), user, item
        if cls is EmbeddingDotBias:
            args = {"n_factors": n_factors, "classes": model.classes, "user": user, "item": item, "y_range": y_range}
            model.__dict__["recipe"] = Recipe(embedding_dot_bias, args)
        return model

    def get_idx(self, names: Any, is_item: bool = True) -> torch.Tensor:
        "The ids of items (or users) by name: int64 (n,), on the device of the model."
        if self.classes is None:
            raise ValueError("this model does not know names, only ids: make it with EmbeddingDotBias.from_classes, or look into its "
                             "i_weight.weight and i_bias.weight")
        kind, column = ("item", self.item) if is_item else ("user", self.user)
        known = self.classes[column]
        names = [names] if isinstance(names, (str, int, float, np.integer)) else list(names)
        unknown = [n for n in names if n not in known]
        if unknown:
            raise KeyError(f"{unknown[0]!r} is no {kind} of the training data, column {column!r}{did_you_mean(unknown[0], known)}"
                           + (f" ({len(unknown)} unknown in all)" if len(unknown) > 1 else ""))
        return torch.tensor([known.id_of(n) for n in names], device=self.i_weight.weight.device)

    def weight(self, names: Any, is_item: bool = True) -> TensorBase:
        "The vectors of items (or users) by name: (n, n_factors) on the CPU; `weight(names).pca(3)` projects them."
        return TensorBase((self.i_weight if is_item else self.u_weight).weight.detach()[self.get_idx(names, is_item)].cpu())

    def bias(self, names: Any, is_item: bool = True) -> torch.Tensor:
        "The biases of items (or users) by name: (n,) on the CPU."
        return (self.i_bias if is_item else self.u_bias).weight.detach().squeeze(1)[self.get_idx(names, is_item)].cpu()


@recorded()
def embedding_dot_bias(n_factors: int, classes: Mapping[Any, CategoryMap], user: Any = None, item: Any = None,
                       y_range: YRange | None = None) -> EmbeddingDotBias:
    """`EmbeddingDotBias.from_classes`.

    Args:
        n_factors: see there.
        classes: see there.
        user: see there.
        item: see there.
        y_range: see there.
    """
    return EmbeddingDotBias.from_classes(n_factors, classes, user, item, y_range)


class EmbeddingNN(TabularModel):
    """(B, 2) ids of users and items -> (B, 1) ratings: a `TabularModel` without continuous columns.

    Args:
        emb_szs: (categories, embedding size) of users and of items.
        layers: sizes of the hidden layers.
        ps, embed_p, y_range, use_bn, bn_final, act_cls, lin_first: see `TabularModel`.
    """

    @recorded()
    def __init__(self, emb_szs: Sequence[tuple[int, int]], layers: Sequence[int], ps: float | Sequence[float] | None = None,
                 embed_p: float = 0.0, y_range: YRange | None = None, use_bn: bool = True, bn_final: bool = False,
                 act_cls: type[nn.Module] | nn.Module = nn.ReLU, lin_first: bool = True):
        super().__init__(emb_szs, 0, 1, layers, ps=ps, embed_p=embed_p, y_range=y_range, use_bn=use_bn, bn_final=bn_final, bn_cont=False,
                         act_cls=act_cls, lin_first=lin_first)
