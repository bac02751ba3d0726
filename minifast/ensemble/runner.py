"""One learner after the other, each trained on some of the items and asked about others: what k-fold and bagging have in common."""
import gc
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pandas as pd
import torch

from ..callbacks.gather import GatherPreds
from ..callbacks.trackers import column_directions
from ..core import checkpoint
from ..core.arguments import check_choice
from ..core.items import L
from ..core.messages import describe, noting, plural
from ..core.nested import map_nested, to_concat
from ..core.paths import Path
from ..core.ranks import shared
from ..core.seeds import fixed_seed, item_rng
from ..core.types import PathLike
from ..learner.inference import loader_for
from ..learner.learner import Learner
from .arguments import CannotTell, FreshWeights, keys_of, valid_positions, vocab_of
from .averaging import average_of


# -- one part -----------------------------------------------------------------------------------------------------------------------
@dataclass
class Part:
    """What one learner left: `preds` and `targs` of the items at `positions`, `values` ([loss, *metrics], called `names`), `history` (the
    rows of its epoch table) and which way each column is better (`directions`); `learn` itself where it is kept."""

    preds: Any
    targs: Any
    positions: list[int]
    values: list[float]
    names: list[str]
    history: list[dict]
    directions: dict[str, bool | None]
    vocab: list | None
    learn: Learner | None = field(default=None, repr=False)


def seeded(seed: int | None, part: int | None = None) -> AbstractContextManager:
    """Seed the global random streams within the block and restore them afterwards; None: leave them alone.

    Each part has a seed of its own, a function of both, so that a resumed run gives what an uninterrupted one would.
    """
    if seed is None:
        return nullcontext()
    return fixed_seed(seed if part is None else int(item_rng(seed, part).integers(2**31)))


def build(learner_fn: Callable, splits: Sequence[Sequence[int]], what: str) -> Learner:
    "The learner that `learner_fn` makes of `splits`."
    if not callable(learner_fn):
        raise TypeError(f"learner_fn takes `splits`, the lists of positions, and returns a new Learner; received {describe(learner_fn)}")
    with noting(f"in learner_fn, {what}"):
        learn = learner_fn(tuple(L(s, use_list=True) for s in splits))
    if not hasattr(learn, "get_preds") or not hasattr(learn, "dls"):
        raise TypeError(f"learner_fn must return a Learner; {what} it returned {describe(learn)}")
    return learn


def fitted(learn: Learner, fit: Callable, what: str, *args: Any) -> None:
    "Train `learn` with the caller's function."
    if not callable(fit):
        raise TypeError(f"fit is a function that trains the learner, such as fit=lambda learn: learn.fit_one_cycle(5); received "
                        f"{describe(fit)}")
    with noting(f"in fit, {what}"):
        fit(learn, *args)


def _run(learner_fn: Callable, items: Any, splits: Sequence, fit: Callable, what: str, fresh: FreshWeights,
         prepare: Callable[[Learner], None] | None) -> Part:
    learn = build(learner_fn, splits, what)
    fresh.check(learn, what)
    valid_positions(learn, items, splits, what)
    if prepare is not None:
        prepare(learn)
    fitted(learn, fit, what)
    positions = valid_positions(learn, items, splits, what)          # again: fit may have given it other loaders
    gather, dl = GatherPreds(act=learn.activation), loader_for(learn, 1, None)
    values = learn.validate(dl=dl, cbs=[gather])
    preds, targs = gather.joined(gather.preds), gather.joined(gather.targets)
    if isinstance(preds, torch.Tensor) and len(preds) != len(positions):
        raise ValueError(f"{what}: the validation loader gave {plural(len(preds), 'prediction')} for {plural(len(positions), 'item')}: it "
                         "leaves items out, or takes some twice")
    if (order := getattr(dl, "pass_order", None)) is not None:
        preds, targs = (at(o, order.argsort()) for o in (preds, targs))
    return Part(preds, targs, [int(i) for i in positions], values, ["valid_loss", *(m.name for m in learn.metrics)],
                list(learn.recorder.history), column_directions(learn.recorder, learn.metrics), vocab_of(learn), learn)


class Store:
    "A folder with what each part left, and in `settings.json` of which run that is."

    def __init__(self, path: PathLike, settings: dict[str, Any]):
        self.path = Path(path).expanduser()
        self.path.mkdir(parents=True, exist_ok=True)
        file = self.path / "settings.json"
        if shared(file.exists()):
            there = json.loads(file.read_text(encoding="utf-8"))
            other = [f"{k} is {there.get(k)!r} there, {v!r} here" for k, v in settings.items() if there.get(k) != v]
            if other:
                raise ValueError(f"{self.path} holds the parts of another run ({'; '.join(other)}): make the same call as then, or give "
                                 "another path")
        else:
            checkpoint.save_json(settings, file)

    def weights(self, i: int) -> Path:
        "The file of the weights of learner `i`."
        return (self.path / f"part_{i}_weights.safetensors").resolve()

    def save(self, i: int, part: Part, with_weights: bool) -> None:
        "Write part `i`, and the weights of its learner."
        if with_weights:
            part.learn.save(self.weights(i), with_opt=False)
        checkpoint.save({k: v for k, v in vars(part).items() if k != "learn"},
                        self.path / f"part_{i}.safetensors")                   # the last thing written: with it the part is finished

    def load(self, i: int) -> Part | None:
        "Part `i` as it was saved; None if it was not finished."
        file = self.path / f"part_{i}.safetensors"
        return Part(**checkpoint.load(file)) if shared(file.exists()) else None


def fingerprint(items: Any) -> str:
    "A short text that changes with the items and their order, as far as they can be told apart."
    try:
        return digest(keys_of(items))
    except CannotTell:
        return "not known"


