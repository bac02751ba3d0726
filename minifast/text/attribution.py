"""Token attributions: which tokens of a text speak for a prediction, and which against it, drawn in the text.

A token's score is the gradient of the output with respect to its embedding times that embedding, summed over its numbers. The gradient is
the mean of those on the way from a text that says nothing (integrated gradients: M. Sundararajan et al., "Axiomatic Attribution for Deep
Networks", 2017), as that at the text itself says little of a model which is sure, or normalises its embeddings. A text that says nothing
has embeddings of zero; of a transformer, which was never shown such, those of its mask token, or else of the unknown one or of padding.
Of a model that is linear in the embeddings a score is what the token adds to the output; of others all scores sum to what all tokens add.
"""
from dataclasses import dataclass
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import nn

from ..core.arguments import check_arguments, is_whole
from ..core.messages import brief, describe, did_you_mean
from ..core.nested import leaves, split_batch, to_device
from ..core.plots import get_grid
from ..core.progress import in_notebook
from ..metrics.classes import classes_of
from ..nn.model_info import eval_mode
from .language_loader import LMDataLoader
from .transformers.loader import encoder_in
from .vocabulary import text_vocab

if TYPE_CHECKING:
    from ..learner.learner import Learner

_KINDS = "takes a classifier or a regression, with one row of outputs for each text"
_FOR, _AGAINST = "46,125,50", "198,40,40"           # green and red, as a browser takes them


