"""What `learn.plan` predicts against what training needs: memory, bytes sent and seconds per batch, with one process and with two.

    python benchmarks/plan.py                       all models, one process, DDP and FSDP2 on this machine's processor
    python benchmarks/plan.py --quick --json        smaller models, fewer batches
    python benchmarks/plan.py --untimed             memory and bytes only

Each measurement is a training in fresh processes, with one thread each. `memory` is that of all tensors at the worst moment of a batch, as
torch's allocator counts it; `resident` (one process) how much the process itself grew. `sent` are the bytes of the buffers that DDP and
FSDP2 hand to `torch.distributed`, times what a rank sends of each (gloo, which has no reduce-scatter of its own, sends more). The bandwidth
that the plan is given was measured with two processes before.
"""
import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
MODELS = ("resnet", "mlp", "transformer")


def learner(name, quick, bs=16):
    "A learner of random data, the same in every process."
    import torch
    import torchvision
    from torch import nn
    from torch.utils.data import TensorDataset

    from minifast.basics import Adam, CrossEntropyLossFlat, DataLoaders, Learner
    torch.manual_seed(0)
    n = 8 * bs
    if name == "resnet":
        x, model = torch.randn(n, 3, *([64, 64] if quick else [128, 128])), torchvision.models.resnet18(num_classes=10)
    elif name == "mlp":
        width = 256 if quick else 2048
        x = torch.randn(n, width)
        model = nn.Sequential(*(nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(4)), nn.Linear(width, 10))
    else:
        width, depth = (64, 2) if quick else (256, 6)

        class Transformer(nn.Module):
            "Encoder layers over token ids, and a mean."

            def __init__(self):
                super().__init__()
                self.emb = nn.Embedding(1000, width)
                self.layers = nn.ModuleList(nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True) for _ in range(depth))
                self.head = nn.Linear(width, 10)

            def forward(self, ids):
                h = self.emb(ids)
                for layer in self.layers:
                    h = layer(h)
                return self.head(h.mean(1))
        x, model = torch.randint(0, 1000, (n, 64)), Transformer()
    data = TensorDataset(x, torch.randint(0, 10, (n,)))
    dls = DataLoaders.from_dsets(data, data, bs=bs, device="cpu", num_workers=0)
    return Learner(dls, model, CrossEntropyLossFlat(), opt_func=Adam)


def resident():
    "Bytes of memory this process has, and the most it ever had."
    found = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Vm"))
    return 1024 * int(found["VmRSS"].split()[0]), 1024 * int(found["VmHWM"].split()[0])


def count_sent(counts):
    "From now on add up the bytes of the buckets that DDP reduces."
    import torch
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
    own_ddp = torch.nn.parallel.DistributedDataParallel

    class Counting(own_ddp):
        "DDP that counts the buckets it reduces."

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

            def hook(state, bucket):
                counts["all_reduce"] += bucket.buffer().nbytes
                return allreduce_hook(state, bucket)
            self.register_comm_hook(None, hook)
    torch.nn.parallel.DistributedDataParallel = Counting


def of_fsdp2(profile, item_bytes=4):
    "The bytes of the whole buffers that FSDP2 gathered and reduced, by kind, from a profile with shapes."
    ops = {"c10d::_allgather_base_": ("all_gather_into_tensor", 0), "c10d::_reduce_scatter_base_": ("reduce_scatter_tensor", 1)}
    found = dict.fromkeys((name for name, _ in ops.values()), 0)
    for e in profile.function_events:
        if e.name in ops:
            name, which = ops[e.name]
            found[name] += item_bytes * e.input_shapes[which][0]
    return found


def train(args):
    "A training, in one of the processes: what it needed."
    import torch

    from minifast.callbacks import Callback
    from minifast.checks.learner.step_cost import Peak, bytes_of
    from minifast.core import ranks
    torch.set_num_threads(1)
    if args.strategy == "one device":           # what torch loads and keeps for itself is no part of the training
        small = learner(args.model, args.quick, bs=2)
        with small.no_bar(), small.no_logging():
            small.fit(1, 1e-4)
        del small
        gc.collect()
    before = resident()[0]
    counts, shapes = {"all_reduce": 0}, torch.autograd.profiler.profile(record_shapes=True)
    os.environ["KINETO_LOG_LEVEL"] = "9"
    if args.strategy != "one device":
        ranks.join()
        count_sent(counts)
    learn = learner(args.model, args.quick)
    if args.strategy == "fsdp2":
        learn.to_distributed("fsdp2")
    found, seconds, peak, watched = {}, [], Peak(torch.device("cpu")), args.watched

    class Watch(Callback):
        "Counts and times from the second batch on; the last is watched by the profiler, and not timed."
        order, runs_last = -1000, ("after_batch",)

        def _before_last(self):
            return watched and self.learn.epoch == self.learn.n_epoch - 1 and self.learn.iter == self.learn.n_iter - 2

        def before_batch(self):
            if not self.learn.training:
                return
            self.before, self.sent = time.perf_counter(), counts["all_reduce"]
            if self._before_last() and args.strategy == "fsdp2":
                shapes.__enter__()
            if watched and self.learn.iter == self.learn.n_iter - 1:
                self.block = peak.watching()
                self.block.__enter__()

        def before_step(self):
            params = [p for g in self.learn.opt.param_groups for p in g["params"]]
            local = [getattr(p, "to_local", lambda p=p: p)() for p in params]
            grads = [getattr(p.grad, "to_local", lambda p=p: p.grad)() for p in params]
            found["weights"] = bytes_of(local) + bytes_of(list(self.learn.model.buffers()))
            found["gradients"] = bytes_of(grads)

        def after_batch(self):
            if not self.learn.training:
                return
            state = [v for s in self.learn.opt.state.values() for v in s.values() if isinstance(v, torch.Tensor)]
            found["optimizer state"] = bytes_of([getattr(t, "to_local", lambda t=t: t)() for t in state])
            if self._before_last():
                found["sent"] = {}
                if args.strategy == "fsdp2":
                    shapes.__exit__(None, None, None)
                    found["sent"] = of_fsdp2(shapes)
            elif watched and self.learn.iter == self.learn.n_iter - 1:
                self.block.__exit__(None, None, None)
                found.setdefault("sent", {})["all_reduce"] = counts["all_reduce"] - self.sent
                # what was there before the batch: weights, optimizer state, DDP's buckets
                found["memory"] = peak.bytes + found["weights"] + found["optimizer state"] + found["sent"]["all_reduce"]
            elif self.learn.iter > 1:
                seconds.append(time.perf_counter() - self.before)
    with learn.no_bar(), learn.no_logging():
        learn.fit(args.epochs, 1e-4, cbs=Watch())
    found["seconds"], found["resident"] = statistics.median(seconds), resident()[1] - before
    if ranks.is_main():
        print(json.dumps(found))


