"""`tabular_learner`: a `Learner` for tables, which predicts rows without making loaders of them."""
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import pandas as pd
import torch

from ..callbacks.first_batch import FirstBatch
from ..callbacks.progress import ProgressCallback
from ..callbacks.recorder import Recorder
from ..core.messages import describe, did_you_mean
from ..learner.inference import Batches, get_preds
from ..learner.learner import Learner
from ..optim.optimizers import Adam
from .dataloader import TabDataLoader
from .frames import TabularPandas, rows_frame
from .model import TabularModel, check_config, get_emb_sz
from .targets import Classes

FLOAT32_MAX = float(np.finfo(np.float32).max)
_LISTENERS = (FirstBatch, ProgressCallback, Recorder)         # they change nothing

__all__ = ["PredictedRow", "TabularLearner", "tabular_learner"]


class PredictedRow(Mapping):
    "A row as the model saw it, decoded, with the prediction as its target: `{column: value}`, made when somebody looks."

    def __init__(self, make):
        self._make = make

    @cached_property
    def _values(self):
        return self._make().astype(object).iloc[0].to_dict()

    def __getitem__(self, name):
        return self._values[name]

    def __iter__(self):
        return iter(self._values)

    def __len__(self):
        return len(self._values)

    def show(self):
        "The row as a DataFrame."
        return pd.DataFrame([self._values])

    def __repr__(self):
        return repr(self._values)


class TabularLearner(Learner):
    "A `Learner` whose items are rows of tables."

    def table(self):
        "The `TabularPandas` of the training rows, which knows columns, categories and scales."
        return getattr(self.dls.train, "dataset", None)

    def get_preds(self, ds_idx=1, dl=None, with_input=False, with_decoded=False, with_loss=False, act=None, reorder=True, cbs=None,
                  with_preds=True, with_targs=True, concat_dim=0):
        """As `Learner.get_preds`; targets of one number per row are (n,1), like the predictions, so that `preds - targs` is a difference
        per row (of (n,1) and (n,) torch would make an (n,n) table)."""
        results = list(get_preds(self, ds_idx, dl, with_input, with_decoded, with_loss, act, reorder, cbs, with_preds, with_targs,
                                 concat_dim))
        if with_preds and with_targs:
            k = int(with_input)
            preds, targs = results[k:k + 2]
            if isinstance(targs, torch.Tensor) and targs.is_floating_point() and targs.ndim == 1 and preds.shape == (len(targs), 1):
                results[k + 1] = targs[:, None]
        return tuple(results)

    def predict(self, row, with_input=False):
        """`(row, prediction, probabilities)` of one row, a Series or a dict: the row decoded, with the predicted target; the class id, or
        the number(s); and what the model gave, probabilities for classes.

        For a frame or a list of rows the same three for all of them: a DataFrame, and two tensors with an entry per row. Missing columns
        are an error, unknown categories count as missing. with_input: accepted for the sake of `Learner.predict`; the row is the input.
        """
        if not isinstance(self.dls.train, TabDataLoader):
            raise TypeError(f"predict of a table needs loaders of a TabularPandas; this learner has {describe(self.dls.train)}")
        if not isinstance(row, (dict, pd.Series)):
            return self._predict_frame(rows_frame(row))
        table = self.table()
        if isinstance(row, pd.Series):
            row = dict(zip(row.index.tolist(), row.tolist(), strict=True))
        encoded = None if self._heard() else table.encode_row(row)
        if encoded is None:
            frame, decoded, preds = self._predict_frame(rows_frame(row))
            return PredictedRow(lambda: frame), decoded[0], preds[0]
        codes, floats = encoded
        if not -FLOAT32_MAX < sum(floats) < FLOAT32_MAX:
            with np.errstate(over="ignore"):
                table.refuse_numbers(np.array([floats]).astype(np.float32))
        preds = self._forward_row(codes, floats, table.with_cont)
        decoded = self.decode_pred(preds)

        def decoded_row():
            return table.decode_arrays(np.array([codes], dtype=np.int64), np.array([floats], dtype=np.float64), decoded.numpy())

        return PredictedRow(decoded_row), decoded[0], preds[0]

    def _heard(self):
        "Whether something changes batches or outputs on the way, so that a prediction must take it too."
        if len((self.dls.valid or self.dls.train).after_batch):
            return True
        heard = self._tables[False]
        return any(type(getattr(handler, "__self__", None)) not in _LISTENERS
                   for event in ("before_validate", "before_batch", "after_pred") for handler in heard[event])

    def _forward_row(self, codes, floats, with_cont):
        "The prediction for one row, activated, on the CPU: (1, outputs)."
        device, model = self.dls.device, self.model
        if next(model.parameters()).device != device:
            self.to_device()
        if model.training:
            model.eval()
        x_cont = torch.tensor([floats], dtype=torch.float32, device=device)
        with torch.no_grad(), self.forward_context():
            if getattr(model, "takes_rows", False):
                pred = model.forward_row(codes, x_cont)
            else:
                x_cat = torch.tensor([codes], dtype=torch.int64, device=device)
                pred = model(x_cat, x_cont) if with_cont else model(x_cat)
        return self.activation(pred).cpu()

    def _predict_frame(self, frame):
        dl = self.dls.test_dl(frame)
        preds, _, decoded = get_preds(self, dl=dl, with_decoded=True)
        shown = dl.dataset.decode()
        return dl.dataset._with_targets(shown, decoded.numpy()), decoded, preds

    def show_results(self, ds_idx=1, dl=None, max_n=10, shuffle=True):
        "Rows of one batch with target and prediction (`{target}_pred`), as a DataFrame."
        dl = self._loader_to_show(ds_idx, dl, shuffle)
        if not isinstance(dl, TabDataLoader):
            raise TypeError(f"show_results() of a table needs loaders of a TabularPandas; received {describe(dl)}")
        batch = dl.one_batch()
        _, _, decoded = get_preds(self, dl=Batches([batch], dl.n_inp), with_decoded=True, reorder=False)
        shown = dl.decoded(batch, max_n)
        return dl.dataset._with_targets(shown, decoded[:len(shown)].numpy(), suffix="_pred")


