"""Which device to train on, chosen at first use: importing minifast never initialises an accelerator."""
import os
from types import SimpleNamespace
from warnings import warn

import torch

from .ranks import world_size

#: Settings that hold for the whole process. `device=None` means: choose at first use. `use_cuda=False` keeps to the CPU.
defaults = SimpleNamespace(device=None, use_cuda=None)


def _cuda_problem() -> str | None:
    "Why CUDA cannot be used although a GPU is visible, or None. (A P100 with a build for newer cards looks available and fails.)"
    capability = major, minor = torch.cuda.get_device_capability()
    built = [a for a in torch.cuda.get_arch_list() if a.startswith(("sm_", "compute_"))]
    if not built or any(_runs_on(arch, capability) for arch in built):
        return None
    return (f"{torch.cuda.get_device_name()} has compute capability {major}.{minor}, but this torch {torch.__version__} was built for "
            f"{', '.join(built)}: its kernels do not run on it")


def _runs_on(arch: str, capability: tuple[int, int]) -> bool:
    """Whether code built for `arch`, such as `sm_75` or `compute_90`, runs on a device of this (major, minor) capability.

    Machine code runs within its major version, on the same or a later minor one; PTX (`compute_..`) on every later device. The
    suffix `a` ties it to exactly that capability, `f` to that family. (CUDA C++ Programming Guide, "Compute Capabilities".)
    """
    kind, number = arch.split("_", 1)
    digits = number.rstrip("af")
    built_for = int(digits[:-1]), int(digits[-1])
    if number.endswith("a"):
        return capability == built_for
    if kind == "compute" and not number.endswith("f"):
        return capability >= built_for
    return capability[0] == built_for[0] and capability[1] >= built_for[1]


def default_device(use: bool | None = None) -> torch.device:
    """The device to train on: CUDA, then Apple's MPS, then the CPU; the first that torch can really use.

    A GPU that this build of torch has no kernels for is reported once and not chosen.

    Args:
        use: True demands an accelerator, False keeps to the CPU; both are remembered in `defaults`.

    Raises:
        RuntimeError: with `use=True`, when there is no accelerator.
    """
    if use is not None:
        defaults.use_cuda, defaults.device = bool(use), None
    if defaults.device is not None:
        return torch.device(defaults.device)
    defaults.device = _choose(defaults.use_cuda)
    return defaults.device


def _choose(use: bool | None) -> torch.device:
    if use is False:
        return torch.device("cpu")
    if torch.cuda.is_available():
        world_size()                            # each of several ranks takes a GPU of its own
        problem = _cuda_problem()
        if problem is None:
            return torch.device("cuda", torch.cuda.current_device())
        if use:
            raise RuntimeError(f"{problem}. Choose another accelerator or call default_device(False) to use the CPU.")
        warn(f"{problem}; training on the CPU instead. Choose another accelerator to train on a GPU.", stacklevel=3)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    if use:
        raise RuntimeError("default_device(True) asks for an accelerator, but torch sees neither CUDA nor MPS. "
                           "Call default_device(False) to use the CPU.")
    return torch.device("cpu")


def usable_device(device: torch.device | str | int) -> torch.device:
    """A device that was asked for, if this machine has it.

    Args:
        device: such as `'cuda'`, `'cuda:1'`, `'cpu'`.

    Raises:
        RuntimeError: torch sees no such device, which else would first be said by torch at the first batch.
    """
    device = torch.device(device)
    instead = "Write device='cpu', or leave it out: the best device there is will be used"
    if device.type == "cuda":
        n = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not n:
            raise RuntimeError(f"device={str(device)!r}: torch {torch.__version__} sees no CUDA device on this machine. {instead}")
        if (device.index or 0) >= n:
            raise RuntimeError(f"device={str(device)!r}: this machine has {n} CUDA device{'s' if n > 1 else ''}, counted from 0. {instead}")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise RuntimeError(f"device={str(device)!r}: torch {torch.__version__} sees no MPS device on this machine. {instead}")
    return device


def cores_of_ranks() -> int:
    "Number of cores (its affinity, not the machine's total) that this process and the other ranks on this machine may use."
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def cpu_count() -> int:
    "Number of cores for this process alone: its part of those that it shares with the other ranks on this machine."
    return max(1, cores_of_ranks() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