def bandwidth(args):
    "Bytes a second that a rank sends when the gradients of a model are summed."
    import torch

    from minifast.core import ranks
    torch.set_num_threads(1)
    ranks.join()
    world, params = ranks.world_size(), list(learner(args.model, args.quick).model.parameters())
    t, times = torch.zeros(min(sum(p.numel() for p in params), 25_000_000 // 4)), []
    for _ in range(8):
        ranks.barrier()
        before = time.perf_counter()
        torch.distributed.all_reduce(t)
        times.append(time.perf_counter() - before)
    if ranks.is_main():
        print(json.dumps(2 * (world - 1) / world * t.nbytes / statistics.median(times[1:])))


def planned(args):
    "What `learn.plan` says, for one process and for two."
    import torch
    torch.set_num_threads(args.ranks)
    plan = learner(args.model, args.quick).plan(gpus=args.ranks, bandwidth=args.bandwidth,
                                                seconds=1 if args.untimed else 5 if args.quick else 20)
    print(json.dumps({name: {**e.parts, "memory": e.memory, "seconds": e.seconds, "sent": e.communication_bytes}
                      for name, e in plan.estimates.items()}))


def run(ranks, *options):
    "Run this script in fresh processes."
    launcher = [] if ranks == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    return subprocess.run([sys.executable, *launcher, __file__, *options], capture_output=True, text=True, timeout=600,
                          env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""})


def ask(what, args, ranks, **more):
    "One thing of this script, in fresh processes; its answer."
    options = [f"--{k}={v}" for k, v in {"ask": what, "model": args.model, "epochs": args.epochs, "ranks": args.ranks, **more}.items()]
    done = run(ranks, *options, *(f"--{name}" for name in ("quick", "untimed") if getattr(args, name)))
    answers = [line for line in done.stdout.splitlines() if line.startswith(("{", *"0123456789"))]
    if not answers:                 # gloo's threads sometimes abort a process that ends on a busy machine; it has answered by then
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(answers[-1])


def rows_of(args):
    "Rows (model, strategy, what, predicted, measured)."
    speed = 1e9 if args.untimed else ask("bandwidth", args, args.ranks)
    plan = ask("planned", args, 1, bandwidth=speed)
    for strategy in args.strategies.split(","):
        ranks = 1 if strategy == "one device" else args.ranks
        found = ask("train", args, ranks, strategy=strategy, watched=1)
        predicted = plan[strategy]
        if ranks > 1:
            sent = {"all_reduce": 2 * (ranks - 1) / ranks, "all_gather_into_tensor": (ranks - 1) / ranks,
                    "reduce_scatter_tensor": (ranks - 1) / ranks}
            yield strategy, "sent", predicted["sent"], sum(n * sent[name] for name, n in found["sent"].items())
        for what in ("weights", "gradients", "optimizer state", "memory"):
            yield strategy, what, predicted[what], found[what]
        if args.untimed:
            continue
        times = ask("train", args, ranks, strategy=strategy, watched=0)
        if ranks == 1:
            yield strategy, "resident", predicted["memory"], times["resident"]
        else:                                   # the plan is of the threads that each of several processes has
            yield strategy, "seconds", predicted["seconds"], times["seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default=",".join(MODELS), help="names with commas")
    parser.add_argument("--strategies", default="one device,ddp,fsdp2", help="names with commas")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="small models")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    parser.add_argument("--untimed", action="store_true", help="neither seconds nor what a process grows by")
    for name in ("--ask", "--model", "--strategy"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--watched", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--bandwidth", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ask:
        return {"train": train, "bandwidth": bandwidth, "planned": planned}[args.ask](args)
    from common import machine, report
    if not args.json:
        print(machine())
    for args.model in args.models.split(","):
        for strategy, what, predicted, measured in rows_of(args):
            row = {"model": args.model, "strategy": strategy, "what": what, "predicted": predicted, "measured": measured,
                   "ratio": round(predicted / measured, 3)}
            shown = [f"{1e3 * v:.3g} ms" if what == "seconds" else f"{v / 1e6:,.4g} MB" for v in (predicted, measured)]
            report(row, f"{args.model:<12} {strategy:<11} {what:<16} {shown[0]:>12} planned, {shown[1]:>12} measured: "
                        f"{row['ratio']:.2f}", args.json)
    return None


if __name__ == "__main__":
    main()
