"""Values that show themselves as a title, fastai's names for tensors of classes, and `cast`: what one's own samples may be decoded to."""
from inspect import ismethod
from typing import Any

import torch

from .fastuple import fastuple
from .plots import show_item


class ShowTitle:
    "Mixin: a value that shows itself as the title of the axes."

    def show(self, ctx: Any = None, **kwargs: Any) -> Any:
        """Put the value above the axes.

        Args:
            ctx: matplotlib axes (default: new ones).
            **kwargs: `title`, which comes before the value.
        """
        return show_item(str(self), ctx=ctx, **kwargs)


class TitledStr(ShowTitle, str):
    "A string that shows itself as a title."

    def truncate(self, n: int) -> "TitledStr":
        """The first `n` words.

        Args:
            n: how many.
        """
        return TitledStr(" ".join(self.split(" ")[:n]))


class TitledInt(ShowTitle, int):
    "An int that shows itself as a title."


class TitledFloat(ShowTitle, float):
    "A float that shows itself as a title."


class TitledTuple(ShowTitle, fastuple):
    "A tuple that shows itself as a title, and computes element by element."


class TensorBase(torch.Tensor):
    """Base of your own tensor classes: `class TensorMap(TensorBase): ...`, `TensorMap(x)`.

    The model gets batches of them as plain tensors.

    Args:
        x: a tensor, array or list of numbers.
        **kwargs: attributes of the new tensor. They stay with this object; the results of computations do not have them.
    """

    def __new__(cls, x: Any, **kwargs: Any) -> "TensorBase":
        return torch.as_tensor(x).as_subclass(cls)

    def __init__(self, x: Any, **kwargs: Any):
        self.__dict__.update(kwargs)

    def pca(self, k: int = 2) -> "TensorBase":
        """The rows of a matrix (n, features), less their mean, in the `k` directions in which they vary most.

        Args:
            k: how many directions.

        Returns:
            (n, k).
        """
        x: torch.Tensor = self - self.mean(0, keepdim=True)
        return x @ torch.linalg.svd(x, full_matrices=False).Vh[:k].T         # type: ignore[return-value]


def cast(x: Any, typ: type) -> Any:
    """A value as another class: a tensor or image keeps its memory, and a tensor its attributes; anything else becomes `typ(x)`.

    Args:
        x: the value. One that is of the class already is returned as it is.
        typ: the class.
    """
    if type(x) is typ:
        return x
    if isinstance(x, torch.Tensor) and (typ is torch.Tensor or issubclass(typ, TensorBase)):
        made = x.as_subclass(typ)
        vars(made).update(vars(x))
        return made
    own = getattr(typ, "cast", None)                # PILImage has one
    return own(x) if ismethod(own) else typ(x)


class TensorCategory(TensorBase):
    "Class ids."


class TensorMultiCategory(TensorCategory):
    "Zeros and ones, one for each label."


class TitledTensorScalar(ShowTitle, TensorBase):
    "A tensor with a single number, which shows itself as a title."

    def show(self, ctx: Any = None, **kwargs: Any) -> Any:
        """Put the number above the axes.

        Args:
            ctx: matplotlib axes (default: new ones).
            **kwargs: `title`, which comes before the number.
        """
        return show_item(str(self.item()), ctx=ctx, **kwargs)
