"""Saving and loading the weights, vocabularies and optimizer of a learner: what `Learner.save` and `Learner.load` do."""
import copy
import json
import os
from collections.abc import Collection
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias
from warnings import warn

import torch

from ..callbacks.base import restore_states, states_of
from ..callbacks.training_run import RunCallback
from ..core import PathLike, checkpoint, describe, plural, shard_files
from ..core.paths import Path
from ..core.ranks import barrier
from ..core.sharded import is_sharded, load_optimizer, load_weights
from ..data.categories import last_vocab
from ..data.fingerprint import inputs_of
from ..optim.groups import setting_names

if TYPE_CHECKING:
    from .learner import Learner

Vocabs: TypeAlias = dict[str, list[str]]
"The entries of each vocabulary as text, such as `{'target': ['cat', 'dog']}`."

SUFFIXES = (".safetensors", ".pth", ".pt", ".pkl", shard_files.SUFFIX)


#: Under which name a file holds its weights: ours and fastai's, Lightning's, that of torch's tutorials.
WEIGHTS = ("model", "state_dict", "model_state_dict")


def file_of(learn: "Learner", file: PathLike) -> Path:
    "The path of `file`: `path/model_dir/file.safetensors`, unless it is absolute or has another suffix."
    if not isinstance(file, (str, os.PathLike)) or not Path(file).name:
        raise TypeError(f"the file is a name, such as 'stage-1', or a path; received {describe(file)}")
    file = Path(file).expanduser()
    file = file if file.suffix in SUFFIXES else file.with_name(file.name + ".safetensors")
    return file if file.is_absolute() else learn.path / learn.model_dir / file


def stored_file(learn: "Learner", file: PathLike) -> Path:
    """The path of weights that are there: that of `file_of`; where it is not, the same with another suffix (fastai's `.pth`, or ours for a
    name with `.pth`), or `file` itself, such as the path that `save` returned."""
    wanted = file_of(learn, file)
    others = [wanted.with_suffix(s) for s in (".safetensors", shard_files.SUFFIX, ".pth", ".pt")] if wanted.suffix != ".pkl" else []
    given = Path(file).expanduser()
    whole, shards = wanted.with_suffix(".safetensors"), wanted.with_suffix(shard_files.SUFFIX)
    if given.suffix not in SUFFIXES and whole.is_file() and shard_files.present(shards):
        raise ValueError(f"{whole.name} and {shards.name} are both in {whole.parent}: name one of them, learn.load({whole.name!r}) or "
                         f"learn.load({shards.name!r})")
    return next((f for f in (wanted, *others, given) if f.suffix in SUFFIXES and (f.is_file() or shard_files.present(f))), wanted)


def save(learn: "Learner", file: PathLike, with_opt: bool = True, sharded: bool = False) -> Path:
    "See `Learner.save`."
    file = file_of(learn, file)
    if sharded:
        file = file.with_suffix(shard_files.SUFFIX)
    elif file.suffix != ".safetensors":
        wanted, file = file, file.with_suffix(".safetensors")
        warn(f"weights are saved as safetensors: {wanted.name} becomes {file.name}, which learn.load({wanted.name!r}) reads too",
             stacklevel=3)
    state: dict[str, Any] = {"model": learn.model.state_dict()}
    if vocabs := vocabs_of(learn.dls):
        state["vocab"] = vocab_tensor(vocabs)
    if with_opt and learn.opt is not None:
        state.update(opt=learn.opt.state_dict(), callbacks=states_of(_with_state(learn)))
    (shard_files.save_shards if sharded else checkpoint.save)(state, file)
    try:
        checkpoint.save_json(learn.run_record(), record_of(file))
    except Exception as e:                          # the weights are written, and the parts of a learner may raise anything
        warn(f"{file.name} is saved, but not the run's record beside it ({type(e).__name__}: {e})", stacklevel=3)
    return file


def _divided(learn):
    "What is divided among the ranks now, by the names that it has in a file."
    own = {"model": learn.model.state_dict(), "opt": None if learn.opt is None else learn.opt.state_dict()}
    return {name: t for name, t in checkpoint.pack(own, lambda t: t)[0].items() if is_sharded(t)}


