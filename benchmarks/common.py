"""What the benchmarks share: fair timing on a noisy machine, and the machine's description.

Absolute times vary with whatever else runs; ratios of neighbours in time do not. So two things are always timed in turn, in one process
(or in fresh processes, for imports), each round swaps their order, and the median over the rounds of the ratio within a round counts.
"""
import gc
import json
import os
import platform
import statistics
import sys
import time
from contextlib import contextmanager
from io import StringIO


class FakeTerminal(StringIO):
    "Takes what is drawn on a terminal; programs that ask find that it is one."

    def isatty(self):
        return True


@contextmanager
def output_to(stream):
    "Standard output and standard error go to `stream`."
    saved = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = stream
    try:
        yield
    finally:
        sys.stdout, sys.stderr = saved


def seconds(f, *args):
    "(wall time, processor time) of one call, garbage collected before."
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    f(*args)
    return time.perf_counter() - wall, time.process_time() - cpu


def median(values):
    return statistics.median(values)


def quartiles(values):
    "First and third quartile."
    values = sorted(values)
    return values[round(0.25 * (len(values) - 1))], values[round(0.75 * (len(values) - 1))]


def compare_slopes(base, other, short, long, rounds):
    """Time per step of `base(n_steps)` and `other(n_steps)`, the fixed cost of a call taken out by using two lengths.

    Returns a dict: base_us, other_us (medians, per step), overhead_us, ratio (median over rounds of other/base), ratio_q1, ratio_q3,
    ratio_cpu (of processor time: steadier where other programs run), ratio_call (of whole calls of the long length, fixed cost
    included), fixed_ms (of a call of `other`).
    """
    slopes, cpu, calls, fixed = {"base": [], "other": []}, {"base": [], "other": []}, [], []
    for r in range(rounds):
        t, order = {}, [("base", base), ("other", other)]
        for n in (long, short):
            for name, f in order if r % 2 == 0 else order[::-1]:
                t[name, n] = seconds(f, n)
        for name in slopes:
            slopes[name].append((t[name, long][0] - t[name, short][0]) / (long - short))
            cpu[name].append((t[name, long][1] - t[name, short][1]) / (long - short))
        calls.append(t["other", long][0] / t["base", long][0])
        fixed.append(t["other", short][0] - short * slopes["other"][-1])
    ratios = [o / b for o, b in zip(slopes["other"], slopes["base"], strict=True)]
    q1, q3 = quartiles(ratios)
    base_us, other_us = 1e6 * median(slopes["base"]), 1e6 * median(slopes["other"])
    return {"base_us": round(base_us, 1), "other_us": round(other_us, 1), "overhead_us": round(other_us - base_us, 1),
            "ratio": round(median(ratios), 3), "ratio_q1": round(q1, 3), "ratio_q3": round(q3, 3),
            "ratio_cpu": round(median([o / b for o, b in zip(cpu["other"], cpu["base"], strict=True)]), 3),
            "ratio_call": round(median(calls), 3), "fixed_ms": round(1e3 * median(fixed), 2), "rounds": rounds}


def machine():
    "One line: processor, usable cores, Python and torch."
    import torch
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (f"{_processor()}, {cores} cores, {torch.get_num_threads()} threads, {platform.system()}, "
            f"Python {platform.python_version()}, torch {torch.__version__}")


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            return next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def report(row, text, as_json):
    "Print one row: as JSON, or as `text`."
    print(json.dumps(row) if as_json else text, flush=True)
