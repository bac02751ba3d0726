"""Covariates: what else is known of a series, as further inputs of the model, which reads `model(x, categories, numbers)`."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..core.messages import listing, plural
from ..core.types import YRange
from ..data.block import TransformBlock
from ..data.categories import NA, CategoryMap
from ..data.labels import is_missing, python_value
from ..data.rows import Rows
from ..data.transforms import ItemTransform
from ..nn.activations import SigmoidRange, range_ends


class ValuesAhead:
    """A row of numbers for each item.

    Args:
        values: (items, columns).
    """

    def __init__(self, values: torch.Tensor):
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.values[i].clone()

    def subset(self, indices: Sequence[int]) -> "ValuesAhead":
        """Those of some items.

        Args:
            indices: of the items.
        """
        return ValuesAhead(self.values[torch.as_tensor(np.asarray(indices, np.int64))])


class _Covariates(ItemTransform):
    "Columns of the rows of a table as a tensor."

    def __init__(self, names: Sequence[Any]):
        super().__init__()
        self.names = list(names)

    def _columns(self, items):
        "The values of each column, of the rows of a table."
        frame = items.source if isinstance(items, Rows) else None
        if frame is not None and hasattr(frame, "columns"):
            self._refuse_absent(frame.columns)
            return [frame[c].tolist() for c in self.names]
        return [list(o) for o in zip(*(self._row(o) for o in items), strict=True)]

    def _row(self, o):
        columns = o.index if hasattr(o, "iloc") and hasattr(o, "index") else o if isinstance(o, dict) else ()
        self._refuse_absent(columns)
        return [python_value(o[c]) for c in self.names]

    def _refuse_absent(self, columns):
        absent = [c for c in self.names if c not in columns]
        if absent:
            raise KeyError(f"the covariates {listing(map(repr, absent))} are missing, with which the model was trained: "
                           "give a table of them with the series, dls.test_dl((X, table)), learn.predict((x, row))")

    def encode_ahead(self, items: Any) -> ValuesAhead:
        """The covariates of all items of a dataset.

        Args:
            items: the rows of a table.
        """
        return ValuesAhead(self._encoded(self._columns(items)))

    def encodes(self, o: Any) -> torch.Tensor:
        return self._encoded([[v] for v in self._row(o)])[0]

    def _encoded(self, columns):
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.names!r})"


class EncodeCategories(_Covariates):
    """Categorical covariates as whole numbers, int64 (columns,): 0 for what is missing or was not among the training items.

    Args:
        names: the columns.
        vocabs: the classes of each; None: those of the training items.
    """

    def __init__(self, names: Sequence[Any], vocabs: Sequence[Sequence[Any]] | None = None):
        super().__init__(names)
        self.vocabs = None if vocabs is None else [CategoryMap(list(v), sort=False, add_na=True) for v in vocabs]

    @property
    def sizes(self) -> list[int]:
        "How many numbers each column has."
        return [len(v) for v in self.vocabs or ()]

    def setups(self, items: Sequence) -> None:
        "Take the classes of the training items."
        if self.vocabs is None:
            self.vocabs = [CategoryMap([v for v in dict.fromkeys(c) if not is_missing(v)], add_na=True) for c in self._columns(items)]

    def _encoded(self, columns):
        ids = [[0 if is_missing(v) else vocab.id_of(v) for v in column] for vocab, column in zip(self.vocabs, columns, strict=True)]
        return torch.tensor(ids, dtype=torch.int64).T.contiguous()

    def decodes(self, x: torch.Tensor) -> list:
        return [str(v[int(i)]) if v[int(i)] != NA else NA for v, i in zip(self.vocabs or (), x, strict=True)]


class ScaleNumbers(_Covariates):
    """Continuous covariates, float32 (columns,), less their mean and divided by the standard deviation; what is missing becomes the mean.

    Args:
        names: the columns.
        mean: of each; None: those of the training items.
        std: of each; None: those of the training items.
    """

    def __init__(self, names: Sequence[Any], mean: Sequence[float] | None = None, std: Sequence[float] | None = None):
        super().__init__(names)
        self.mean, self.std = mean, std

    def setups(self, items: Sequence) -> None:
        "Take mean and standard deviation of the training items."
        if self.mean is None:
            values = self._numbers(self._columns(items))
            empty = [name for name, v in zip(self.names, values, strict=True) if np.isnan(v).all()]
            if empty:
                raise ValueError(f"the continuous covariates {listing(map(repr, empty))} have no value in the training set: leave them out "
                                 "of cont_names")
            std = np.nanstd(values, axis=1)
            self.mean, self.std = np.nanmean(values, axis=1).tolist(), np.where(std > 0, std, 1.0).tolist()

    def _numbers(self, columns):
        try:
            values = np.array([[np.nan if is_missing(v) else float(v) for v in column] for column in columns])
        except (TypeError, ValueError) as e:
            raise TypeError(f"the continuous covariates {listing(map(repr, self.names))} hold values that are not numbers ({e}): name such "
                            "columns in cat_names") from None
        infinite = [name for name, v in zip(self.names, values, strict=True) if np.isinf(v).any()]
        if infinite:
            raise ValueError(f"the continuous covariates {listing(map(repr, infinite))} hold infinite values: make them missing, which "
                             "stands for the mean, df.replace([np.inf, -np.inf], np.nan)")
        return values

    def _encoded(self, columns):
        values = (self._numbers(columns) - np.array(self.mean)[:, None]) / np.array(self.std)[:, None]
        return torch.from_numpy(np.nan_to_num(values).T.astype(np.float32).copy())

    def decodes(self, x: torch.Tensor) -> list:
        return [f"{float(v) * s + m:.4g}" for v, m, s in zip(x, self.mean or (), self.std or (), strict=True)]


def covariate_blocks(cat_names: Sequence[Any] = (), cont_names: Sequence[Any] = ()) -> list[TransformBlock]:
    """Blocks of covariates, inputs of a `DataBlock` after the series: `blocks=[TSBlock, *covariate_blocks(...), CategoryBlock], n_inp=...`.

    Args:
        cat_names: the columns of categories: a batch of int64 (B, columns).
        cont_names: the columns of numbers: a batch of float32 (B, columns).
    """
    made = [TransformBlock([EncodeCategories(cat_names)])] if len(cat_names) else []
    return [*made, TransformBlock([ScaleNumbers(cont_names)])] if len(cont_names) else made


def covariate_sizes(dls: Any) -> tuple[list[int], int]:
    """What a model has to know of covariates.

    Args:
        dls: loaders of series with covariates.

    Returns:
        How many numbers each categorical covariate has, and how many continuous ones there are.

    Raises:
        ValueError: there are none.
    """
    if not has_covariates(dls):
        raise ValueError("these loaders have no covariates: name columns of the table when they are made, cat_names=[...], "
                         "cont_names=[...]")
    found = _covariates_of(dls)
    return ([n for f in found if isinstance(f, EncodeCategories) for n in f.sizes],
            sum(len(f.names) for f in found if isinstance(f, ScaleNumbers)))


def has_covariates(dls: Any) -> bool:
    """Whether there are covariates beside the series.

    Args:
        dls: loaders.
    """
    return bool(_covariates_of(dls))


def _covariates_of(dls):
    return [f for p in getattr(dls.train.dataset, "pipelines", ()) for f in p if isinstance(f, _Covariates)]


class WithCovariates(torch.nn.Module):
    """A model of series whose outputs are features, and covariates beside them; two layers decide.

    `WithCovariates(InceptionTime(3, 64), 64, dls.c, *covariate_sizes(dls))` reads 3 channels; `ts_learner` makes it of the loaders.

    Args:
        series: reads (B, C, T) and gives (B, n_features).
        n_features: of `series`.
        c_out: outputs.
        sizes: how many numbers each categorical covariate has; each becomes a vector.
        n_numbers: how many continuous covariates there are.
        hidden: features between the two layers.
        y_range: (low, high) of numbers to predict.
    """

    def __init__(self, series: torch.nn.Module, n_features: int, c_out: int, sizes: Sequence[int] = (), n_numbers: int = 0,
                 hidden: int = 64, y_range: YRange | None = None):
        super().__init__()
        widths = [min(50, 1 + n // 2) for n in sizes]
        self.series, self.n_features, self.c_out, self.sizes, self.n_numbers = series, n_features, c_out, list(sizes), n_numbers
        self.hidden, self.y_range = hidden, y_range
        self.vectors = torch.nn.ModuleList([torch.nn.Embedding(n, w) for n, w in zip(sizes, widths, strict=True)])
        layers = [torch.nn.Linear(n_features + sum(widths) + n_numbers, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, c_out)]
        self.head = torch.nn.Sequential(*layers, *([] if y_range is None else [SigmoidRange(*range_ends(y_range))]))

    def forward(self, x: torch.Tensor, *covariates: torch.Tensor) -> torch.Tensor:
        expected = bool(self.vectors) + bool(self.n_numbers)
        if len(covariates) != expected:
            raise ValueError(f"this model reads series and {plural(expected, 'tensor')} of covariates; received {len(covariates)}: make "
                             "loaders with as many, cat_names=, cont_names=")
        parts = [self.series(x)]
        if len(self.vectors):
            parts += [vector(ids) for vector, ids in zip(self.vectors, covariates[0].unbind(1), strict=True)]
        return self.head(torch.cat([*parts, covariates[-1]] if self.n_numbers else parts, dim=1))
