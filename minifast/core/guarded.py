"""`Guarded`: a class on which only declared attributes can be set, so that a misspelt name is an error instead of silence."""
from functools import cache

from .messages import did_you_mean


class Guarded:
    "Attributes that no class declares (by a value, a method or an annotation in its body) cannot be set; private ones can."

    def __setattr__(self, name, value):
        if name not in declared(type(self)) and not name.startswith("_"):
            hint = did_you_mean(name, declared(type(self))) or "."
            raise AttributeError(f"a {type(self).__name__} has no attribute '{name}'{hint} To keep a value of your own, put it on a "
                                 "Callback, or declare it in a subclass")
        object.__setattr__(self, name, value)


@cache
def declared(cls):
    "Every attribute that `cls` and its bases declare."
    return frozenset(n for c in cls.__mro__ for n in (*vars(c), *getattr(c, "__annotations__", ())) if not n.startswith("__"))
