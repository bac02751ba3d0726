"""Cleaning labels by eye: `ImageClassifierCleaner` in Jupyter, and `Decisions`, the CSV file that it writes.

Files are never deleted or moved.
"""
import csv
import io
from functools import cache, partial
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from ..core.arguments import check_arguments
from ..core.checkpoint import replacing
from ..core.csv_cells import from_cell, to_cell
from ..core.items import L
from ..core.messages import brief, did_you_mean, plural
from ..core.paths import Path
from ..core.types import PathLike
from .classification import ClassificationInterpretation

if TYPE_CHECKING:
    from ..learner.learner import Learner

FIELDS = ("path", "action", "label", "was", "split")
KEEP, DELETE = "keep", "delete"


class Decisions:
    """What was decided about items, in a CSV file with the columns path, action ('keep', 'delete' or 'relabel'), label, was, split.

    A later decision about a path replaces an earlier one. Each `save` replaces the file only once the new one is complete.
    """

    def __init__(self, file: PathLike = "cleaning.csv"):
        self.file = Path(file)
        self.rows: dict[str, dict[str, str]] = {}
        if self.file.is_file():
            with self.file.open(newline="", encoding="utf-8") as f:
                reader = csv.DictReader(f)
                if reader.fieldnames is None or not set(FIELDS) <= set(reader.fieldnames):
                    raise ValueError(
                        f"{self.file} is not a file of decisions: it needs the columns {', '.join(FIELDS)}; it has {reader.fieldnames}. "
                        "Give another name"
                    )
                self.rows = {(read := {k: from_cell(r[k]) for k in FIELDS})["path"]: read for r in reader}

    def __len__(self) -> int:
        return len(self.rows)

    def put(self, path: PathLike, action: str, label: str = "", was: str = "", split: str = "") -> None:
        "Record a decision about `path`."
        check_arguments("Decisions.put", action=(action, action in (KEEP, DELETE, "relabel"), "'keep', 'delete' or 'relabel'"),
                        label=(label, label or action != "relabel", "action='relabel' needs the new label"))
        self.rows[str(path)] = {"path": str(path), "action": action, "label": str(label), "was": str(was), "split": str(split)}

    def to_delete(self) -> list[Path]:
        "The paths to delete, as a list."
        return [Path(p) for p, r in self.rows.items() if r["action"] == DELETE]

    def to_relabel(self) -> list[tuple[Path, str]]:
        "`[(path, new label)]`."
        return [(Path(p), r["label"]) for p, r in self.rows.items() if r["action"] == "relabel"]

    def save(self) -> Path:
        "Write the file; returns its path."
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.file) as part:
            self.frame().map(to_cell).to_csv(part, index=False)
        return self.file

    def frame(self) -> pd.DataFrame:
        "A DataFrame of the decisions."
        return pd.DataFrame(list(self.rows.values()), columns=list(FIELDS))


