"""The suggestions of the package's messages, read from its source, and the tests that follow them.

A suggestion is a piece of text that tells the reader to write something: it has a verb in the imperative and code (a call, a keyword
argument, or a piece in backticks). Docstrings and patterns of `re` are no messages; the reports of `checks` and the command line have
tests of their own.
"""
import ast
import re
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from warnings import catch_warnings, simplefilter

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "minifast"
ELSEWHERE = ("checks", "cli")
VERBS = re.compile(
    r"\b(add|ask|build|call|check|choose|convert|count|define|delete|drop|fill|fit|freeze|give|group|install|keep|leave|let|load|lower|make|map|name|"
    r"open|override|pass|put|raise|read|remove|repeat|replace|return|run|save|say|scale|select|set|sort|split|start|stop|train|try|unfreeze|use|"
    r"wrap|write)\b", re.I)
GAP = "\N{HORIZONTAL ELLIPSIS}"       # stands for what an f-string fills in
CODE = re.compile(rf"[\w{GAP}]=(?!=)|[\w{GAP}]\(|`|\w\[")


class Suggestion(NamedTuple):
    "A text of the package that tells what to write: its file, line and words, with a gap for each value filled in."

    file: str
    line: int
    text: str


def words_of(node):
    "The text of a string or f-string of the source, or an empty one."
    if isinstance(node, ast.Constant):
        return re.sub(r"\{\w+(![rs])?\}", GAP, node.value) if isinstance(node.value, str) else ""       # `str.format` fills in too
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else GAP for part in node.values)
    return ""


def texts_in(source, file):
    "The texts of one file, docstrings left out."
    nodes = list(ast.walk(ast.parse(source)))
    skipped = {id(n.value) for n in nodes if isinstance(n, ast.Expr)}                                             # docstrings
    skipped |= {id(n.value) for n in nodes if isinstance(n, ast.Assign | ast.AugAssign) and "__doc__" in ast.unparse(n)}
    skipped |= {id(part) for n in nodes if isinstance(n, ast.JoinedStr) for part in ast.walk(n) if part is not n}
    skipped |= {id(n.args[0]) for n in nodes if isinstance(n, ast.Call) and n.args and ast.unparse(n.func).startswith("re.")}     # patterns
    texts = [(n.lineno, words_of(n)) for n in nodes if isinstance(n, ast.Constant | ast.JoinedStr) and id(n) not in skipped]
    return [Suggestion(file, line, text) for line, text in sorted(texts) if len(text) > 15]


def suggests(text):
    "Whether a text tells what to write."
    return bool(VERBS.search(text) and CODE.search(text))


@lru_cache
def texts():
    "The texts of the package."
    files = [f for f in sorted(PACKAGE.rglob("*.py")) if f.relative_to(PACKAGE).parts[0] not in ELSEWHERE]
    return [s for f in files for s in texts_in(f.read_text(), f.relative_to(PACKAGE).as_posix())]


def suggestions():
    "The suggestions of the package."
    return [s for s in texts() if suggests(s.text)]


class Followed(NamedTuple):
    "A test that meets a message and does what it says: its file, the message's file and words, what follows, and all of its code."

    test: str
    file: str
    words: str
    follows: str
    code: str


def followed_in(source, test):
    "The places of one test file where a message is met `with told(file, words): ...` and something follows in the same block."
    found = []
    for function in (n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)):
        blocks = (getattr(n, field, None) for n in ast.walk(function) for field in ("body", "orelse", "finalbody"))
        told_here = [(statement.items[0].context_expr, block[i + 1:]) for block in blocks if isinstance(block, list)
                     for i, statement in enumerate(block) if isinstance(statement, ast.With)]
        told_here = [(call, after) for call, after in told_here if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "told"]
        texts = [[ast.literal_eval(a) for a in call.args] for call, _ in told_here]
        for call, _ in told_here:
            call.args = []                                  # the words of a message are no code that does what they say
        code = ast.unparse(function)
        found += [Followed(test, file, w, "\n".join(map(ast.unparse, after)), code)
                  for (file, *words), (_, after) in zip(texts, told_here, strict=True) for w in words]
    return found


@lru_cache
def followed():
    "Every place of the tests where a suggestion is followed."
    files = [(f, f.read_text()) for f in sorted(TESTS.rglob("test_*.py"))]
    return [found for f, source in files if "with told(" in source for found in followed_in(source, f.relative_to(TESTS).as_posix())]


@contextmanager
def told(file, *words):
    """Expect that the block is refused or warned about, with `words`, which stand in the message's source in `file` of the package.

    Where the source fills in a value, `words` have an ellipsis: "give …, as many as there are classes".

    What comes after the block, in the same test, does what the message says, and must work:

        with told("data/splitters.py", "valid_pct is a fraction"):
            RandomSplitter(20)
        RandomSplitter(valid_pct=0.2)
    """
    message = None
    with catch_warnings(record=True) as warned:
        simplefilter("always")
        try:
            yield
        except Exception as error:
            message = "\n".join([str(error), *getattr(error, "__notes__", [])])
    if message is None:
        message = "\n".join(str(w.message) for w in warned)
    missing = [w for w in words if not re.search(".*?".join(map(re.escape, w.split(GAP))), message, re.S)]
    assert not missing, f"{file} did not say {missing}; said: {message or 'nothing'}"
