"""Tokenising: texts per second compared with fastai, with the same number of processes; and memory as the corpus grows.

    python benchmarks/text_tokenize.py --data FOLDER --fastai PYTHON
    python benchmarks/text_tokenize.py --data FOLDER --fastai PYTHON --only df --workers 2 --rounds 9 --json
    python benchmarks/text_tokenize.py --data FOLDER --only memory --megabytes 5,20,80

FOLDER holds `imdb_sample/texts.csv`. Tasks: `df`, `tokenize_df` of the reviews; `files`, `tokenize_files` of the same, one in each
file; `subword`, learning 2000 pieces and `tokenize_df` with them (minifast alone); `memory`, the peak resident memory of a process
that tokenises a stream of so many megabytes into a file. Each side lives in a process of its own and they take turns; the ratio is the
median over the rounds. fastai calls spaCy, minifast its own word rules, which give the same tokens (compared in the first round).
"""
import argparse
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

TASKS = ("df", "files", "subword", "memory")


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("MINIFAST_TEST_DATA", "."), help="folder of the data sets")
    parser.add_argument("--texts", type=int, default=1000, help="how many reviews")
    parser.add_argument("--workers", default="1,2", help="numbers of processes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(TASKS), help=f"some of {', '.join(TASKS)}")
    parser.add_argument("--megabytes", default="5,20,80", help="sizes of the corpus of `memory`")
    parser.add_argument("--fastai", default=sys.executable, metavar="PYTHON", help="a Python that has fastai")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    args.tasks, args.workers = args.only.split(","), [int(n) for n in args.workers.split(",")]
    if wrong := [t for t in args.tasks if t not in TASKS]:
        parser.error(f"unknown: {', '.join(wrong)}; choose from {', '.join(TASKS)}")
    return args


def reviews(args):
    import pandas as pd
    df = pd.read_csv(Path(args.data) / "imdb_sample" / "texts.csv")
    return pd.concat([df] * -(-args.texts // len(df)), ignore_index=True)[:args.texts]


class Side:
    "What both do: `tokenize_df` and `tokenize_files` have the same arguments."

    def __init__(self, name, args):
        if name == "fastai":
            from fastai.text import core as text
        else:
            from minifast.text import all as text
        self.text, self.name, self.df = text, name, reviews(args)
        self.folder = Path(tempfile.mkdtemp())
        self.files = [self.folder / "in" / f"{i}.txt" for i in range(len(self.df))]

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    # fastai works in this process with 0, minifast with 0 too: one process is one process
    def run_df(self, n):
        out, _ = self.text.tokenize_df(self.df, "text", n_workers=n if n > 1 else 0)
        return [list(t) for t in out["text"][:50]]

    def run_files(self, n):
        if not self.files[0].is_file():
            self.files[0].parent.mkdir()
            for file, text in zip(self.files, self.df["text"], strict=True):
                file.write_text(text, encoding="utf-8")
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        self.text.tokenize_files(self.files, self.folder / "in", out, output_names=[f.name for f in self.files],
                                 n_workers=n if n > 1 else 0)
        return [(out / f.name).read_text(encoding="utf-8").split(" ") for f in self.files[:50]]

    def run_subword(self, n):
        tok = self.text.SubwordTokenizer(vocab_sz=2000, model_type="bpe").setup(self.df["text"])
        self.text.tokenize_df(self.df, "text", n_workers=n if n > 1 else 0, tok=tok)


def serve(name, args):
    "Answer requests, one JSON object per line, until the input ends."
    warnings.filterwarnings("ignore")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  (what frameworks print)
    side = Side(name, args)
    for line in sys.stdin:
        task, n = json.loads(line)
        gc.collect()
        started = time.perf_counter()
        tokens = getattr(side, f"run_{task}")(n)
        print(json.dumps({"wall": time.perf_counter() - started, "tokens": tokens}), file=answers, flush=True)
    side.close()


class Process:
    "A side in a process of its own."

    def __init__(self, name, python, args):
        self.process = subprocess.Popen([python, __file__, "--serve", name, "--data", args.data, "--texts", str(args.texts)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=own_environment() if python != sys.executable else None)

    def do(self, task, n):
        print(json.dumps([task, n]), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of one side ended with status {self.process.wait()}: see above")
        return json.loads(line)

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def own_environment():
    "Of another Python: it must not find the packages of this one."
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}


def has_fastai(python):
    check = "import importlib.util as u, sys; sys.exit(u.find_spec('fastai') is None)"
    return subprocess.run([python, "-c", check], env=own_environment()).returncode == 0


_STREAM = """
import resource, sys
import pandas as pd
from minifast.text.all import TokenStore
data, megabytes, n, folder = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
texts = pd.read_csv(data + "/imdb_sample/texts.csv")["text"].tolist()
def stream():
    left, i = megabytes * 1e6, 0
    while left > 0:
        text = texts[i % len(texts)]
        yield text
        left, i = left - len(text), i + 1
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
store = TokenStore.of(stream(), n_workers=n, path=folder + "/tokens", progress=False)
print(before, peak(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, int(store.lengths.sum()))
"""


def memory(args):
    from common import report
    for megabytes in map(float, args.megabytes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            out = subprocess.run([sys.executable, "-c", _STREAM, args.data, str(megabytes), str(max(args.workers)), folder],
                                 capture_output=True, text=True, check=True).stdout
            seconds = time.perf_counter() - started
        before, peak, worker, tokens = map(float, out.split())
        row = {"task": "memory", "mb": megabytes, "before_mb": round(before), "peak_mb": round(peak),
               "worker_mb": round(worker), "tokens": int(tokens), "seconds": round(seconds, 1)}
        report(row, f"memory: a corpus of {megabytes:g} MB ({tokens:,.0f} tokens): {peak - before:.0f} MB beyond the {before:.0f} MB of "
                    f"the imports, at most {worker:.0f} MB in a process; {seconds:.0f} s", args.json)


def main():
    args = arguments()
    if args.serve:
        return serve(args.serve, args)
    from common import machine, median, quartiles, report
    print(f"# {machine()}", file=sys.stderr, flush=True)
    pythons = {"minifast": sys.executable}
    if has_fastai(args.fastai):
        pythons["fastai"] = args.fastai
    else:
        print(f"fastai: skipped, {args.fastai} does not have it (--fastai PYTHON)", file=sys.stderr)
    sides = {name: Process(name, python, args) for name, python in pythons.items()}
    try:
        for task in (t for t in args.tasks if t != "memory"):
            for n in args.workers:
                names = [name for name in sides if task != "subword" or name == "minifast"]
                times = {name: [] for name in names}
                first = {name: sides[name].do(task, n)["tokens"] for name in names}
                for r in range(args.rounds):
                    for name in names[::1 if r % 2 == 0 else -1]:
                        times[name].append(sides[name].do(task, n)["wall"])
                row = {"task": task, "processes": n, "texts": args.texts, "rounds": args.rounds,
                       **{f"{name}_per_second": round(args.texts / median(t)) for name, t in times.items()}}
                text = f"{task}, {n} processes: " + ", ".join(f"{name} {row[f'{name}_per_second']:,} texts/s" for name in names)
                if "fastai" in names:
                    ratios = [f / m for f, m in zip(times["fastai"], times["minifast"], strict=True)]
                    q1, q3 = quartiles(ratios)
                    same = sum(a == b for a, b in zip(first["minifast"], first["fastai"], strict=True)) / len(first["fastai"])
                    row.update(ratio=round(median(ratios), 2), ratio_q1=round(q1, 2), ratio_q3=round(q3, 2), same_texts=same)
                    text += f"; {row['ratio']} times as many ({row['ratio_q1']} to {row['ratio_q3']}); {same:.0%} of 50 texts the same"
                report(row, text, args.json)
    finally:
        for side in sides.values():
            side.end()
    if "memory" in args.tasks:
        memory(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
