"""Where the time of a step goes: waiting for data, the model, the optimizer, callbacks."""
import time

import torch

from ...callbacks.base import Callback, CancelFitException
from ...learner.probe import probing
from ...learner.twin import independent_loader
from ...optim.freezing import Freezer
from ..report import not_applicable, passed, tip
from .updates import optimizer_of

PARTS = ("data", "forward and loss", "backward", "optimizer", "callbacks and the rest")


def _now(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def measure(learn, n_steps=12, seconds=20.0, warm_up=2, seed=0):
    """Seconds per training step of `learn` by part (see `PARTS`), as a dict, with `steps` and `step` (all parts together).

    It trains a copy on the real training loader, workers included, so the learner does not change. warm_up: steps that do not count.
    """
    with probing(learn, seed=seed) as probe:
        twin, device = probe.twin, probe.device
        twin.opt = optimizer_of(probe)
        twin.freezer = Freezer(twin.model, twin.opt, twin.train_bn)
        real = learn.dls.train
        workers = getattr(real, "num_workers", 0)
        loader = independent_loader(real, seed=0)
        vars(twin)["_dls"] = type(twin.dls)(loader, path=twin.dls.path, device=device)
        marks, totals, begun = {}, dict.fromkeys(PARTS, 0.0), time.perf_counter()
        counted = [0]

        def at(part):
            def mark(cb):
                now = _now(device)
                if cb.learn.iter >= warm_up and "last" in marks:
                    totals[part] += now - marks["last"]
                marks["last"] = now
            return mark

        def end(cb):
            at(PARTS[4])(cb)
            counted[0] += cb.learn.iter >= warm_up
            if counted[0] >= n_steps or time.perf_counter() - begun > seconds:
                raise CancelFitException

        first = Callback(
            before_batch=at("data"), after_loss=at("forward and loss"), after_backward=at("backward"), after_step=at("optimizer")
        )
        first.order = -100
        last = Callback(before_batch=at(PARTS[4]), after_batch=end)
        last.order = 1000
        try:
            with twin.added_cbs([first, last]):
                twin.fit(1, learn.lr)
        finally:
            if workers and hasattr(loader, "end_workers"):
                loader.end_workers()
    n = max(counted[0], 1)
    result = {part: t / n for part, t in totals.items()}
    return {**result, "step": sum(result.values()), "steps": counted[0], "workers": workers}


def verdict(times):
    "`(bottleneck, its share, what to turn)` of what `measure` returned."
    shares = {p: times[p] / max(times["step"], 1e-12) for p in PARTS}
    worst = max(shares, key=shares.get)
    knob = {
        "data": f"more workers (num_workers={times['workers']} now), smaller files, or transforms on the batch instead of the item",
        "forward and loss": "to_fp16() or to_bf16() on a GPU, smaller inputs, compile()",
        "backward": "to_fp16() or to_bf16() on a GPU, smaller inputs, freezing",
        "optimizer": "a fused optimizer, larger batches",
        "callbacks and the rest": "leave out callbacks that read the loss at every step",
    }
    return worst, shares[worst], knob[worst]


def profile(learn, n_steps=20, seconds=60.0):
    "A DataFrame: milliseconds per training step and share of each part, the costliest first; `attrs['verdict']` says what to turn."
    import pandas as pd
    times = measure(learn, n_steps, seconds)
    table = pd.DataFrame({"ms": {p: 1e3 * times[p] for p in PARTS}, "share": {p: times[p] / max(times["step"], 1e-12) for p in PARTS}})
    worst, share, knob = verdict(times)
    table.attrs["verdict"] = f"{share:.0%} of a step is {worst}: {knob}"
    return table.sort_values("share", ascending=False)


def speed(probe):
    "The share of a step spent waiting for data and in callbacks."
    learn = probe.learn
    if len(learn.dls.train) < 3:
        return not_applicable("MF701", "an epoch has fewer than 3 batches")
    times = measure(learn, 3 if probe.fast else 10, 12.0 if probe.fast else 30.0, warm_up=1)
    if not times["steps"]:
        return not_applicable("MF701", "no step was finished in time")
    worst, share, _ = verdict(times)
    numbers = {"ms_per_step": 1e3 * times["step"], **{p: times[p] / max(times["step"], 1e-12) for p in PARTS}}
    said = f"{1e3 * times['step']:.3g} ms per step, {share:.0%} of it: {worst}"
    small = times["step"] < 2e-3                    # of such steps half is Python, whatever one does
    if (numbers["data"] > 0.4 or numbers[PARTS[4]] > 0.3) and not small:
        slow = "data" if numbers["data"] > 0.4 else PARTS[4]
        return tip("MF701", said, verdict({**times, **{p: 0.0 for p in PARTS if p != slow}})[2], **numbers)
    return passed("MF701", said, **numbers)
