"""Saving and loading the weights and optimizer of a learner: functions that its verbs call."""
from pathlib import Path
from warnings import warn

from . import checkpoint
from .callback import restore_states, states_of
from .messages import add_note, describe, plural

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
        state["callbacks"] = states_of([cb for cb in learn.cbs if not getattr(cb, "tells_history", False)])
    return checkpoint.save(state, file)


def load(learn, file, device=None, with_opt=True, strict=True):
    "See `Learner.load`."
    file = file_of(learn, file)
    state = checkpoint.load(file, "cpu")
    weights = state["model"] if isinstance(state.get("model"), dict) else state
    if device is not None:
        learn.dls.to(device)
    learn.model.load_state_dict(_fitting(learn.model, weights, file, strict), strict=strict)
    learn.to_device()
    if with_opt and isinstance(state.get("opt"), dict):
        if learn.opt is None:
            learn.create_opt()
        try:
            learn.opt.load_state_dict(state["opt"])
        except (ValueError, KeyError, RuntimeError) as e:
            add_note(e, f"the optimizer state in {file} does not fit this learner's optimizer: load(..., with_opt=False)")
            raise
        if not learn.running:                    # a tracker that loads the best weights does not turn its fellows back
            restore_states([cb for cb in learn.cbs if not getattr(cb, "tells_history", False)], state.get("callbacks", {}))
    return learn


def _fitting(model, weights, file, strict):
    "Those of `weights` that `model` can take; looked at before anything is copied, so that a refused file changes nothing."
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
    if problems:
        warn(f"{file}: loaded only in part: {'; '.join(problems)}", stacklevel=4)
    return {n: w for n, w in weights.items() if n in own and own[n].shape == w.shape}
