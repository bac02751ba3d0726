"""Saving and loading the weights and optimizer of a learner: what `Learner.save` and `Learner.load` do."""
from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import warn

import torch

from ..callbacks.base import restore_states, states_of
from ..callbacks.training_run import RunCallback
from ..core import checkpoint
from ..core.messages import add_note, describe, plural
from ..core.types import PathLike
from ..optim.groups import setting_names
from .saved_vocab import bytes_from_vocabs, check_same_vocabs, vocabs_from_bytes, vocabs_of

if TYPE_CHECKING:
    from .learner import Learner

SUFFIXES = (".safetensors", ".pth", ".pt", ".pkl")


def file_of(learn: Learner, file: PathLike) -> Path:
    "The path of `file`: `path/model_dir/file.safetensors`, unless it is absolute or has another suffix."
    if not isinstance(file, (str, os.PathLike)) or not Path(file).name:
        raise TypeError(f"the file is a name, such as 'stage-1', or a path; received {describe(file)}")
    file = Path(file)
    file = file if file.suffix in SUFFIXES else file.with_name(file.name + ".safetensors")
    return file if file.is_absolute() else learn.path / learn.model_dir / file


def save(learn: Learner, file: PathLike, with_opt: bool = True) -> Path:
    "See `Learner.save`."
    file = file_of(learn, file)
    if file.suffix != ".safetensors":
        raise ValueError(f"weights are saved as safetensors; received the name {file.name}: leave the suffix out")
    state: dict[str, Any] = {"model": learn.model.state_dict()}
    if vocabs := vocabs_of(learn.dls):
        state["vocab"] = bytes_from_vocabs(vocabs)
    if with_opt and learn.opt is not None:
        state.update(opt=learn.opt.state_dict(), callbacks=states_of(_with_state(learn)))
    return checkpoint.save(state, file)


def load(learn: Learner, file: PathLike, device: torch.device | str | None = None, with_opt: bool = True, strict: bool = True,
         check_vocab: bool = True) -> None:
    "See `Learner.load`."
    file = file_of(learn, file)
    state = checkpoint.load(file, "cpu")
    weights = state["model"] if isinstance(state.get("model"), dict) else state
    if device is not None:
        learn.dls.to(device)
    if check_vocab and weights is not state:
        check_same_vocabs(vocabs_of(learn.dls), vocabs_from_bytes(state.get("vocab")), file, strict)
    weights, left_out = _fitting(learn.model, weights, file, strict)
    with_opt = with_opt and isinstance(state.get("opt"), dict)
    if with_opt:
        _check_opt(learn.create_opt() if learn.opt is None else learn.opt, state["opt"], file)
    learn.model.load_state_dict(weights, strict=strict)
    if left_out:
        warn(f"{file}: loaded only in part: {'; '.join(left_out)}", stacklevel=3)
    learn.to_device()
    if with_opt:
        try:
            learn.opt.load_state_dict(state["opt"])
        except (ValueError, KeyError, RuntimeError) as e:
            add_note(e, f"the optimizer state in {file} does not fit this learner's optimizer: load(..., with_opt=False)")
            raise
        if not learn.running:                    # a tracker that loads the best weights does not turn its fellows back
            restore_states(_with_state(learn), state.get("callbacks", {}))


def _with_state(learn):
    "The callbacks whose state goes into the file."
    return [cb for cb in learn.cbs if not (isinstance(cb, RunCallback) and cb.is_history)]


def _fitting(model, weights, file, strict):
    "Those of `weights` that fit `model`, and a list of what does not: compared first, so that a refused file changes nothing."
    own = model.state_dict()
    shapes = [f"{n} is {describe(weights[n])} in the file, {describe(own[n])} in the model" for n in own
              if n in weights and own[n].shape != weights[n].shape]
    missing, extra = [n for n in own if n not in weights], [n for n in weights if n not in own]
    problems = shapes[:3] + [f"{what}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}" for what, names in
                             ((f"{plural(len(missing), 'tensor')} of the model not in the file", missing),
                              (f"{plural(len(extra), 'tensor')} of the file not in the model", extra)) if names]
    if problems and strict:
        raise ValueError(f"the weights in {file} do not fit this model: {'; '.join(problems)}. Build the model as it was when they were "
                         "saved, or load what fits with load(..., strict=False)")
    return {n: w for n, w in weights.items() if n in own and own[n].shape == w.shape}, problems


# What torch's optimizers and ours keep per parameter in the parameter's own shape.
_LIKE_PARAMETER = ("exp_avg", "exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg", "sqr_avg")


def _check_opt(opt, state, file):
    """Refuse the state of an optimizer of another kind than `opt`. torch compares only the number of parameters: the settings of another
    optimizer would replace these, and training would fail at its first step or continue with other values."""
    groups, saved = opt.param_groups, state.get("param_groups", [])
    sizes, theirs = [len(g["params"]) for g in groups], [len(g["params"]) for g in saved]
    if sizes != theirs:
        problems = [f"it has {theirs} parameters in its groups, this learner's optimizer {sizes} (another splitter, or another model)"]
    elif setting_names(groups[0]) - setting_names(saved[0]):          # a file may hold more: schedulers leave settings of their own
        problems = [f"it is that of another kind of optimizer, with {', '.join(sorted(setting_names(saved[0])))}; this learner's "
                    f"{type(opt).__name__} has {', '.join(sorted(setting_names(groups[0])))}"]
    else:
        params = zip((p for g in groups for p in g["params"]), (i for g in saved for i in g["params"]), strict=True)
        kept = state.get("state", {})
        problems = [f"{name} of parameter {i} is {describe(t)}, the parameter {describe(p.detach())}" for p, i in params
                    for name, t in kept.get(i, kept.get(str(i), {})).items()
                    if name in _LIKE_PARAMETER and isinstance(t, torch.Tensor) and t.shape != p.shape][:2]
    if problems:
        raise ValueError(f"the optimizer state in {file} does not fit this learner: {'; '.join(problems)}. Make the learner as it was when "
                         "the file was saved, or load the weights alone: load(..., with_opt=False)")