def record_of(file: Path) -> Path:
    "Where the record of the run is whose weights are in `file`."
    return file.with_suffix(".run.json")


def load(learn: "Learner", file: PathLike, device: torch.device | str | None = None, with_opt: bool = True, strict: bool = True,
         check_vocab: bool = True) -> None:
    """See `Learner.load`. Everything is compared before anything is changed, and what fails nevertheless is undone: a file that is refused
    leaves the learner as it was."""
    barrier()                                       # rank 0 may be writing it
    file = stored_file(learn, file)
    shards = shard_files.present(file)
    state = checkpoint.load(file, "cpu") if shards is None else shard_files.load_shards(shards, _divided(learn))
    if not isinstance(state, dict):
        raise ValueError(f"{file} holds {describe(state)}, not the weights of a model: save `model.state_dict()`")
    weights = next((state[name] for name in WEIGHTS if isinstance(state.get(name), dict)), state)
    if check_vocab and weights is not state:
        stored = state.get("vocab")
        check_same_vocabs(vocabs_of(learn.dls), stored_vocabs(stored, file) if isinstance(stored, torch.Tensor) else {}, file, strict)
    weights, left_out = _fitting(learn.model, weights, file, strict)
    with_opt = with_opt and isinstance(state.get("opt"), dict)
    if with_opt and "param_groups" not in state["opt"]:
        with_opt = False
        left_out.append("the optimizer's state is fastai's, so the optimizer starts anew")
    with_callbacks = with_opt and not learn.running        # a tracker that loads the best weights does not turn its fellows back
    with _undone_on_error(learn, device, _with_state(learn) if with_callbacks else []):
        if with_opt:
            _check_opt(learn.create_opt() if learn.opt is None else learn.opt, state["opt"], file)
        learn.to_device()
        if with_opt:
            with _refused(f"the optimizer state in {file} does not fit this learner's optimizer: load(..., with_opt=False)"):
                load_optimizer(learn.opt, state["opt"])
        if with_callbacks:
            with _refused(f"the states of callbacks in {file} do not fit this learner's: load(..., with_opt=False)"):
                restore_states(_with_state(learn), state.get("callbacks", {}))
        with _weights_kept_on_error(learn.model):
            load_weights(learn.model, weights, strict)
    if left_out:
        warn(f"{file}: loaded only in part: {'; '.join(left_out)}", stacklevel=3)
    record = record_of(Path(file))
    if record.exists() and (other := _other_inputs(record, learn.dls)):
        warn(f"{file}: these weights were trained on inputs that were prepared otherwise: {'; '.join(other)}. Predictions will be wrong "
             "without an error: make the data as it was then, or train on", stacklevel=3)


def _other_inputs(record, dls):
    "What differs between the inputs of the run that wrote `record` and those of `dls`: sentences; none where it cannot be told."
    with suppress(ValueError, LookupError, TypeError, AttributeError, OSError):
        there, here = json.loads(record.read_text(encoding="utf-8"))["inputs"], inputs_of(dls)
        columns = [f"{name}={there[name]} there, {here[name]} here" for name in ("cat_names", "cont_names")
                   if name in there and name in here and there[name] != here[name]]
        theirs, ours = ([o.get("mean") or [0.0], o.get("std") or [1.0]] for o in (there, here))
        if columns or there.get("mean") == here.get("mean") or (there.get("cont_names") == [] == here.get("cont_names")):
            return columns
        n = max(len(theirs[0]), len(ours[0]))
        (m1, s1), (m2, s2) = ([part * n if len(part) == 1 else part for part in side] for side in (theirs, ours))
        if any(abs(a - b) > 0.1 * s for a, b, s in zip(m1, m2, s1, strict=True)) or any(
                abs(a / b - 1) > 0.1 for a, b in zip(s1, s2, strict=True)):
            return [f"normalised with {_rounded(there)} there, {_rounded(here)} here"]
    return []


def _rounded(inputs):
    return ", ".join(f"{k}={[float(f'{o:.3g}') for o in inputs[k]]}" for k in ("mean", "std") if k in inputs) or "nothing"


