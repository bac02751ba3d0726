"""What importing costs, over importing the libraries that are needed anyway.

    python benchmarks/imports.py
    python benchmarks/imports.py --framework all --rounds 15 --json

Every import happens in a fresh process; a pair takes turns, and the median over the rounds of the ratio within a round counts. Only the
import statement is timed, not the start of Python.
"""
import argparse
import importlib.util
import os
import subprocess
import sys

from common import machine, median, quartiles, report

TORCH = "import torch"
VISION = "import torch, torchvision, matplotlib.pyplot, pandas"
#: framework -> pairs of (what is measured, what it is compared with)
PAIRS = {
    "minifast": [("from minifast.vision.all import *", VISION), ("from minifast.learner.learner import Learner", TORCH)],
    "fastai": [("from fastai.vision.all import *", VISION), ("from fastai.learner import Learner", TORCH)],
    "lightning": [("import lightning", TORCH)],
    "keras": [("import keras", TORCH)],
    "skorch": [("import skorch", TORCH)],
}
PROGRAM = """
import os, time
start = time.perf_counter()
{statement}
print(time.perf_counter() - start, flush=True)
os._exit(0)
"""


def import_time(statement):
    "Seconds that `statement` takes in a fresh process; RuntimeError with its message when it fails."
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "torch", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM.format(statement=statement)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"`{statement}` failed: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.splitlines()[-1])


def compare(statement, base, rounds):
    times = {statement: [], base: []}
    for s in times:
        import_time(s)                          # files read once, byte code written
    for r in range(rounds):
        for s in (base, statement) if r % 2 == 0 else (statement, base):
            times[s].append(import_time(s))
    ratios = [a / b for a, b in zip(times[statement], times[base], strict=True)]
    q1, q3 = quartiles(ratios)
    return {"base_s": round(median(times[base]), 3), "import_s": round(median(times[statement]), 3), "ratio": round(median(ratios), 3),
            "ratio_q1": round(q1, 3), "ratio_q3": round(q3, 3), "rounds": rounds}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--framework", default="minifast", help=f"{', '.join(PAIRS)}, several with commas, or all")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    args = parser.parse_args()
    names = list(PAIRS) if args.framework == "all" else args.framework.split(",")
    if wrong := [n for n in names if n not in PAIRS]:
        parser.error(f"unknown: {', '.join(wrong)}; choose from {', '.join(PAIRS)}")
    print(f"# {machine()}", file=sys.stderr, flush=True)
    failed = False
    for name in names:
        if importlib.util.find_spec(name) is None:
            report({"framework": name, "skipped": "not installed"}, f"{name}: skipped, not installed here (pip install {name})", args.json)
            continue
        for statement, base in PAIRS[name]:
            try:
                row = compare(statement, base, args.rounds)
            except RuntimeError as e:
                report({"import": statement, "failed": str(e)}, str(e), args.json)
                failed = True
                continue
            report({"import": statement, "against": base, **row},
                   f"{statement:40} {row['import_s']:.3f} s   {base} {row['base_s']:.3f} s   ratio {row['ratio']:.3f} "
                   f"({row['ratio_q1']:.3f}-{row['ratio_q3']:.3f})", args.json)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
