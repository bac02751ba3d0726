"""Tables: minifast compared with a hand-written torch loop and with fastai, on a synthetic table of a million rows.

    python benchmarks/tabular.py                               the whole, with fastai where this Python has it
    python benchmarks/tabular.py --fastai PYTHON               fastai of another environment: the path of its Python
    python benchmarks/tabular.py --only predict,preds --rounds 15 --json

The table has 8 category columns (3 to 10,000 values; text, then whole numbers) and 6 of numbers, two of them with gaps. Measured:
processing up to loaders that are ready, an epoch at batch 1024 with validation, `get_preds` on ready rows, `predict` of one row. Each
side lives in a process of its own and they take turns; the processes are started anew now and then, because where their memory happens
to lie can make one a tenth slower for as long as it lives. A ratio is the median over the rounds of minifast over the other within a
round, of wall and of processor time. Peak memory is what a side needs beyond what it had before, in the first call.
"""
import argparse
import ctypes
import gc
import importlib.util
import json
import os
import subprocess
import sys
import time
import warnings

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")          # the price of a framework here is a matter of the CPU

CARDINALITIES = (3, 7, 12, 40, 100, 500, 2000, 10_000)
CATS, CONTS = [f"c{i}" for i in range(8)], [f"x{i}" for i in range(6)]
LAYERS, BS, LR = [200, 100], 1024, 1e-3
TASKS = ("strings", "integers", "epoch", "preds", "predict")


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows to process")
    parser.add_argument("--epoch-rows", type=int, default=200_000, help="rows of an epoch and of get_preds; four in five train")
    parser.add_argument("--rounds", type=int, default=4, help="rounds of each launch")
    parser.add_argument("--launches", type=int, default=2, help="how often the processes are started anew")
    parser.add_argument("--only", default=",".join(TASKS), help=f"some of {', '.join(TASKS)}")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (0: torch's choice)")
    parser.add_argument("--fastai", default=sys.executable, metavar="PYTHON", help="a Python that has fastai")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    args.tasks = args.only.split(",")
    if wrong := [t for t in args.tasks if t not in TASKS]:
        parser.error(f"unknown: {', '.join(wrong)}; choose from {', '.join(TASKS)}")
    if args.rounds < 1 or args.launches < 1 or args.rows < 1000 or args.epoch_rows < 2 * BS:
        parser.error(f"--rounds and --launches must be at least 1, --rows 1000, --epoch-rows {2 * BS}")
    return args


# -- the table ---------------------------------------------------------------------------------------------------------------------
def frame(n, kind):
    "The synthetic table; kind: 'strings' or 'integers' in the category columns."
    import numpy as np
    import pandas as pd
    rng, columns = np.random.RandomState(0), {}
    for name, many in zip(CATS, CARDINALITIES, strict=True):
        ids = rng.randint(0, many, n)
        columns[name] = np.array([f"v{i}" for i in range(many)], dtype=object)[ids] if kind == "strings" else ids
    for i, name in enumerate(CONTS):
        values = rng.randn(n) * (i + 1) + i
        if i < 2:
            values[rng.rand(n) < 0.05] = np.nan
        columns[name] = values
    columns["y"] = np.where(np.nan_to_num(columns["x2"]) + rng.randn(n) > 2, "yes", "no")
    return pd.DataFrame(columns)


def split(n):
    import numpy as np
    order = np.random.RandomState(1).permutation(n)
    return order[:int(n * 0.8)], order[int(n * 0.8):]


# -- the sides: each does the same five things ----------------------------------------------------------------------------------------
class Side:
    "One way of working with the table. `take` prepares for a task; a method of that name then does it once."

    def __init__(self, threads):
        import torch
        if threads:
            torch.set_num_threads(threads)
        self.start()

    def take(self, task, rows):
        self.df = self.split = self.ready = None
        gc.collect()
        if task in ("strings", "integers"):
            self.df, self.split = frame(rows, task), split(rows)
            self.process(frame(5000, task), split(5000))               # imports, threads, first calls
        else:
            self.df, self.split = frame(rows, "strings"), split(rows)
            self.make_ready(task)

    def strings(self):
        return len(self.process(self.df, self.split))

    integers = strings

    @property
    def unlabelled(self):
        return self.df.drop(columns="y")


class Minifast(Side):
    def start(self):
        import minifast.tabular.all as tabular
        self.lib = tabular

    def process(self, df, splits, **kwargs):
        lib = self.lib
        table = lib.TabularPandas(df, [lib.Categorify, lib.FillMissing, lib.Normalize], CATS, CONTS, "y", lib.CategoryBlock,
                                  splits=splits)
        return table.dataloaders(bs=BS, **kwargs)

    def make_ready(self, task):
        lib = self.lib
        self.learn = lib.tabular_learner(self.process(self.df, self.split, seed=1), LAYERS, lr=LR, metrics=lib.accuracy)
        self.learn.create_opt()                                         # imports what torch imports for it
        if task == "preds":
            self.ready = self.learn.dls.test_dl(self.unlabelled, bs=4096)
        elif task == "predict":
            self.ready = self.df.iloc[0]
            self.learn.predict(self.ready)

    def epoch(self):
        with self.learn.no_bar(), self.learn.no_logging():
            self.learn.fit(1)

    def preds(self):
        with self.learn.no_bar():
            return self.learn.get_preds(dl=self.ready)[0]

    def predict(self, n=300):
        for _ in range(n):
            self.learn.predict(self.ready)
        return n


class Fastai(Side):
    def start(self):
        import fastai.tabular.all as tabular
        self.lib = tabular

    def process(self, df, splits):
        lib, known = self.lib, self.__dict__.setdefault("lists", {})
        if len(df) not in known:                                        # the lists that fastai wants cost time that is not its own
            known[len(df)] = [part.tolist() for part in splits]
        table = lib.TabularPandas(df, [lib.Categorify, lib.FillMissing, lib.Normalize], list(CATS), list(CONTS), "y", lib.CategoryBlock(),
                                  splits=known[len(df)])
        return table.dataloaders(bs=BS)

    def make_ready(self, task):
        self.learn = self.lib.tabular_learner(self.process(self.df, self.split), LAYERS, lr=LR, metrics=self.lib.accuracy)
        self.learn.create_opt()
        if task == "preds":
            self.ready = self.learn.dls.test_dl(self.unlabelled, bs=4096)
        elif task == "predict":
            self.ready = self.df.iloc[0]
            self.predict(1)

    def epoch(self):
        with self.learn.no_bar(), self.learn.no_logging():
            self.learn.fit(1)

    def preds(self):
        with self.learn.no_bar(), self.learn.no_logging():
            return self.learn.get_preds(dl=self.ready)[0]

    def predict(self, n=5):
        with self.learn.no_bar(), self.learn.no_logging():
            for _ in range(n):
                self.learn.predict(self.ready)
        return n


class ByHand(Side):
    "Plain pandas, numpy and torch: codes and numbers as tensors, batches by index, fused AdamW."

    def start(self):
        import torch
        import torch.nn.functional as F
        self.torch, self.F = torch, F

    def process(self, df, splits):
        import numpy as np
        import pandas as pd
        torch, (train, valid) = self.torch, splits
        codes, numbers, self.known = [], [], {}
        for name in CATS:
            found, values = pd.factorize(df[name])
            seen = np.zeros(len(values) + 1, dtype=bool)
            seen[found[train]] = True
            there, values = np.flatnonzero(seen[:-1]), np.asarray(values)
            order, ids = there[np.argsort(values[there].astype(str), kind="stable")], np.zeros(len(values) + 1, dtype=np.int64)
            ids[order] = np.arange(1, len(order) + 1)
            codes.append(ids[found])
            self.known[name] = {v: i + 1 for i, v in enumerate(values[order].tolist())}
        self.medians, self.means, self.stds, self.gaps = {}, {}, {}, []
        for name in CONTS:
            values = df[name].to_numpy(dtype=np.float32, copy=True)
            missing = np.isnan(values)
            self.medians[name] = float(np.nanmedian(values[train]))
            if missing[train].any():
                codes.append(missing.astype(np.int64) + 1)
                self.gaps.append(name)
                values[missing] = self.medians[name]
            mean, std = values[train].mean(), values[train].std() + 1e-7
            self.means[name], self.stds[name] = float(mean), float(std)
            numbers.append((values - mean) / std)
        y = pd.factorize(df["y"], sort=True)[0].astype(np.int64)
        tensors = [torch.from_numpy(a) for a in (np.stack(codes, 1), np.stack(numbers, 1), y)]
        return [tuple(t[torch.from_numpy(rows)] for t in tensors) for rows in (train, valid)]

    def make_ready(self, task):
        from minifast.tabular.model import TabularModel, emb_sz_rule
        torch, (self.train, self.valid) = self.torch, self.process(self.df, self.split)
        sizes = [len(self.known[n]) + 1 for n in CATS] + [3] * len(self.gaps)
        self.model = TabularModel([(n, emb_sz_rule(n)) for n in sizes], len(CONTS), 2, LAYERS)
        self.opt = torch.optim.AdamW(self.model.parameters(), lr=LR, fused=True)
        if task == "preds":
            self.ready = [torch.cat(parts).contiguous() for parts in zip(self.train[:2], self.valid[:2], strict=True)]
        elif task == "predict":
            self.ready = self.df.iloc[0]

    def epoch(self):
        torch, F, model = self.torch, self.F, self.model.train()
        for rows in torch.randperm(len(self.train[0])).split(BS):
            codes, numbers, y = (t[rows] for t in self.train)
            F.cross_entropy(model(codes, numbers), y).backward()
            self.opt.step()
            self.opt.zero_grad()
        model.eval()
        loss = right = 0.0
        with torch.no_grad():
            for codes, numbers, y in zip(*(t.split(BS) for t in self.valid), strict=True):
                out = model(codes, numbers)
                loss += F.cross_entropy(out, y) * len(y)
                right += (out.argmax(1) == y).sum()
        return float(loss), float(right)

    def preds(self):
        torch, model = self.torch, self.model.eval()
        with torch.inference_mode():
            return torch.cat([model(c, x).softmax(1) for c, x in zip(*(t.split(4096) for t in self.ready), strict=True)])

    def predict(self, n=300):
        torch, model = self.torch, self.model.eval()
        for _ in range(n):
            row = self.ready.to_dict()
            codes = [self.known[k].get(row[k], 0) for k in CATS] + [1 + (row[k] != row[k]) for k in self.gaps]
            numbers = [((self.medians[k] if row[k] != row[k] else row[k]) - self.means[k]) / self.stds[k] for k in CONTS]
            with torch.inference_mode():
                model(torch.tensor([codes]), torch.tensor([numbers])).softmax(1)[0].argmax()
        return n


SIDES = {"minifast": Minifast, "by hand": ByHand, "fastai": Fastai}


# -- one process for each ------------------------------------------------------------------------------------------------------------
def memory():
    "(bytes in use, the most there were since the last `forget`); Linux only."
    try:
        with open("/proc/self/status", encoding="utf-8") as f:
            found = dict(line.split(":", 1) for line in f)
        return tuple(int(found[k].split()[0]) * 1024 for k in ("VmRSS", "VmHWM"))
    except (OSError, KeyError):
        return None


def forget():
    "Give freed memory back and begin to watch the most that is in use; whether that is possible."
    try:
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/clear_refs", "w", encoding="utf-8") as f:
            f.write("5")
    except (OSError, AttributeError):
        return False
    return True


def serve(name, threads):
    "Answer requests, one JSON object per line, until the input ends."
    warnings.filterwarnings("ignore")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  (what frameworks print)
    side = SIDES[name](threads)
    version = importlib.import_module(name).__version__ if name != "by hand" else side.torch.__version__
    print(json.dumps({"version": version}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        task = request["task"]
        if "rows" in request:
            side.take(task, request["rows"])
        gc.collect()
        watched = "rows" in request and forget() and memory()
        wall, cpu = time.perf_counter(), time.process_time()
        done = getattr(side, task)()
        per = done if task == "predict" else 1
        wall, cpu = (time.perf_counter() - wall) / per, (time.process_time() - cpu) / per
        peak = memory()[1] - watched[0] if watched else None
        del done
        print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak}), file=answers, flush=True)


