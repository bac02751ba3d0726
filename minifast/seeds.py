"""Seeds and private random streams."""
import random
from contextlib import contextmanager

import numpy as np
import torch


def set_seed(s, reproducible=False):
    """Seed `random`, `numpy` and `torch` (all devices) with `s`.

    `reproducible=True` also asks cudnn for deterministic kernels, which can be slower.
    """
    random.seed(s)
    np.random.seed(s % 2**32)
    torch.manual_seed(s)
    if reproducible:
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False


def rng_state():
    "The state of every global random stream: `random`, `numpy`, torch on the CPU and on each initialised accelerator."
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    return {"random": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state(), "cuda": cuda, "mps": mps}


def set_rng_state(state):
    "Put back what `rng_state` returned."
    random.setstate(state["random"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state_all(state["cuda"])
    if state["mps"] is not None:
        torch.mps.set_rng_state(state["mps"])


@contextmanager
def fixed_seed(seed=None, reproducible=False):
    "Within the block the global streams are seeded with `seed` (None: left where they are); afterwards they are as they were."
    state = rng_state()
    flags = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    try:
        if seed is not None:
            set_seed(seed, reproducible)
        yield
    finally:
        set_rng_state(state)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = flags


def no_random(seed=42, reproducible=True):
    "fastai's name for `fixed_seed`: `with no_random(): ...`."
    return fixed_seed(seed, reproducible)


def draw_seed():
    "A fresh 63-bit seed from torch's global stream: what `set_seed` before an epoch makes reproducible."
    return int(torch.empty((), dtype=torch.int64).random_())


def item_rng(*key):
    "A private numpy generator that is a pure function of `key`, such as (epoch seed, item index)."
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(key)))
