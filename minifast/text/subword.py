"""`SubwordTokenizer`: splits into pieces of words that it learns from texts, so that a small vocabulary can write every word.

The pieces are learnt and found by the library tokenizers, imported at first use. Spaces are part of the pieces, as `▁`, so that the
text can be put together again.
"""
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..core.arguments import check_arguments, check_choice, is_whole
from ..core.items import L
from ..core.messages import describe
from ..core.paths import Path
from ..core.recipe import Recipe
from ..core.types import PathLike
from .special import TEXT_SPEC_TOK, UNK
from .text_sources import texts_of
from .tokenizers import refuse_not_taken
from .transformers.library import library

_SPACE = "▁"


class SubwordTokenizer:
    """Splits into pieces of words. It learns them by `setup(texts)`, which `Tokenizer` calls; or is given what another one learnt.

    Args:
        lang: not used: fastai's.
        special_toks: tokens that are never split, and always in the vocabulary; default `TEXT_SPEC_TOK`.
        sp_model: a tokenizer that has learnt: the file that `save` wrote, or its content (JSON of the library tokenizers).
        vocab_sz: how many pieces to learn; default: a quarter of the different words, at least 29, at most `max_vocab_sz`.
        max_vocab_sz: see `vocab_sz`.
        model_type: 'unigram' keeps the pieces that make the texts most likely (Kudo 2018, "Subword Regularization"); 'bpe' joins the most
            frequent pairs (Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units"), and learns much faster.
        **kwargs: refused, see `refuse_not_taken`.

    Attributes:
        sp_model: what was learnt, as JSON; None: nothing yet.
    """

    libraries = ("tokenizers",)         #: tokens that are kept are those of its version, see `identity_of`

    def __init__(self, lang: str = "en", special_toks: Sequence[str] | None = None, sp_model: PathLike | None = None,
                 vocab_sz: int | None = None, max_vocab_sz: int = 30000, model_type: str = "unigram", **kwargs: Any):
        refuse_not_taken("SubwordTokenizer", kwargs)
        check_choice("SubwordTokenizer", "model_type", model_type, ("unigram", "bpe"))
        sizes = {k: (v, v is None or is_whole(v, 29), "how many pieces, a whole number of 29 or more")
                 for k, v in (("vocab_sz", vocab_sz), ("max_vocab_sz", max_vocab_sz))}
        check_arguments("SubwordTokenizer", **sizes)
        self.lang, self.special_toks, self.model_type = lang, special_toks, model_type
        self.vocab_sz, self.max_vocab_sz = vocab_sz, max_vocab_sz
        self.sp_model: str | None = None if sp_model is None else _content(sp_model)
        self._names: list[str] = []
        self._encode: Callable[[str], Any] | None = None

    @property
    def recipe(self) -> Recipe:
        "How to make this tokenizer, with what it has learnt."
        names = ("lang", "special_toks", "sp_model", "vocab_sz", "max_vocab_sz", "model_type")
        return Recipe(type(self), {name: getattr(self, name) for name in names})

    def setup(self, items: Iterable[str], rules: Sequence[Callable[[str], str]] | None = None) -> "SubwordTokenizer":
        """Learn from texts, unless it has learnt already.

        Args:
            items: the texts.
            rules: functions of a text that come before.

        Returns:
            This tokenizer.
        """
        if self.sp_model is not None:
            return self
        lib, special = library("tokenizers"), list(TEXT_SPEC_TOK if self.special_toks is None else self.special_toks)
        texts = list(items) if iter(items) is items else items           # they are read twice
        size = self._size(texts, rules) if self.vocab_sz is None else self.vocab_sz
        if UNK not in special:
            special.insert(0, UNK)
        marked = [lib.AddedToken(t, single_word=True, normalized=False) for t in special]
        models, trainers = lib.models, lib.trainers
        made = lib.Tokenizer(models.Unigram() if self.model_type == "unigram" else models.BPE(unk_token=UNK))
        made.pre_tokenizer = lib.pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="first")
        settings = {"vocab_size": size, "special_tokens": marked, "show_progress": False}
        trainer = trainers.UnigramTrainer(unk_token=UNK, **settings) if self.model_type == "unigram" else trainers.BpeTrainer(**settings)
        with _one_thread():
            made.train_from_iterator(_prepared(texts, rules), trainer)
        self.sp_model = made.to_str()
        return self

    def _size(self, texts, rules):
        words: Counter = Counter()
        for text in _prepared(texts, rules):
            words.update(text.split())
            if len(words) // 4 > self.max_vocab_sz:
                return self.max_vocab_sz
        return min(max(-(-(len(words) // 4) // 8) * 8, 29), self.max_vocab_sz)

    def __call__(self, items: Iterable[str]) -> Iterator[L]:
        "The tokens of each of several texts."
        if self.sp_model is None:
            raise RuntimeError("this SubwordTokenizer has learnt nothing yet: call setup(texts) first, or give it what another one learnt, "
                               "SubwordTokenizer(sp_model='pieces.json')")
        if self._encode is None:
            made = library("tokenizers").Tokenizer.from_str(self.sp_model)
            self._names = [made.id_to_token(i) for i in range(made.get_vocab_size())]
            self._encode = made.encode
        encode, names, special = self._encode, self._names, self._special()
        return (L(_without_spaces([names[i] for i in encode(t).ids], special), use_list=True) for t in items)

    def _special(self):
        return {UNK, *(TEXT_SPEC_TOK if self.special_toks is None else self.special_toks)}

    def decode(self, tokens: Iterable[str]) -> str:
        """The text that tokens were made of.

        Args:
            tokens: the tokens.
        """
        special, parts = self._special(), [""]
        for t in tokens:
            is_apart = t not in special or parts[-1][-1:].isspace() or len(parts) == 1
            parts.append(t.replace(_SPACE, " ") if is_apart else f" {t}")
        return "".join(parts).removeprefix(" ")

    def save(self, file: PathLike) -> Path:
        """Write what was learnt, for `SubwordTokenizer(sp_model=file)`.

        Args:
            file: the file, JSON of the library tokenizers.
        """
        if self.sp_model is None:
            raise RuntimeError("this SubwordTokenizer has learnt nothing yet: call setup(texts) first")
        file = Path(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.sp_model, encoding="utf-8")
        return file

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_encode": None, "_names": []}


#: fastai's name: the same kinds of pieces, learnt by another library.
SentencePieceTokenizer = SubwordTokenizer


def _content(sp_model):
    "JSON that a tokenizer was saved as, of a file or as it is."
    text = str(sp_model)
    if not text.lstrip().startswith("{"):
        data = Path(sp_model).read_bytes()
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = ""
    if not text.lstrip().startswith("{"):
        raise ValueError(f"sp_model={describe(sp_model)} is no JSON of the library tokenizers, such as `save` writes; a .model file of "
                         "SentencePiece cannot be read: let SubwordTokenizer() learn from the texts again")
    library("tokenizers").Tokenizer.from_str(text)
    return text


def _without_spaces(tokens, special):
    "Tokens without the single space before a special one, which `decode` knows of: it would double their number."
    return [t for t, after, before in zip(tokens, [*tokens[1:], ""], ["\n", *tokens], strict=False)
            if t != _SPACE or after not in special or before.endswith(_SPACE) or before[-1:].isspace()]


def _prepared(texts, rules):
    for text in texts_of(texts):
        for rule in rules or ():
            text = rule(text)
        yield text


@contextmanager
def _one_thread():
    """Within the block tokenizers starts no threads: a process that is forked afterwards would lack them, and hang or warn."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before
