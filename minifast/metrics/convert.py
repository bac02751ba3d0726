"""`as_metric`: a metric made of a function, a name or a metric."""
import inspect
from collections.abc import Callable
from typing import Any, cast

from ..core.messages import describe, did_you_mean, name_of, unwrapped
from . import functions, sklearn
from .base import AccumMetric, AvgMetric, Metric, Perplexity, func_attr
from .bleu import CorpusBLEUMetric
from .segmentation import Dice, DiceMulti, JaccardCoeff, JaccardCoeffMulti

#: Functions of (predictions, targets), and what makes a metric when it is called without arguments: what a name may stand for.
FUNCTIONS = tuple(f for f in vars(functions).values() if hasattr(f, "accumulated"))
MAKERS = (Dice, JaccardCoeff, DiceMulti, JaccardCoeffMulti, CorpusBLEUMetric, Perplexity,
          *(f for f in vars(sklearn).values() if hasattr(f, "makes_metric")
            and all(p.default is not p.empty for p in inspect.signature(f).parameters.values())))


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace(" ", "")


def as_metric(x: str | Metric | Callable[..., Any]) -> Metric:
    """Make a metric of whatever a user may give in `metrics=`.

    Args:
        x: a metric, which is returned as it is; a function of (predictions, targets), averaged over batches, or over the whole set
            where it says so; or a name such as 'accuracy' or 'F1Score'.

    Raises:
        TypeError: for a class, a function of scikit-learn, and whatever cannot be called.
        ValueError: for an unknown name.
    """
    if isinstance(x, str):
        by_name = {_plain(o.__name__): o for o in FUNCTIONS + MAKERS}
        if _plain(x) not in by_name:
            known = [o.__name__ for o in FUNCTIONS + MAKERS]
            raise ValueError(f"there is no metric named {x!r}{did_you_mean(x, known) or '.'} Known names: {', '.join(known)}.")
        found = by_name[_plain(x)]
        return found() if found in MAKERS else as_metric(found)
    if isinstance(x, Metric):
        return x
    if isinstance(x, type) or func_attr(x, "makes_metric", False):
        name = name_of(x)
        raise TypeError(f"metrics=[{name}]: {name} makes a metric when it is called: write {name}()"
                        + (" with its arguments." if isinstance(x, type) and not issubclass(x, Metric) else "."))
    if all(hasattr(x, a) for a in ("reset", "accumulate", "value", "name")):        # another library's metric of the same shape
        return cast(Metric, x)
    if not callable(x):
        raise TypeError(f"a metric is a function of (predictions, targets), a Metric or a name; received {describe(x)}")
    if (getattr(unwrapped(x), "__module__", None) or "").split(".")[0] == "sklearn":
        raise TypeError(f"scikit-learn's {name_of(x)} takes (targets, decisions) of the whole set: write skm_to_fastai({name_of(x)}), "
                        f"or skm_to_fastai({name_of(x)}, is_class=False) if it takes numbers, or use the metric of minifast.metrics.")
    return AccumMetric(x, flatten=False) if func_attr(x, "accumulated", False) else AvgMetric(x)


mk_metric = as_metric           #: fastai's name
