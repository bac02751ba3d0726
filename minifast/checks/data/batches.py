"""Checks of batches as the model gets them: finite, normalised, validation without augmentation, training shuffled, loading speed."""
import time
from functools import partial
from itertools import islice
from typing import Any

import torch

from ...core.nested import leaves, plain
from ...core.plots import show_images
from ...core.seeds import fixed_seed
from ...data.dataloader import DataLoader
from ...data.loaders import DataLoaders
from ...data.targets import base_dataset, labels_of
from ...learner.probe import Probe
from ..learner.evaluation import largest_difference
from ..learner.outputs import bad_values
from ..outcomes import Check, graded, in_time, issue, passed, require, tip
from .probe import DataProbe
from .series_samples import is_series

SLOW = 50           #: items per second of all workers together, below which most models would wait


def dataloaders_of(probe: Probe | DataProbe) -> DataLoaders:
    "The loaders of a probe."
    return probe.dls if isinstance(probe, DataProbe) else probe.twin.dls


# -- values -------------------------------------------------------------------------------------------------------------------------
def finite_batch(data: DataProbe) -> Check:
    "NaN and infinity in the first training batch."
    step = data.batch()
    inputs, targets = bad_values((step.xb, step.kw)), bad_values(step.yb)
    return graded(f"NaN or infinite values in the first training batch: {inputs:,} in the inputs, {targets:,} in the targets",
                  inputs or targets, inputs=inputs, targets=targets)


def normalised_inputs(data: DataProbe) -> Check:
    "Mean and standard deviation of the float inputs of a batch, per channel."
    require(not getattr(base_dataset(data.loaders[0])[0], "model_scales", False), "series in their own units, which models of forecasts "
            "scale themselves")
    floats = [t.float().cpu() for t in data.batch().float_inputs if t.numel()]
    require(floats, "no input is made of floats")
    x = max(floats, key=lambda t: float(t.square().nanmean().nan_to_num(0)))
    channels = list(x.movedim(1, 0).flatten(1)) if x.ndim > 2 else [x.reshape(-1)]
    channels = [c[~c.isnan()] for c in channels] if x.isnan().any() else channels           # NaN pads series
    values = torch.cat(channels) if x.isnan().any() else x
    mean, std = float(values.mean()), float(values.std())
    details: dict[str, Any] = {
        "draw": partial(_draw_images, data, x) if x.ndim == 4 and x.shape[1] in (1, 3) else None, "mean": mean, "std": std,
        "channel_means": [float(c.mean()) for c in channels[:4]], "channel_stds": [float(c.std()) for c in channels[:4]]}
    found = f"mean {mean:.3g}, standard deviation {std:.3g}"
    times = sum(type(f).__name__ == "Normalize" for f in getattr(data.loaders[0], "after_batch", ()))
    if times > 1:
        return issue(f"Normalize is applied {times} times; {found}", "keep one of them", times=times, **details)
    scaled = abs(mean) <= 0.7 and 0.3 <= std <= 2.5
    # what vision_learner and unet_learner normalise themselves, in a copy of the loaders
    raw = x.ndim == 4 and not times and float(x.min()) >= 0 and float(x.max()) <= 1
    require(not raw, f"pixels from 0 to 1, with {found}, which pretrained learners normalise themselves: learn.check() looks at "
            "what the model gets")
    advice = "standardise them: batch_tfms=TSStandardize()" if is_series(data) else ""
    return graded(found, abs(mean) > 10 or std > 20, std > 0 and not scaled, advice, fine=found, **details)


