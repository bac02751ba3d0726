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
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Training
from .learner.export import load_learner
from .learner.hub import from_hub
from .learner.learner import Learner
from .learner.predictor import Predictor
from .callbacks import (ActivationReg, ActivationStats, BnFreeze, CSVLogger, Callback, CancelBackwardException, CancelBatchException,
                        CancelEpochException, CancelFitException, CancelStepException, CancelTrainException, CancelValidException,
                        ChannelsLast, CollectDataCallback, CutMix, CutMixUp, EMA, EarlyStoppingCallback, GradientAccumulation,
                        GradientClip, HookCallback, JSONLogger, KnowledgeDistillation, LRFinder, MCDropoutCallback, MixUp, MixedPrecision,
                        ModelResetter, Order, ParamScheduler, PredictionDynamics, ProgressCallback, ProgressiveResize, RNNCallback,
                        RNNRegularizer, Recorder, ReduceLROnPlateau, Resume, SAM, SWA, SaveModelCallback, ShortEpochCallback,
                        ShowGraphCallback, SuggestionMethod, TerminateOnNaNCallback, TorchScheduler, TrackerCallback, TrainEvalCallback,
                        event, minimum, rnn_cbs, slide, steep, valley)
from .callbacks.batch import before_batch_cb
from .callbacks.mix import MixHandler
from .optim import (Adam, Lamb, Larc, Lion, Lookahead, OptimWrapper, Optimizer, QHAdam, RAdam, RMSProp, SGD, SchedCos, SchedExp, SchedLin,
                    SchedNo, SchedPoly, combine_scheds, combined_cos, norm_bias_params, param_groups, ranger, trainable_params)
from .optim.steppers import (adam_step, average_grad, average_sqr_grad, debias, l2_reg, lamb_step, larc_layer_lr, larc_step, momentum_step,
                             qhadam_step, radam_step, rms_prop_step, sgd_step, step_stat, weight_decay)
from .metrics import (APScoreBinary, APScoreMulti, AccumMetric, ActivationType, AvgLoss, AvgMetric, AvgSmoothLoss, BalancedAccuracy,
                      BrierScore, BrierScoreMulti, CohenKappa, CorpusBLEUMetric, Dice, DiceMulti, ExplainedVariance, F1Score, F1ScoreMulti,
                      FBeta, FBetaMulti, HammingLoss, HammingLossMulti, Jaccard, JaccardCoeff, JaccardCoeffMulti, JaccardMulti, LossMetric,
                      LossMetrics, MatthewsCorrCoef, MatthewsCorrCoefMulti, Metric, PearsonCorrCoef, Perplexity, Precision, PrecisionMulti,
                      R2Score, Recall, RecallMulti, RocAuc, RocAucBinary, RocAucMulti, SpearmanCorrCoef, ValueMetric, accuracy,
                      accuracy_multi, error_rate, exp_rmspe, flatten_check, foreground_acc, mae, mk_metric, mse, msle, optim_metric,
                      perplexity, rmse, skm_to_fastai, top_k_accuracy)

# Several processes
from .distributed import distrib_barrier, notebook_launcher, num_distrib, rank0_first, rank_distrib, setup_distrib, teardown_distrib

# Data
from .data.block import CategoryBlock, DataBlock, MultiCategoryBlock, RegressionBlock, TransformBlock
from .data.categories import Categorize, Category, CategoryMap, MultiCategorize, MultiCategory, RegressionSetup
from .data.datasets import Datasets, TfmdLists, decode_at, test_set
from .data.files import FileGetter, ImageGetter, get_files, get_image_files, get_text_files, image_extensions
from .data.labels import AttrGetter, ColReader, ItemGetter, RegexLabeller, parent_label, using_attr
from .data.loaders import DataLoader as TfmdDL, DataLoader, DataLoaders, PartialDL, WeightedDL
from .data.one_hot import EncodedMultiCategorize, OneHotEncode
from .data.pipeline import Pipeline
from .sources.download import download_url
from .sources.urls import URLs, untar_data
from .data.splitters import (ColSplitter, EndSplitter, FileSplitter, FuncSplitter, GrandparentSplitter, IndexSplitter, MaskSplitter,
                             RandomSplitter, RandomSubsetSplitter, TrainTestSplitter)
from .data.splitters_groups import FixedSplitter, GroupSplitter, TimeSplitter
from .data.stream_loader import StreamLoader
from .sources.parquet import ParquetShards
from .sources.shards import Shards
from .sources.tar import TarShards
from .data.transforms import ItemTransform, RandTransform, Transform

