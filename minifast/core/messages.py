"""The words of error messages: what is wrong, what was received, what to write instead.

Every message of the package has these three parts, and is put together of the functions here:

    raise ValueError(f"fit({n_epoch=}): an epoch count is 1 or more; write fit(1)")
    raise TypeError(f"a hook is put on a module; received {describe(m)}")
    raise ValueError(f"there is no metric named {name!r}{did_you_mean(name, known) or '.'} Known names: {', '.join(known)}.")
"""
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from typing import Any

#: What other frameworks, or people, call an argument, a metric, a loss, an optimizer or a schedule, and its names here.
_SYNONYMS = {"callbacks": "cbs", "callback": "cbs", "optimizer": "opt_func", "criterion": "loss_func", "num_classes": "n_out",
             "n_classes": "n_out", "learning_rate": "lr", "max_lr": "lr_max", "weight_decay": "wd", "epochs": "n_epoch",
             "mean_squared_error": "mse MSELossFlat", "mean_absolute_error": "mae L1LossFlat", "root_mean_squared_error": "rmse",
             "iou": "JaccardCoeff", "mean_iou": "JaccardCoeffMulti", "mcc": "MatthewsCorrCoef", "bleu": "CorpusBLEUMetric",
             "top5": "top_k_accuracy", "top_5_accuracy": "top_k_accuracy", "mae": "L1LossFlat", "l1": "L1LossFlat",
             "bce": "BCEWithLogitsLossFlat", "binary_crossentropy": "BCEWithLogitsLossFlat", "cross_entropy": "CrossEntropyLossFlat",
             "categorical_crossentropy": "CrossEntropyLossFlat", "sparse_categorical_crossentropy": "CrossEntropyLossFlat",
             "adamw": "Adam", "cos": "SchedCos", "cosine": "SchedCos", "linear": "SchedLin", "exponential": "SchedExp"}


def did_you_mean(name: object, options: Iterable[object]) -> str:
    """The nearest of several names, as the end of a sentence; an empty string when none is near.

    >>> did_you_mean("acuracy", ["accuracy", "mse", "_accuracy"])
    "; did you mean 'accuracy'?"
    """
    near = nearest(name, options)
    return f"; did you mean '{near}'?" if near else ""


def nearest(name: object, options: Iterable[object]) -> str:
    """The nearest of several names; an empty string when none is near. Private names are never suggested.

    Another word for it comes first, then what it is short for, then what is spelt much the same, then what has it as first or last word.
    """
    given, texts = str(name), [text for text in map(str, options) if not text.startswith("_")]
    near = [word for word in _SYNONYMS.get(given.lower(), "").split() if word in texts]
    near = near or _short_for(given, texts) or get_close_matches(given, texts, 1)
    if not near:
        lower = {text.lower(): text for text in reversed(texts)}
        near = [lower[found] for found in get_close_matches(given.lower(), lower, 1)]
    if not near:                                            # 'lr' is far from 'base_lr', yet what it is
        parts = [text.split("_") for text in texts]
        near = [text for text, words in zip(texts, parts, strict=True) if words[-1] == name] or \
            [text for text, words in zip(texts, parts, strict=True) if words[0] == name]
        near = near if len(near) == 1 else []
    return near[0] if near else ""


def _short_for(given, texts):
    "Of the names whose first word begins so, in any case, the one that all the others begin with: 'acc' is short for 'accuracy'."
    n, start = len(given), given.lower()
    begun = [text for text in texts if text[:n].lower() == start and text[n:n + 1] != "_"] if n > 1 else []
    shortest = min(begun, key=len, default="")
    return [shortest] if begun and all(text.startswith(shortest) for text in begun) else []


class NoSuchAttribute(AttributeError):
    """There is no such attribute. What it says, a search for the name that was meant, is made where it is read, which `hasattr` does not.

    Args:
        said: a function that makes the text.
    """

    def __init__(self, said: Callable[[], str]):
        super().__init__()
        self._said = said

    def __str__(self) -> str:
        return self._said()

    def __repr__(self) -> str:
        return repr(AttributeError(str(self)))

    def __reduce__(self) -> tuple:
        return AttributeError, (str(self),)


_WIDTH = 80            # characters that a value may take in a message


def shortened(text: str, limit: int = _WIDTH) -> str:
    "A text on one line, of at most `limit` characters."
    text = " ".join(text.split())
    return text if len(text) <= limit else text[:limit - 3] + "..."


