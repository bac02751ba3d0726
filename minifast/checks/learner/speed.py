"""Where the time of a training step goes: waiting for data, the model, the optimizer, callbacks."""
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch

from ...callbacks.base import Callback, CancelFitException
from ...learner.learner import Learner
from ...learner.probe import Probe, independent_loader, probing
from ..outcomes import Check, graded, require
from ..speedup.adviser import first_of
from .updates import fit_on

if TYPE_CHECKING:
    import pandas as pd

DATA, CALLBACKS = "data", "callbacks and the rest"
#: The parts of a step, and what to do about each.
REMEDIES: dict[str, str] = {
    DATA: "use more workers (num_workers={workers} now), smaller files, or transforms on the batch instead of the item",
    "forward and loss": "see what makes it faster here with learn.speedup(), use smaller inputs",
    "backward": "see what makes it faster here with learn.speedup(), use smaller inputs, freezing",
    "optimizer": "use a fused optimizer, larger batches",
    CALLBACKS: "remove callbacks that read the loss at every step",
}
PARTS = tuple(REMEDIES)
LONG = 20.0         # ms of a step from which on it is worth a trial of what makes it faster


def _now(device):
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).synchronize()
    return time.perf_counter()


def measure(learn: Learner, n_steps: int = 12, seconds: float = 20.0, warm_up: int = 2, seed: int = 0) -> dict[str, float]:
    """Seconds per training step of `learn` by part (see `PARTS`), with `step` (all parts), `steps` (measured) and `workers`; of texts with
    `tokens_per_second`, which counts no padding.

    A copy is trained on the real training loader, workers included, so the learner does not change.

    Args:
        learn: The learner.
        n_steps: Steps to measure.
        seconds: Time at most.
        warm_up: Steps before them that do not count.
        seed: Of the random streams.
    """
    with probing(learn, seed=seed) as probe:
        loader = independent_loader(learn.dls.train, seed=0)
        workers = getattr(loader, "num_workers", 0)
        begun, ends, measured = time.perf_counter(), [], []     # ends: what part ended, in which step, when; measured: steps
        tokens_in, inputs, device = getattr(loader, "tokens_in", None), [], probe.device

        def end_of(part):
            return lambda cb: ends.append((part, cb.learn.iter, _now(device)))

        def end_of_batch(cb):
            end_of(CALLBACKS)(cb)
            measured.extend([cb.learn.iter] if cb.learn.iter >= warm_up else [])
            inputs.extend([cb.learn.xb[0]] if tokens_in and cb.learn.iter >= warm_up else [])
            if len(measured) >= n_steps or time.perf_counter() - begun > seconds:
                raise CancelFitException

        first = Callback(before_batch=end_of(DATA), after_loss=end_of("forward and loss"), after_backward=end_of("backward"),
                         after_step=end_of("optimizer"))
        try:
            fit_on(probe, loader, first, Callback(before_batch=end_of(CALLBACKS), after_batch=end_of_batch))
        finally:
            if workers and hasattr(loader, "end_workers"):
                loader.end_workers()
    times = dict.fromkeys(PARTS, 0.0)
    for (_, _, start), (part, step, end) in pairwise(ends):
        times[part] += (end - start) * (step >= warm_up) / max(len(measured), 1)
    found = {**times, "step": sum(times.values()), "steps": len(measured), "workers": workers}
    return {**found, "tokens_per_second": sum(map(tokens_in, inputs)) / (found["step"] * len(measured))} if inputs else found


def shares_of(times: dict[str, float]) -> dict[str, float]:
    "The share of each part in a step, largest first, of what `measure` returned."
    return dict(sorted(((p, times[p] / max(times["step"], 1e-12)) for p in PARTS), key=lambda o: -o[1]))


def bottleneck(times: dict[str, float]) -> tuple[str, float, str]:
    "The part of a step that takes longest, its share, and what to do about it."
    part, share = next(iter(shares_of(times).items()))
    return part, share, REMEDIES[part].format(**times)


def profile(learn: Learner, n_steps: int = 20, seconds: float = 60.0) -> "pd.DataFrame":
    """A table of milliseconds per training step and share of each part, the costliest first; `attrs['verdict']` says what to do.

    Of texts it also says how many tokens that are no padding are trained in a second, `attrs['tokens_per_second']`.

    Args:
        learn: The learner; it does not change.
        n_steps: Steps to measure.
        seconds: Time at most.
    """
    import pandas as pd
    times = measure(learn, n_steps, seconds)
    shares = shares_of(times)
    table = pd.DataFrame({"ms": {p: 1e3 * times[p] for p in shares}, "share": shares})
    part, share, remedy = bottleneck(times)
    table.attrs["verdict"] = f"{share:.0%} of a step is {part}: {remedy}"
    if (rate := times.get("tokens_per_second")) is not None:
        table.attrs["tokens_per_second"] = rate
        table.attrs["verdict"] += f". {rate:,.0f} tokens per second, padding not counted"
    return table


def step_time(probe: Probe) -> Check:
    "The share of a step spent waiting for data and in callbacks."
    require(len(probe.learn.dls.train) >= 3, "an epoch has fewer than 3 batches")
    times = measure(probe.learn, 3 if probe.fast else 10, probe.seconds(12.0 if probe.fast else 30.0), warm_up=1)
    require(times["steps"], "no step was finished in time")
    (part, share, _), shares, ms = bottleneck(times), shares_of(times), 1e3 * times["step"]
    dataset = getattr(probe.learn.dls.train, "dataset", None)
    # of shorter steps half is Python; batches that are one read of memory have no workers to make them faster
    least = 10 if getattr(dataset, "ahead", None) or hasattr(dataset, "windows") else 2
    slow = DATA if shares[DATA] > 0.4 else CALLBACKS
    found = f"{ms:.3g} ms per step, {share:.0%} of it: {part}"
    if ms >= LONG and not probe.fast and shares[DATA] < 0.4 and (left := probe.seconds(4.0)) > 1:
        first = first_of(probe.learn, left)
        if first is not None and first.ratio is not None and first.ratio.value > 1.1:
            found += (f"; {first.setting} makes the model {first.ratio.value:.2f} times as fast here ({first.write}; learn.speedup() "
                      "tries more)")
    numbers: dict[str, Any] = {"ms_per_step": ms, **shares}
    if (rate := times.get("tokens_per_second")) is not None:
        numbers["tokens_per_second"] = rate
        found += f"; {rate:,.0f} tokens per second, padding not counted"
    return graded(found, tip=ms >= least and (shares[DATA] > 0.4 or shares[CALLBACKS] > 0.3),
                  advice=REMEDIES[slow].format(**times), fine=found, **numbers)
