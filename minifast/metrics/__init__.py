"""Metrics: functions of (predictions, targets), and objects that accumulate over an epoch."""
from .base import (
    AccumMetric,
    ActivationType,
    AvgLoss,
    AvgMetric,
    AvgSmoothLoss,
    LossMetric,
    LossMetrics,
    Metric,
    Perplexity,
    ValueMetric,
    flatten_check,
    perplexity,
)
from .bleu import CorpusBLEUMetric
from .convert import as_metric, mk_metric
from .functions import accuracy, accuracy_multi, error_rate, exp_rmspe, foreground_acc, mae, mse, msle, optim_metric, rmse, top_k_accuracy
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
    FBeta,
    FBetaMulti,
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
    skm_to_fastai,
)

__all__ = [
    "APScoreBinary", "APScoreMulti", "AccumMetric", "ActivationType", "AvgLoss", "AvgMetric", "AvgSmoothLoss", "BalancedAccuracy",
    "BrierScore", "BrierScoreMulti", "CohenKappa", "CorpusBLEUMetric", "Dice", "DiceMulti", "ExplainedVariance", "F1Score",
    "F1ScoreMulti", "FBeta", "FBetaMulti", "HammingLoss", "HammingLossMulti", "Jaccard", "JaccardCoeff", "JaccardCoeffMulti",
    "JaccardMulti", "LossMetric", "LossMetrics", "MatthewsCorrCoef", "MatthewsCorrCoefMulti", "Metric", "PearsonCorrCoef",
    "Perplexity", "Precision", "PrecisionMulti", "R2Score", "Recall", "RecallMulti", "RocAuc", "RocAucBinary", "RocAucMulti",
    "SpearmanCorrCoef", "ValueMetric", "accuracy", "accuracy_multi", "as_metric", "error_rate", "exp_rmspe", "flatten_check",
    "foreground_acc", "mae", "mk_metric", "mse", "msle", "optim_metric", "perplexity", "rmse", "skm_to_fastai", "top_k_accuracy",
]
