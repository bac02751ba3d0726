"""From tokens to ids and back: the vocabulary, which never changes once it is made, and the transform that uses it."""
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch

from ..core.arguments import check_arguments, is_whole, listed_in_order
from ..core.items import L
from ..core.messages import describe, listing, plural
from ..data.transforms import Transform
from .flat import FlatTexts
from .special import PAD, TEXT_SPEC_TOK, UNK
from .tensors import TensorText
from .token_store import TokenStore

#: Fills up a vocabulary to a multiple of 8, which matrix products on GPUs like; it has no id to look up.
FAKE = "xxfake"


class Vocab(list):
    """The tokens in the order of their ids: a list that cannot be changed, because a model and its files rely on it.

    Args:
        tokens: the tokens, id 0 first.
    """

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("a vocabulary does not change, because the weights of a model belong to its ids: make another, "
                        "Numericalize(vocab=[*vocab, 'token']), before the model is made")

    append = extend = insert = remove = pop = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> tuple:
        return Vocab, (list(self),)


def make_vocab(count: Mapping[str, int], min_freq: int = 3, max_vocab: int = 60000,
               special_toks: Sequence[str] | None = None) -> list[str]:
    """The special tokens, then the others from the most to the least frequent, then `xxfake` up to a multiple of 8.

    Args:
        count: how often each token occurs; of equally frequent ones the first come first.
        min_freq: how often a token must occur to be taken.
        max_vocab: how many tokens there may be, not counting those that pad it.
        special_toks: the tokens that come first, whether or not they occur; default `TEXT_SPEC_TOK`.

    Returns:
        As in fastai, a vocabulary whose size is a multiple of 8 already gets 8 more tokens.
    """
    _check_sizes("make_vocab", min_freq, max_vocab)
    special = list(TEXT_SPEC_TOK) if special_toks is None else listed_in_order("make_vocab", "special_toks", special_toks)
    known = set(special)
    common = Counter(count).most_common(max_vocab)
    vocab = [*special, *(t for t, n in common if n >= min_freq and t not in known)][:max_vocab]
    return Vocab([*vocab, *[FAKE] * (8 - len(vocab) % 8)])


def _check_sizes(where, min_freq, max_vocab):
    check_arguments(where, min_freq=(min_freq, is_whole(min_freq, 0), "how often a token must occur, a whole number"),
                    max_vocab=(max_vocab, is_whole(max_vocab), "how many tokens there may be, a whole number of 1 or more"))


