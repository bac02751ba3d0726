"""`tabular_learner`: a `Learner` for tables, which predicts rows without making loaders of them."""
from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd
import torch

from ..callbacks import Callback, FirstBatch, ProgressCallback, Recorder
from ..core.keywords import knows_keywords
from ..core.messages import brief, describe, reject_unknown
from ..core.types import LossFunc, PathLike, Splitter, YRange
from ..data.loaders import DataLoaders
from ..learner.inference import Batches
from ..learner.learner import Learner
from ..optim.groups import trainable_params
from ..optim.optimizers import Adam
from .columns import rows_frame
from .dataloader import TabDataLoader
from .frames import TabularPandas
from .model import TabularModel, get_emb_sz, tabular_config
from .targets import Classes

FLOAT32_MAX = float(np.finfo(np.float32).max)
#: Callbacks that change neither batches nor predictions.
_PASSIVE = (FirstBatch, ProgressCallback, Recorder)

__all__ = ["PredictedRow", "TabularLearner", "tabular_learner"]


class PredictedRow(UserDict):
    "A row as the model saw it, decoded, with the prediction as its target: `{column: value}`, made at the first look."

    def __init__(self, make: Callable[[], pd.DataFrame]):
        self._make = make

    @cached_property
    def data(self) -> dict:  # type: ignore[override]  # made when somebody looks
        "The row as a dict."
        return self._make().astype(object).iloc[0].to_dict()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"predict returns the row as a dict of its values, without {name!r}: write row['column'] for a value of it, "
                             "row.show() for a DataFrame")

    def __copy__(self) -> "PredictedRow":
        return PredictedRow(self._make)

    def show(self) -> pd.DataFrame:
        "The row as a DataFrame."
        return pd.DataFrame([self.data])


