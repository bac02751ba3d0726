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
from .layers import *
