"""What every application shares: the public names of the rooms below, and the third-party names that course notebooks rely on.

This is the one place where the shared public names are listed.
"""
import math
import os
import random
import re
import shutil
import string
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .callbacks import (ActivationReg, ActivationStats, BnFreeze, CSVLogger, Callback, CancelBackwardException, CancelBatchException,
                        CancelEpochException, CancelFitException, CancelStepException, CancelTrainException, CancelValidException,
                        ChannelsLast, CutMix, CutMixUp, EMA, EarlyStoppingCallback, GradientAccumulation, GradientClip, JSONLogger,
                        KnowledgeDistillation, MCDropoutCallback, MixUp, MixedPrecision, Order, ParamScheduler, PredictionDynamics,
                        ProgressCallback, ProgressiveResize, Recorder, ReduceLROnPlateau, Resume, SAM, SWA, SaveModelCallback,
                        ShortEpochCallback, ShowGraphCallback, SuggestionMethod, TerminateOnNaNCallback, TorchScheduler, minimum, slide,
                        steep, valley)
from .data.block import CategoryBlock, DataBlock, MultiCategoryBlock, RegressionBlock, TransformBlock
from .data.categories import Categorize, MultiCategorize, OneHotEncode
from .data.datasets import Datasets, TfmdLists
from .data.sources.download import download_url
from .data.sources.urls import URLs, untar_data
from .data.files import FileGetter, ImageGetter, get_files, get_image_files, get_text_files
from .data.labels import AttrGetter, ColReader, ItemGetter, RegexLabeller, parent_label, using_attr
from .data.loaders import DataLoader, DataLoaders
from .data.splitters import (ColSplitter, EndSplitter, FileSplitter, FuncSplitter, GrandparentSplitter, IndexSplitter, MaskSplitter,
                             RandomSplitter, RandomSubsetSplitter, TrainTestSplitter)
from .data.splitters_groups import FixedSplitter, GroupSplitter, TimeSplitter
from .core.device import default_device, defaults
from .ensemble.averaging import average_preds
from .ensemble.kfold import kfold
from .interpret.base import Interpretation
from .interpret.classification import ClassificationInterpretation
from .interpret.cleaner import ImageClassifierCleaner
from .interpret.segmentation import SegmentationInterpretation
from .core.items import Inf, L, array, coll_repr, first, noop, one_hot, range_of, store_attr, tensor
from .learner.learner import Learner
from .core.nested import to_cpu, to_detach, to_device, to_np
from .core.plots import get_grid, show_at, show_image, show_images, show_titled_image, subplots
from .core.progress import progress_bar
from .ensemble.search import loguniform, random_search
from .core.seeds import fixed_seed, no_random, set_seed
from .data.pipeline import Pipeline
from .data.transforms import ItemTransform, RandTransform, Transform
from .metrics import (APScoreBinary, APScoreMulti, AvgMetric, BalancedAccuracy, BrierScore, CohenKappa, Dice, DiceMulti, ExplainedVariance,
                      F1Score, F1ScoreMulti, FBeta, HammingLoss, Jaccard, JaccardCoeff, JaccardCoeffMulti, MatthewsCorrCoef, Metric,
                      PearsonCorrCoef, Perplexity, Precision, PrecisionMulti, R2Score, Recall, RecallMulti, RocAuc, RocAucBinary,
                      RocAucMulti, SpearmanCorrCoef, accuracy, accuracy_multi, error_rate, exp_rmspe, foreground_acc, mae, mse, msle, rmse,
                      skm_to_fastai, top_k_accuracy)
from .nn import (AdaptiveConcatPool2d, BCELossFlat, BCEWithLogitsLossFlat, BaseLoss, ConvLayer, CrossEntropyLossFlat, DiceLoss, Embedding,
                 Flatten, FocalLoss, FocalLossFlat, Hook, Hooks, L1LossFlat, LabelSmoothingCrossEntropy, LabelSmoothingCrossEntropyFlat,
                 Lambda, LinBnDrop, MSELossFlat, Module, NormType, ResBlock, SelfAttention, SigmoidRange, SimpleCNN, apply_init,
                 hook_output, hook_outputs, module_summary, params, sequential, sigmoid_range)
from .optim import (Adam, Lamb, Larc, Lion, Lookahead, OptimWrapper, Optimizer, QHAdam, RAdam, RMSProp, SGD, SchedCos, SchedExp, SchedLin,
                    SchedNo, SchedPoly, combine_scheds, combined_cos, param_groups, ranger, trainable_params)

