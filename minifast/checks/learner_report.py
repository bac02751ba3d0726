"""`write_report`: one HTML file about a learner that can be mailed: its data, its training, what it gets wrong, what the checks say."""
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from warnings import warn

import pandas as pd
import torch
from torch.utils.data import Subset

from .. import __version__
from ..core.arguments import check_arguments, is_whole
from ..core.checkpoint import replacing
from ..core.messages import plural
from ..core.nested import leaves
from ..core.paths import Path
from ..core.ranks import is_main
from ..core.seeds import fixed_seed
from ..core.types import PathLike
from ..data.targets import labels_of
from ..interpret import ClassificationInterpretation, Interpretation, RegressionInterpretation, SegmentationInterpretation
from ..metrics.classes import classes_of
from ..nn.loss_traits import loss_name
from .check_learner import check_learner
from .check_loaders import check_loaders
from .html_page import cell, drawn, facts_html, frame_html, page, shortened
from .report import Report

if TYPE_CHECKING:
    from ..learner.learner import Learner

MOST_NUMBERS = 50_000_000       #: of the predictions that are kept; of larger ones a part of the items is looked at
MOST_CLASSES = 40               #: in a drawn confusion matrix
MOST_PLOTS = 6                  #: of what the checks found
MOST_OF_RECORD = 200_000        #: characters


class Nothing(Exception):
    "There is nothing to put into a section; the message says why."


def write_report(learn: "Learner", file: PathLike = "report.html", checks: bool = True, budget: float = 20.0, k: int = 9) -> Path:
    "See `Learner.report`."
    if learn.running:
        raise RuntimeError("report() in the middle of a fit would see half-trained weights: call it afterwards")
    check_arguments("report", k=(k, is_whole(k), "how many of the worst items to show, at least 1"))
    file = Path(file).expanduser()
    if file.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"report(file={str(file)!r}): a page in HTML is written: write {str(file.with_suffix('.html'))!r}")
    file = file if file.is_absolute() else Path(learn.path) / file
    parts: dict[str, Callable[[], str]] = {"Training": lambda: _training(learn), "Data": lambda: _data(learn),
                                           "Predictions": lambda: _predictions(learn, k)}
    if checks:
        parts["Checks of the learner"] = lambda: _checks(check_learner(learn, budget=budget))
        parts["Checks of the data"] = lambda: _checks(check_loaders(learn.dls, fast=True))
    parts["Settings"] = lambda: _settings(learn)
    with fixed_seed(), learn.no_bar(), learn.no_logging():
        sections = {name: _section(name, make) for name, make in parts.items()}
    title = f"{type(learn).__name__}: {_model_name(learn)}"
    lead = f"<p class='faint'>Written by minifast {cell(__version__)} on {time.strftime('%Y-%m-%d %H:%M')}</p>{facts_html(_facts(learn))}"
    if is_main():
        with replacing(file) as part:
            part.write_text(page(title, sections, lead), encoding="utf-8", errors="replace")    # names of files may be no text
    return file


def _section(name, make):
    "A section, or why there is none: what cannot be shown of an unusual learner must not keep the rest from being written."
    try:
        return make()
    except Nothing as e:
        return f"<p class='faint'>{cell(e)}</p>"
    except Exception as e:
        said = f"{type(e).__name__}: {shortened(e)}"
        warn(f"report: the section {name!r} could not be made: {said}", stacklevel=4)
        return f"<p>This section could not be made: {cell(said)}</p>"


def _model_name(learn):
    return getattr(learn.arch, "__name__", None) or type(learn.model).__name__


def _facts(learn):
    "What a reader wants to know first."
    history = [] if learn.recorder is None else learn.recorder.history
    n = sum(p.numel() for p in learn.model.parameters())
    trained = sum(p.numel() for p in learn.model.parameters() if p.requires_grad)
    splits = zip(("training", "validation", "more"), learn.dls, strict=False)
    facts = {"model": f"{_model_name(learn)}, {n:,} parameters" + ("" if n == trained else f", {trained:,} of them trainable"),
             "data": ", ".join(f"{_length(dl)} {name} items" for name, dl in splits),
             "loss": learn.loss_func and loss_name(learn.loss_func), "epochs": len(history)}
    last, names = history[-1] if history else {}, ("train_loss", "valid_loss", *(m.name for m in learn.metrics))
    return facts | {name: last[name] for name in names if last.get(name) is not None}


def _length(loader):
    dataset = getattr(loader, "dataset", None)
    return f"{len(dataset):,}" if hasattr(dataset, "__len__") else "unknown"


