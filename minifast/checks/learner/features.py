"""Whether a pretrained body sees in the inputs what the labels say: a linear probe on what goes into the last layer."""
from typing import Any

import numpy as np
import torch

from ...learner.probe import Probe
from ..data.labels import N_SURE, auc_of_classes
from ..outcomes import Check, Skipped, graded, in_time, require

LEAST, MOST = 96, 400       # items


def labels_related_to_features(probe: Probe) -> Check:
    """Labels about which the features of a pretrained, frozen body say nothing: shuffled, or of something that photos do not show.

    Ridge regression on half of the items, from what the body returns, averaged over places, against the other half.
    """
    body, y = _frozen_body(probe), probe.step.y
    require(body is not None, "there is no frozen body, whose features would say what the inputs show")
    require(probe.kind == "class logits" and y is not None and y.ndim == 1, "the targets are not classes")
    x, y = _features(probe, body)
    kept = (probe.loss_func.ignore_index != y) if hasattr(probe.loss_func, "ignore_index") else np.ones(len(y), dtype=bool)
    x, y = x[kept], y[kept]
    classes, counts = np.unique(y, return_counts=True)
    needed = max(LEAST, 4 * len(classes))
    if len(y) < needed <= getattr(probe.twin.dls.train, "n", 0):
        raise Skipped(f"there was time for {len(y)} items only: give a larger budget=")
    require(len(y) >= needed, f"{len(y)} items are too few to tell")
    require(len(classes) > 1 and counts.max() < 0.95 * len(y), "nearly all items are of one class")
    auc, z = _association(x, y)
    numbers: dict[str, Any] = {"auc": auc, "standard_deviations": z, "n_items": len(y)}
    return graded(f"a linear probe on the features of the frozen body finds nothing about the labels of {len(y)} training items (AUC "
                  f"{auc:.2f}): they look shuffled", tip=z < N_SURE,
                  fine=f"a linear probe on the features of the frozen body reaches AUC {auc:.2f}", **numbers)


def _frozen_body(probe):
    "The first child of the model, if all its weights other than those of norm layers are frozen."
    children = list(probe.model.children())
    if len(children) < 2:
        return None
    weights = [p for p in children[0].parameters() if p.ndim > 1]
    return children[0] if len(weights) > 4 and not any(p.requires_grad for p in weights) else None


def _features(probe, body):
    "Features and classes of training items, as many as there is time for."
    found, labels, caught, n = [], [], [], 0
    hook = body.register_forward_hook(lambda m, args, out: caught.append(out))
    try:
        probe.reset(training=False)
        for batch in in_time(probe.loader("plain"), probe.seconds(8.0)):
            step = probe.step_of(batch)
            with torch.no_grad():
                probe.predict(step)
            out = caught.pop()
            require(isinstance(out, torch.Tensor), "the frozen body does not return one tensor")
            found.append(out.flatten(2).mean(2) if out.ndim > 2 else out)
            labels.append(step.y)
            n += step.n
            if n >= MOST:
                break
    finally:
        hook.remove()
    return torch.cat(found).float().cpu().numpy(), torch.cat(labels).cpu().numpy()


def _association(x, y):
    "AUC of the class that is told best, and by how many standard deviations that is better than chance, each half probed by the other."
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.preprocessing import StandardScaler
    x = StandardScaler().fit_transform(x)
    classes = np.unique(y)
    scores = np.zeros((len(y), len(classes)))
    half = np.arange(len(y)) % 2 == 0
    for fit in (half, ~half):
        if len(np.unique(y[fit])) < 2:
            return 0.5, 0.0
        model = RidgeClassifierCV(alphas=np.logspace(0, 5, 6)).fit(x[fit], y[fit])
        values = model.decision_function(x[~fit])
        if values.ndim == 1:
            values = np.stack([-values, values], 1)
        scores[np.ix_(~fit, np.searchsorted(classes, model.classes_))] = values
    return auc_of_classes(scores, y, classes)