# Models and losses
from .nn import (AdaptiveAvgPool, AdaptiveConcatPool1d, AdaptiveConcatPool2d, AvgPool, BCELossFlat, BCEWithLogitsLossFlat, BaseLoss,
                 BatchNorm, Cat, ConvLayer, CrossEntropyLossFlat, DiceLoss, Embedding, Flatten, FocalLoss, FocalLossFlat, Hook, Hooks,
                 Identity, InstanceNorm, L1LossFlat, LabelSmoothingCrossEntropy, LabelSmoothingCrossEntropyFlat, Lambda, LinBnDrop,
                 MSELossFlat, MaxPool, MergeLayer, Mish, Module, NormType, ParameterModule, PartialLambda, PixelShuffle_ICNR, PoolFlatten,
                 PooledSelfAttention2d, ProdLayer, ResBlock, ResizeBatch, SEBlock, SEModule, SEResNeXtBlock, SelfAttention, SeparableBlock,
                 SequentialEx, SigmoidRange, SimpleCNN, SimpleSelfAttention, Swish, TimeDistributed, View, apply_init,
                 children_and_parameters, dummy_eval, flatten_model, has_children, has_params, hook_output, hook_outputs, icnr_init,
                 in_channels, init_default, init_linear, inplace_relu, layer_info, mish, model_sizes, module_summary, num_features_model,
                 one_param, params, requires_grad, sequential, sigmoid, sigmoid_, sigmoid_range, swish, total_params, trunc_normal_,
                 vleaky_relu)
from .nn.loss_traits import NoneReduce

# Looking at results, several models
from .interpret.base import Interpretation
from .interpret.classification import ClassificationInterpretation
from .interpret.cleaner import ImageClassifierCleaner
from .interpret.segmentation import SegmentationInterpretation
from .ensemble.averaging import average_preds
from .ensemble.kfold import kfold
from .ensemble.search import loguniform, random_search

# Small tools
from .core.device import default_device, defaults
from .core.items import Inf, L, array, coll_repr, first, noop, one_hot, one_hot_decode, range_of, store_attr, tensor
from .core.nested import find_bs, find_device, to_concat, to_cpu, to_detach, to_device, to_np
from .core.paths import Path
from .core.plots import get_grid, show_at, show_image, show_image_batch, show_images, show_title, show_titled_image, subplots
from .core.progress import progress_bar
from .core.seeds import fixed_seed, no_random, set_seed
from .core.titled import (ShowTitle, TensorBase, TensorCategory, TensorMultiCategory, TitledFloat, TitledInt, TitledStr,
                          TitledTensorScalar, TitledTuple, cast)
from .core.elsewhere import patch, typedispatch
from .core.pickles import load_pickle, save_pickle
from .core.delegation import GetAttr, delegates
from .core.expressions import Self
from .core.fastuple import fastuple
from .core.parallel import num_cpus, parallel
from .core.utilities import (camel2snake, concat, doc, groupby, ifnone, is_listy, join_path_file, listify, merge, partialler, setify,
                             snake2camel, tuplify, uniqueify)