def _training(learn):
    if learn.recorder is None or not learn.recorder.history:
        raise Nothing("This learner has not been trained here: there are no epochs to show.")
    recorder = learn.recorder
    epochs = recorder.frame()
    html = frame_html(epochs if len(recorder.fits) > 1 else epochs.drop(columns="fit"), most=60)
    if recorder.fits and any(len(fit.losses) > 6 for fit in recorder.fits):
        html += drawn(recorder.plot_loss, "losses by training batch")
    if learn.metrics and len(recorder.history) > 1:
        html += drawn(recorder.plot_metrics, "losses and metrics by epoch")
    if found := recorder.overfitting():
        html += f"<p>Overfitting: the validation loss was lowest after epoch {found.best}, and has risen since.</p>"
    return html


def _data(learn):
    html, vocab = "", classes_of(learn)
    columns = {name: labels_of(dl) for name, dl in zip(("training", "validation"), learn.dls, strict=False)}
    if vocab is not None and all(_are_classes(c, vocab) for c in columns.values()):
        counts = {name: torch.bincount(c.reshape(-1), minlength=len(vocab)).tolist() for name, c in columns.items()}
        html += f"<p>{plural(len(vocab), 'class')}:</p>{frame_html(pd.DataFrame(counts, index=[str(v) for v in vocab]))}"
    if not hasattr(learn.dls, "show_batch"):
        raise Nothing("These loaders do not know how to show their items.")
    return html + f"<h3>Training items, as the model gets them</h3>{drawn(lambda: learn.dls.show_batch(max_n=9), 'training items')}"


def _are_classes(labels, vocab):
    one_each = labels is not None and not labels.is_floating_point() and labels.numel() == len(labels) > 0
    return one_each and int(labels.min()) >= 0 and int(labels.max()) < len(vocab)


# -- predictions ------------------------------------------------------------------------------------------------------------------
def _predictions(learn, k):
    if hasattr(learn, "no_predictor"):
        raise Nothing("A language model predicts every token, so there are no single items to show.")
    if len(learn.dls) < 2 or not len(learn.dls[1]):
        raise Nothing("There are no validation items.")
    loader, told = _some_of(learn, learn.dls[1])
    base = Interpretation.from_learner(learn, dl=loader)
    html, kinds = told, {ClassificationInterpretation: _classes, SegmentationInterpretation: _pixels, RegressionInterpretation: _numbers}
    for kind, show in kinds.items():
        try:
            interp = kind(learn, base.dl, base.preds, base.targs, base.decoded, base.losses)
        except TypeError:               # of another kind
            continue
        html += show(interp)
        break
    else:
        interp = base
    return html + f"<h3>Validation items with the largest losses</h3>{drawn(lambda: interp.plot_top_losses(k), 'the worst items')}"


def _some_of(learn, loader):
    "The loader, or one of a part of its items where the predictions of all would not fit into memory; and what to say of it."
    first = leaves(learn.get_preds(dl=[next(iter(loader))])[0])[0]
    per_item, n = first.numel() / max(1, len(first)), len(loader.dataset)
    most = max(1, int(MOST_NUMBERS / max(1, per_item)))
    if n <= most or not hasattr(loader, "new"):
        return loader, ""
    chosen = torch.linspace(0, n - 1, most).long().tolist()
    return loader.new(dataset=Subset(loader.dataset, chosen)), f"<p>Of {n:,} validation items, {most:,} at even distances:</p>"


def _classes(interp):
    html = f"<h3>By class</h3>{frame_html(interp.per_class())}"
    if interp.multi:
        return html
    if len(interp.vocab) <= MOST_CLASSES:
        html += f"<h3>Confusion matrix</h3>{drawn(interp.plot_confusion_matrix, 'confusion matrix')}"
    confused = interp.most_confused()
    if confused:
        html += f"<h3>Most often confused</h3>{frame_html(pd.DataFrame(confused, columns=['target', 'predicted', 'items']), most=12)}"
    return html + f"<h3>Calibration</h3>{drawn(interp.plot_calibration, 'how often predictions of each probability are right')}"


def _pixels(interp):
    confused = pd.DataFrame(interp.most_confused(), columns=["class", "predicted", "pixels"])
    return f"<h3>By class</h3>{frame_html(interp.per_class())}<h3>Most often confused</h3>{frame_html(confused, most=12)}"


def _numbers(interp):
    html = f"<h3>Errors</h3>{frame_html(interp.summary().rename_axis('number').reset_index())}"
    return html + (drawn(interp.plot_predictions, "predictions against targets") if interp.truth.shape[1] == 1 else "")


# -- checks and settings -----------------------------------------------------------------------------------------------------------
def _checks(report: Report) -> str:
    plots = [c for c in report.issues + report.tips if c.draw is not None][:MOST_PLOTS]
    return f"<div class='wide'>{report.html()}</div>" + "".join(
        f"<h3>{c.code} {cell(c.title)}</h3>{drawn(c.draw, c.title)}" for c in plots)


def _settings(learn):
    record = json.dumps(learn.run_record(), indent=1, ensure_ascii=False, default=str)
    return f"<details><summary>What it takes to repeat this training</summary><pre>{cell(record, MOST_OF_RECORD)}</pre></details>"
