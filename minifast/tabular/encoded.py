"""The processed columns of a table: arrays with a row per row of the frame, and the tensors that batches are taken from."""
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..core.messages import plural
from .columns import rows_of
from .table import Table


class Encoded:
    """Processed columns of all rows of a table, which its splits share.

    Args:
        index: labels of the rows.
        cat_names, cont_names: names of the columns.
        codes: int64 (n, categorical columns); None where the categories were not encoded.
        numbers: float32 or float64 (n, continuous columns).
        targets: encoded targets, (n,) or (n, k).
        raw_cats: the categories as they came, where they were not encoded.
        keeper: what must live as long as the arrays.
    """

    def __init__(self, index: pd.Index, cat_names: list, cont_names: list, codes: np.ndarray | None, numbers: np.ndarray,
                 targets: np.ndarray | None = None, raw_cats: pd.DataFrame | None = None, keeper: object = None):
        self.index, self.cat_names, self.cont_names, self.keeper = index, cat_names, cont_names, keeper
        self.codes, self.numbers, self.targets, self.raw_cats = codes, numbers, targets, raw_cats
        self._tensors: dict[str, tuple[torch.Tensor, ...]] = {}

    @classmethod
    def of_table(cls, table: Table, with_codes: bool, dtype: type) -> "Encoded":
        "The columns of a `Table` that the procs are done with; with_codes: its categories are codes; dtype: of the numbers."
        return cls(table.index, list(table.cats), list(table.conts), _stacked(table, table.cats, np.int64) if with_codes else None,
                   _stacked(table, table.conts, dtype), None, None if with_codes else pd.DataFrame(table.cats, index=table.index))

    @classmethod
    def of_tensors(cls, like: "Encoded", codes: torch.Tensor, numbers: torch.Tensor | None, targets: torch.Tensor | None) -> "Encoded":
        "Other rows of the same columns, from the tensors of a batch."
        n = len(codes)
        return cls(pd.RangeIndex(n), like.cat_names, like.cont_names, codes.numpy(),
                   np.zeros((n, 0), dtype=np.float32) if numbers is None else numbers.numpy(), None if targets is None else targets.numpy())

    @classmethod
    def without_rows(cls, cat_names: list, cont_names: list) -> "Encoded":
        "The columns alone."
        return cls(pd.RangeIndex(0), cat_names, cont_names, np.zeros((0, len(cat_names)), dtype=np.int64),
                   np.zeros((0, len(cont_names)), dtype=np.float32))

    def tensors(self, device: torch.device | str, with_cont: bool) -> tuple[torch.Tensor, ...]:
        "`(codes, numbers, targets)` on `device`, where they stay; without targets there are two, without `with_cont` no numbers."
        device = torch.device(device)
        if "cpu" not in self._tensors:
            if self.codes is None and self.cat_names:
                raise ValueError(f"the categories {self.cat_names[:5]} are no codes yet: a network needs procs=[Categorify, ...]")
            codes = np.zeros((len(self.index), 0), dtype=np.int64) if self.codes is None else self.codes
            with np.errstate(over="ignore"):
                numbers = self.numbers.astype(np.float32, copy=False)
                if numbers.size and not np.isfinite(numbers.sum()):
                    self.check_finite(numbers)
            arrays = [codes, *([numbers] if with_cont else []), *([] if self.targets is None else [self.targets])]
            self._tensors["cpu"] = tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays)
        key = "cpu" if device.type == "cpu" else str(device)
        if key not in self._tensors:
            self._tensors[key] = tuple(t.to(device) for t in self._tensors["cpu"])
        return self._tensors[key]

    def check_finite(self, numbers: np.ndarray) -> None:
        "Refuse float32 numbers (n, continuous columns) that are missing or infinite."
        for is_bad, what in ((np.isnan, "missing values, which a network cannot take: {}. Add FillMissing to procs"),
                             (np.isinf, "values too large for float32: {}. Clip them, or take their logarithm")):
            bad = [(n, is_bad(numbers[:, j])) for j, n in enumerate(self.cont_names) if is_bad(numbers[:, j]).any()]
            if bad:
                index = self.index if len(self.index) == len(numbers) else pd.RangeIndex(len(numbers))
                shown = "; ".join(f"{n!r} in {plural(int(m.sum()), 'row')} ({rows_of(index, m, 3)})" for n, m in bad)
                raise ValueError(f"continuous columns have {what.format(shown)}")


def _stacked(table: Table, columns: Mapping[Any, np.ndarray], dtype: type) -> np.ndarray:
    "Columns side by side as one array with a row per row, filled block by block so that a block stays in the cache."
    out = np.empty((len(table), len(columns)), dtype=dtype)

    def fill(start: int) -> None:
        for i in range(start, min(start + 65_536, len(table)), 2048):
            for j, column in enumerate(columns.values()):
                out[i:i + 2048, j] = column[i:i + 2048]

    table.each(fill, range(0, len(table), 65_536))
    return out


def beside(*frames: pd.DataFrame) -> pd.DataFrame:
    "Frames side by side, without those that have no columns."
    found: Sequence[pd.DataFrame] = [f for f in frames if f.shape[1]] or frames[:1]
    return found[0] if len(found) == 1 else pd.concat(found, axis=1)