__all__ = [
    "APScoreBinary", "APScoreMulti", "AccumMetric", "ActivationReg", "ActivationStats", "ActivationType", "Adam",
    "AdaptiveAvgPool", "AdaptiveConcatPool1d", "AdaptiveConcatPool2d", "AttrGetter", "AvgLoss", "AvgMetric", "AvgPool",
    "AvgSmoothLoss", "BCELossFlat", "BCEWithLogitsLossFlat", "BalancedAccuracy", "BaseLoss", "BatchNorm", "BnFreeze", "BrierScore",
    "BrierScoreMulti", "CSVLogger", "Callback", "CancelBackwardException", "CancelBatchException", "CancelEpochException",
    "CancelFitException", "CancelStepException", "CancelTrainException", "CancelValidException", "Cat", "Categorize", "Category",
    "CategoryBlock", "CategoryMap", "ChannelsLast", "ClassificationInterpretation", "CohenKappa", "ColReader", "ColSplitter",
    "CollectDataCallback", "ConvLayer", "CorpusBLEUMetric", "CrossEntropyLossFlat", "CutMix", "CutMixUp", "DataBlock",
    "DataLoader", "DataLoaders", "Datasets", "Dice", "DiceLoss", "DiceMulti", "EMA", "EarlyStoppingCallback", "Embedding",
    "EncodedMultiCategorize", "EndSplitter", "ExplainedVariance", "F", "F1Score", "F1ScoreMulti", "FBeta", "FBetaMulti",
    "FileGetter", "FileSplitter", "FixedSplitter", "Flatten", "FocalLoss", "FocalLossFlat", "FuncSplitter", "GetAttr",
    "GradientAccumulation", "GradientClip", "GrandparentSplitter", "GroupSplitter", "HammingLoss", "HammingLossMulti", "Hook",
    "HookCallback", "Hooks", "Identity", "ImageClassifierCleaner", "ImageGetter", "IndexSplitter", "Inf", "InstanceNorm",
    "Interpretation", "ItemGetter", "ItemTransform", "JSONLogger", "Jaccard", "JaccardCoeff", "JaccardCoeffMulti", "JaccardMulti",
    "KnowledgeDistillation", "L", "L1LossFlat", "LRFinder", "LabelSmoothingCrossEntropy", "LabelSmoothingCrossEntropyFlat", "Lamb",
    "Lambda", "Larc", "Learner", "LinBnDrop", "Lion", "Lookahead", "LossMetric", "LossMetrics", "MCDropoutCallback", "MSELossFlat",
    "MaskSplitter", "MatthewsCorrCoef", "MatthewsCorrCoefMulti", "MaxPool", "MergeLayer", "Metric", "Mish", "MixHandler", "MixUp",
    "MixedPrecision", "ModelResetter", "Module", "MultiCategorize", "MultiCategory", "MultiCategoryBlock", "NoneReduce",
    "NormType", "OneHotEncode", "OptimWrapper", "Optimizer", "Order", "ParamScheduler", "ParameterModule", "ParquetShards",
    "PartialDL", "PartialLambda", "Path", "PearsonCorrCoef", "Perplexity", "Pipeline", "PixelShuffle_ICNR", "PoolFlatten",
    "PooledSelfAttention2d", "Precision", "PrecisionMulti", "PredictionDynamics", "Predictor", "ProdLayer", "ProgressCallback",
    "ProgressiveResize", "QHAdam", "R2Score", "RAdam", "RMSProp", "RNNCallback", "RNNRegularizer", "RandTransform",
    "RandomSplitter", "RandomSubsetSplitter", "Recall", "RecallMulti", "Recorder", "ReduceLROnPlateau", "RegexLabeller",
    "RegressionBlock", "RegressionSetup", "ResBlock", "ResizeBatch", "Resume", "RocAuc", "RocAucBinary", "RocAucMulti", "SAM",
    "SEBlock", "SEModule", "SEResNeXtBlock", "SGD", "SWA", "SaveModelCallback", "SchedCos", "SchedExp", "SchedLin", "SchedNo",
    "SchedPoly", "SegmentationInterpretation", "Self", "SelfAttention", "SeparableBlock", "SequentialEx", "Shards",
    "ShortEpochCallback", "ShowGraphCallback", "ShowTitle", "SigmoidRange", "SimpleCNN", "SimpleNamespace", "SimpleSelfAttention",
    "SpearmanCorrCoef", "StreamLoader", "SuggestionMethod", "Swish", "TarShards", "Tensor", "TensorBase", "TensorCategory",
    "TensorMultiCategory", "TerminateOnNaNCallback", "TfmdDL", "TfmdLists", "TimeDistributed", "TimeSplitter", "TitledFloat",
    "TitledInt", "TitledStr", "TitledTensorScalar", "TitledTuple", "TorchScheduler", "TrackerCallback", "TrainEvalCallback",
    "TrainTestSplitter", "Transform", "TransformBlock", "URLs", "ValueMetric", "View", "WeightedDL", "accuracy", "accuracy_multi",
    "adam_step", "apply_init", "array", "average_grad", "average_preds", "average_sqr_grad", "before_batch_cb", "camel2snake",
    "cast", "children_and_parameters", "coll_repr", "combine_scheds", "combined_cos", "concat", "debias", "decode_at",
    "default_device", "defaults", "delegates", "distrib_barrier", "doc", "download_url", "dummy_eval", "error_rate", "event",
    "exp_rmspe", "fastuple", "find_bs", "find_device", "first", "fixed_seed", "flatten_check", "flatten_model", "foreground_acc",
    "from_hub", "get_files", "get_grid", "get_image_files", "get_text_files", "groupby", "has_children", "has_params",
    "hook_output", "hook_outputs", "icnr_init", "ifnone", "image_extensions", "in_channels", "init_default", "init_linear",
    "inplace_relu", "is_listy", "join_path_file", "kfold", "l2_reg", "lamb_step", "larc_layer_lr", "larc_step", "layer_info",
    "listify", "load_learner", "load_pickle", "loguniform", "mae", "math", "matplotlib", "merge", "minimum", "mish", "mk_metric",
    "model_sizes", "module_summary", "momentum_step", "mse", "msle", "nn", "no_random", "noop", "norm_bias_params",
    "notebook_launcher", "np", "num_cpus", "num_distrib", "num_features_model", "one_hot", "one_hot_decode", "one_param",
    "optim_metric", "os", "parallel", "param_groups", "params", "parent_label", "partial", "partialler", "patch", "pd",
    "perplexity", "plt", "progress_bar", "qhadam_step", "radam_step", "random", "random_search", "range_of", "ranger",
    "rank0_first", "rank_distrib", "re", "requires_grad", "rms_prop_step", "rmse", "rnn_cbs", "save_pickle", "sequential",
    "set_seed", "setify", "setup_distrib", "sgd_step", "show_at", "show_image", "show_image_batch", "show_images", "show_title",
    "show_titled_image", "shutil", "sigmoid", "sigmoid_", "sigmoid_range", "skm_to_fastai", "slide", "snake2camel", "steep",
    "step_stat", "store_attr", "string", "subplots", "swish", "teardown_distrib", "tensor", "test_set", "to_concat", "to_cpu",
    "to_detach", "to_device", "to_np", "top_k_accuracy", "torch", "total_params", "trainable_params", "trunc_normal_", "tuplify",
    "typedispatch", "uniqueify", "untar_data", "using_attr", "valley", "vleaky_relu", "weight_decay",
]
