"""Saving and loading the weights and optimizer of a learner: functions that its verbs call."""
from pathlib import Path

from . import checkpoint
from .messages import add_note

SUFFIXES = (".safetensors", ".pth", ".pt", ".pkl")


def file_of(learn, file):
    "Where `file` is for this learner: `path/model_dir/file.safetensors`, unless it has a folder of its own or another suffix."
    file = Path(file)
    file = file if file.suffix in SUFFIXES else file.with_name(file.name + ".safetensors")
    return file if file.is_absolute() else learn.path / learn.model_dir / file


def save(learn, file, with_opt=True):
    "See `Learner.save`."
    file = file_of(learn, file)
    if file.suffix != ".safetensors":
        raise ValueError(f"weights are saved as safetensors; received the name {file.name}: leave the suffix out")
    state = {"model": learn.model.state_dict()}
    if with_opt and learn.opt is not None:
        state["opt"] = learn.opt.state_dict()
    return checkpoint.save(state, file)


def load(learn, file, device=None, with_opt=True, strict=True):
    "See `Learner.load`."
    file = file_of(learn, file)
    state = checkpoint.load(file, "cpu")
    weights = state["model"] if isinstance(state.get("model"), dict) else state
    if device is not None:
        learn.dls.to(device)
    try:
        learn.model.load_state_dict(weights, strict=strict)
    except RuntimeError as e:
        raise ValueError(f"the weights in {file} do not fit this model: {e}") from e
    learn.model.to(learn.dls.device)
    if with_opt and isinstance(state.get("opt"), dict):
        if learn.opt is None:
            learn.create_opt()
        try:
            learn.opt.load_state_dict(state["opt"])
        except (ValueError, KeyError, RuntimeError) as e:
            add_note(e, f"the optimizer state in {file} does not fit this learner's optimizer: load(..., with_opt=False)")
            raise
    return learn
