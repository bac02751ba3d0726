"""Rules: functions from text to text, applied before a text is split into words; and of a token, applied afterwards.

They keep what a vocabulary in lower case would lose: that a word was in capitals, or a character repeated, becomes a special token.
In the order of `PROC_RULES` they give what fastai's give.
"""
import html
import re
from collections.abc import Callable
from operator import eq

from ..core.device import defaults
from .special import BOS, EOS, TEXT_SPEC_TOK, TK_MAJ, TK_REP, TK_UP, TK_WREP, UNK

#: What damaged HTML and WikiText hold, and what was meant; in this order.
_DAMAGED = (("#39;", "'"), ("amp;", "&"), ("#146;", "'"), ("nbsp;", " "), ("#36;", "$"), ("\\n", "\n"), ("quot;", "'"), ("<br />", "\n"),
            ('\\"', '"'), ("<unk>", UNK), (" @.@ ", "."), (" @-@ ", "-"), ("...", " …"))
# Each begins with what `re` looks for quickly: with `\s` or a group of it first they take two to three times as long.
_REPEATED = re.compile(r"(.)\1\1+")
_REPEATED_WORD = re.compile(r"(?:\s|^)(\w+)\s+((?:\1\s+)+)\1(?=\s|\W|$)")
_SPECIAL = re.compile(r"([/#\\])")
_SPACES = re.compile(r" {2,}")
_CAPS = re.compile(r"[A-Z](?<!\S.)[^a-z\s]*(?!\S)")
_MAJ = re.compile(r"[A-Z](?<!\S.)[^A-Z\s]*(?!\S)")


def fix_html(x: str) -> str:
    """What is left of HTML, and the marks of WikiText, as the characters that were meant.

    Args:
        x: the text.
    """
    for wrong, right in _DAMAGED:
        x = x.replace(wrong, right)
    return html.unescape(x) if "&" in x else x


def replace_rep(t: str) -> str:
    """A character three times or more: `cccc` becomes ` xxrep 4 c `.

    Args:
        t: the text.
    """
    return _REPEATED.sub(lambda m: m[0] if m[1].isspace() else f" {TK_REP} {len(m[0])} {m[1]} ", t)


def replace_wrep(t: str) -> str:
    """A word three times or more: `so so so so` becomes ` xxwrep 4 so `.

    Args:
        t: the text.
    """
    words = t.split()
    if not any(map(eq, words, words[1:])):              # which is quick, and true of most texts
        return t
    return _REPEATED_WORD.sub(lambda m: f" {TK_WREP} {len(m[2].split()) + 2} {m[1]} ", t)


def spec_add_spaces(t: str) -> str:
    """Spaces round `/`, `#` and backslashes.

    Args:
        t: the text.
    """
    return _SPECIAL.sub(r" \1 ", t)


def rm_useless_spaces(t: str) -> str:
    """One space for several.

    Args:
        t: the text.
    """
    return _SPACES.sub(" ", t)


def replace_all_caps(t: str) -> str:
    """A word in capitals in lower case, `xxup` before it; a single capital letter gets no mark.

    Args:
        t: the text.
    """
    return _CAPS.sub(lambda m: (f"{TK_UP} " if len(m[0]) > 1 else "") + m[0].lower(), t)


def replace_maj(t: str) -> str:
    """A word with a capital at its beginning alone in lower case, `xxmaj` before it.

    Args:
        t: the text.
    """
    return _MAJ.sub(lambda m: (f"{TK_MAJ} " if len(m[0]) > 1 else "") + m[0].lower(), t)


def lowercase(t: str, add_bos: bool = True, add_eos: bool = False) -> str:
    """The text in lower case, between the marks of its beginning and end.

    Args:
        t: the text.
        add_bos: put `xxbos` before it.
        add_eos: put `xxeos` after it.
    """
    return (f"{BOS} " if add_bos else "") + t.lower().strip() + (f" {EOS}" if add_eos else "")


def replace_space(t: str) -> str:
    """Of a token: its spaces as `▁`, so that tokens can be written with spaces between them.

    Args:
        t: the token.
    """
    return t.replace(" ", "▁")


#: The rules of texts, in their order.
PROC_RULES: list[Callable[[str], str]] = [fix_html, replace_rep, replace_wrep, spec_add_spaces, rm_useless_spaces, replace_all_caps,
                                          replace_maj, lowercase]
#: The rules of tokens.
POSTPROC_RULES: list[Callable[[str], str]] = [replace_space]

# fastai's names for these lists
defaults.text_proc_rules, defaults.text_postproc_rules, defaults.text_spec_tok = PROC_RULES, POSTPROC_RULES, list(TEXT_SPEC_TOK)


def default_rules() -> list[Callable[[str], str]]:
    "The rules of texts where none are given: `defaults.text_proc_rules`, which may be changed."
    return list(defaults.text_proc_rules)


def default_post_rules() -> list[Callable[[str], str]]:
    "The rules of tokens where none are given: `defaults.text_postproc_rules`."
    return list(defaults.text_postproc_rules)
