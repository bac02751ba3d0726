"""Batches of texts as a table: `show_batch`, `show_results`."""
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..core.arguments import check_arguments, is_whole
from ..core.titled import TitledStr
from ..data.dataloader import DataLoader
from .padding import PAD_ID, Padding, count_tokens


class TextTable(pd.DataFrame):
    "A DataFrame that shows its texts whole."

    def __repr__(self) -> str:
        with pd.option_context("display.max_colwidth", None, "display.max_columns", None):           # the target is the last one
            return super().__repr__()

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_colwidth", None):
            html = self.to_html()
        for cell in ("<th>", "<td>"):           # notebooks align cells to the right, which makes paragraphs hard to read
            html = html.replace(cell, f'{cell[:-1]} style="text-align: left">')
        return html


class TextLoader(DataLoader):
    "A loader of texts: it shows them in a table."

    #: What `Learner.tta` says where no transform varies.
    no_tta: str = ("tta() averages predictions of items that are varied at random, and these loaders of texts have no transform that "
                   "varies a text without changing what it says: use get_preds()")

    #: What a table of texts is made of, see `Interpretation.show_items`.
    frame_type: type[pd.DataFrame] = TextTable

    def show_batch(self, b: Any = None, max_n: int = 9, ctxs: Any = None, show: bool = True, unique: bool = False,
                   nrows: int | None = None, ncols: int | None = None, figsize: Any = None, trunc_at: int | None = 150,
                   **kwargs: Any) -> Any:
        """Show texts of a batch and their targets.

        Args:
            b: the batch; None: a new one.
            max_n: how many texts at most.
            ctxs: refused, as all that follow but `trunc_at`: a table is not drawn.
            show: False: return the decoded samples instead.
            unique: refused.
            nrows: refused.
            ncols: refused.
            figsize: refused.
            trunc_at: of longer texts only so many words are shown; None: all.
            **kwargs: refused.

        Returns:
            A DataFrame.
        """
        asked = {"ctxs": ctxs, "unique": unique, "nrows": nrows, "ncols": ncols, "figsize": figsize, **kwargs}
        given = [name for name, value in asked.items() if value]
        if given:
            raise TypeError(f"show_batch of texts gives a DataFrame and does not take {', '.join(given)}: it takes b, max_n, show and "
                            "trunc_at")
        check_arguments("show_batch", max_n=(max_n, is_whole(max_n), "how many texts to show, at least 1"),
                        trunc_at=(trunc_at, trunc_at is None or is_whole(trunc_at), "how many words of each text to show, or None"))
        samples = self.decode_batch(self.one_batch() if b is None else b, max_n)
        return self.as_table(samples, trunc_at) if show else samples

    def tokens_in(self, x: Any) -> int:
        """How many tokens the inputs of a batch have, without padding.

        Args:
            x: ids (B,T), or a dict of them as models of transformers take it.
        """
        if isinstance(x, Mapping):
            return int(x["attention_mask"].sum())
        pad_idx = next((f.pad_idx for f in self.before_batch if isinstance(f, Padding)), PAD_ID)
        return count_tokens(x, pad_idx)

    def column_names(self, sample: Sequence) -> list[str]:
        """What the elements of a sample are called in a table.

        Args:
            sample: a decoded one.
        """
        n_inp = self.n_inp or 1
        inputs = ["text"] if n_inp == 1 else [f"text {i}" for i in range(n_inp)]
        kinds = ["category" if isinstance(o, (str, list, tuple)) else "target" for o in sample[n_inp:]]
        return [*inputs, *(k if len(kinds) == 1 else f"{k} {i}" for i, k in enumerate(kinds))]

    def as_table(self, samples: Sequence, trunc_at: int | None = 150) -> TextTable:
        """Decoded samples as a table with a column for each element.

        Args:
            samples: of `decode_batch`.
            trunc_at: of longer texts only so many words are shown; None: all.
        """
        rows = [[_cell(o, trunc_at) for o in (s if isinstance(s, (tuple, list)) else (s,))] for s in samples]
        return TextTable(rows, columns=self.column_names(samples[0] if isinstance(samples[0], (tuple, list)) else (samples[0],)))

    def show_results(self, samples: Sequence, guesses: Sequence, trunc_at: int | None = 150) -> TextTable:
        """Decoded samples with what was predicted of them.

        Args:
            samples: of `decode_batch`, with the targets.
            guesses: the same with predictions in their place.
            trunc_at: of longer texts only so many words are shown; None: all.

        Returns:
            A table with a last column for each target, named as the target with an underscore behind.
        """
        table, n_inp = self.as_table(samples, trunc_at), self.n_inp or 1
        guessed = self.as_table(guesses, trunc_at)
        return TextTable(pd.concat([table, guessed.iloc[:, n_inp:].add_suffix("_")], axis=1))


def _cell(o: Any, trunc_at: int | None) -> Any:
    "One element of a decoded sample as it stands in a table."
    if getattr(o, "ndim", None) == 0:
        return o.item()
    if isinstance(o, str) and not isinstance(o, TitledStr):
        return o
    if isinstance(o, str):
        words = o.split(" ")
        return str(o) if trunc_at is None or len(words) <= trunc_at else " ".join(words[:trunc_at])
    if isinstance(o, (list, tuple)):
        return ";".join(map(str, o))
    return o if isinstance(o, (int, float)) else str(o)
