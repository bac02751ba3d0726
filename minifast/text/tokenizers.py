"""Tokenizers: objects that split each of several texts into tokens, with rules before and after."""
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any, Protocol
from warnings import warn

from ..core.device import defaults
from ..core.items import L
from .rules import default_post_rules, default_rules
from .words import WordTokenizer

Rules = Sequence[Callable[[str], str]]


class Splits(Protocol):
    "What a tokenizer must be able to do: an object of your own class with such a `__call__` can be given wherever one is taken."

    def __call__(self, items: Iterable[str]) -> Iterable[Sequence[str]]:
        "The tokens of each of several texts."


_SAME = "is used again where texts, rules and tokenizer are the same, and else replaced: leave it out"
#: Arguments of fastai's that are not taken here, and what to write.
_NOT_TAKEN = {
    "SubwordTokenizer": {
        "char_coverage": "every character of the texts has a piece: leave it out",
        "cache_dir": "nothing is written while it learns: write tok.save(file) afterwards, and SubwordTokenizer(sp_model=file) to use it "
                     "again"},
    "tokenize_files": {
        "skip_if_exists": f"what output_dir holds {_SAME}"},
    "tokenize_folder": {
        "skip_if_exists": f"what output_dir holds {_SAME}",
        "output_names": "write tokenize_files(files, path, output_dir, output_names)"},
    "Tokenizer.from_folder": {
        "skip_if_exists": f"what cache= names {_SAME}",
        "output_dir": "one file keeps the tokens of all texts: write cache=file",
        "output_names": "one file keeps the tokens of all texts: write cache=file",
        "extensions": "the items are tokenised: choose them by get_items=partial(get_files, extensions=['.txt'])",
        "folders": "the items are tokenised: choose them by get_items=partial(get_text_files, folders=['train', 'test'])"}}


def refuse_not_taken(call: str, given: dict[str, Any]) -> None:
    """Refuse keyword arguments that a function does not have; of fastai's it says what to write instead.

    Args:
        call: the function.
        given: the arguments left over.
    """
    for name in given:
        why = _NOT_TAKEN[call].get(name)
        raise TypeError(f"{call}() got an unexpected keyword argument {name!r}" if why is None else f"{call} does not take {name}=: {why}")


class BaseTokenizer:
    """Splits at one character.

    Args:
        split_char: the character.
    """

    def __init__(self, split_char: str = " "):
        self.split_char = split_char

    def __call__(self, items: Iterable[str]) -> Iterator[L]:
        "The tokens of each of several texts."
        return (L(t.split(self.split_char), use_list=True) for t in items)


class SpacyTokenizer(WordTokenizer):
    """spaCy's blank pipeline of a language where spaCy is installed, else `WordTokenizer`, and a warning that says so.

    Args:
        lang: the language, such as 'en' or 'de'.
        special_toks: chunks that are never split.
        buf_sz: how many texts spaCy works at together.
    """

    libraries = ("spacy",)              #: tokens that are kept are those of its version, see `identity_of`

    def __init__(self, lang: str = "en", special_toks: Sequence[str] | None = None, buf_sz: int = 5000):
        super().__init__(lang, special_toks, buf_sz)
        self._pipe: Any = None
        if find_spec("spacy") is None:
            warn("spaCy is not installed: SpacyTokenizer splits as WordTokenizer does, which is nearly the same for English. Write "
                 "WordTokenizer(), or pip install spacy", stacklevel=2)

    def __call__(self, items: Iterable[str]) -> Iterator[L]:
        "The tokens of each of several texts."
        if find_spec("spacy") is None:
            return super().__call__(items)
        if self._pipe is None:
            import spacy
            from spacy.symbols import ORTH
            nlp = spacy.blank(self.lang)
            for token in defaults.text_spec_tok if self.special_toks is None else self.special_toks:
                nlp.tokenizer.add_special_case(token, [{ORTH: token}])
            self._pipe = nlp.tokenizer.pipe
        return (L((t.text for t in doc), use_list=True) for doc in self._pipe(items, batch_size=self.buf_sz))

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_pipe": None}


class TokenizeWithRules:
    """A tokenizer with rules of texts before it, and rules of tokens after it.

    Args:
        tok: the tokenizer.
        rules: functions of a text, in their order; default `defaults.text_proc_rules`.
        post_rules: functions of a token; default `defaults.text_postproc_rules`.
    """

    def __init__(self, tok: Splits, rules: Rules | None = None, post_rules: Rules | None = None):
        self.tok = tok
        self.rules = default_rules() if rules is None else list(rules)
        self.post_rules = default_post_rules() if post_rules is None else list(post_rules)

    def __call__(self, batch: Iterable[str]) -> Iterator[L]:
        "The tokens of each of several texts."
        return (L(map(self.after, tokens), use_list=True) for tokens in self.split(batch))

    def split(self, batch: Iterable[str]) -> Iterable[Sequence[str]]:
        """The tokens of each of several texts, to which `after` is still to be applied: once for each different token is enough.

        Args:
            batch: the texts.
        """
        return self.tok(map(self._prepared, batch))

    def after(self, token: str) -> str:
        """What the rules of tokens make of a token.

        Args:
            token: one that `split` gave.
        """
        for rule in self.post_rules:
            token = rule(token)
        return token

    def _prepared(self, text):
        for rule in self.rules:
            text = rule(text)
        return text


def tokenize1(text: str, tok: Splits | None = None, rules: Rules | None = None, post_rules: Rules | None = None) -> L:
    """The tokens of one text.

    Args:
        text: the text.
        tok: the tokenizer; default `WordTokenizer()`.
        rules: see `TokenizeWithRules`.
        post_rules: see `TokenizeWithRules`.
    """
    return next(iter(TokenizeWithRules(WordTokenizer() if tok is None else tok, rules, post_rules)([text])))
