"""`minifast doctor`: the versions, devices and caches to put in a bug report."""
import os
import platform
import sys
from importlib import metadata, util
from pathlib import Path

from .. import __version__

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "pillow", "matplotlib", "scikit-learn", "safetensors",
            "timm", "transformers", "simplejpeg", "ipython", "ipykernel")


def report() -> str:
    "The report as text: one `name: value` a line."
    lines = [f"minifast: {__version__} ({Path(__file__).parents[1]})", f"python: {sys.version.split()[0]} ({sys.executable})",
             f"platform: {platform.platform()}"]
    for name in PACKAGES:
        try:
            lines.append(f"{name}: {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{name}: not installed")
    if util.find_spec("torch") is None:
        return "\n".join([*lines, "devices: none can be used without torch; install it with `pip install torch`"])
    return "\n".join(lines + _devices() + _caches())


def _devices() -> list[str]:
    import torch

    from ..core.device import cpu_count, default_device
    try:
        cuda = [f"cuda:{i}: {torch.cuda.get_device_name(i)}, compute capability {'.'.join(map(str, torch.cuda.get_device_capability(i)))}, "
                f"{torch.cuda.get_device_properties(i).total_memory / 2**30:.1f} GiB" for i in range(torch.cuda.device_count())]
    except RuntimeError as e:                   # a GPU that its driver cannot start: the very thing to report
        cuda = [f"cuda: {torch.cuda.device_count()} seen, none can be used: {str(e).splitlines()[0]}"]
    try:
        chosen = str(default_device())
    except RuntimeError as e:
        chosen = f"none: {str(e).splitlines()[0]}"
    built = torch.cuda.get_arch_list() if torch.cuda.is_available() else []
    return [f"cpu: {cpu_count()} cores for this process, torch uses {torch.get_num_threads()} threads",
            *(cuda or ["cuda: no device"]), *([f"torch built for: {', '.join(built)}"] if built else []),
            f"mps: {'available' if torch.backends.mps.is_available() else 'not available'}", f"default device: {chosen}"]


def _caches() -> list[str]:
    import torch

    from ..sources.urls import minifast_home
    folders = {"minifast data (MINIFAST_HOME)": Path(minifast_home()),
               "torch weights (TORCH_HOME)": Path(torch.hub.get_dir()) / "checkpoints",
               "working directory": Path.cwd()}
    return [f"{name}: {folder} ({_state(folder)})" for name, folder in folders.items()]


def _state(folder: Path) -> str:
    if not folder.exists():
        return "not there yet"
    try:
        entries = len(os.listdir(folder))
    except OSError as e:
        return f"cannot be listed: {e.strerror}"
    return f"entries: {entries}, {'writable' if os.access(folder, os.W_OK) else 'read-only'}"
