"""`Predictor`: predictions from an exported learner for a server or a script, from any number of threads."""
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch

from ..callbacks.regularise import of_output
from ..core.nested import item_of, split_batch, to_cpu
from ..core.types import PathLike
from ..data.show import decode_targets
from ..nn.loss_traits import decoding
from .export import load_learner

__all__ = ["Prediction", "Predictor"]


class Prediction(NamedTuple):
    "What `Predictor.predict` says about one item: the three values of `Learner.predict`."

    label: Any              #: the decoded target: a class by name, a number, a mask; of a table the row with its target
    target: torch.Tensor    #: the target as a tensor, such as the number of the class
    probs: torch.Tensor     #: the activated output of the model


class Predictor:
    """Predict new items with the learner that `Learner.export` wrote.

    It has neither callbacks, nor a progress bar, nor any state that changes, so several threads may use one. For images it imports neither
    pandas nor matplotlib. A language model writes: `load_learner(fname).predict(text, n_words)`.

    Args:
        fname: the file.
        device: where to predict.
        bs: items per batch, where a list is given; None: as in training.
        objects: your own classes and functions, see `load_learner`.
    """

    def __init__(self, fname: PathLike, device: torch.device | str = "cpu", bs: int | None = None,
                 objects: Mapping[str, Any] | None = None):
        learn = load_learner(fname, objects=objects)
        self.dls = learn.dls.to(device)
        self.model, self.loss_func = learn.to_device().model.eval().requires_grad_(False), learn.loss_func
        if hasattr(learn, "no_predictor"):
            raise TypeError(f"{fname}: {learn.no_predictor}")
        self.activation, self.decode_pred = of_output(learn.activation, learn.cbs), learn.decode_pred
        self.bs = self.dls.bs if bs is None else bs
        if isinstance(self.bs, bool) or not isinstance(self.bs, int) or self.bs < 1:
            raise ValueError(f"Predictor(bs={bs!r}): how many items make a batch, at least 1")
        alone = any(getattr(m, "one_call_at_a_time", False) for m in self.model.modules())
        self._turn: AbstractContextManager = threading.Lock() if alone else nullcontext()

    @property
    def vocab(self) -> Any:
        "The classes; None for numbers."
        return self.dls.vocab

    def predict(self, items: Any) -> Any:
        """Predict one item, or a list of them.

        Args:
            items: an item as `Learner.predict` takes it, such as a file, an image, its bytes, a text, a pair of texts (a tuple) or a row of
                a table; or a list of such. The words of a text, which are a list, are one item in a list: `predict([words])[0]`.

        Returns:
            A `Prediction`, or a list of them.
        """
        if not isinstance(items, list):
            return self.predict([items])[0]
        found: list[Prediction] = []
        for start in range(0, len(items), self.bs):
            found += self._batch(items[start:start + self.bs])
        return found

    def _batch(self, items: list) -> list[Prediction]:
        batch, n_inp = self.dls.test_batch(items)
        inputs, keywords, _ = split_batch(batch if isinstance(batch, (tuple, list, dict)) else (batch,), n_inp or len(batch))
        with self._turn, torch.inference_mode():
            preds = self.activation(self.model(*inputs, **keywords))
        preds = to_cpu(preds)
        decoded = self.decode_pred(preds)
        with decoding(preds, self.loss_func):
            named = decode_targets(self.dls.train, inputs, decoded)
            return [Prediction(label, item_of(decoded, i), item_of(preds, i)) for i, label in enumerate(named)]
