"""Names for the types that many signatures share."""
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame
else:                   # heavy, so imported where they are used; what is annotated with them quotes the name
    Axes = Figure = DataFrame = Any

#: A file or folder.
PathLike: TypeAlias = str | os.PathLike[str]

#: Indices of the items of each split, training first.
Splits: TypeAlias = Sequence[Sequence[int]]

#: `loss_func(pred, *targets)` -> a 0-d tensor.
LossFunc: TypeAlias = Callable[..., torch.Tensor]

#: A function of a model that returns its parameters, or one list of parameters per layer group.
Splitter: TypeAlias = Callable[[torch.nn.Module], list]

#: What a loader yields: a tensor, or nested tuples, lists, dicts or dataclasses of tensors.
Batch: TypeAlias = Any

#: A hyper-parameter: one number, one per layer group, or a slice from the first group to the last.
PerGroup: TypeAlias = float | slice | Sequence[float]

#: The range (low, high) that a sigmoid scales outputs to: numbers, or tensors with one number for each output.
YRange: TypeAlias = Sequence[float] | Sequence[torch.Tensor] | torch.Tensor