class TabularLearner(Learner):
    "A `Learner` whose items are rows of tables."

    #: The index of the latest Series that was predicted, and its labels as a list: `tolist` of text is a tenth of the time of `predict`.
    _names: tuple[pd.Index | None, list] = (None, [])

    def table(self) -> TabularPandas:
        "The `TabularPandas` of the training rows, which knows columns, categories and scales."
        return getattr(self.dls.train, "dataset", None)

    def get_preds(self, ds_idx: int = 1, dl: Any = None, with_input: bool = False, with_decoded: bool = False, with_loss: bool = False,
                  act: Callable | None = None, reorder: bool = True, cbs: Any = None, with_preds: bool = True, with_targs: bool = True,
                  concat_dim: int = 0, save_preds: PathLike | None = None, save_targs: PathLike | None = None) -> tuple:
        """As `Learner.get_preds`, with targets of shape (n, 1) where there is one number per row.

        They have the shape of the predictions, so that `preds - targs` is a difference per row; of (n, 1) and (n,) torch would make (n, n).
        """
        results = list(super().get_preds(ds_idx, dl, with_input, with_decoded, with_loss, act, reorder, cbs, with_preds, with_targs,
                                         concat_dim, save_preds, save_targs))
        if with_preds and with_targs:
            k = int(with_input)
            preds, targs = results[k:k + 2]
            if isinstance(targs, torch.Tensor) and targs.is_floating_point() and targs.ndim == 1 and preds.shape == (len(targs), 1):
                results[k + 1] = targs[:, None]
        return tuple(results)

    def predict(self, row: Any, with_input: bool = False) -> tuple:
        """Predict one row, or a frame or list of rows. Missing columns are an error, unknown categories count as missing.

        Args:
            row: a Series or dict with the columns of the training data; or a DataFrame or a list of such rows.
            with_input: accepted because `Learner.predict` takes it; the row is returned in any case.

        Returns:
            `(row, prediction, probabilities)`: the row decoded, with the predicted target; the class id, or the number(s); and the
            activated output of the model. Of several rows a DataFrame, and two tensors with an entry per row.
        """
        if not isinstance(self.dls.train, TabDataLoader):
            raise TypeError(f"predict of a table needs loaders of a TabularPandas; this learner has {describe(self.dls.train)}")
        if not isinstance(row, (dict, pd.Series)):
            return self._predict_frame(rows_frame(row))
        table = self.table()
        if isinstance(row, pd.Series):
            index, names = self._names
            if index is not row.index:
                names = row.index.tolist()
                self._names = row.index, names
            row = dict(zip(names, row.tolist(), strict=True))
        encoded = None if self._needs_a_pass() else table.encode_row(row)
        if encoded is None:
            frame, decoded, preds = self._predict_frame(rows_frame(row))
            return PredictedRow(lambda: frame), decoded[0], preds[0]
        codes, numbers = encoded
        if not -FLOAT32_MAX < sum(numbers) < FLOAT32_MAX:
            with np.errstate(over="ignore"):
                table.check_finite(np.array([numbers]).astype(np.float32))
        preds = self._forward_row(codes, numbers, table.with_cont)
        decoded = self.decode_pred(preds)
        return PredictedRow(lambda: table.decode_arrays(np.array([codes], dtype=np.int64), np.array([numbers], dtype=np.float64),
                                                        decoded.numpy())), decoded[0], preds[0]

    def _needs_a_pass(self) -> bool:
        "Whether batch transforms or callbacks may change batches or predictions, so that a row must go through a validation pass."
        handlers = self._handlers[False]
        return len(self.dls.loaders[:2][-1].after_batch) > 0 or any(
            type(getattr(handler, "__self__", None)) not in _PASSIVE
            for event in ("before_validate", "before_batch", "after_pred") for handler in handlers[event])

    def _forward_row(self, codes: list[int], numbers: list[float], with_cont: bool) -> torch.Tensor:
        "The prediction for one row, activated, on the CPU: (1, outputs)."
        device, model = self.dls.device, cast(TabularModel, self.model)         # it may be any other, too
        x_cont = torch.tensor([numbers], dtype=torch.float32, device=device)
        with self.pass_lock.for_pass(), torch.no_grad(), self.forward_context():
            if next(model.parameters()).device != device:
                self.to_device()
            if model.training:
                model.eval()
            if getattr(model, "takes_rows", False):
                pred = model.forward_row(codes, x_cont)
            else:
                x_cat = torch.tensor([codes], dtype=torch.int64, device=device)
                pred = model(x_cat, x_cont) if with_cont else model(x_cat)
        return self.activation(pred).cpu()

    def _predict_frame(self, frame: pd.DataFrame) -> tuple:
        dl = self.dls.test_dl(frame, with_labels=False)
        preds, _, decoded = super().get_preds(dl=dl, with_decoded=True)
        return dl.dataset.add_targets(dl.dataset.decode(), decoded.numpy()), decoded, preds

    def show_results(self, ds_idx: int = 1, dl: Any = None, max_n: int = 10,  # type: ignore[override]  # a frame has no figsize
                     shuffle: bool = True) -> pd.DataFrame:
        "Rows of one batch with target and prediction (`{target}_pred`), as a DataFrame."
        dl = self._loader_to_show(ds_idx, dl, shuffle)
        if not isinstance(dl, TabDataLoader):
            raise TypeError(f"show_results() of a table needs loaders of a TabularPandas; received {describe(dl)}")
        with self.pass_lock.for_pass():
            batch = dl.one_batch()
            _, _, decoded = super().get_preds(dl=Batches([batch], dl.n_inp), with_decoded=True, reorder=False)
        shown = dl.decoded(batch, max_n)
        return dl.dataset.add_targets(shown, decoded[:len(shown)].numpy(), suffix="_pred")