class Numericalize(Transform):
    """Tokens to their ids, and back.

    Args:
        vocab: the tokens in the order of their ids; None: made of the training items by `make_vocab`.
        min_freq: see `make_vocab`.
        max_vocab: see `make_vocab`.
        special_toks: see `make_vocab`.

    Attributes:
        vocab: the tokens in the order of their ids, a list that cannot be changed.
        o2i: `{token: id}`. What is not in it gets the id of `xxunk`, and is refused where the vocabulary has none.
    """

    def __init__(self, vocab: Sequence[str] | None = None, min_freq: int = 3, max_vocab: int = 60000,
                 special_toks: Sequence[str] | None = None):
        super().__init__()
        _check_sizes("Numericalize", min_freq, max_vocab)
        self.min_freq, self.max_vocab, self.special_toks = min_freq, max_vocab, special_toks
        self.vocab: Vocab | None = None
        self.o2i: dict[str, int] = {}
        self._unk: int | None = None
        if vocab is not None:
            self._take(listed_in_order("Numericalize", "vocab", vocab))

    def _take(self, vocab: list) -> None:
        wrong = next((t for t in vocab if not isinstance(t, str)), None)
        if wrong is not None or not vocab:
            raise TypeError(f"Numericalize(vocab=...) takes a list of tokens; received {describe(wrong if vocab else vocab)}. That of "
                            "the loaders of a classifier is [tokens, classes]: give its first part, `dls.vocab[0]`")
        self.vocab = Vocab(vocab)
        self.o2i = {t: i for i, t in enumerate(vocab) if t != FAKE}
        if len(self.o2i) + vocab.count(FAKE) < len(vocab):
            twice = [t for t, n in Counter(vocab).items() if n > 1 and t != FAKE]
            raise ValueError(f"Numericalize: vocab lists {twice[:5]} more than once")
        self._unk = self.o2i.get(UNK)

    def setups(self, items: Iterable[Iterable[str]]) -> None:
        """Make the vocabulary of the training items, where none was given.

        Args:
            items: lists of tokens, or a `TokenStore`.
        """
        if self.vocab is not None:
            return
        count = items.counter() if isinstance(items, TokenStore) else Counter(t for tokens in items for t in _checked(tokens))
        self._take(make_vocab(count, self.min_freq, self.max_vocab, self.special_toks))

    def encodes(self, o: Sequence[str]) -> TensorText:
        """The ids of a list of tokens.

        Args:
            o: the tokens.

        Returns:
            (T,), int64.
        """
        return TensorText(torch.tensor(self._ids(_checked(o)), dtype=torch.int64))

    def decodes(self, o: torch.Tensor) -> L:
        """The tokens of ids, without padding.

        Args:
            o: (T,) ids.
        """
        self._known()
        vocab: Any = self.vocab
        return L((t for t in (vocab[i] for i in o.tolist()) if t != PAD), use_list=True)

    def table(self, store: TokenStore) -> np.ndarray:
        """The id here of each of the distinct tokens of a store: `table[store.ids(i)]` are the ids of text `i`.

        Args:
            store: the tokenised texts.

        Returns:
            (distinct tokens,), int64.
        """
        return np.array(self._ids(store.tokens), np.int64)

    def encode_ahead(self, store: TokenStore | Sequence) -> FlatTexts | None:
        """The ids of all texts of a store, looked up when they are asked for.

        Args:
            store: the tokenised texts; of others it gives None.
        """
        if not isinstance(store, TokenStore):
            return None
        return FlatTexts(store.flat, store.lengths, store.starts, self.table(store))

    def _ids(self, tokens):
        get, unk = self._known().get, self._unk
        ids = [get(t, unk) for t in tokens]
        if unk is None and None in ids:
            unknown = list(dict.fromkeys(t for t in tokens if t not in self.o2i))
            raise ValueError(f"the vocabulary lacks {plural(len(unknown), 'token')} of these texts ({listing(map(repr, unknown), 5)}), and "
                             f"has no {UNK!r} to stand for them: write vocab=[*vocab, {UNK!r}]")
        return ids

    def _known(self) -> dict[str, int]:
        if self.vocab is None:
            raise RuntimeError("Numericalize has no vocabulary yet: give it one with vocab=, or call setup(items) first")
        return self.o2i


def _checked(tokens: Any) -> Any:
    "The tokens of one text; a text that was not tokenised is refused."
    if isinstance(tokens, (str, bytes)) or not hasattr(tokens, "__iter__"):
        raise TypeError(f"Numericalize takes a list of tokens for each text; received {describe(tokens)}. Put a Tokenizer before it: "
                        "type_tfms=[Tokenizer(), Numericalize()]")
    return tokens


def text_vocab(dls: Any) -> list[str]:
    """The tokens of loaders, in the order of their ids.

    Args:
        dls: loaders of texts; of a classifier, `dls.vocab` is `[tokens, classes]`.

    Raises:
        TypeError: they are no loaders of texts.
    """
    vocab = getattr(dls, "vocab", None)
    if isinstance(vocab, (list, tuple)) and len(vocab) and isinstance(vocab[0], (list, tuple)):
        vocab = vocab[0]
    if not isinstance(vocab, list) or not vocab or not isinstance(vocab[0], str):
        raise TypeError(f"these loaders have no vocabulary of tokens: dls.vocab is {describe(vocab)}. Make them with TextDataLoaders, or "
                        "with a DataBlock whose first block is a TextBlock")
    return vocab