@contextmanager
def _refused(message):
    "An error within the block becomes a `ValueError` with `message`: it comes from what the file holds."
    try:
        yield
    except Exception as e:
        raise ValueError(f"{message} ({type(e).__name__}: {e})") from e


@contextmanager
def _undone_on_error(learn, device, cbs):
    "Within the block the learner is on `device` (None: where it is); after an error optimizer, device and `cbs` are as before."
    home, opt, freezer, states = learn.dls.device, learn.opt, learn.freezer, copy.deepcopy(states_of(cbs))
    opt_state = None if opt is None else opt.state_dict()            # the tensors themselves: loading makes new ones
    try:
        if device is not None:
            learn.dls.to(device)
        yield
    except BaseException:
        if device is not None:
            learn.dls.to(home)
        learn.opt, learn.freezer = opt, freezer
        if opt is not None:
            opt.load_state_dict(opt_state)
        restore_states(cbs, states)
        learn.to_device()
        raise


@contextmanager
def _weights_kept_on_error(model):
    "After an error within the block `model` has the weights it had: torch goes on with the others when one cannot be loaded."
    before = {n: t.detach().to("cpu", copy=True) if isinstance(t, torch.Tensor) else copy.deepcopy(t)
              for n, t in model.state_dict().items()}
    try:
        yield
    except BaseException:
        with suppress(Exception):                               # what failed once may fail again, after all else is back
            model.load_state_dict(before)
        raise


def _with_state(learn):
    "The callbacks whose state goes into the file."
    return [cb for cb in learn.cbs if not (isinstance(cb, RunCallback) and cb.is_history)]


def _fitting(model, weights, file, strict):
    "Those of `weights` that fit `model`, and a list of what does not: compared first, so that a refused file changes nothing."
    own = model.state_dict()
    fits = {n: getattr(own[n], "shape", None) == getattr(weights[n], "shape", None) for n in own if n in weights}   # None: extra state
    shapes = [f"{n} is {describe(weights[n])} in the file, {describe(own[n])} in the model" for n, same in fits.items() if not same]
    missing, extra = [n for n in own if n not in weights], [n for n in weights if n not in own]
    problems = shapes[:3] + [f"{what}: {', '.join(map(str, names[:3]))}{', ...' if len(names) > 3 else ''}" for what, names in
                             ((f"{plural(len(missing), 'tensor')} of the model not in the file", missing),
                              (f"{plural(len(extra), 'tensor')} of the file not in the model", extra)) if names]
    if problems and strict:
        raise ValueError(f"the weights in {file} do not fit this model: {'; '.join(problems)}. Build the model as it was when they were "
                         "saved, or load what fits with load(..., strict=False)")
    return {n: w for n, w in weights.items() if fits.get(n)}, problems


# What torch's optimizers and ours keep per parameter in the parameter's own shape.
_LIKE_PARAMETER = ("exp_avg", "exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg", "sqr_avg")


def _check_opt(opt, state, file):
    """Refuse the state of an optimizer of another kind than `opt`. torch compares only the number of parameters: the settings of another
    optimizer would replace these, and training would fail at its first step or continue with other values."""
    groups, saved, kept = opt.param_groups, state["param_groups"], state.get("state", {})
    if not (isinstance(saved, (list, tuple)) and isinstance(kept, dict) and all(isinstance(o, dict) for o in kept.values()) and all(
            isinstance(g, dict) and isinstance(g.get("params"), (list, tuple)) and all(isinstance(k, str) for k in g) for g in saved)):
        raise ValueError(f"the optimizer state in {file} is not what `state_dict()` of an optimizer of torch returns: load the weights "
                         "alone, load(..., with_opt=False)")
    sizes, theirs = [len(g["params"]) for g in groups], [len(g["params"]) for g in saved]
    if sizes != theirs:
        problems = [f"it has {theirs} parameters in its groups, this learner's optimizer {sizes} (another splitter, or another model)"]
    elif setting_names(groups[0]) - setting_names(saved[0]):          # a file may hold more: schedulers leave settings of their own
        problems = [f"it is that of another kind of optimizer, with {', '.join(sorted(setting_names(saved[0])))}; this learner's "
                    f"{type(opt).__name__} has {', '.join(sorted(setting_names(groups[0])))}"]
    else:
        params = zip((p for g in groups for p in g["params"]), (i for g in saved for i in g["params"]), strict=True)
        problems = [f"{name} of parameter {i} is {describe(t)}, the parameter {describe(p.detach())}" for p, i in params
                    for name, t in kept.get(i, kept.get(str(i), {})).items()
                    if name in _LIKE_PARAMETER and isinstance(t, torch.Tensor) and t.shape != p.shape][:2]
    if problems:
        raise ValueError(f"the optimizer state in {file} does not fit this learner: {'; '.join(problems)}. Make the learner as it was when "
                         "the file was saved, or load the weights alone: load(..., with_opt=False)")


