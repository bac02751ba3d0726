"""Several processes that train one model: how they are started, and fastai's words for them.

A script needs nothing of this: `minifast launch train.py`, or `torchrun --nproc-per-node=2 train.py`.
"""
from ..callbacks.distributed import DistributedTrainer
from ..callbacks.rank_parts import mean_over_items
from ..core.ranks import gathered, is_main, rank0_first, shared
from .fastai_names import distrib_barrier, num_distrib, rank_distrib, setup_distrib, teardown_distrib
from .launcher import launch
from .notebook_launcher import notebook_launcher

__all__ = ["DistributedTrainer", "distrib_barrier", "gathered", "is_main", "launch", "mean_over_items", "notebook_launcher", "num_distrib",
           "rank0_first", "rank_distrib", "setup_distrib", "shared", "teardown_distrib"]
