"""Names of fastai's star imports whose work is done in another way: calling one says which."""
from typing import Any, NoReturn

from .messages import name_of


def patch(f: Any = None, **kwargs: Any) -> NoReturn:
    """Refused: classes are not changed from outside.

    Args:
        f: what would become a method.
        **kwargs: fastai's options.

    Raises:
        NotImplementedError: says what to write.
    """
    what = "" if f is None else name_of(f)
    raise NotImplementedError(f"patch({what}): minifast adds no methods to classes that exist. Write a subclass, a `Callback`, or assign "
                              "the function: Learner.my_method = my_method")


def typedispatch(f: Any) -> NoReturn:
    """Refused: there is no registry of functions by the types of their arguments.

    Args:
        f: what would be registered.

    Raises:
        NotImplementedError: says what to write.
    """
    raise NotImplementedError(f"typedispatch({name_of(f)}): nothing is dispatched on types here. For how items are shown, give their class "
                              "a method `show(self, ctx=None)`; for a transform, write one `encodes` for each type in a subclass of "
                              "`Transform`; elsewhere use functools.singledispatch")
