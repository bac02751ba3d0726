"""Layers, losses, hooks and tables of a model: what models and their training signal are made of."""
from .activations import Identity, Mish, SigmoidRange, Swish, mish, sigmoid, sigmoid_range, swish
from .attention import PooledSelfAttention2d, SelfAttention, SimpleSelfAttention
from .conv import BatchNorm, ConvLayer, InstanceNorm, NormType, PixelShuffle_ICNR, SimpleCNN
from .hooks import Hook, Hooks, hook_output, hook_outputs
from .init import apply_init, icnr_init, init_default, init_linear
from .layers import (
    Cat,
    Embedding,
    Flatten,
    Lambda,
    LinBnDrop,
    MergeLayer,
    PartialLambda,
    ProdLayer,
    ResizeBatch,
    SequentialEx,
    TimeDistributed,
    View,
    sequential,
)
from .loss_traits import (
    activation_of,
    batch_weight,
    class_weight_of,
    decodes_of,
    ignore_index_of,
    kind_of,
    loss_name,
    needs_same_shape,
    reduction_none,
    reduction_of,
    same_items,
    y_int_of,
)
from .losses import (
    BaseLoss,
    BCELossFlat,
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
    DiceLoss,
    FocalLoss,
    FocalLossFlat,
    L1LossFlat,
    LabelSmoothingCrossEntropy,
    LabelSmoothingCrossEntropyFlat,
    MSELossFlat,
)
from .model_info import (
    children_of,
    dummy_eval,
    eval_mode,
    flatten_model,
    in_channels,
    model_sizes,
    num_features_model,
    one_param,
    params,
    requires_grad,
    total_params,
)
from .module import Module
from .pooling import AdaptiveAvgPool, AdaptiveConcatPool1d, AdaptiveConcatPool2d, AvgPool, MaxPool, PoolFlatten
from .resblock import ResBlock, SEBlock, SEModule
from .summary import LayerInfo, has_params, layer_info, module_summary
from .target_checks import check_target

__all__ = [
    "AdaptiveAvgPool", "AdaptiveConcatPool1d", "AdaptiveConcatPool2d", "AvgPool", "BCELossFlat", "BCEWithLogitsLossFlat",
    "BaseLoss", "BatchNorm", "Cat", "ConvLayer", "CrossEntropyLossFlat", "DiceLoss", "Embedding", "Flatten", "FocalLoss",
    "FocalLossFlat", "Hook", "Hooks", "Identity", "InstanceNorm", "L1LossFlat", "LabelSmoothingCrossEntropy",
    "LabelSmoothingCrossEntropyFlat", "Lambda", "LayerInfo", "LinBnDrop", "MSELossFlat", "MaxPool", "MergeLayer", "Mish", "Module",
    "NormType", "PartialLambda", "PixelShuffle_ICNR", "PoolFlatten", "PooledSelfAttention2d", "ProdLayer", "ResBlock",
    "ResizeBatch", "SEBlock", "SEModule", "SelfAttention", "SequentialEx", "SigmoidRange", "SimpleCNN", "SimpleSelfAttention",
    "Swish", "TimeDistributed", "View", "activation_of", "apply_init", "batch_weight", "check_target", "children_of",
    "class_weight_of", "decodes_of", "dummy_eval", "eval_mode", "flatten_model", "has_params", "hook_output", "hook_outputs",
    "icnr_init", "ignore_index_of", "in_channels", "init_default", "init_linear", "kind_of", "layer_info", "loss_name", "mish",
    "model_sizes", "module_summary", "needs_same_shape", "num_features_model", "one_param", "params", "reduction_none",
    "reduction_of", "requires_grad", "same_items", "sequential", "sigmoid", "sigmoid_range", "swish", "total_params", "y_int_of",
]