def _draw_images(data: DataProbe, x: torch.Tensor) -> Any:
    "Draw the images of a batch as the model gets them, each channel stretched to the visible range."
    shown, y = x[:8], data.batch().y
    low, high = shown.amin((0, 2, 3), keepdim=True), shown.amax((0, 2, 3), keepdim=True)
    titles = (None if y is None or y.ndim != 1 else
              [f"{v:.3g}" if y.is_floating_point() else data.name_of(v) for v in y[:8].tolist()])
    return show_images((shown - low) / (high - low + 1e-8), nrows=2 if len(shown) > 4 else 1, titles=titles, imsize=2,
                       suptitle=f"as the model gets them: mean {float(x.mean()):.2f}, std {float(x.std()):.2f}")


# -- order and chance ---------------------------------------------------------------------------------------------------------------
def shuffles(dl: Any) -> bool | None:
    "Whether a loader takes its items in random order; None where that cannot be told."
    if isinstance(dl, DataLoader):
        return dl.shuffles
    sampler = getattr(dl, "sampler", None)
    return None if sampler is None else not isinstance(sampler, torch.utils.data.SequentialSampler)


def augmented_validation(probe: Probe | DataProbe) -> Check:
    "The first validation items, loaded twice in epochs of different seeds."
    dl = dataloaders_of(probe).valid
    require(dl is not None, "there is no validation data")
    if not isinstance(dl, DataLoader) and shuffles(dl):
        return tip("validation is shuffled: predictions do not come in the order of the items", "use shuffle=False for validation")
    require(not any(getattr(f, "draws_targets", False) for f in getattr(dl, "before_batch", ())), "what is to be found is drawn at random")
    difference = largest_difference(_first_items(dl, 11), _first_items(dl, 12))
    return graded("the same validation items differ from one load to the next: they are augmented", difference > 0,
                  largest_difference=difference)


def _first_items(dl, seed):
    if isinstance(dl, DataLoader):
        inline = dl.new(num_workers=0, **({"shuffle": False} if dl.shuffles else {}))
        return inline.make_batch(range(min(dl.bs, 8, len(dl.dataset))), seed)
    with fixed_seed(seed):
        return plain(next(iter(dl)))


def shuffled_training(probe: Probe | DataProbe) -> Check:
    "A training loader that takes the items in order, and labels that are sorted."
    dl = dataloaders_of(probe).train
    shuffled = shuffles(dl)
    require(shuffled is not None, "the order in which this loader takes its items is not known")
    if shuffled or len(dl) < 2:
        return passed()
    found, y = "training takes the items in the same order in every epoch", labels_of(dl, 20_000)
    if y is None or y.ndim != 1 or y.is_floating_point():
        return tip(found)
    bs = getattr(dl, "bs", None) or dl.batch_size or 1
    alone = sum(bool((b == b[0]).all()) for b in y.split(bs)) / len(y.split(bs))
    sorted_by_class = alone > 0.5 and len(y.unique()) > 1 and bs > 1
    return graded(f"training is not shuffled, and {alone:.0%} of its batches hold a single class" if sorted_by_class else found,
                  sorted_by_class, True, batches_of_one_class=alone)


# -- speed --------------------------------------------------------------------------------------------------------------------------
def loading_speed(data: DataProbe) -> Check:
    "Items per second of the training loader alone, in this process."
    dl = data.loaders[0]
    workers = getattr(dl, "num_workers", 0)
    began = time.perf_counter()
    sizes = [next((len(t) for t in leaves(batch) if isinstance(t, torch.Tensor) and t.ndim), 0)
             for batch in in_time(islice(iter(data.inline_loader()), 50), 1.0 if data.fast else 3.0)]
    rate = sum(sizes) / max(time.perf_counter() - began, 1e-9)
    of_all_workers = rate * max(workers, 1)
    epoch = len(getattr(dl, "dataset", ())) / max(of_all_workers, 1e-9)
    found = f"{rate:,.0f} items per second in one process ({workers} workers in use)"
    return graded(f"{found}: an epoch spends {epoch:,.0f} s loading", tip=of_all_workers < SLOW and epoch > 2, fine=found,
                  items_per_second=rate, workers=workers, batches=len(sizes), seconds_per_epoch=epoch)