def digest(values: Any) -> str:
    "A hash of nested plain values."
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def run_parts(result: type["SomeParts"], learner_fn: Callable, items: Any, all_splits: Sequence, fit: Callable, seed: int | None,
              path: PathLike | None, keep: str, settings: dict[str, Any],
              prepare: Callable[[int, Learner], None] | None = None) -> "SomeParts":
    """Build and train a learner on each of `all_splits`; with `path` those that are finished are read from there.

    Args:
        result: the class of what is returned.
        settings: what the run was called with; with other settings a folder is refused.
        prepare: `prepare(i, learn)` is called before learner `i` is trained.
        learner_fn, items, fit, seed, path, keep: see `kfold`.
    """
    check_choice("", "keep", keep, ("models", "files", "nothing"))
    if keep == "files" and path is None:
        raise ValueError("keep='files' needs a folder for the weights: path=...")
    if path is not None and seed is None:
        raise ValueError("path=... is for a run that can be resumed, which needs a seed: seed=None makes other parts each time")
    settings = {**settings, "seed": seed, "n_items": len(items), "items": fingerprint(items),
                "splits": digest([[[int(i) for i in s] for s in splits] for splits in all_splits])}
    store, parts, fresh = None if path is None else Store(path, settings), [], FreshWeights()
    for i, splits in enumerate(all_splits):
        what = f"{result.noun} {i} of {len(all_splits)}"
        saved = part = None if store is None else store.load(i)
        if part is None:
            with seeded(seed, i):
                part = _run(learner_fn, items, splits, fit, what, fresh, None if prepare is None else partial(prepare, i))
        _check_alike(parts[0] if parts else part, part, what)
        if saved is None and store is not None:
            store.save(i, part, keep != "nothing")
        if keep != "models":
            part.learn = None
            gc.collect()
        parts.append(part)
    return result(parts, all_splits, learner_fn, items, seed, store)


def _check_alike(first: Part, part: Part, what: str) -> None:
    if part.vocab != first.vocab:
        raise ValueError(f"{what} has the classes {part.vocab}, the first one {first.vocab}, so that their predictions do not go "
                         "together. Give all classes, CategoryBlock(vocab=[...]), or stratify by the labels")
    if part.names != first.names:
        raise ValueError(f"{what} has the metrics {part.names}, the first one {first.names}: give every learner the same")


class Parts:
    """The learners of a run, and what each predicted for the items that it was not trained on.

    Args:
        parts, splits: what each learner left, and what it was trained and validated on.
        learner_fn, items, seed, store: of the run.

    Attributes:
        preds, targs: of the items at `positions`, in their order.
    """

    noun = "part"
    preds: Any
    targs: Any
    positions: list[int]

    def __init__(self, parts: list[Part], splits: Sequence, learner_fn: Callable, items: Any, seed: int | None, store: Store | None):
        self.parts, self.splits = parts, splits
        self._learner_fn, self._items, self._seed, self._store = learner_fn, items, seed, store

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def vocab(self) -> list | None:
        "The classes, as text."
        return self.parts[0].vocab

    @property
    def table(self) -> pd.DataFrame:
        "`[loss, *metrics]`: a row per learner, then 'mean' and 'std' (with n - 1)."
        rows = pd.DataFrame([p.values for p in self.parts], columns=self.parts[0].names, dtype="float64")
        rows.index = [str(i) for i in range(len(rows))]
        return pd.concat([rows, pd.DataFrame({"mean": rows.mean(), "std": rows.std()}).T])

    @property
    def histories(self) -> list[pd.DataFrame]:
        "The epoch table of each learner, as DataFrames."
        return [pd.DataFrame(p.history) for p in self.parts]

    def learner(self, i: int) -> Learner:
        "Learner `i`: the one that was kept, or a new one with the weights that were saved."
        part = self.parts[i]
        if part.learn is not None:
            return part.learn
        i = i % len(self.parts)
        if self._store is None or not self._store.weights(i).exists():
            raise ValueError(f"the learner of {self.noun} {i} was not kept: call with keep='models', or with path=... and keep='files'")
        with seeded(self._seed, i):
            learn = build(self._learner_fn, self.splits[i], f"{self.noun} {i}")
            valid_positions(learn, self._items, self.splits[i], f"{self.noun} {i}")
            return learn.load(self._store.weights(i), with_opt=False)

    @property
    def learners(self) -> list[Learner]:
        "All of the learners, in memory."
        return [self.learner(i) for i in range(len(self))]

    def predict(self, items: Any = None, dl: Any = None, weights: Sequence[float] | None = None, how: str = "mean") -> torch.Tensor:
        """The average of what all learners predict, one after the other: learners that are kept as files are never in memory together.

        Args:
            items, dl: new items, or a loader of them.
            weights, how: see `combine_preds`.
        """
        if (items is None) == (dl is None):
            raise TypeError("predict needs items=, such as files or rows of a DataFrame, or a loader dl=: one of them")
        each = (self.learner(i) for i in range(len(self))) if weights is None else self.learners
        return average_of(each, 1, dl, items, weights, how)[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {plural(len(self), self.noun)}\n{self.table}"


SomeParts = TypeVar("SomeParts", bound=Parts)


def gathered(parts: Iterable[Part]) -> tuple[Any, Any, torch.Tensor]:
    "`(preds, targs, positions)` of all parts, one after the other."
    positions = torch.tensor([i for p in parts for i in p.positions])
    return to_concat([p.preds for p in parts]), to_concat([p.targs for p in parts]), positions


def at(values: Any, index: torch.Tensor) -> Any:
    "Nested tensors at `index`."
    return map_nested(lambda t: t[index], values)
