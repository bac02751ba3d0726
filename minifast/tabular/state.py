"""What a table has learnt, without its rows, as a plain dict: for `checkpoint.save`, and for another process that has only new rows."""
from datetime import date, datetime

import numpy as np
import pandas as pd

from ..core.messages import describe, did_you_mean
from ..data.categories import CategoryMap
from .categorify import Categorify
from .numeric import FillMissing, FillStrategy, Normalize
from .targets import Classes, LabelLists, Labels, Numbers

__all__ = ["table_from_state", "table_state"]

FORMAT = 1
_TIMES = {"timestamp": pd.Timestamp, "timedelta": pd.Timedelta, "date": date.fromisoformat, "datetime": datetime.fromisoformat}


def table_state(table):
    "See `TabularPandas.state_dict`."
    table._need("to.state_dict()")
    own = [p for p in table.procs if type(p) not in (Categorify, FillMissing, Normalize) and not hasattr(p, "state_dict")]
    if own:
        raise TypeError(f"state_dict: {own[0]!r} is a proc of your own; give it `state_dict()`, a dict of numbers and strings, and "
                        "`load_state_dict(state)`")
    return {"format": FORMAT, "cat_names": table.raw_cat_names, "cont_names": table.raw_cont_names, "y_names": table.y_names,
            "made": [table.cat_names, table.cont_names], "reduce_memory": table.reduce_memory,
            "procs": [{"kind": type(p).__name__, **_proc_state(p)} for p in table.procs], "target": _target_state(table.target)}


def table_from_state(cls, state, procs=()):
    "See `TabularPandas.from_state_dict`."
    if not isinstance(state, dict) or "format" not in state or "procs" not in state:
        raise TypeError(f"from_state_dict takes what state_dict of a table gave; received {describe(state)}")
    if state["format"] != FORMAT:
        raise ValueError(f"this state of a table has format {state['format']}, and this version reads {FORMAT}: update minifast")
    known = {c.__name__: c for c in (Categorify, FillMissing, Normalize, *procs)}
    made = []
    for saved in state["procs"]:
        if saved["kind"] not in known:
            raise ValueError(f"the table has a proc {saved['kind']!r}{did_you_mean(saved['kind'], known)}: give its class, "
                             f"from_state_dict(state, procs=[{saved['kind']}])")
        made.append(_load_proc(known[saved["kind"]](), saved))
    cats, conts = state["made"]
    return cls.assembled(made, list(state["cat_names"]), list(state["cont_names"]), list(state["y_names"]), _load_target(state["target"]),
                         None, np.zeros((0, len(cats)), dtype=np.int64), np.zeros((0, len(conts)), dtype=np.float32), list(cats),
                         list(conts), {}, {}, None, None)


def _proc_state(proc):
    if type(proc) is Categorify:
        return {"classes": [[name, _plain_values(classes, name)] for name, classes in proc.classes.items()],
                "had_missing": _pairs(proc._had_missing)}
    if type(proc) is FillMissing:
        fill_vals = _pairs(proc.fill_vals) if isinstance(proc.fill_vals, dict) else proc.fill_vals
        return {"fill_strategy": proc.fill_strategy.value, "add_col": proc.add_col, "fill_vals": fill_vals,
                "na_dict": _pairs(proc.na_dict), "na_cols": _pairs(proc.na_cols)}
    if type(proc) is Normalize:
        return {"means": _pairs(proc.means), "stds": _pairs(proc.stds)}
    return {"state": proc.state_dict()}


def _load_proc(proc, saved):
    if type(proc) is Categorify:
        proc.classes = {name: CategoryMap(map(_value, values), sort=False, add_na=True) for name, values in saved["classes"]}
        proc._lookup = {name: classes.o2i for name, classes in proc.classes.items()}
        proc._had_missing = dict(map(tuple, saved["had_missing"]))
    elif type(proc) is FillMissing:
        vals = saved["fill_vals"]
        proc.fill_strategy, proc.add_col = FillStrategy(saved["fill_strategy"]), saved["add_col"]
        proc.fill_vals = dict(map(tuple, vals)) if isinstance(vals, list) else vals
        proc.na_dict, proc.na_cols = (dict(map(tuple, saved[name])) for name in ("na_dict", "na_cols"))
    elif type(proc) is Normalize:
        proc.means, proc.stds = (dict(map(tuple, saved[name])) for name in ("means", "stds"))
    else:
        proc.load_state_dict(saved["state"])
    return proc


def _target_state(target):
    if target is None:
        return None
    vocab = target.vocab
    return {"kind": type(target).__name__, "names": target.names, "why": target.why,
            "vocab": None if vocab is None else [_plain_values(vocab, target.names[0]), bool(vocab.add_na)]}


def _load_target(saved):
    if saved is None:
        return None
    names, why, vocab = list(saved["names"]), saved["why"], saved["vocab"]
    if vocab is not None:
        vocab = CategoryMap(map(_value, vocab[0]), sort=False, add_na=vocab[1])
    return {"Numbers": lambda: Numbers(names, why), "Classes": lambda: Classes(names, why, None, None, vocab),
            "Labels": lambda: Labels(names, vocab), "LabelLists": lambda: LabelLists(names, vocab, None, None)}[saved["kind"]]()


def _pairs(values):
    "A dict as a list of pairs: names of columns need not be text."
    return [[k, v] for k, v in values.items()]


def _plain_values(values, name):
    "Categories as values that can be stored: text, numbers and truth values as they are, times as text."
    return [_plain(v, name) for v in values]


def _plain(value, name):
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (pd.Timestamp, pd.Timedelta)):
        return {type(value).__name__.lower(): value.isoformat()}
    if isinstance(value, (datetime, date)):
        return {type(value).__name__: value.isoformat()}
    raise TypeError(f"state_dict: column {name!r} has a category that cannot be stored, {describe(value)}: make it text or a number")


def _value(saved):
    if not isinstance(saved, dict):
        return saved
    (kind, text), = saved.items()
    return _TIMES[kind](text)
