"""`TSBlock`: series as inputs; and blocks of targets whose predictions are labels as they were given, of any type (`AsGiven`)."""
from collections.abc import Callable
from typing import Any

from ..data.block import TransformBlock
from ..data.categories import NA, Categorize
from .loader import SeriesDL
from .missing import FillSteps
from .padding import PadSeries
from .reading import ReadSeries


class TSBlock(TransformBlock):
    """Series: arrays (channels, steps), or (steps,) of one channel, as tensors of float32.

    Series of several lengths are padded with NaN at the end to the longest of a batch.

    Args:
        fill: how missing values are filled; None: they are refused.
        max_len: of longer series the first `max_len` steps are kept; None: nothing is cut.
        multiple_of: the length of a batch is a multiple of this.
        table: how tables hold series, `LongTable` or `WideTable`, where new ones may come in tables.
    """

    def __init__(self, fill: FillSteps | None = None, max_len: int | None = None, multiple_of: int = 1, table: Any = None):
        super().__init__(type_tfms=[ReadSeries(fill, table=table)], dl_type=SeriesDL,
                         dls_kwargs={"before_batch": [PadSeries(max_len, multiple_of)]})


class AsGiven(Categorize):
    """`Categorize`, but predictions give labels back as they were given: 3 where they are numbers, not '3'.

    Args:
        vocab: the classes in their order; None: the labels of the training items.
        sort: sort the labels of the training items; False: in order of appearance.
        add_na: class 0 is `'#na#'` and stands for anything unknown.
    """

    def decodes(self, o: Any) -> Any:
        label = "" if self.vocab is None else self.vocab[int(o)]
        return super().decodes(o) if isinstance(label, str) else label


def labels_as_given(block: TransformBlock | Callable[[], TransformBlock]) -> TransformBlock:
    """A block of targets whose predictions give labels back as they were given.

    Args:
        block: of any targets, or what makes one.
    """
    made = block if isinstance(block, TransformBlock) else block()
    made.type_tfms = [AsGiven(f.vocab and [v for v in f.vocab if v != NA], f.sort, f.add_na) if type(f) is Categorize else f
                      for f in made.type_tfms]
    return made