def tabular_learner(dls, layers=None, emb_szs=None, config=None, n_out=None, y_range=None, loss_func=None, opt_func=Adam, lr=1e-3,
                    splitter=None, cbs=None, metrics=None, path=None, model_dir="models", wd=None, wd_bn_bias=False, train_bn=True,
                    moms=(0.95, 0.85, 0.95), default_cbs=True):
    """A `TabularLearner` on `dls` with a `TabularModel`.

    layers: sizes of the hidden layers (default [200, 100]). emb_szs: embedding sizes, a dict from column names or `(categories, size)` for
    every category column; default: `emb_sz_rule`. config: more about the model, see `tabular_config`. n_out: outputs, default: what the
    data says. y_range: (low, high) of a number to predict. The rest: see `Learner`.
    """
    from ..optim.groups import trainable_params
    table = getattr(getattr(dls, "train", None), "dataset", None)
    if not isinstance(table, TabularPandas):
        raise TypeError(f"tabular_learner takes loaders of a table (TabularDataLoaders.from_df, to.dataloaders); received {describe(dls)}")
    if not table.with_cont:
        raise TypeError("these loaders give batches (users and items, ratings) without numbers: use collab_learner")
    config = check_config(config, "tabular_config(...)")
    y_range = config.pop("y_range", None) if y_range is None else (config.pop("y_range", None), y_range)[1]
    if n_out is None:
        n_out = table.c
        if not n_out:
            raise ValueError("the data has no target, so the number of outputs is not known: give y_names when making the loaders, or "
                             "n_out=")
    if n_out == 1 and isinstance(table.target, Classes) and table.c == 1 and loss_func is None:
        raise ValueError(f"the target {table.y_names[0]!r} has a single class in the training rows, {table.vocab[0]!r}: there is nothing "
                         "to learn. Look at the column and at the split, or give all classes with y_block=CategoryBlock(vocab=[...])")
    if y_range is not None and isinstance(table.target, Classes) and loss_func is None:
        raise ValueError(f"y_range={y_range} is for numbers, but the target {table.y_names[0]!r} has {table.target.kind}: leave y_range "
                         "out, or make the loaders with y_block=RegressionBlock")
    model = TabularModel(emb_sizes(table, emb_szs), len(table.cont_names), n_out, [200, 100] if layers is None else layers, y_range=y_range,
                         **config)
    return TabularLearner(dls, model, loss_func=loss_func, opt_func=opt_func, lr=lr,
                          splitter=trainable_params if splitter is None else splitter, cbs=cbs, metrics=metrics, path=path,
                          model_dir=model_dir, wd=wd, wd_bn_bias=wd_bn_bias, train_bn=train_bn, moms=moms, default_cbs=default_cbs)


def emb_sizes(table, emb_szs):
    "Embedding sizes as `(categories, size)` pairs, from a dict, from pairs, or by the rule."
    if emb_szs is None or isinstance(emb_szs, dict):
        return get_emb_sz(table, emb_szs)
    pairs = [tuple(p) for p in emb_szs]
    wanted = [len(c) for c in table.classes.values()]
    if [p[0] for p in pairs] != wanted:
        names = list(table.classes)
        raise ValueError(f"emb_szs must give (categories, size) for each of {names}, whose categories are {wanted} with '#na#'; received "
                         f"{pairs}{did_you_mean('emb_szs', ())}. A dict from names to sizes, for some columns, is fine too")
    return pairs
