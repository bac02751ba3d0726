"""What interrupts and dead workers leave behind: {verb} x {workers} x {event}, each in a process of its own. Is the learner usable then?

    python benchmarks/interrupts.py [--only fit,lr_find] [--times 3] [--jupyter 10]

An event comes while the verb is under way: SIGINT to the process group, as terminals and Jupyter send it; two of them, 1 to 40 ms apart;
SIGKILL of a worker; a worker that calls `os._exit(0)`, which torch does not notice. Afterwards the same verb, a fit, and the clean-up of
that fit must work, all within 5 s after the error. Where there are no worker processes, there are none to kill.
"""
import argparse
import multiprocessing
import os
import signal
import tempfile
import threading
import time
import traceback

VERBS = ("fit", "lr_find", "get_preds", "validate", "tta", "show_batch")
WORKERS = ("0", "threads", "processes")
EVENTS = ("SIGINT", "SIGINT twice", "SIGKILL", "os._exit")
LIMIT = 5.0


def one(verb, workers, event, seed):
    "In a process of its own: the verb, the event, and what can be done afterwards. Prints a line."
    import random

    signal.signal(signal.SIGINT, signal.default_int_handler)       # a shell's background job would ignore it
    import numpy as np
    import torch
    from PIL import Image

    from minifast.vision.all import Callback, CategoryBlock, DataBlock, ImageBlock, IndexSplitter, Learner, accuracy, aug_transforms
    draw, folder = random.Random(seed), tempfile.mkdtemp()
    files, asked = [], os.path.join(folder, "exit")
    for i in range(96):
        files.append(os.path.join(folder, f"{i % 2}_{i}.png"))
        Image.fromarray(np.full((16, 16, 3), i, np.uint8)).save(files[-1])

    def label(f):
        time.sleep(0.004)                       # so that an epoch takes long enough to be interrupted
        if event == "os._exit" and os.path.exists(asked) and os.getpid() != owner:
            os._exit(0)
        return os.path.basename(f)[0]

    owner = os.getpid()
    block = DataBlock((ImageBlock, CategoryBlock(vocab=["0", "1"])), splitter=IndexSplitter(range(48)), get_y=label,
                      batch_tfms=aug_transforms(size=16))
    more = {"num_workers": 0} if workers == "0" else {"num_workers": 2, "worker_type": "thread" if workers == "threads" else "process"}
    dls = block.dataloaders(files, bs=4, device="cpu", **more)
    learn = Learner(dls, torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 2)), metrics=accuracy)
    calls = {"fit": lambda: learn.fit(1), "lr_find": lambda: learn.lr_find(num_it=12, show_plot=False), "get_preds": learn.get_preds,
             "validate": learn.validate, "tta": learn.tta, "show_batch": dls.show_batch}
    call = calls[verb]
    with learn.no_bar(), learn.no_logging():
        call()                                  # once undisturbed: workers are running, and everything is imported
        n_cbs, done = len(learn.cbs), threading.Event()

        def disturb():
            time.sleep(draw.uniform(0.05, 0.3))
            if done.is_set():
                return
            if event == "os._exit":
                open(asked, "w").close()
            elif event == "SIGKILL":
                os.kill(draw.choice(multiprocessing.active_children()).pid, signal.SIGKILL)
            else:
                os.killpg(0, signal.SIGINT)
                if event == "SIGINT twice":
                    time.sleep(draw.uniform(0.001, 0.04))
                    os.killpg(0, signal.SIGINT)

        said, error = "no error", None
        try:
            disturber = threading.Thread(target=disturb)
            disturber.start()
            until = time.time() + 20
            while time.time() < until:
                call()
            said = "nothing happened"
        except BaseException as e:
            error = e
            said = f"{type(e).__name__}: {str(e)[:110]}"
        ended = time.time()
        done.set()
        for _ in range(3):
            try:
                disturber.join()
                break
            except BaseException:               # the second Ctrl-C, or torch's word of the worker, comes when it comes
                pass
        if os.path.exists(asked):
            os.remove(asked)
        heard = []
        try:
            call()
            learn.fit(1, cbs=Callback(cleanup_fit=lambda: heard.append(1)))
            whole = heard == [1] and learn.dl is None and len(learn.cbs) == n_cbs and all(cb.learn is learn for cb in learn.cbs)
            after = "usable" if whole else f"not whole: cleaned up {len(heard)}, dl {learn.dl}, {len(learn.cbs)} callbacks of {n_cbs}"
        except BaseException as e:
            after = f"{type(e).__name__}: {str(e)[:200]}"
        seconds = time.time() - ended
    del error
    print(f"RESULT {int(after == 'usable' and seconds < LIMIT)} | {seconds:.1f} s | {said} | {after}", flush=True)


