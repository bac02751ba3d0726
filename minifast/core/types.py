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

PathLike: TypeAlias = str | os.PathLike[str]
"A file or folder."

Splits: TypeAlias = Sequence[Sequence[int]]
"Indices of the items of each split, training first."

LossFunc: TypeAlias = Callable[..., torch.Tensor]
"`loss_func(pred, *targets)` -> a 0-d tensor."

Splitter: TypeAlias = Callable[[torch.nn.Module], list]
"A function of a model that returns its parameters, or one list of parameters per layer group."

Batch: TypeAlias = Any
"What a loader yields: a tensor, or nested tuples, lists, dicts or dataclasses of tensors."

PerGroup: TypeAlias = float | slice | Sequence[float]
"A hyper-parameter: one number, one per layer group, or a slice from the first group to the last."
