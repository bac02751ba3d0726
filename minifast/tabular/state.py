"""What a table has learnt, without its rows, as a plain dict: for `checkpoint.save`, and for another process that has only new rows."""
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..core.messages import describe, did_you_mean
from .encoded import Encoded
from .plain_values import to_plain, vocab_from_plain
from .procs import OWN_PROCS, TabularProc
from .targets import KINDS, Target

if TYPE_CHECKING:
    from .frames import TabularPandas

__all__ = ["table_from_state", "table_state"]

#: In version 1 the states of the procs of minifast stood beside their kind; both are read.
FORMAT = 2


def table_state(table: "TabularPandas") -> dict[str, Any]:
    "See `TabularPandas.state_dict`."
    return {"format": FORMAT, "cat_names": table.raw_cat_names, "cont_names": table.raw_cont_names, "y_names": table.y_names,
            "made": [table.cat_names, table.cont_names], "reduce_memory": table.reduce_memory,
            "procs": [{"kind": type(p).__name__, "state": p.state_dict()} for p in table.procs], "target": _target_state(table.target)}


def table_from_state(cls: "type[TabularPandas]", state: dict[str, Any],
                     procs: Sequence[type[TabularProc]] = ()) -> "TabularPandas":
    "See `TabularPandas.from_state_dict`."
    if not isinstance(state, dict) or "format" not in state or "procs" not in state:
        raise TypeError(f"from_state_dict takes what state_dict of a table gave; received {describe(state)}")
    if state["format"] not in (1, FORMAT):
        raise ValueError(f"this state of a table has format {state['format']}, and this version reads 1 and {FORMAT}: update minifast")
    known, made = {c.__name__: c for c in (*OWN_PROCS, *procs)}, []
    for saved in state["procs"]:
        if saved["kind"] not in known:
            raise ValueError(f"the table has a proc {saved['kind']!r}{did_you_mean(saved['kind'], known)}: give its class, "
                             f"from_state_dict(state, procs=[{saved['kind']}])")
        made.append(known[saved["kind"]]())
        made[-1].load_state_dict(saved.get("state", saved))
    cats, conts = map(list, state["made"])
    data = Encoded(pd.RangeIndex(0), cats, conts, np.zeros((0, len(cats)), dtype=np.int64), np.zeros((0, len(conts)), dtype=np.float32))
    return cls.assembled(made, list(state["cat_names"]), list(state["cont_names"]), list(state["y_names"]), _load_target(state["target"]),
                         None, data)


def _target_state(target: Target | None) -> dict[str, Any] | None:
    if target is None:
        return None
    vocab = target.vocab
    return {"kind": type(target).__name__, "names": target.names, "why": target.why,
            "vocab": None if vocab is None else [to_plain(vocab, target.names[0]), bool(vocab.add_na)]}


def _load_target(saved: dict[str, Any] | None) -> Target | None:
    if saved is None:
        return None
    vocab = None if saved["vocab"] is None else vocab_from_plain(*saved["vocab"])
    return KINDS[saved["kind"]](saved["names"], saved["why"], vocab)