class Process:
    "A side in a process of its own."

    def __init__(self, name, python, threads):
        self.process = subprocess.Popen([python, __file__, "--serve", name, "--threads", str(threads)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env={**os.environ, **({"OMP_NUM_THREADS": str(threads)}
                                                                                                 if threads else {})})
        self.version = self._read()["version"]

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of one side ended with status {self.process.wait()}: see above")
        return json.loads(line)

    def do(self, task, **request):
        print(json.dumps({"task": task, **request}), file=self.process.stdin, flush=True)
        return self._read()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def has_fastai(python):
    return subprocess.run([python, "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('fastai') is None)"]).returncode == 0


def main():
    args = arguments()
    if args.serve:
        return serve(args.serve, args.threads)
    from common import machine
    print(f"# {machine()}", file=sys.stderr, flush=True)
    names = {"minifast": sys.executable, "by hand": sys.executable}
    if has_fastai(args.fastai):
        names["fastai"] = args.fastai
    else:
        print(f"fastai: skipped, {args.fastai} does not have it (--fastai PYTHON)", file=sys.stderr)
    for task in args.tasks:
        times, first, versions = {name: [] for name in names}, {}, {}
        for _ in range(args.launches):
            sides = {name: Process(name, python, args.threads) for name, python in names.items()}
            try:
                take_turns(task, sides, args, first, times)
            finally:
                for name, side in sides.items():
                    side.end()
                    versions[name] = side.version
        show(task, first, times, versions, args)
    return 0


def rows_of(task, args):
    return args.rows if task in ("strings", "integers") else args.epoch_rows


def take_turns(task, sides, args, first, times):
    for name, side in sides.items():
        first[name] = side.do(task, rows=rows_of(task, args))
    for r in range(args.rounds):
        for name in list(sides)[::1 if r % 2 == 0 else -1]:
            times[name].append(sides[name].do(task))


def show(task, first, times, versions, args):
    from common import median, quartiles, report
    for name in times:
        peak = first[name]["peak"]
        row = {"task": task, "rows": rows_of(task, args), "side": name, "version": versions[name], "rounds": len(times[name]),
               **{key: round(1e3 * median(t[kind] for t in times[name]), 3) for key, kind in (("ms", "wall"), ("cpu_ms", "cpu"))},
               "peak_mb": None if peak is None else round(peak / 2**20, 1)}
        text = f"{task:9} {name:9} {row['ms']:10.2f} ms  (cpu {row['cpu_ms']:10.2f})   peak {row['peak_mb']} MiB"
        if name != "minifast":
            ratios = [a["wall"] / b["wall"] for a, b in zip(times["minifast"], times[name], strict=True)]
            row["ratio"], (row["ratio_q1"], row["ratio_q3"]) = round(median(ratios), 4), [round(q, 4) for q in quartiles(ratios)]
            row["ratio_cpu"] = round(median(a["cpu"] / b["cpu"] for a, b in zip(times["minifast"], times[name], strict=True)), 4)
            text += (f"   minifast takes {row['ratio']:.3f} of it ({row['ratio_q1']:.3f}-{row['ratio_q3']:.3f}, "
                     f"cpu {row['ratio_cpu']:.3f}), is {1 / row['ratio']:.2f} times as fast (cpu {1 / row['ratio_cpu']:.2f})")
        report(row, text, args.json)


if __name__ == "__main__":
    sys.exit(main())