@knows_keywords
def tabular_learner(dls: DataLoaders, layers: Sequence[int] | None = None,
                    emb_szs: Mapping[Any, int] | Sequence[tuple[int, int]] | None = None, config: Mapping[str, Any] | None = None,
                    n_out: int | None = None, y_range: YRange | None = None, loss_func: LossFunc | None = None,
                    opt_func: Callable[..., Any] = Adam, lr: float = 1e-3, splitter: Splitter | None = None,
                    cbs: Callback | Sequence[Callback] | None = None, metrics: Any = None, path: PathLike | None = None,
                    model_dir: str = "models", wd: float | None = None, wd_bn_bias: bool = False, train_bn: bool = True,
                    moms: tuple[float, float, float] = (0.95, 0.85, 0.95), default_cbs: bool = True) -> TabularLearner:
    """A `TabularLearner` with a `TabularModel`.

    Args:
        dls: loaders of a `TabularPandas`.
        layers: sizes of the hidden layers; default: [200, 100].
        emb_szs: embedding sizes, a dict from column names, or (categories, size) for every categorical column; default: `emb_sz_rule`.
        config: more about the model, see `tabular_config`.
        n_out: number of outputs; default: as the target needs.
        y_range: (low, high) of a number to predict.
        loss_func, opt_func, lr, splitter, cbs, metrics, path, model_dir: see `Learner`.
        wd, wd_bn_bias, train_bn, moms, default_cbs: see `Learner`.

    Raises:
        TypeError: if `dls` are no loaders of a table with continuous columns in its batches.
        ValueError: if the number of outputs is not known, the target has a single class, or a range is given for classes.
    """
    table = getattr(getattr(dls, "train", None), "dataset", None)
    if not isinstance(table, TabularPandas):
        raise TypeError(f"tabular_learner takes loaders of a table (TabularDataLoaders.from_df, to.dataloaders); received {describe(dls)}")
    if not table.with_cont:
        raise TypeError("these loaders give batches (users and items, ratings) without continuous columns: use collab_learner")
    kwargs = model_config(config, y_range)
    n_out = table.c if n_out is None else n_out
    if not n_out:
        raise ValueError("the data has no target, so the number of outputs is not known: give y_names when making the loaders, or n_out=")
    if isinstance(table.target, Classes) and loss_func is None:
        name, y_range = table.y_names[0], kwargs["y_range"]
        if n_out == 1 and table.c == 1:
            raise ValueError(f"the target {name!r} has a single class in the training rows, {table.vocab[0]!r}: there is nothing to learn. "
                             "Look at the column and at the split, or give all classes with y_block=CategoryBlock(vocab=[...])")
        if y_range is not None:
            raise ValueError(f"y_range={y_range} is for numbers, but the target {name!r} has {table.target.kind}: leave y_range out, or "
                             "make the loaders with y_block=RegressionBlock")
    model = TabularModel(embedding_sizes(table, emb_szs), len(table.cont_names), n_out, [200, 100] if layers is None else layers, **kwargs)
    return TabularLearner(dls, model, loss_func=loss_func, opt_func=opt_func, lr=lr,
                          splitter=trainable_params if splitter is None else splitter, cbs=cbs, metrics=metrics, path=path,
                          model_dir=model_dir, wd=wd, wd_bn_bias=wd_bn_bias, train_bn=train_bn, moms=moms, default_cbs=default_cbs)


def model_config(config: Mapping[str, Any] | None, y_range: YRange | None) -> dict[str, Any]:
    "`config` as checked arguments of `TabularModel`, with the `y_range` of the call in preference to its own."
    config = {"y_range": None, **({} if config is None else config)}
    reject_unknown(config, tabular_config(), "tabular_config(...)")
    return config if y_range is None else {**config, "y_range": y_range}


def embedding_sizes(table: TabularPandas, emb_szs: Mapping[Any, int] | Sequence[tuple[int, int]] | None) -> list[tuple[int, int]]:
    "Embedding sizes as (categories, size) pairs, from a dict, from pairs, or by the rule."
    if emb_szs is None or isinstance(emb_szs, dict):
        return get_emb_sz(table, emb_szs)
    pairs, expected = [tuple(p) for p in emb_szs], [len(c) for c in table.classes.values()]
    if [p[0] for p in pairs] != expected:
        raise ValueError(f"emb_szs must give (categories, size) for each of {list(table.classes)}, whose categories are {expected} with "
                         f"'#na#'; received {brief(pairs)}. A dict from names to sizes, for some columns, works too")
    return pairs
