"""Runs the checks of a single accelerator, each in a process of its own with its own time limit, and prints a line for each.

    bash device_checks/gpu.sh                               on a GPU
    python device_checks/checks.py --device cpu             the same code in miniature; what exists on a GPU only is skipped by name
    python device_checks/checks.py --device cuda --only resnet50,augment

A line is `PASS`, `FAIL` or `SKIP`, the name, seconds, and a figure or the reason. The exit status is 1 if a check failed. With OUT in the
environment, or --json FILE, all results are written as JSON.
"""
import argparse
import json
import multiprocessing
import os
import platform
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
#: What the processes of all checks on a CPU share, which are forked: imports take longer than most checks in miniature.
IMPORTED_ONCE = ["torchvision", "torch._dynamo", "torch.distributed.fsdp", "minifast.vision.all", "minifast.callbacks"]
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "benchmarks")]


class Result(NamedTuple):
    "What came of a check: PASS, FAIL or SKIP, a sentence, numbers."
    verdict: str
    text: str
    numbers: dict


def run_here(name, device, folder):
    "One check, in this process: what is printed goes into files of `folder`, the result is the last line of `out`."
    import warnings
    os.setsid()
    for fd, file in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(folder) / file, os.O_WRONLY | os.O_CREAT), fd)

    from measurements import CHECKS, NotHere
    warnings.simplefilter("ignore")
    try:
        ok, text, numbers = CHECKS[name].function(device)
        result = Result("PASS" if ok else "FAIL", text, numbers)
    except NotHere as e:
        result = Result("SKIP", str(e), {})
    except Exception as e:
        import traceback
        traceback.print_exc()
        result = Result("FAIL", f"{type(e).__name__}: {(str(e).splitlines() or [''])[0][:300]}", {})
    print("\n" + json.dumps(result._asdict()), flush=True)


def run_apart(name, device, limit):
    "One check in a process of its own, with all that it starts ended after `limit` seconds."
    start = multiprocessing.get_context("forkserver" if device == "cpu" else "spawn")       # CUDA does not stand forking
    with tempfile.TemporaryDirectory() as folder:
        child = start.Process(target=run_here, args=(name, device, folder))
        child.start()
        try:
            child.join(limit)
            late = child.is_alive()
        finally:
            child.kill()
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.join()
        if late:
            return Result("FAIL", f"not done after {limit:.3g} s", {}), ""
        out, err = (file.read_text() if file.exists() else "" for file in (Path(folder) / "out", Path(folder) / "err"))
    try:
        return Result(**json.loads(out.strip().splitlines()[-1])), err
    except (IndexError, ValueError, TypeError):
        return Result("FAIL", f"ended with status {child.exitcode}", {}), err


def machine(device):
    "What the checks run on, in a line."
    import torch
    import torchvision
    gpu = torch.cuda.get_device_name(0) if device == "cuda" and torch.cuda.is_available() else platform.processor() or platform.machine()
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, torchvision {torchvision.__version__}"
    return f"{gpu}, {os.cpu_count()} cores, {versions}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--only", help="names with commas")
    parser.add_argument("--seconds", type=float, default=470, help="for all checks together")
    parser.add_argument("--json", type=Path, help="file for the results; default: $OUT/checks.json where OUT is set")
    args = parser.parse_args()
    end = time.monotonic() + args.seconds
    from measurements import CHECKS
    names = args.only.split(",") if args.only else list(CHECKS)
    if unknown := [n for n in names if n not in CHECKS]:
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(CHECKS)}")
    import torch
    there = args.device == "cpu" or torch.cuda.is_available()
    multiprocessing.set_forkserver_preload(IMPORTED_ONCE)
    described, results = machine(args.device), {}
    print(described, flush=True)
    for name in names:
        left, began = end - time.monotonic(), time.monotonic()
        if not there:
            result, err = Result("SKIP", "torch sees no GPU here", {}), ""
        elif left < 5:
            result, err = Result("SKIP", "no time was left", {}), ""
        else:
            patience = 3 if args.device == "cpu" else 1         # limits are those of a GPU
            result, err = run_apart(name, args.device, min(patience * CHECKS[name].seconds, left))
        took = time.monotonic() - began
        results[name] = {**result._asdict(), "seconds": round(took, 1)}
        print(f"{result.verdict}  {name:<16} {took:6.1f} s  {result.text}", flush=True)
        if result.verdict == "FAIL" and err:
            print("      " + "\n      ".join(err.strip().splitlines()[-12:]), flush=True)
    counts = {v: sum(r["verdict"] == v for r in results.values()) for v in ("PASS", "FAIL", "SKIP")}
    print(", ".join(f"{n} {v}" for v, n in counts.items()), flush=True)
    file = args.json or (Path(os.environ["OUT"]) / "checks.json" if os.environ.get("OUT") else None)
    if file:
        file.write_text(json.dumps({"machine": described, "device": args.device, "checks": results}, indent=1))
    return int(counts["FAIL"] > 0)


if __name__ == "__main__":
    sys.exit(main())
