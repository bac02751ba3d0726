"""What a fit was told, as far as it must be the same where the fit is continued, and how two of them differ. `Resume` compares them."""
import re
from collections.abc import Iterable
from typing import Any

from ..core import describe
from ..core.messages import shortened
from .base import Callback, Learner, numbered

#: Parts of a run's record that must be the same.
COMPARED = ("seed", "model", "loss", "optimizer", "data")


def settings_of_fit(learn: "Learner", record: dict[str, Any]) -> dict[str, Any]:
    """Those parts of a run's record that must be the same where a fit of `learn` is continued.

    Of the callbacks, the package's that change training: of functions and classes of the user's own nothing is known.
    """
    trained_by = [name for name, cb in zip(numbered(type(cb).__name__ for cb in learn.cbs), learn.cbs, strict=True)
                  if _is_ours(cb) and type(cb) is not Callback and not cb.only_watches]
    settings = {name: record[name] for name in COMPARED}
    seed = record["seed"]                           # where nobody chose one, torch begins each process with another one of 64 bits
    return {**settings, "seed": seed if seed < 2**32 else None, "callbacks": {name: record["callbacks"][name] for name in trained_by}}


def _is_ours(cb):
    return type(cb).__module__.startswith(f"{__package__.split('.')[0]}.")


def stateless(cbs: Iterable[Callback]) -> list[Callback]:
    "The callbacks of the user's own that have no `state_dict`."
    return [cb for cb in cbs if not _is_ours(cb) and not hasattr(type(cb), "state_dict")]


def kept_by(cb: Callback) -> dict[str, Any]:
    "What can be told of the attributes of `cb` without a copy: numbers and text, and how many entries others have."
    def brief(v):
        return v if v is None or isinstance(v, (bool, int, float, str)) else len(v) if isinstance(v, (list, dict, set)) else describe(v)

    return {k: brief(v) for k, v in vars(cb).items() if not k.startswith("_") and k != "learn"}


def differences(there: Any, here: Any, where: str = "") -> list[str]:
    "What differs between two settings of nested dicts, as `name=value there, value here`; of digests, that they are not the same."
    if isinstance(there, dict) and isinstance(here, dict):
        return [found for name in {**there, **here} for found in
                differences(there.get(name, _NOTHING), here.get(name, _NOTHING), f"{where}.{name}" if where else str(name))]
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here) and any(isinstance(o, dict) for o in there):
        found = [d for i, pair in enumerate(zip(there, here, strict=True)) for d in differences(*pair, f"{where}[{i}]")]
        return list(dict.fromkeys(re.sub(r"\[\d+\]", "", d) for d in found))
    if there == here or (where.endswith("_digest") and None in (there, here)):             # what cannot be told is no difference
        return []
    if all(isinstance(o, str) and re.fullmatch("[0-9a-f]{16}", o) for o in (there, here)):
        return [f"{where.removesuffix('_digest')} not the same"]
    return [f"{where}={_brief(there)} there, {_brief(here)} here"]


def with_advice(found: list[str]) -> list[str]:
    "`found`; where both sets of items are others, with what to do if a split without a seed is why."
    both = all(f"data.{name}.items not the same" in found for name in ("train", "valid"))
    return [*found, "a split that is drawn anew each time needs a seed, such as torch.manual_seed(0) before it"] if both else found


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


_NOTHING = _Nothing()


def _brief(x):
    if isinstance(x, dict):
        return shortened(", ".join(f"{k}={v}" for k, v in x.items()) or "without arguments", 60)
    return shortened(repr(x), 60)
