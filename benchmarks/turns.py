"""Pipelines in processes of their own that take turns: importing one can change another, and neighbours in time can be compared."""
import json
import subprocess
import sys
import time
import warnings


def serve(run):
    "In the process of a pipeline: `run()` once for each line on standard input; what it counted and the seconds go to standard output."
    warnings.filterwarnings("ignore")
    for _ in range(2):                          # what starting costs is not counted, nor is filling a cache
        run()
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        n = run()
        print(json.dumps([n, time.perf_counter() - started]), flush=True)


class Runner:
    "The pipeline `name` of `script`, started by `python`; `ready` is False if it did not start."

    def __init__(self, python, script, name, options=()):
        self.name = name
        self.process = subprocess.Popen([python, script, "--pipeline", name, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.ready = self.process.stdout.readline().strip() == "ready"

    def turn(self):
        "(what was counted, seconds) of one run."
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


def take_turns(runners, rounds, skipped):
    "{name: per second of each round} of the runners that are ready; `skipped(name)` is called for the others."
    for r in runners:
        if not r.ready:
            skipped(r.name)
    runners = [r for r in runners if r.ready]
    rates = {r.name: [] for r in runners}
    try:
        for turn in range(rounds):
            for r in runners if turn % 2 == 0 else runners[::-1]:
                n, seconds = r.turn()
                rates[r.name].append(n / seconds)
    finally:
        for r in runners:
            r.end()
    return rates


def ratios_over(rates, name, base):
    "The median over the rounds of the ratio within a round, to two digits."
    from common import median
    return round(median([a / b for a, b in zip(rates[name], rates[base], strict=True)]), 2)
