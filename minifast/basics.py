"""What every application shares: the public names of floors 0 to 4, and the third-party names that course notebooks rely on.

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

from .callback import (Callback, CancelBackwardException, CancelBatchException, CancelEpochException, CancelFitException,
                       CancelStepException, CancelTrainException, CancelValidException, Order)
from .callbacks.first_batch import FirstBatch
from .callbacks.lr_finder import LRFinder, SuggestionMethod, minimum, slide, steep, valley
from .callbacks.precision import MixedPrecision
from .callbacks.predictions import GatherPreds
from .callbacks.progress import ProgressCallback
from .callbacks.recorder import NonFiniteLoss, Recorder
from .callbacks.scheduler import ParamScheduler
from .course import Inf, array, noop, one_hot, store_attr, tensor
from .data.block import CategoryBlock, DataBlock, MultiCategoryBlock, RegressionBlock, TransformBlock
from .data.categories import Categorize, Category, CategoryMap, EncodedMultiCategorize, MultiCategorize, OneHotEncode, RegressionSetup
from .data.datasets import Datasets, TfmdLists
from .data.download import download_url
from .data.external import URLs, untar_data
from .data.files import FileGetter, ImageGetter, get_files, get_image_files, get_text_files
from .data.labels import AttrGetter, ColReader, ItemGetter, RegexLabeller, parent_label, using_attr
from .data.loaders import DataLoader, DataLoaders
from .data.splitters import (ColSplitter, EndSplitter, FileSplitter, FuncSplitter, GrandparentSplitter, IndexSplitter, MaskSplitter,
                             RandomSplitter, RandomSubsetSplitter, TrainTestSplitter)
from .device import default_device, defaults
from .groups import get_hyper, param_groups, set_hyper, trainable_params
from .hooks import Hook, Hooks, hook_output, hook_outputs, module_summary
from .items import L, coll_repr, first, range_of
from .layers import (AdaptiveConcatPool2d, ConvLayer, Embedding, Flatten, Lambda, LinBnDrop, Module, NormType, PixelShuffle_ICNR, ResBlock,
                     SelfAttention, SigmoidRange, SimpleCNN, TimeDistributed, apply_init, sequential, sigmoid_range)
from .learner import Learner
from .losses import (BaseLoss, BCELossFlat, BCEWithLogitsLossFlat, CrossEntropyLossFlat, DiceLoss, FocalLoss, FocalLossFlat, L1LossFlat,
                     LabelSmoothingCrossEntropy, LabelSmoothingCrossEntropyFlat, MSELossFlat)
from .metrics import (CorpusBLEUMetric, Dice, DiceMulti, JaccardCoeff, JaccardCoeffMulti, accuracy, accuracy_multi, error_rate, exp_rmspe,
                      foreground_acc, mae, mse, msle, optim_metric, rmse, top_k_accuracy)
from .metrics_base import AccumMetric, AvgLoss, AvgMetric, LossMetric, Metric, Perplexity, ValueMetric
from .metrics_sklearn import (APScoreBinary, APScoreMulti, BalancedAccuracy, BrierScore, CohenKappa, ExplainedVariance, F1Score,
                              F1ScoreMulti, FBeta, HammingLoss, Jaccard, MatthewsCorrCoef, PearsonCorrCoef, Precision, PrecisionMulti,
                              R2Score, Recall, RecallMulti, RocAuc, RocAucBinary, RocAucMulti, SpearmanCorrCoef, skm_to_fastai)
from .model_info import num_features_model, params, total_params
from .nested import to_cpu, to_detach, to_device, to_np
from .optim import SGD, Adam, Lamb, Larc, Lion, Lookahead, Optimizer, OptimWrapper, QHAdam, RAdam, RMSProp, ranger
from .plots import get_grid, show_at, show_image, show_images, show_titled_image, subplots
from .progress import progress_bar
from .schedule import SchedCos, SchedExp, SchedLin, SchedNo, SchedPoly, combine_scheds, combined_cos
from .seeds import fixed_seed, no_random, set_seed
from .steppers import average_grad, average_sqr_grad, momentum_step, rms_prop_step, sgd_step, step_stat, weight_decay
from .transform import ItemTransform, Pipeline, RandTransform, Transform

__all__ = [
    "APScoreBinary", "APScoreMulti", "AccumMetric", "Adam", "AdaptiveConcatPool2d", "AttrGetter", "AvgLoss", "AvgMetric", "BCELossFlat",
    "BCEWithLogitsLossFlat", "BalancedAccuracy", "BaseLoss", "BrierScore", "Callback", "CancelBackwardException",
    "CancelBatchException", "CancelEpochException", "CancelFitException", "CancelStepException", "CancelTrainException",
    "CancelValidException", "Categorize", "Category", "CategoryBlock", "CategoryMap", "CohenKappa", "ColReader", "ColSplitter",
    "ConvLayer", "CorpusBLEUMetric", "CrossEntropyLossFlat", "DataBlock", "DataLoader", "DataLoaders", "Datasets", "Dice", "DiceLoss",
    "DiceMulti", "Embedding", "EncodedMultiCategorize", "EndSplitter", "ExplainedVariance", "F", "F1Score", "F1ScoreMulti", "FBeta",
    "FileGetter", "FileSplitter", "FirstBatch", "Flatten", "FocalLoss", "FocalLossFlat", "FuncSplitter", "GatherPreds",
    "GrandparentSplitter", "HammingLoss", "Hook", "Hooks", "ImageGetter", "IndexSplitter", "Inf", "ItemGetter", "ItemTransform",
    "Jaccard", "JaccardCoeff", "JaccardCoeffMulti", "L", "L1LossFlat", "LRFinder", "LabelSmoothingCrossEntropy",
    "LabelSmoothingCrossEntropyFlat", "Lamb", "Lambda", "Larc", "Learner", "LinBnDrop", "Lion", "Lookahead", "LossMetric",
    "MSELossFlat", "MaskSplitter", "MatthewsCorrCoef", "Metric", "MixedPrecision", "Module", "MultiCategorize", "MultiCategoryBlock",
    "NonFiniteLoss", "NormType", "OneHotEncode", "OptimWrapper", "Optimizer", "Order", "ParamScheduler", "Path", "PearsonCorrCoef",
    "Perplexity", "Pipeline", "PixelShuffle_ICNR", "Precision", "PrecisionMulti", "ProgressCallback", "QHAdam", "R2Score", "RAdam",
    "RMSProp", "RandTransform", "RandomSplitter", "RandomSubsetSplitter", "Recall", "RecallMulti", "Recorder", "RegexLabeller",
    "RegressionBlock", "RegressionSetup", "ResBlock", "RocAuc", "RocAucBinary", "RocAucMulti", "SGD", "SchedCos", "SchedExp",
    "SchedLin", "SchedNo", "SchedPoly", "SelfAttention", "SigmoidRange", "SimpleCNN", "SimpleNamespace", "SpearmanCorrCoef",
    "SuggestionMethod", "Tensor", "TfmdLists", "TimeDistributed", "TrainTestSplitter", "Transform", "TransformBlock", "URLs",
    "ValueMetric", "accuracy", "accuracy_multi", "apply_init", "array", "average_grad", "average_sqr_grad", "coll_repr",
    "combine_scheds", "combined_cos", "default_device", "defaults", "download_url", "error_rate", "exp_rmspe", "first", "fixed_seed",
    "foreground_acc", "get_files", "get_grid", "get_hyper", "get_image_files", "get_text_files", "hook_output", "hook_outputs", "mae",
    "math", "matplotlib", "minimum", "module_summary", "momentum_step", "mse", "msle", "nn", "no_random", "noop", "np",
    "num_features_model", "one_hot", "optim_metric", "os", "param_groups", "params", "parent_label", "partial", "pd", "plt",
    "progress_bar", "random", "range_of", "ranger", "re", "rms_prop_step", "rmse", "sequential", "set_hyper", "set_seed", "sgd_step",
    "show_at", "show_image", "show_images", "show_titled_image", "shutil", "sigmoid_range", "skm_to_fastai", "slide", "steep",
    "step_stat", "store_attr", "string", "subplots", "tensor", "to_cpu", "to_detach", "to_device", "to_np", "top_k_accuracy", "torch",
    "total_params", "trainable_params", "untar_data", "using_attr", "valley", "weight_decay",
]
