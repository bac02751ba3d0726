"""`as_metric`: a metric made of a function, a name or a metric."""
from functools import partial

from ..core.messages import describe, did_you_mean
from .accumulate import AccumMetric
from .base import AvgMetric, Metric, Perplexity, func_attr, func_name
from .bleu import CorpusBLEUMetric
from .functions import (
    accuracy,
    accuracy_multi,
    error_rate,
    exp_rmspe,
    foreground_acc,
    mae,
    mse,
    msle,
    rmse,
    top_k_accuracy,
)
from .segmentation import Dice, DiceMulti, JaccardCoeff, JaccardCoeffMulti
from .sklearn import (
    APScoreBinary,
    APScoreMulti,
    BalancedAccuracy,
    BrierScore,
    BrierScoreMulti,
    CohenKappa,
    ExplainedVariance,
    F1Score,
    F1ScoreMulti,
    HammingLoss,
    HammingLossMulti,
    Jaccard,
    JaccardMulti,
    MatthewsCorrCoef,
    MatthewsCorrCoefMulti,
    PearsonCorrCoef,
    Precision,
    PrecisionMulti,
    R2Score,
    Recall,
    RecallMulti,
    RocAuc,
    RocAucBinary,
    RocAucMulti,
    SpearmanCorrCoef,
)

FUNCTIONS = (accuracy, error_rate, top_k_accuracy, accuracy_multi, mse, mae, msle, rmse, exp_rmspe, foreground_acc)
MAKERS = (Dice, JaccardCoeff, DiceMulti, JaccardCoeffMulti, CorpusBLEUMetric, Perplexity, APScoreBinary, APScoreMulti, BalancedAccuracy,
           BrierScore, BrierScoreMulti, CohenKappa, ExplainedVariance, F1Score, F1ScoreMulti, HammingLoss, HammingLossMulti, Jaccard,
           JaccardMulti, MatthewsCorrCoef, MatthewsCorrCoefMulti, PearsonCorrCoef, Precision, PrecisionMulti, R2Score, Recall, RecallMulti,
           RocAuc, RocAucBinary, RocAucMulti, SpearmanCorrCoef)


def _plain(name):
    return name.lower().replace("_", "").replace(" ", "")


def as_metric(x):
    """A metric made of `x`: a metric as it is; a function averaged over batches, or over the whole set where it says so; a name such as
    'accuracy' or 'F1Score'. A class, a scikit-learn function and an unknown name are refused with what to write instead."""
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
        name = func_name(x)
        raise TypeError(f"metrics=[{name}]: {name} makes a metric when it is called: write {name}()"
                        + (" with its arguments." if isinstance(x, type) and not issubclass(x, Metric) else "."))
    if all(hasattr(x, a) for a in ("reset", "accumulate", "value", "name")):
        return x
    if not callable(x):
        raise TypeError(f"a metric is a function of (predictions, targets), a Metric or a name; received {describe(x)}")
    inner = x
    while isinstance(inner, partial):
        inner = inner.func
    if (getattr(inner, "__module__", None) or "").split(".")[0] == "sklearn":
        raise TypeError(f"scikit-learn's {func_name(x)} takes (targets, decisions) of the whole set: write skm_to_fastai({func_name(x)}), "
                        "or use the metric of minifast.metrics.functions.")
    return AccumMetric(x, flatten=False) if func_attr(x, "accumulated", False) else AvgMetric(x)


mk_metric = as_metric