# -- vocabularies: the meaning of the outputs and of the rows of embeddings ---------------------------------------------------------
def vocabs_of(dls: Any) -> Vocabs:
    "The vocabularies of the training set: of the target, and of inputs (words, columns) that have one."
    ds, found = getattr(dls, "train_ds", None), {}
    columns, pipes = getattr(ds, "classes", None), list(getattr(ds, "pipelines", None) or ())
    if isinstance(columns, dict):
        found.update((f"column {name!r}", values) for name, values in columns.items())
    n_inp = getattr(ds, "n_inp", None) or max(1, len(pipes) - 1)
    for i, pipe in enumerate(pipes):
        found[f"input {i}" if i < n_inp else "target" if len(pipes) == n_inp + 1 else f"target {i - n_inp}"] = last_vocab(pipe)
    vocab = getattr(dls, "vocab", None)
    if not pipes and isinstance(vocab, (list, tuple)) and vocab and all(isinstance(o, (list, tuple)) for o in vocab):
        found.update((f"vocabulary {i}", o) for i, o in enumerate(vocab))
    elif not pipes and not isinstance(vocab, dict):
        found["target"] = vocab
    return {name: [str(o) for o in values] for name, values in found.items()
            if isinstance(values, Collection) and not isinstance(values, (str, bytes))}


def stored_vocabs(stored: torch.Tensor, file: Any) -> Vocabs:
    "What `vocab_tensor` made a tensor of, read from `file`."
    try:
        found = json.loads(stored.numpy().tobytes())
        return {str(name): list(entries) for name, entries in found.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as e:
        raise ValueError(f"the vocabularies in {file} cannot be read ({type(e).__name__}: {e}): save the weights again, or load them "
                         "without: load(..., check_vocab=False)") from e


def vocab_tensor(vocabs: Vocabs) -> torch.Tensor:
    "JSON in a tensor of bytes: millions of words would not fit into the header of a safetensors file."
    return torch.frombuffer(bytearray(json.dumps(vocabs).encode()), dtype=torch.uint8)


def check_same_vocabs(own: Vocabs, saved: Vocabs, file: Any, strict: bool = True) -> None:
    """Refuse weights in `file` that were trained with other entries (`saved`) than those of the data (`own`). strict=False leaves
    vocabularies of different lengths to the comparison of shapes."""
    for name in [name for name in own if name in saved]:
        here, there = own[name], saved[name]
        if here == there or (not strict and len(here) != len(there)):
            continue
        differ = [i for i in range(max(len(here), len(there))) if here[i:i + 1] != there[i:i + 1]]
        first = "; ".join(f"{i} is {_entry(there, i)} in the file, {_entry(here, i)} here" for i in differ[:3])
        lengths = "" if len(here) == len(there) else f", which has {len(there)} entries there and {len(here)} here"
        raise ValueError(f"the weights in {file} were made with another vocabulary of the {name}{lengths}; {len(differ)} of "
                         f"{max(len(here), len(there))} differ: {first}. Make the data with the vocabulary that the weights were made with "
                         "(vocab=[...], of texts text_vocab=[...]), or, if what the numbers stand for does not matter, write load(..., "
                         "check_vocab=False)")


def _entry(vocab, i):
    return repr(vocab[i]) if i < len(vocab) else "nothing"