def listing(names: Iterable[object], n: int = 20) -> str:
    """The first `n` of several names, and how many more there are.

    >>> listing(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    texts = [shortened(str(o)) for o in names]
    return ", ".join(texts[:n]) + (f" and {len(texts) - n:,} more" if len(texts) > n else "")


def describe(x: Any) -> str:
    """One short phrase for any value: its type, with the shape and device of a tensor or the size of an image.

    >>> describe((torch.zeros(64, 3), "cat"))
    "tuple of 2 (float32[64,3] on cpu, str 'cat')"
    """
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        shape = ",".join(map(str, x.shape))
        device = f" on {x.device}" if hasattr(x, "is_cuda") else ""
        return f"{str(x.dtype).replace('torch.', '')}[{shape}]{device}"
    if isinstance(x, (tuple, list)):
        inner = ", ".join(describe(o) for o in x[:4]) + (", ..." if len(x) > 4 else "")
        return f"{type(x).__name__} of {len(x)} ({inner})"
    if isinstance(x, dict):
        return "dict of " + ", ".join(f"{k}={describe(v)}" for k, v in list(x.items())[:6]) + (", ..." if len(x) > 6 else "")
    if hasattr(x, "mode") and hasattr(x, "size") and hasattr(x, "getbands"):   # a PIL image
        return f"{type(x).__name__} {x.mode} {x.size[0]}x{x.size[1]} (width x height)"
    if isinstance(x, type):
        return f"the class {x.__name__}"
    if hasattr(x, "named_parameters") or hasattr(x, "__code__"):              # a module; a function or method
        return f"{type(x).__name__} {x.__name__}" if hasattr(x, "__code__") else type(x).__name__
    return f"{type(x).__name__} {shortened(repr(x))}"


def brief(x: Any) -> str:
    "`repr(x)` where it takes up to 80 characters on one line; of a longer one `describe(x)`."
    text = repr(x)
    return text if len(text) <= _WIDTH and "\n" not in text else describe(x)


def unwrapped(f: Any) -> Any:
    "`f` without `functools.partial` around it."
    while isinstance(f, partial):
        f = f.func
    return f


def name_of(f: Any) -> str:
    "The name of a function or class, also inside `functools.partial`; of another object that of its class."
    return getattr(unwrapped(f), "__name__", None) or type(unwrapped(f)).__name__


def reject_unknown(kwargs: Mapping[str, Any], allowed: Iterable[str], where: str) -> None:
    """Refuse keywords that a call does not take, all at once.

    >>> reject_unknown({"batch_size": 8}, ["bs", "shuffle"], "DataLoader(...)")
    TypeError: DataLoader(...) does not take batch_size=int 8. It takes: bs, shuffle.

    Args:
        kwargs: the keywords received.
        allowed: the names that the call takes.
        where: the call as the user knows it.

    Raises:
        TypeError: names every keyword of `kwargs` that is not allowed.
    """
    allowed = list(allowed)
    unknown = [k for k in kwargs if k not in allowed]
    if not unknown:
        return
    lines = [f"{k}={describe(kwargs[k])}{did_you_mean(k, allowed)}" for k in unknown]
    end = "" if lines[-1].endswith("?") else "."
    raise TypeError(f"{where} does not take " + " nor ".join(lines) + f"{end} It takes: {', '.join(sorted(allowed))}.")


#: What a `StopIteration` of the user's code most often means.
NEXT_ENDED = "`next(...)` found nothing. Leave such items out, or give a default, `next(..., default)`"


def ended(where: str) -> RuntimeError:
    """What to raise for a `StopIteration` of a function or dataset of the user's: a loop around it would take it for its own end.

    >>> raise ended(f"item {i} of {describe(dataset)}") from e
    """
    return RuntimeError(f"StopIteration in {where}: {NEXT_ENDED}")


def add_note(error: BaseException, note: str) -> None:
    """Attach a note to an error, so that it is printed with it.

    Python 3.10 has no `BaseException.add_note`: there the first argument is extended.

    >>> add_note(error, f"in item {i} of {describe(dataset)}")
    """
    if hasattr(error, "add_note"):
        error.add_note(note)
    elif isinstance(error, OSError) and error.strerror:      # its text is made of this, whatever its arguments say
        error.strerror = f"{error.strerror}\n{note}"
    else:
        head = str(error.args[0]) if error.args else type(error).__name__
        error.args = (f"{head}\n{note}", *error.args[1:])


@contextmanager
def noting(note: str, errors: type[BaseException] | tuple[type[BaseException], ...] = Exception) -> Iterator[None]:
    """Attach a note to the `errors` that leave the block.

    >>> with noting(f"in fit, {what}"): fit(learn)
    """
    try:
        yield
    except errors as e:
        add_note(e, note)
        raise


def plural(n: int, noun: str) -> str:
    """A number with its noun.

    >>> plural(1, "item"), plural(1200, "batch")
    ('1 item', '1,200 batches')
    """
    return f"1 {noun}" if n == 1 else f"{n:,} {noun}{'es' if noun.endswith(('tch', 'sh', 's', 'x')) else 's'}"
