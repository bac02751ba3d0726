"""`AsGiven`: predictions of classes are labels as they were given, of any type."""
from collections.abc import Callable
from typing import Any

from ..data.block import TransformBlock
from ..data.categories import NA, Categorize


class AsGiven(Categorize):
    """`Categorize`, but predictions give labels back as they were given: 3 where they are numbers, not '3'.

    Args:
        vocab: the classes in their order; None: the labels of the training items.
        sort: sort the labels of the training items; False: in order of appearance.
        add_na: class 0 is `'#na#'` and stands for anything unknown.
    """

    def decodes(self, o: Any) -> Any:
        label = "" if self.vocab is None else self.vocab[int(o)]
        return super().decodes(o) if isinstance(label, str) else label


def labels_as_given(block: TransformBlock | Callable[[], TransformBlock]) -> TransformBlock:
    """A block of targets whose predictions give labels back as they were given.

    Args:
        block: of any targets, or what makes one.
    """
    made = block if isinstance(block, TransformBlock) else block()
    made.type_tfms = [AsGiven(f.vocab and [v for v in f.vocab if v != NA], f.sort, f.add_na) if type(f) is Categorize else f
                      for f in made.type_tfms]
    return made
