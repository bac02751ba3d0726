"""The checks of a single accelerator, by name: each a function of the device, 'cuda' or (in miniature) 'cpu', that returns whether it is as
it should be, a sentence with figures, and the numbers.
"""
import copy
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

ROOT = Path(__file__).parents[1]
CHECKS = {}


class Check(NamedTuple):
    "A check: its function, and the seconds it may take."
    function: Callable
    seconds: float


class NotHere(Exception):
    "This check needs what there is not here; the message says what."


def check(name, seconds):
    "Enter a function into `CHECKS`."
    def enter(f):
        CHECKS[name] = Check(f, seconds)
        return f
    return enter


# -- what the checks share ----------------------------------------------------------------------------------------------------------
def wait(device):
    "Wait until the device has done all it was given."
    if device == "cuda":
        torch.cuda.synchronize()


def timed(f, device, times=5):
    "The median of the seconds of a call, after one that warms up."
    f()
    taken = []
    for _ in range(times):
        wait(device)
        began = time.perf_counter()
        f()
        wait(device)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def images(device, n, size, classes=10):
    "Pictures whose class is where they are bright, and their classes."
    g = torch.Generator().manual_seed(0)
    y = torch.randint(0, classes, (n,), generator=g)
    x = torch.randn(n, 3, size, size, generator=g)
    step = max(1, size // classes)
    for i, label in enumerate(y.tolist()):
        x[i, :, label * step:(label + 1) * step] += 1.0
    return x.to(device), y.to(device)


def small_net(channels=16):
    "A small convolutional network."
    torch.manual_seed(0)

    def block(a, b):
        return [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.ReLU()]
    return nn.Sequential(*block(3, channels), *block(channels, 2 * channels), nn.AdaptiveAvgPool2d((8, 1)), nn.Flatten(),
                         nn.Linear(16 * channels, 10))


def quiet_learner(device, model, x, y, bs, **kwargs):
    "A learner of tensors, which prints nothing."
    from minifast.basics import CrossEntropyLossFlat, DataLoaders, Learner, accuracy
    from minifast.callbacks import ProgressCallback
    data = TensorDataset(x.cpu(), y.cpu())
    dls = DataLoaders.from_dsets(data, data, bs=bs, device=device, num_workers=0)
    learn = Learner(dls, model, CrossEntropyLossFlat(), metrics=accuracy, **kwargs)
    learn.logger = lambda row: None
    return learn.remove_cb(ProgressCallback)


def on_batches(device, model, batches, **kwargs):
    "A learner whose epoch is these batches, which are on the device already."
    from minifast.basics import CrossEntropyLossFlat, DataLoaders, Learner
    from minifast.callbacks import ProgressCallback
    from minifast.learner.inference import Batches
    dls = DataLoaders(Batches(batches, 1), device=torch.device(device))
    learn = Learner(dls, model, CrossEntropyLossFlat(), **kwargs)
    learn.logger = lambda row: None
    return learn.remove_cb(ProgressCallback)


# -- tests --------------------------------------------------------------------------------------------------------------------------
@check("tests", 150)
def tests(device):
    "The tests marked `gpu`: what is computed there is what is computed on the CPU."
    try:
        import pytest  # noqa: F401
    except ImportError as e:
        raise NotHere("pytest is not installed") from e
    options = ["-o", "addopts=", "--import-mode=importlib", "-q", "-p", "no:cacheprovider", "-m", "gpu", "tests/devices"]
    done = subprocess.run([sys.executable, "-m", "pytest", *options], capture_output=True, text=True, cwd=ROOT,
                          env={**os.environ, "MINIFAST_TEST_DEVICE": device})
    last = (done.stdout.strip().splitlines() or [done.stderr[-300:]])[-1]
    if done.returncode:
        print(done.stdout[-4000:], file=sys.stderr)
    return done.returncode == 0, last, {}


# -- precision ----------------------------------------------------------------------------------------------------------------------
def _trained(device, prepare):
    x, y = images(device, *((256, 32) if device == "cpu" else (2048, 64)))
    learn = quiet_learner(device, small_net(), x, y, bs=32)
    torch.manual_seed(0)
    prepare(learn)
    learn.fit_one_cycle(3, 1e-2)
    return learn, learn.recorder.values[-1]


def _half(device, prepare):
    from minifast.callbacks import MixedPrecision
    full, half = _trained(device, lambda learn: None)[1], _trained(device, prepare)
    learn, values = half
    cb = next(c for c in learn.cbs if isinstance(c, MixedPrecision))
    accuracy = (full[2], values[2])
    ok = accuracy[1] > 0.5 and accuracy[1] > accuracy[0] - 0.05 and all(p.dtype is torch.float32 for p in learn.model.parameters())
    return ok, f"accuracy {accuracy[1]:.3f} against {accuracy[0]:.3f} in full precision, {cb.skipped_steps} steps skipped", {
        "accuracy": accuracy[1], "full": accuracy[0], "skipped": cb.skipped_steps}


@check("fp16", 60)
def fp16(device):
    "Training in fp16 reaches the accuracy of full precision; the loss scaler works."
    if device == "cpu":
        raise NotHere("fp16 training needs a GPU")
    return _half(device, lambda learn: learn.to_fp16())


@check("bf16", 60)
def bf16(device):
    "Training in bf16 reaches the accuracy of full precision."
    return _half(device, lambda learn: learn.to_bf16())


# -- settings -----------------------------------------------------------------------------------------------------------------------
def _resnet(device):
    if device == "cpu":
        return small_net(4)
    import torchvision
    torch.manual_seed(0)
    return torchvision.models.resnet50(num_classes=10).to(device)


def _rate(device, prepare, batch, steps, rounds=3):
    "Items a second of a learner that `prepare` has set up, and its last loss."
    learn = on_batches(device, _resnet(device), [batch] * steps)
    prepare(learn)
    seconds = timed(lambda: learn.fit(1, 1e-3), device, rounds)
    return steps * len(batch[0]) / seconds, float(learn.recorder.raw_losses[-1])


@check("channels_last", 60)
def channels_last(device):
    "Channels-last in bf16 is no slower than contiguous."
    batch = images(device, *((4, 32) if device == "cpu" else (128, 224)))
    steps = 2 if device == "cpu" else 10
    plain, _ = _rate(device, lambda learn: learn.to_bf16(), batch, steps)
    last, loss = _rate(device, lambda learn: learn.to_bf16().to_channelslast(), batch, steps)
    ok = loss == loss and (device == "cpu" or last > 0.95 * plain)
    return ok, f"{last:,.0f} images a second, {last / plain:.2f} times contiguous (bf16)", {
        "ratio": last / plain, "images_per_second": last}


@check("compile", 120)
def compiled(device):
    "A compiled model gives the same outputs, and trains faster."
    x, y = images(device, *((8, 32) if device == "cpu" else (256, 64)))
    how = {"backend": "eager"} if device == "cpu" else {}               # no C++ compiler is asked for
    one, two = (on_batches(device, small_net(64).to(device), [(x, y)] * 20) for _ in range(2))
    began = time.perf_counter()
    two.compile(**how).fit(1, 1e-3)
    wait(device)
    first = time.perf_counter() - began
    one.fit(1, 1e-3)
    with torch.no_grad():
        difference = float((one.model.eval()(x) - two.model.eval()(x)).abs().max() / one.model(x).abs().max())
    ratio = timed(lambda: one.fit(1, 1e-3), device, 3) / timed(lambda: two.fit(1, 1e-3), device, 3)
    return difference < 0.05, f"{ratio:.2f} times as fast, the first 20 steps took {first:.1f} s, outputs differ by {difference:.1g}", {
        "ratio": ratio, "first_seconds": first, "difference": difference}


@check("pinned", 60)
def pinned(device):
    "Batches of a loader reach the GPU from page-locked memory, faster than from ordinary memory."
    if device == "cpu":
        raise NotHere("page-locked memory needs a GPU")
    from minifast.basics import DataLoader
    x = torch.randint(0, 255, (512, 3, 224, 224), dtype=torch.uint8)
    data, rates = TensorDataset(x, torch.arange(512)), {}
    for pin in (True, False):
        dl = DataLoader(data, bs=128, device=device, num_workers=2, worker_type="thread", pin_memory=pin)

        def once(dl=dl):
            for xb, yb in dl:
                assert xb.device.type == "cuda" and torch.equal(yb.cpu() % 128, torch.arange(128))
        rates[pin] = x.nbytes / timed(once, device, 3) / 1e9
        same = torch.equal(next(iter(dl))[0].cpu(), x[:128])
    a, b = torch.empty(2 ** 28, dtype=torch.uint8), torch.empty(2 ** 28, dtype=torch.uint8).pin_memory()
    raw = [2 ** 28 / timed(lambda t=t: t.to(device, non_blocking=True), device) / 1e9 for t in (b, a)]
    return same and raw[0] > raw[1], (f"loader {rates[True]:.1f} GB a second pinned, {rates[False]:.1f} not; copies alone {raw[0]:.1f} and "
                                      f"{raw[1]:.1f}"), {"loader": rates, "copies": raw}


# -- speed --------------------------------------------------------------------------------------------------------------------------
@check("resnet50", 200)
def resnet50(device):
    "Training resnet50 (bf16, channels-last, compiled) takes what a hand-tuned loop with a fused AdamW takes."
    from common import compare_slopes
    batch, how = images(device, *((4, 32) if device == "cpu" else (256, 224))), {"backend": "eager"} if device == "cpu" else {}
    x, y = batch[0].contiguous(memory_format=torch.channels_last), batch[1]
    model = _resnet(device).to(memory_format=torch.channels_last)
    opt = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    fast = torch.compile(model, **how)

    def by_hand(steps):
        model.train()
        for _ in range(steps):
            with torch.autocast(device, dtype=torch.bfloat16):
                loss = F.cross_entropy(fast(x), y)
            loss.backward()
            opt.step()
            opt.zero_grad(set_to_none=True)
        wait(device)
    learners = {n: on_batches(device, _resnet(device), [(x, y)] * n) for n in ((2, 8) if device == "cpu" else (5, 25))}
    short, long = learners
    learners[short].model = learners[long].model
    for learn in learners.values():
        learn.to_bf16().to_channelslast()
    learners[long].compile(**how)

    def by_learner(steps):
        learners[steps].fit(1, 1e-3)
        wait(device)
    for steps in learners:
        by_hand(steps)
        by_learner(steps)
    found = compare_slopes(by_hand, by_learner, short, long, rounds=3 if device == "cpu" else 7)
    rate = 1e6 * len(x) / (found["base_us"] + found["overhead_us"])
    return device == "cpu" or found["ratio"] <= 1.05, (
        f"{rate:,.0f} images a second, {1 / max(found['ratio'], 1e-9):.3f} of a hand-tuned loop's"), {
        "images_per_second": rate, "seconds_ratio": found["ratio"], **found}


@check("augment", 60)
def augment(device):
    "Augmenting batches of 224 x 224 on the device: 20,000 images a second at least."
    from minifast.core.seeds import item_rng
    from minifast.data.pipeline import Pipeline
    from minifast.vision.all import IntToFloatTensor, Normalize, TensorImage, aug_transforms, imagenet_stats
    x = TensorImage(torch.randint(0, 255, (4, 3, 64, 64) if device == "cpu" else (256, 3, 224, 224), dtype=torch.uint8).to(device))
    steps = Pipeline([IntToFloatTensor(), *aug_transforms(), Normalize.from_stats(*imagenet_stats)], split_idx=0).fused()
    count = iter(range(10 ** 9))

    def several():
        for _ in range(2 if device == "cpu" else 20):
            several.last = steps(x, item_rng(next(count)))
    rate = (2 if device == "cpu" else 20) * len(x) / timed(several, device)
    finite = bool(torch.isfinite(several.last).all())
    return finite and (device == "cpu" or rate >= 20_000), f"{rate:,.0f} images a second", {"images_per_second": rate}


@check("no_waiting", 60)
def no_waiting(device):
    "Nothing in the training loop waits for the device: not in eight steps, with clipping, an average of the weights and fp16."
    from minifast.callbacks import EMA, Callback, GradientClip
    x, y = images(device, *((16, 32) if device == "cpu" else (64, 64)))
    learn = on_batches(device, small_net().to(device), [(x, y)] * 12, cbs=[GradientClip(1.0), EMA(0.9)])
    learn = learn if device == "cpu" else learn.to_fp16()
    os.environ["KINETO_LOG_LEVEL"] = "9"
    profile, steps = torch.autograd.profiler.profile(use_device="cuda" if device == "cuda" else None), []

    class Watch(Callback):
        "Between the second batch and the tenth, waiting is an error on a GPU, and is counted."
        order = -1000

        def before_batch(self):
            if self.learn.training and self.learn.iter == 2:
                if device == "cuda":
                    torch.cuda.set_sync_debug_mode("error")
                profile.__enter__()
            steps.append(self.learn.iter)
            if self.learn.training and self.learn.iter == 10:
                profile.__exit__(None, None, None)
                self.cleanup_fit()

        def cleanup_fit(self):
            if device == "cuda":
                torch.cuda.set_sync_debug_mode("default")
    learn.fit(1, 1e-3)                              # the first checks and set-up may wait
    learn.fit(1, 1e-3, cbs=Watch())
    waits = sum(e.count for e in profile.key_averages() if e.key in ("cudaStreamSynchronize", "cudaDeviceSynchronize"))
    return waits == 0 and max(steps) == 11, f"{waits} waits in 8 steps" + ("" if device == "cuda" else " (a processor has none)"), {
        "waits": waits}


# -- several ranks, of which there is one -------------------------------------------------------------------------------------------
def _one_rank(device):
    import tempfile

    import torch.distributed as dist
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    store = dist.FileStore(os.path.join(tempfile.mkdtemp(), "store"), 1)
    dist.init_process_group("nccl" if device == "cuda" else "gloo", store=store, rank=0, world_size=1)
    return dist


@check("ddp", 60)
def ddp(device):
    "DDP with NCCL (gloo on a CPU) in a world of one: gradients are those of the plain model."
    dist = _one_rank(device)
    x, y = images(device, 16, 32)
    plain = small_net().to(device)
    several = nn.parallel.DistributedDataParallel(copy.deepcopy(plain))
    for model in (plain, several):
        F.cross_entropy(model(x), y).backward()
    difference = max(float((p.grad - q.grad).abs().max()) for p, q in zip(plain.parameters(), several.parameters(), strict=True))
    t = torch.arange(4., device=device)
    dist.all_reduce(t)
    ok = difference < 1e-5 and t.tolist() == [0, 1, 2, 3]
    backend = dist.get_backend()
    dist.destroy_process_group()
    return ok, f"{backend}: gradients differ by {difference:.1g}", {"difference": difference}


@check("fsdp2", 60)
def fsdp2(device):
    "FSDP2 in bf16 in a world of one: a few steps lower the loss, the weights stay float32."
    dist = _one_rank(device)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    mesh = init_device_mesh(device, (1,))
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(4)), nn.Linear(64, 10)).to(device)
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for block in model[:4]:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    opt = torch.optim.AdamW(model.parameters(), lr=3e-3)
    x, y = torch.randn(256, 64, device=device), torch.randint(0, 10, (256,), device=device)
    losses = []
    for _ in range(30):
        loss = F.cross_entropy(model(x).float(), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad()
        losses.append(loss.detach())
    first, last = float(losses[0]), float(losses[-1])
    ok = last < 0.9 * first and all(p.dtype is torch.float32 for p in model.parameters())
    dist.destroy_process_group()
    return ok, f"loss {first:.3f} -> {last:.3f} in 30 steps", {"first": first, "last": last}


@check("plan", 60)
def plan(device):
    "The memory that `learn.plan` predicts is at least what a step needs, and not much more."
    x, y = images(device, *((16, 32) if device == "cpu" else (64, 128)))
    learn = quiet_learner(device, _resnet(device), x, y, bs=8 if device == "cpu" else 32)
    said = learn.plan(seconds=5)["one device"].memory
    if device == "cpu":
        return said > 0, f"{said / 1e6:.3g} MB", {"planned": said}
    gc.collect()
    torch.cuda.empty_cache()
    learn.model.to(device)
    torch.cuda.reset_peak_memory_stats()
    learn.fit(1, 1e-3)
    needed = torch.cuda.max_memory_allocated()
    return 1 <= said / needed < 1.35, f"{said / 1e6:,.0f} MB planned, {needed / 1e6:,.0f} MB needed: {said / needed:.2f}", {
        "planned": said, "needed": needed}


if __name__ == "__main__":
    print(json.dumps(list(CHECKS)))
