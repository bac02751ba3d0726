"""Callbacks: everything that takes part in training without being the loop. `base.py` has the events; the rest is a technique a file."""
from .activations import ActivationStats, GradientNorms, LossSpikes
from .averaging import EMA, SWA
from .base import (
    Callback,
    CancelBackwardException,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelStepException,
    CancelTrainException,
    CancelValidException,
    Order,
    TrainEvalCallback,
    event,
)
from .batch import BnFreeze, ChannelsLast, MCDropoutCallback, ShortEpochCallback, TerminateOnNaNCallback, mc_dropout_preds
from .collect import CollectDataCallback, HookCallback
from .distill import KnowledgeDistillation
from .distributed import DistributedTrainer
from .dynamics import PredictionDynamics
from .first_batch import FirstBatch
from .gather import GatherPreds
from .gradients import SAM, GradientAccumulation, GradientClip, GradientClipValue
from .loggers import CSVLogger, JSONLogger, LiveLogger, ShowGraphCallback, TensorBoardCallback, WandbCallback
from .lr_finder import LRFinder, SuggestionMethod, minimum, slide, steep, valley
from .mix import CutMix, CutMixUp, MixUp
from .precision import MixedPrecision
from .progress import ProgressCallback
from .recorder import NonFiniteLoss, Recorder
from .regularise import ActivationReg, ModelResetter, RNNCallback, RNNRegularizer, rnn_cbs
from .resize import ProgressiveResize
from .resume import Resume
from .scheduler import ParamScheduler, TorchScheduler
from .trackers import EarlyStoppingCallback, ReduceLROnPlateau, SaveModelCallback, TrackerCallback

__all__ = [
    "EMA", "SAM", "SWA", "ActivationReg", "ActivationStats", "BnFreeze", "CSVLogger", "Callback", "CancelBackwardException",
    "CancelBatchException", "CancelEpochException", "CancelFitException", "CancelStepException", "CancelTrainException",
    "CancelValidException", "ChannelsLast", "CollectDataCallback", "CutMix", "CutMixUp", "DistributedTrainer", "EarlyStoppingCallback",
    "FirstBatch", "GatherPreds", "GradientAccumulation", "GradientClip", "GradientClipValue", "GradientNorms", "HookCallback", "JSONLogger",
    "KnowledgeDistillation", "LRFinder", "LiveLogger", "LossSpikes", "MCDropoutCallback", "MixUp", "MixedPrecision", "ModelResetter",
    "NonFiniteLoss", "Order", "ParamScheduler", "PredictionDynamics", "ProgressCallback", "ProgressiveResize", "RNNCallback",
    "RNNRegularizer", "Recorder", "ReduceLROnPlateau", "Resume", "SaveModelCallback", "ShortEpochCallback", "ShowGraphCallback",
    "SuggestionMethod", "TensorBoardCallback", "TerminateOnNaNCallback", "TorchScheduler", "TrackerCallback", "TrainEvalCallback",
    "WandbCallback", "event", "mc_dropout_preds", "minimum", "rnn_cbs", "slide", "steep", "valley",
]