__all__ = [
    "APScoreBinary", "APScoreMulti", "ActivationReg", "ActivationStats", "Adam", "AdaptiveConcatPool2d", "AttrGetter", "AvgMetric",
    "BCELossFlat", "BCEWithLogitsLossFlat", "BalancedAccuracy", "BaseLoss", "BnFreeze", "BrierScore", "CSVLogger", "Callback",
    "CancelBackwardException", "CancelBatchException", "CancelEpochException", "CancelFitException", "CancelStepException",
    "CancelTrainException", "CancelValidException", "Categorize", "CategoryBlock", "ChannelsLast", "ClassificationInterpretation",
    "CohenKappa", "ColReader", "ColSplitter", "ConvLayer", "CrossEntropyLossFlat", "CutMix", "CutMixUp", "DataBlock", "DataLoader",
    "DataLoaders", "Datasets", "Dice", "DiceLoss", "DiceMulti", "EMA", "EarlyStoppingCallback", "Embedding", "EndSplitter",
    "ExplainedVariance", "F", "F1Score", "F1ScoreMulti", "FBeta", "FileGetter", "FileSplitter", "FixedSplitter", "Flatten", "FocalLoss",
    "FocalLossFlat", "FuncSplitter", "GradientAccumulation", "GradientClip", "GrandparentSplitter", "GroupSplitter", "HammingLoss",
    "Hook", "Hooks", "ImageClassifierCleaner", "ImageGetter", "IndexSplitter", "Inf", "Interpretation", "ItemGetter", "ItemTransform",
    "JSONLogger", "Jaccard", "JaccardCoeff", "JaccardCoeffMulti", "KnowledgeDistillation", "L", "L1LossFlat",
    "LabelSmoothingCrossEntropy", "LabelSmoothingCrossEntropyFlat", "Lamb", "Lambda", "Larc", "Learner", "LinBnDrop", "Lion",
    "Lookahead", "MCDropoutCallback", "MSELossFlat", "MaskSplitter", "MatthewsCorrCoef", "Metric", "MixUp", "MixedPrecision", "Module",
    "MultiCategorize", "MultiCategoryBlock", "NormType", "OneHotEncode", "OptimWrapper", "Optimizer", "Order", "ParamScheduler", "Path",
    "PearsonCorrCoef", "Perplexity", "Pipeline", "Precision", "PrecisionMulti", "PredictionDynamics", "ProgressCallback",
    "ProgressiveResize", "QHAdam", "R2Score", "RAdam", "RMSProp", "RandTransform", "RandomSplitter", "RandomSubsetSplitter", "Recall",
    "RecallMulti", "Recorder", "ReduceLROnPlateau", "RegexLabeller", "RegressionBlock", "ResBlock", "Resume", "RocAuc", "RocAucBinary",
    "RocAucMulti", "SAM", "SGD", "SWA", "SaveModelCallback", "SchedCos", "SchedExp", "SchedLin", "SchedNo", "SchedPoly",
    "SegmentationInterpretation", "SelfAttention", "ShortEpochCallback", "ShowGraphCallback", "SigmoidRange", "SimpleCNN",
    "SimpleNamespace", "SpearmanCorrCoef", "SuggestionMethod", "Tensor", "TerminateOnNaNCallback", "TfmdLists", "TimeSplitter",
    "TorchScheduler", "TrainTestSplitter", "Transform", "TransformBlock", "URLs", "accuracy", "accuracy_multi", "apply_init", "array",
    "average_preds", "coll_repr", "combine_scheds", "combined_cos", "default_device", "defaults", "download_url", "error_rate",
    "exp_rmspe", "first", "fixed_seed", "foreground_acc", "get_files", "get_grid", "get_image_files", "get_text_files", "hook_output",
    "hook_outputs", "kfold", "loguniform", "mae", "math", "matplotlib", "minimum", "module_summary", "mse", "msle", "nn", "no_random",
    "noop", "np", "one_hot", "os", "param_groups", "params", "parent_label", "partial", "pd", "plt", "progress_bar", "random",
    "random_search", "range_of", "ranger", "re", "rmse", "sequential", "set_seed", "show_at", "show_image", "show_images",
    "show_titled_image", "shutil", "sigmoid_range", "skm_to_fastai", "slide", "steep", "store_attr", "string", "subplots", "tensor",
    "to_cpu", "to_detach", "to_device", "to_np", "top_k_accuracy", "torch", "trainable_params", "untar_data", "using_attr", "valley",
]
