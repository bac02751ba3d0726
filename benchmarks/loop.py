"""Time per training step of a framework over a hand-written torch loop that does the same work.

    python benchmarks/loop.py                                  minifast: does it train the same weights, and what does it cost
    python benchmarks/loop.py --framework all                  also fastai, lightning, keras, skorch where they are installed
    python benchmarks/loop.py --framework keras --task mlp --rounds 21 --json

One row per framework, variant and task: microseconds per step by hand and in the framework, their ratio (median over the rounds, with
quartiles; `cpu` is the ratio of processor time), and the fixed cost of one call of fit. How it is measured: see `common.py` and the
README beside it.
"""
import argparse
import importlib.util
import os
import subprocess
import sys
import warnings

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")          # the overhead of a loop is a matter of the CPU
os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--framework", default="minifast", help="minifast, fastai, lightning, keras, skorch, several with commas, or all")
    parser.add_argument("--task", default="mlp,convnet", help="mlp, convnet or both with a comma")
    parser.add_argument("--loader", default="pre", choices=["pre", "std"], help="pre: ready-made batches; std: DataLoader(TensorDataset)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=0, help="torch threads (0: torch's choice)")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    parser.add_argument("--skip-same-weights", action="store_true", help="only time")
    args = parser.parse_args()
    from frameworks import FRAMEWORKS, Task
    args.frameworks = list(FRAMEWORKS) if args.framework == "all" else args.framework.split(",")
    args.tasks = args.task.split(",")
    for given, known in ((args.frameworks, FRAMEWORKS), (args.tasks, Task.shapes)):
        if wrong := [g for g in given if g not in known]:
            parser.error(f"unknown: {', '.join(wrong)}; choose from {', '.join(known)}")
    if args.rounds < 1:
        parser.error(f"--rounds must be 1 or more, not {args.rounds}")
    return args


def main():
    args = arguments()
    import torch
    from common import machine, report
    if args.threads:
        torch.set_num_threads(args.threads)
    if len(args.frameworks) > 1:                # each in a process of its own: importing one can change how another behaves
        return max(run_alone(name, args) for name in args.frameworks)
    name = args.frameworks[0]
    if importlib.util.find_spec(name) is None:
        report({"framework": name, "skipped": "not installed"}, f"{name}: skipped, not installed here (pip install {name})", args.json)
        return 0
    warnings.filterwarnings("ignore")
    print(f"# {name} {version(name)}; {machine()}", file=sys.stderr, flush=True)
    wrong = 0
    if name == "minifast" and not args.skip_same_weights:
        from same_weights import check_all
        wrong = check_all(args.json)
    for task in args.tasks:
        measure(name, task, args)
    return 1 if wrong else 0


def run_alone(name, args):
    command = [sys.executable, __file__, "--framework", name, "--task", args.task, "--loader", args.loader, "--rounds", str(args.rounds),
               "--threads", str(args.threads)]
    return subprocess.run(command + ["--json"] * args.json + ["--skip-same-weights"] * args.skip_same_weights).returncode


def version(name):
    from importlib.metadata import version as of
    return of(name)


def measure(name, task_name, args):
    "All variants of one framework on one task."
    from common import FakeTerminal, compare_slopes, output_to, report
    from frameworks import FRAMEWORKS, Task, hand_loop, plain_adamw
    function, variants = FRAMEWORKS[name]
    for variant, make_opt in variants:
        task = Task(task_name, args.loader)
        base_model, base = hand_loop(task, make_opt)
        with output_to(FakeTerminal()):
            model, run = function(task, variant)
            run(task.short)                             # warm up: some frameworks build things on the first call
            for n in (task.short, task.long):           # see that both do the number of steps that is divided by
                check_steps(base_model, base, n)
                check_steps(model, run, n)
            times = compare_slopes(base, run, task.short, task.long, args.rounds)
        against = "plain AdamW" if make_opt is plain_adamw else "same optimizer"
        row = {"framework": name, "version": version(name), "variant": variant, "task": task_name, "loader": args.loader,
               "against": against, **times}
        spread = f"({times['ratio_q1']:.3f}-{times['ratio_q3']:.3f}, cpu {times['ratio_cpu']:.3f})"
        report(row, f"{name:9} {variant:8} {task_name:8} {args.loader}  by hand ({against}) {times['base_us']:8.1f} us/step   "
                    f"here {times['other_us']:8.1f}   ratio {times['ratio']:.3f} {spread}   overhead {times['overhead_us']:6.1f} us   "
                    f"fit {times['fixed_ms']:.1f} ms", args.json)


def check_steps(model, run, n):
    "Run `n` steps and count the forward passes: a framework that does fewer, or validates as well, would be measured wrongly."
    calls = []
    handle = model.register_forward_pre_hook(lambda *a: calls.append(1))
    run(n)
    handle.remove()
    if len(calls) != n:
        raise RuntimeError(f"asked for {n} steps, {len(calls)} forward passes were made: the times would not be comparable")


if __name__ == "__main__":
    sys.exit(main())
