"""fastai's words for the several processes that train one model."""
from typing import Any

from ..core import ranks


def rank_distrib() -> int:
    "The number of this process among all, from 0; 0 where there is one."
    return ranks.rank()


def num_distrib() -> int:
    "How many processes train together; 0 where there is one, as in fastai."
    n = ranks.world_size()
    return n if n > 1 else 0


def distrib_barrier() -> None:
    "Wait until all processes are here."
    ranks.barrier()


def setup_distrib(gpu: Any = None) -> Any:
    """Join the other processes now. Not needed: what asks for them does so.

    Args:
        gpu: returned as it is; each process takes the GPU of its `LOCAL_RANK`.

    Returns:
        `gpu`.
    """
    ranks.join()
    return gpu


def teardown_distrib() -> None:
    "Leave the other processes: from now on this one is alone. Not needed at the end of a script."
    ranks.leave()
