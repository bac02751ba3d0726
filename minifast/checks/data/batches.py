"""Batches just before the net: finite, normalised, validation without augmentation, training shuffled, how fast they come."""
import time
from itertools import islice

import torch

from ...core.nested import leaves, plain
from ...core.seeds import fixed_seed
from ...data.dataloader import DataLoader
from ...data.targets import labels_of
from ..learner.evaluation import largest_difference
from ..learner.wiring import bad_values
from ..report import issue, not_applicable, passed, tip

SLOW = 50           #: items per second of all workers together, below which most models would wait


def dataloaders_of(subject):
    "The loaders of a `Probe` (the copies) or of a `DataProbe`."
    return subject.dls if hasattr(subject, "dls") else subject.twin.dls


# -- checks of a `DataProbe` ----------------------------------------------------------------------------------------------------------
def finite(data):
    xb, kw, yb = data.batch()
    inputs, targets = bad_values((xb, kw)), bad_values(yb)
    if inputs or targets:
        return issue("MF831", f"NaN or infinite values in the first training batch: {inputs:,} in the inputs, {targets:,} in the targets",
                     inputs=inputs, targets=targets)
    return passed("MF831")


def normalised(data):
    "Mean and standard deviation of the float inputs of a batch, per channel."
    xb, kw, _ = data.batch()
    floats = [t for t in leaves((xb, kw)) if isinstance(t, torch.Tensor) and t.is_floating_point() and t.numel()]
    if not floats:
        return not_applicable("MF832", "no input is made of floats")
    x = max(floats, key=lambda t: float(t.float().square().mean().nan_to_num(0))).float().cpu()
    mean, std = float(x.mean()), float(x.std())
    channels = x.movedim(1, 0).reshape(x.shape[1], -1) if x.ndim > 2 else x.reshape(1, -1)
    numbers = {"mean": mean, "std": std, "channel_means": [float(v) for v in channels.mean(1)[:4]],
               "channel_stds": [float(v) for v in channels.std(1)[:4]]}
    said = f"mean {mean:.3g}, standard deviation {std:.3g}"
    draw = _picture(data, x) if x.ndim == 4 and x.shape[1] in (1, 3) else None
    steps = [f for f in getattr(data.loaders[0], "after_batch", ()) if type(f).__name__ == "Normalize"]
    if len(steps) > 1:
        return issue(
            "MF832", f"Normalize is applied {len(steps)} times; {said}", "keep one of them", draw=draw, times=len(steps), **numbers
        )
    if abs(mean) > 10 or std > 20:
        return issue("MF832", said, draw=draw, **numbers)
    if 0 < std < 0.02 or abs(mean) > 3 or std > 5:
        return tip("MF832", said, draw=draw, **numbers)
    return passed("MF832", said, draw=draw, **numbers)


def _picture(data, x):
    "A function that draws the pictures of a batch as the net gets them, each channel stretched to what can be seen."
    def draw():
        from ...core.plots import show_images
        shown = x[:8]
        low = shown.amin((0, 2, 3), keepdim=True)
        high = shown.amax((0, 2, 3), keepdim=True)
        labels = None
        yb = data.batch()[2]
        if len(yb) == 1 and isinstance(yb[0], torch.Tensor) and yb[0].ndim == 1:
            labels = (
                [data.name_of(v) for v in yb[0][:8].tolist()] if not yb[0].is_floating_point() else [f"{v:.3g}" for v in yb[0][:8].tolist()]
            )
        return show_images((shown - low) / (high - low + 1e-8), nrows=2 if len(shown) > 4 else 1, titles=labels, imsize=2,
                           suptitle=f"just before the net: mean {float(x.mean()):.2f}, std {float(x.std()):.2f}")
    return draw


def _batch_of_seed(dl, seed):
    "The first batch of a loader of this package as it would be in an epoch with this seed; None where the loader works otherwise."
    if not isinstance(dl, DataLoader):
        return None
    with fixed_seed(seed):
        return dl.make_batch(range(min(dl.bs, 8, len(dl.dataset))), seed)


def validation_repeats(subject):
    "The first validation items, loaded twice in epochs of different seeds."
    dls = dataloaders_of(subject)
    if dls.valid is None:
        return not_applicable("MF833", "there is no validation data")
    dl = dls.valid
    if getattr(dl, "shuffles", False):
        dl = dl.new(shuffle=False)
    if hasattr(dl, "after_batch"):
        dl = dl.new(num_workers=0)
    one = _batch_of_seed(dl, 11)
    if one is None:
        if _shuffles(dls.valid):
            return tip(
                "MF833", "validation is shuffled: predictions do not come in the order of the items", "use shuffle=False for validation"
            )
        batches = []
        for seed in (11, 12):
            with fixed_seed(seed):
                batches.append(plain(next(iter(dl))))
        one, two = batches
    else:
        two = _batch_of_seed(dl, 12)
    difference = largest_difference(one, two)
    if difference > 0:
        return issue(
            "MF833", "the same validation items differ from one time to the next: they are augmented", largest_difference=difference
        )
    return passed("MF833")


def _shuffles(dl):
    "Whether a loader takes its items in random order; None where it cannot be told."
    if hasattr(dl, "shuffles"):
        return dl.shuffles
    sampler = getattr(dl, "sampler", None)
    if sampler is None:
        return None
    return not isinstance(sampler, torch.utils.data.SequentialSampler)


def shuffled(subject):
    "A training loader that takes the items in order, and labels that are sorted."
    dl = dataloaders_of(subject).train
    shuffles = _shuffles(dl)
    if shuffles is None:
        return not_applicable("MF834", "it cannot be told how this loader takes its items")
    if shuffles or len(dl) < 2:
        return passed("MF834")
    y = labels_of(dl, 20_000)
    if y is None or y.ndim != 1 or y.is_floating_point():
        return tip("MF834", "training takes the items in the same order in every epoch")
    bs = getattr(dl, "bs", None) or dl.batch_size or 1
    blocks = [y[i:i + bs] for i in range(0, len(y), bs)]
    alone = sum(bool((b == b[0]).all()) for b in blocks) / len(blocks)
    if alone > 0.5 and len(y.unique()) > 1 and bs > 1:
        return issue("MF834", f"training is not shuffled, and {alone:.0%} of its batches hold a single class", batches_of_one_class=alone)
    return tip("MF834", "training takes the items in the same order in every epoch", batches_of_one_class=alone)


def throughput(data):
    "Items per second of the training loader alone, in this process."
    dl = data.loaders[0]
    workers = getattr(dl, "num_workers", 0)
    own = dl.new(num_workers=0, seed=0) if hasattr(dl, "after_batch") else dl
    began, n, batches = time.perf_counter(), 0, 0
    budget = 1.0 if data.fast else 3.0
    for batch in islice(iter(own), 50):
        n += next((len(t) for t in leaves(batch) if isinstance(t, torch.Tensor) and t.ndim), 0)
        batches += 1
        if time.perf_counter() - began > budget:
            break
    rate = n / max(time.perf_counter() - began, 1e-9)
    epoch = len(getattr(dl, "dataset", ())) / max(rate * max(workers, 1), 1e-9)
    numbers = {"items_per_second": rate, "workers": workers, "batches": batches}
    said = f"{rate:,.0f} items per second in one process ({workers} workers in use)"
    if rate * max(workers, 1) < SLOW and epoch > 2:
        return tip("MF835", f"{said}: an epoch spends {epoch:,.0f} s loading", seconds_per_epoch=epoch, **numbers)
    return passed("MF835", said, **numbers)
