"""Writing on: a language model chooses the next token, again and again."""
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from warnings import warn

import torch
from torch import nn

from ..core.arguments import check_arguments, is_number, is_whole
from ..nn.model_info import eval_mode
from .special import TK_MAJ, TK_REP, TK_UP, TK_WREP


def choose_token(logits: torch.Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None,
                 min_p: float | None = None) -> int:
    """Draw a token by its probability.

    Args:
        logits: a score per token of the vocabulary, (V,); -inf: never.
        temperature: below 1 likely tokens become likelier, above 1 all become more alike; 0: the likeliest.
        top_k: only the `top_k` likeliest tokens.
        top_p: only the likeliest tokens that together have this probability.
        min_p: only tokens of at least this probability, at temperature 1; where there is none, all.
    """
    if temperature == 0:
        return int(logits.argmax())
    logits = logits.float()
    if min_p is not None:
        likely = logits.softmax(0) >= min_p
        if likely.any():
            logits = logits.masked_fill(~likely, -torch.inf)
        else:
            warn(f"no token has a probability of min_p={min_p} or more, so all may be drawn: write a smaller min_p", stacklevel=4)
    logits, order = (logits / temperature).sort(descending=True)
    if top_k is not None:
        logits[top_k:] = -torch.inf
    probs = logits.softmax(0)
    if top_p is not None:
        probs[(probs.cumsum(0) - probs) >= top_p] = 0           # those before have it already; the first one stays
    return int(order[torch.multinomial(probs, 1)])


def generate(model: nn.Module, ids: torch.Tensor, n: int, never: Iterable[int] = (), only_last: bool = False,
             **how: Any) -> torch.Tensor:
    """The tokens of a text, and `n` that the model writes after them.

    A model that keeps a hidden state, which has a method `reset`, reads each token once; any other reads all of them each time. It reads in
    evaluation mode, without gradients.

    Args:
        model: ids (1, time) -> scores (1, time, V), or a tuple that begins with them.
        ids: int64 (T,).
        n: how many tokens to write.
        never: ids that are not to be written.
        only_last: each token is chosen after the last one alone.
        **how: see `choose_token`.
    """
    reset = getattr(model, "reset", None)
    if callable(reset):
        reset()
    text, unread, banned = ids.tolist(), ids, torch.tensor(list(never), dtype=torch.int64, device=ids.device)
    with eval_mode(model):
        for _ in range(n):
            out = model((ids[-1:] if only_last else unread if callable(reset) else ids)[None])
            logits = (out[0] if isinstance(out, (tuple, list)) else out)[0, -1]
            token = choose_token(logits.index_fill(0, banned, -torch.inf), **how)
            text.append(token)
            unread = ids.new_tensor([token])
            ids = torch.cat([ids, unread])
            if only_last and callable(reset):
                reset()
    if callable(reset):
        reset()
    return ids.new_tensor(text)


def check_generation(n_words: Any, temperature: Any, top_k: Any, top_p: Any, min_p: Any) -> None:
    "Refuse arguments that make no sense, all in one message."
    check_arguments("predict", n_words=(n_words, is_whole(n_words, 0), "how many tokens to write, a whole number"),
                    temperature=(temperature, is_number(temperature, 0), "a number, 0 or more"),
                    top_k=(top_k, top_k is None or is_whole(top_k), "how many tokens to choose from, a whole number of 1 or more"),
                    top_p=(top_p, top_p is None or (is_number(top_p, 0, 1) and top_p > 0), "a probability above 0, up to 1"),
                    min_p=(min_p, min_p is None or is_number(min_p, 0, 1), "a probability from 0 to 1"))


def decode_spec_tokens(tokens: Sequence[str]) -> list[str]:
    """Carry out what special tokens say: `xxmaj the` becomes `The`, `xxup usa` `USA`, `xxrep 3 !` `!!!`, `xxwrep 2 so` `so so`.

    Args:
        tokens: the tokens. A rule without what it needs is left out.
    """
    found: list[str] = []
    rule, times = "", 0
    once: dict[str, Callable[[str], str]] = {TK_MAJ: str.capitalize, TK_UP: str.upper}
    for t in tokens:
        if t in (TK_MAJ, TK_UP, TK_REP, TK_WREP):
            rule, times = t, 0
        elif rule in (TK_REP, TK_WREP) and not times:
            times = int(t) if t.isdecimal() else 0
            if not times:
                rule = ""
                found.append(t)
        elif rule in (TK_REP, TK_WREP):
            found += [t * times] if rule == TK_REP else [t] * times
            rule, times = "", 0
        else:
            found.append(once[rule](t) if rule else t)
            rule = ""
    return found
