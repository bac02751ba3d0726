"""`TSBlock`: series as inputs."""
from typing import Any

from ..data.block import TransformBlock
from .loader import SeriesDL
from .missing import FillSteps
from .pad import PadSeries
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