class ImageClassifierCleaner:
    """Go through the images of a class, the highest loss first, and choose for each: keep, delete, or another class. For Jupyter.

    Files are not deleted or moved: `delete()` and `change()` return what was chosen for the images shown, as in fastai, and
    `cleaner.decisions.to_delete()` the files.

    Args:
        learn: a learner of one class per image.
        opts: for fastai's signature; not used.
        csv: the file to which `save` writes the decisions.
        ds_idx: the split to start with: 0 training, 1 validation.
        n: show at most this many images.
        size: longest side of the images shown, in pixels.
    """

    def __init__(self, learn: "Learner", opts: Any = (), csv: PathLike = "cleaning.csv", ds_idx: int = 0, n: int = 30, size: int = 128):
        self.learn, self.n, self.size, self.decisions = learn, n, size, Decisions(csv)
        self._interpreted = cache(partial(ClassificationInterpretation.from_learner, learn))
        self.ds_idx, self._widget = ds_idx, None
        self.vocab = [str(v) for v in self.interp.vocab]
        self.select(self.vocab[0])

    @property
    def interp(self) -> ClassificationInterpretation:
        "The predictions on the split shown, computed once per split."
        return self._interpreted(self.ds_idx)

    @property
    def fns(self) -> L:
        "The files of the images shown, in their order."
        return L(self.interp.path(i) for i in self.order)

    def select(self, label: str, ds_idx: int | None = None) -> list[int]:
        """Show the items of a class, the highest loss first.

        Args:
            label: the class.
            ds_idx: the split; None: as before.

        Returns:
            The numbers of the items.
        """
        if label not in self.vocab:
            raise ValueError(f"there is no class {label!r}{did_you_mean(label, self.vocab) or '.'}")
        self.label, self.ds_idx = label, self.ds_idx if ds_idx is None else ds_idx
        members = torch.nonzero(self.interp.targs.reshape(-1) == self.vocab.index(label)).flatten()
        self.order: list[int] = members[self.interp.losses[members].argsort(descending=True)][:self.n].tolist()
        known = [self.decisions.rows.get(str(self.interp.path(i))) for i in self.order]
        self.choices = [KEEP if r is None else r["label"] if r["action"] == "relabel" else r["action"] for r in known]
        return self.order

    def choose(self, k: int, choice: str) -> None:
        """Decide about one of the images shown.

        Args:
            k: its position.
            choice: "keep", "delete", or the name of a class.
        """
        if choice not in (KEEP, DELETE, *self.vocab):
            raise ValueError(
                f"choose({k}, {brief(choice)}): 'keep', 'delete' or a class{did_you_mean(choice, [KEEP, DELETE, *self.vocab]) or '.'}"
            )
        self.choices[k] = choice
        split = ("training", "validation")[self.ds_idx] if self.ds_idx in (0, 1) else str(self.ds_idx)
        action, label = (choice, "") if choice in (KEEP, DELETE) else ("relabel", choice)
        self.decisions.put(str(self.interp.path(self.order[k])), action, label, self.label, split)

    def delete(self) -> list[int]:
        "The positions of the images shown that are to be deleted."
        return [k for k, c in enumerate(self.choices) if c == DELETE]

    def change(self) -> list[tuple[int, str]]:
        "`[(position, new label)]` of the images shown that are to be relabelled."
        return [(k, c) for k, c in enumerate(self.choices) if c not in (KEEP, DELETE, self.label)]

    def save(self) -> Path:
        "Write the decisions to the CSV file; returns its path."
        return self.decisions.save()

    # -- in Jupyter -------------------------------------------------------------------------------------------------------------
    def _png(self, i):
        "Item `i` as the bytes of a small PNG."
        from PIL import Image
        item = self.interp.path(i)
        image: Any = None
        if isinstance(item, (str, Path)):
            with Image.open(item) as im:
                image = None if im.mode[:1] in ("I", "F") else im.convert("RGB")
        if image is None:               # no file, or pixels that have no scale but that of the data set
            a = self.interp.decoded_inputs([i])[0][0].detach().float().cpu()
            a = ((a - a.min()) / (a.max() - a.min()).clamp(min=1e-8) * 255).byte().numpy()
            image = Image.fromarray(a.transpose(1, 2, 0) if a.shape[0] == 3 else a[0])
        image.thumbnail((self.size, self.size))
        out = io.BytesIO()
        image.save(out, "PNG")
        return out.getvalue()

    def widget(self) -> Any:
        "Menus for class and split, the images with a choice for each, and a button that saves. Needs ipywidgets."
        try:
            import ipywidgets as w
        except ImportError as e:
            raise ImportError(
                "ImageClassifierCleaner shows itself with ipywidgets: pip install 'minifast[notebook]' or pip install ipywidgets. "
                "Without it, use select(), choose() and save()"
            ) from e
        splits = {"training": 0, "validation": 1} if len(self.learn.dls) > 1 else {"training": 0}
        label = w.Dropdown(options=self.vocab, value=self.label, description="class")
        split = w.Dropdown(options=list(splits), value=list(splits)[min(self.ds_idx, len(splits) - 1)], description="split")
        button, said = w.Button(description="save"), w.Label()
        box = w.HBox(layout=w.Layout(flex_flow="row wrap"))

        def card(k):
            i = self.order[k]
            choice = w.Dropdown(options=[KEEP, DELETE, *self.vocab], value=self.choices[k], layout=w.Layout(width=f"{self.size}px"))
            choice.observe(lambda change: self.choose(k, change["new"]), names="value")
            text = w.HTML(f"<small>{escape(self.interp.name(i))}<br>loss {float(self.interp.losses[i]):.2f}, "
                          f"{escape(self.interp.prediction_text(i))} {float(self.interp.p_predicted[i]):.2f}</small>")
            return w.VBox([w.Image(value=self._png(i), format="png"), text, choice], layout=w.Layout(width=f"{self.size + 12}px"))

        def refresh(change=None):
            self.select(label.value, splits[split.value])
            box.children = tuple(card(k) for k in range(len(self.order)))

        def save(_):
            said.value = f"{plural(len(self.decisions), 'decision')} in {self.save()}"

        label.observe(refresh, names="value")
        split.observe(refresh, names="value")
        button.on_click(save)
        refresh()
        return w.VBox([w.HBox([label, split, button, said]), box])

    def _ipython_display_(self):
        from IPython.display import display
        self._widget = self._widget or self.widget()
        display(self._widget)
