"""Values made of all items at once, when the transforms are set up, instead of one by one in each epoch: texts are tokenised so."""
from collections.abc import Sequence
from typing import Any, NamedTuple

from .pipeline import Mapped, Pipeline
from .rows import Rows


class Ahead(NamedTuple):
    """What the first transforms of a pipeline made of all items at once, see `next_ahead`.

    Args:
        values: one per item; `values.subset(indices)` are those of some of them.
        done: how many transforms they have gone through.
        rest: the others.
    """

    values: Any
    done: int
    rest: Pipeline

    def at(self, indices: Sequence[int] | None, split_idx: int | None) -> "Ahead":
        """Those of some items (None: of all), for a split.

        Args:
            indices: of the items.
            split_idx: see `Transform`.
        """
        return Ahead(self.values if indices is None else self.values.subset(indices), self.done, self.rest.new(split_idx))


def next_ahead(made: Ahead | None, rows: Rows, pipe: Pipeline, i: int) -> Ahead | None:
    """`made`, or what the transform at `i` makes of all items at once, if it has a method `encode_ahead` that can, and the transforms
    before it give the same for an item each time."""
    encode_ahead = getattr(pipe.fs[i], "encode_ahead", None)
    if encode_ahead is None or (made is not None and made.done < i) or any(f.split_idx is not None or f.varies for f in pipe.fs[:i + 1]):
        return made
    values = encode_ahead(made.values if made is not None else Mapped(rows, Pipeline(pipe.fs[:i], 1)) if i else rows)
    return made if values is None else Ahead(values, i + 1, Pipeline(pipe.fs[i + 1:], 1))


def all_ahead(pipelines: Sequence[Pipeline], rows: Rows) -> dict[int, Ahead]:
    "Of each pipeline what its first transforms, which have learned already, make of all items at once: by number, those that do."
    found = {}
    for k, pipe in enumerate(pipelines):
        made = None
        for i in range(len(pipe)):
            made = next_ahead(made, rows, pipe, i)
        if made is not None:
            found[k] = made
    return found