@dataclass(frozen=True)
class TokenAttributions:
    """How much each token of a text speaks for an output. In a notebook the text, its tokens coloured; elsewhere lines of text.

    Attributes:
        tokens: the tokens as the model reads them, (T,).
        scores: float (T,); positive: for the target, negative: against it.
        target: the class, or the number of the output.
        output: the output, before the activation of the loss.
    """

    tokens: list[str]
    scores: torch.Tensor
    target: Any
    output: float

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        "`[(token, score)]` of the `k` tokens with the largest scores of either sign, the largest first."
        order = self.scores.abs().argsort(descending=True, stable=True)[:k].tolist()
        return [(self.tokens[i], float(self.scores[i])) for i in order]

    def frame(self) -> pd.DataFrame:
        "A DataFrame with a row for each token, in the order of the text: token, score."
        return pd.DataFrame({"token": self.tokens, "score": self.scores.tolist()})

    def __str__(self) -> str:
        marked = set(self.scores.abs().argsort(descending=True, stable=True)[:max(3, len(self.tokens) // 10)].tolist())
        both = zip(self.tokens, self.scores.tolist(), strict=True)
        words = [f"[{token} {score:+.2g}]" if i in marked and score else token for i, (token, score) in enumerate(both)]
        return f"{self._head()}\n{' '.join(words)}"

    __repr__ = __str__

    def _head(self):
        return f"for {self.target!r} (output {self.output:.3g}); the largest scores of {len(self.tokens):,} tokens are marked"

    def _repr_html_(self) -> str:
        largest = float(self.scores.abs().max()) or 1.0
        spans = []
        for token, score in zip(self.tokens, self.scores.tolist(), strict=True):
            colour = f"rgba({_FOR if score > 0 else _AGAINST},{0.75 * abs(score) / largest:.2f})"
            spans.append(f"<span title='{score:+.3g}' style='background:{colour}'>{escape(token)}</span>")
        return f"<p><b>for {escape(repr(self.target))}</b> (output {self.output:.3g})</p><p>{' '.join(spans)}</p>"

    def show(self) -> None:
        "Show the text with its tokens coloured, green for the target and red against it; outside a notebook print it."
        if in_notebook():
            import_module("IPython.display").display(self)
        else:
            print(self)

    def plot(self, k: int = 15) -> Any:
        "Draw the `k` largest scores as bars; returns the axes."
        ax = get_grid(1, figsize=(5, 0.3 * min(k, len(self.tokens)) + 1))[0]
        names, values = zip(*self.top(k)[::-1], strict=True)
        ax.barh(range(len(values)), values, color=[f"#{'2e7d32' if v > 0 else 'c62828'}" for v in values])
        ax.set_yticks(range(len(values)), names, parse_math=False)
        ax.set_title(f"for {self.target!r}", parse_math=False)
        return ax


def token_attributions(learn: "Learner", text: Any, target: Any = None, steps: int = 24) -> TokenAttributions:
    """Say how much each token of a text speaks for an output of a classifier or a regression.

    The learner does not change. Special tokens of the tokenizer have scores, too: the model reads them.

    Args:
        learn: the learner, its model one that looks tokens up in an `nn.Embedding`.
        text: a text, or whatever an item of its data is (a pair of texts, a row).
        target: the class, by name or number, or the number of the output; None: the one that is predicted.
        steps: forward and backward passes; 1: gradient times input at the text itself, quick and coarse.

    Raises:
        TypeError: the model has no such embedding, or its output is not one row of numbers per text.
        ValueError: there is no such target.
    """
    check_arguments("token_attributions", steps=(steps, is_whole(steps), "a whole number of passes, at least 1"))
    encode = encoder_in(learn.dls)
    if isinstance(learn.dls.train, LMDataLoader) or (encode is not None and encode.task != "classify"):
        raise TypeError(f"token_attributions {_KINDS}; this learner predicts tokens")
    with learn.pass_lock.for_pass():
        batch, n_inp = learn.dls.test_batch([text])
        xb, kw, _ = split_batch(to_device(batch, learn.dls.device), n_inp)
        model = learn.model
        ids = _ids_of(xb, kw)
        # cuDNN has no backward pass of recurrent layers in evaluation mode
        with eval_mode(model), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            output, calls = _run(model, xb, kw)
            number, name = _chosen(learn, output, target)
            read, lookup = _read_ids(calls, ids)
            empty = [_says_nothing(encode, lookup, given, leaf) for m, given, leaf in calls if m is lookup]
            scores = torch.zeros(len(ids), device=ids.device)
            for k in range(steps):
                share = 1.0 if steps == 1 else (k + 0.5) / steps
                out, calls = (output, calls) if steps == 1 else _run(model, xb, kw, share, lookup, empty)
                at = [leaf for m, _, leaf in calls if m is lookup]
                grads = torch.autograd.grad(out[0, number], at, allow_unused=True, materialize_grads=True)
                parts = [(g * (leaf - base)).sum(-1).flatten() for g, leaf, base in zip(grads, read, empty, strict=True)]
                scores += torch.cat(parts).detach().float() / steps
    return TokenAttributions(_names(learn, ids), scores.cpu(), name, float(output[0, number].detach()))


@torch.no_grad()
def _says_nothing(encode, lookup, ids, vectors):
    "What the vectors of a text that says nothing would be; special tokens stay."
    tokenizer = getattr(encode, "tokenizer", None)
    names = ("mask_token_id", "unk_token_id", "pad_token_id", "eos_token_id")
    other = next((i for name in names if (i := getattr(tokenizer, name, None)) is not None), None)
    if other is None:
        return torch.zeros_like(vectors)
    special = torch.isin(ids, torch.tensor(sorted(tokenizer.all_special_ids), device=ids.device))
    return type(lookup).forward(lookup, torch.where(special, ids, other))           # itself would call what `_run` has hung on it


def _run(model, xb, kw, share=1.0, lookup=None, empty=()):
    "The output, and each call of an embedding: itself, ids, vectors; those of `lookup` lie a `share` of the way from `empty`."
    calls: list[tuple[nn.Module, torch.Tensor, torch.Tensor]] = []
    begin = iter(empty)

    def keep(module, args, out):
        out = out.detach()
        leaf = (torch.lerp(next(begin), out, share) if module is lookup else out).requires_grad_()
        calls.append((module, args[0].detach(), leaf))
        return leaf.clone()

    handles = [m.register_forward_hook(keep) for m in model.modules() if isinstance(m, nn.Embedding)]
    reset = getattr(model, "reset", None)
    try:
        if callable(reset):
            reset()
        output = model(*xb, **kw)
    finally:
        for handle in handles:
            handle.remove()
    return next((t for t in leaves(output) if isinstance(t, torch.Tensor)), None), calls


def _ids_of(xb, kw):
    "The ids of the tokens, (T,)."
    whole = [t for t in leaves((kw.get("input_ids"), [x["input_ids"] if isinstance(x, dict) and "input_ids" in x else x for x in xb]))
             if isinstance(t, torch.Tensor) and t.ndim == 2 and len(t) == 1 and not t.is_floating_point()]
    if not whole:
        raise TypeError("token_attributions takes a learner of texts: its data give no ids of tokens. Make them with TextDataLoaders or "
                        "TransformersDataLoaders")
    return whole[0][0].as_subclass(torch.Tensor)


def _read_ids(calls, ids):
    "The vectors of the tokens, perhaps in several pieces, and the embedding that looked them up."
    for module in dict.fromkeys(m for m, _, _ in calls):
        if torch.equal(torch.cat([given.flatten() for m, given, _ in calls if m is module]), ids):
            return [leaf for m, _, leaf in calls if m is module], module
    raise TypeError("token_attributions: no nn.Embedding of the model looks up the tokens of the text one by one, so that there is nothing "
                    "to take the gradient of. Look tokens up with nn.Embedding")


def _chosen(learn, output, target):
    "The number of the output, and what to call it."
    if output is None or output.ndim != 2 or len(output) != 1:
        raise TypeError(f"token_attributions {_KINDS}; the model returns {describe(output)}")
    classes = _classes(learn, output.shape[1])
    if target is None:
        number = int(output[0].argmax())
    elif classes is not None and target in classes:
        number = classes.index(target)
    elif isinstance(target, int) and not isinstance(target, bool) and 0 <= target < output.shape[1]:
        number = target
    else:
        known = f"one of the classes {classes[:8]}, or a number" if classes is not None else "a number"
        raise ValueError(f"target={brief(target)}: {known} from 0 to {output.shape[1] - 1}"
                         + (did_you_mean(str(target), [str(c) for c in classes]) if classes is not None else ""))
    return number, number if classes is None else classes[number]


def _classes(learn, n):
    "The names of `n` outputs, or None."
    names = list(classes_of(learn) or ())
    return names if len(names) == n else None


def _names(learn, ids):
    encode = encoder_in(learn.dls)
    if encode is not None:
        return list(encode.tokenizer.convert_ids_to_tokens(ids.tolist()))
    vocab = text_vocab(learn.dls)
    return [vocab[i] for i in ids.tolist()]
