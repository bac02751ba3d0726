"""The words of error messages: what is wrong, what was received, what to write instead."""
from difflib import get_close_matches


def did_you_mean(name, options):
    "`\"; did you mean 'accuracy'?\"` when `name` is close to one of `options`, else an empty string."
    near = get_close_matches(str(name), [str(o) for o in options], 1)
    return f"; did you mean '{near[0]}'?" if near else ""


def describe(x):
    "One short phrase for any value: `float32[64,3,224,224] on cpu`, `tuple of 2 (...)`, `str 'cat'`."
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        shape = ",".join(map(str, x.shape))
        device = f" on {x.device}" if hasattr(x, "is_cuda") else ""
        return f"{str(x.dtype).replace('torch.', '')}[{shape}]{device}"
    if isinstance(x, (tuple, list)):
        inner = ", ".join(describe(o) for o in x[:4]) + (", ..." if len(x) > 4 else "")
        return f"{type(x).__name__} of {len(x)} ({inner})"
    if isinstance(x, dict):
        return "dict of " + ", ".join(f"{k}={describe(v)}" for k, v in list(x.items())[:6])
    if hasattr(x, "mode") and hasattr(x, "size") and hasattr(x, "getbands"):   # a PIL image
        return f"{type(x).__name__} {x.mode} {x.size[0]}x{x.size[1]} (width x height)"
    text = repr(x)
    return f"{type(x).__name__} {text if len(text) <= 80 else text[:77] + '...'}"


def reject_unknown(kwargs, allowed, where):
    """Raise `TypeError` naming every keyword of `kwargs` that is not in `allowed`, all at once.

    `where` is the call as the user knows it, such as `DataLoader(...)`.
    """
    unknown = [k for k in kwargs if k not in allowed]
    if not unknown:
        return
    lines = [f"{k}={describe(kwargs[k])}{did_you_mean(k, allowed)}" for k in unknown]
    end = "" if lines[-1].endswith("?") else "."
    raise TypeError(f"{where} does not take " + " nor ".join(lines) + f"{end} It takes: {', '.join(sorted(allowed))}.")


def add_note(error, note):
    "Attach `note` to `error` so that it is printed with it (Python 3.10 has no `add_note`: the first argument is extended)."
    if hasattr(error, "add_note"):
        error.add_note(note)
    elif isinstance(error, OSError) and error.strerror:      # its text is made of this, whatever its arguments say
        error.strerror = f"{error.strerror}\n{note}"
    else:
        head = str(error.args[0]) if error.args else type(error).__name__
        error.args = (f"{head}\n{note}", *error.args[1:])


def plural(n, noun):
    "`plural(1, 'item')` -> '1 item'; `plural(3, 'batch')` -> '3 batches'."
    if n == 1:
        return f"1 {noun}"
    return f"{n:,} {noun}" + ("es" if noun.endswith(("tch", "sh", "s", "x")) else "s")
