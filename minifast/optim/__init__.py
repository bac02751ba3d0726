"""Optimizers, layer groups, hyper-parameters and schedules."""
from .freezing import Freezer
from .groups import (
    NORM_TYPES,
    create_optimizer,
    exempt_from_decay,
    get_hyper,
    group_layers,
    hyper_names,
    hyper_setter,
    layer_group_count,
    norm_bias_params,
    norm_params,
    param_groups,
    set_hyper,
    spread,
    trainable_params,
)
from .hypers import HyperOptimizer, as_hyper_optimizer
from .lookahead import Lookahead
from .optimizers import SGD, Adam, Lamb, Larc, Lion, OptimWrapper, QHAdam, RAdam, RMSProp, ranger
from .schedules import SchedCos, SchedExp, SchedLin, SchedNo, SchedPoly, combine_scheds, combined_cos, flat_cos, one_cycle, sgdr
from .steppers import Optimizer

__all__ = [
    "NORM_TYPES", "SGD", "Adam", "Freezer", "HyperOptimizer", "Lamb", "Larc", "Lion", "Lookahead", "OptimWrapper", "Optimizer",
    "QHAdam", "RAdam", "RMSProp", "SchedCos", "SchedExp", "SchedLin", "SchedNo", "SchedPoly", "as_hyper_optimizer",
    "combine_scheds", "combined_cos", "create_optimizer", "exempt_from_decay", "flat_cos", "get_hyper", "group_layers",
    "hyper_names", "hyper_setter", "layer_group_count", "norm_bias_params", "norm_params", "one_cycle", "param_groups", "ranger",
    "set_hyper", "sgdr", "spread", "trainable_params",
]