def tried(verb, workers, event, seed):
    "The line that `one` printed. The process is forked, so that nothing is imported again."
    with tempfile.TemporaryFile("w+") as out:
        pid = os.fork()
        if not pid:
            os.setsid()
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            try:
                one(verb, workers, event, seed)
            except BaseException:
                traceback.print_exc()
            for w in multiprocessing.active_children():
                w.kill()
            os._exit(0)
        until = time.time() + 60
        while not os.waitpid(pid, os.WNOHANG)[0]:
            time.sleep(0.02)
            if time.time() > until:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return "0 | hangs"
        out.seek(0)
        text = out.read()
        lines = [line.removeprefix("RESULT ") for line in text.splitlines() if line.startswith("RESULT ")]
        return lines[0] if lines else f"0 | {text[-600:]}"


JUPYTER = '''
import torch, time
from minifast import *
from minifast.callbacks.base import Callback
from minifast.data.dataloader import DataLoader
from minifast.data.loaders import DataLoaders
from minifast.learner.learner import Learner
class DS(torch.utils.data.Dataset):
    def __len__(self): return 320
    def __getitem__(self, i): time.sleep(.002); return torch.randn(4), i % 2
learn = Learner(DataLoaders(DataLoader(DS(), bs=8, num_workers=2, device="cpu"), DataLoader(DS(), bs=8, num_workers=2, device="cpu")),
                torch.nn.Linear(4, 2), torch.nn.functional.cross_entropy)
'''


def jupyter(n):
    "In a real kernel: fit, interrupt, fit."
    from jupyter_client.manager import start_new_kernel
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        def cell(code, interrupt=None):
            client.execute(code)
            if interrupt is not None:
                time.sleep(interrupt)
                manager.interrupt_kernel()
            return client.get_shell_msg(timeout=60)["content"]

        assert cell(JUPYTER)["status"] == "ok"
        usable = 0
        for k in range(n):
            reply, begun = cell("learn.fit(1000)", interrupt=1.5 + k / 7), time.time()
            again = cell("learn.fit(1)")
            seconds = time.time() - begun
            usable += again["status"] == "ok" and seconds < LIMIT + 1
            print(f"jupyter {k}: {reply.get('ename')}, then {again['status']} {again.get('evalue', '')} after {seconds:.1f} s", flush=True)
        print(f"jupyter: {usable} of {n} usable")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default=",".join(VERBS))
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--jupyter", type=int, default=0, help="how often to interrupt a real kernel")
    args = parser.parse_args()
    os.environ["MPLBACKEND"] = "Agg"
    import minifast.vision.all  # noqa: F401
    good, count = 0, 0
    for verb in filter(None, args.only.split(",")):
        for workers in WORKERS:
            for event in EVENTS:
                if event in EVENTS[2:] and (workers != "processes" or verb == "show_batch"):
                    continue                    # there is no worker process
                for k in range(args.times):
                    line = tried(verb, workers, event, k)
                    good, count = good + (line[0] == "1"), count + 1
                    print(f"{verb:10} {workers:9} {event:12} {line}", flush=True)
    print(f"usable within {LIMIT:.0f} s: {good} of {count}")
    if args.jupyter:
        jupyter(args.jupyter)


if __name__ == "__main__":
    main()
