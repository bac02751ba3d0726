"""What interrupts and dead workers leave behind: {verb} x {workers} x {event}, each in a process of its own. Is the learner usable then?

    python benchmarks/interrupts.py [--only fit,lr_find] [--times 3] [--jupyter 10]
    PYTHON_WITH_FASTAI benchmarks/interrupts.py --peer

An event comes while the verb is under way: SIGINT to the process group, as terminals and Jupyter send it; two of them, 1 to 40 ms apart;
SIGKILL of a worker; a worker that calls `os._exit(0)`, which torch does not notice. Afterwards the same verb, a fit, and the clean-up of
that fit must work, all within 5 s after the error. Where there are no worker processes, there are none to kill. `show_batch` has none of
its own: those that end are kept from the fit before. fastai has no worker threads.
"""
import argparse
import importlib
import multiprocessing
import os
import queue
import random
import signal
import tempfile
import threading
import time
import traceback

VERBS = ("fit", "lr_find", "get_preds", "validate", "tta", "show_batch")
WORKERS = ("0", "threads", "processes")
EVENTS = ("SIGINT", "SIGINT twice", "SIGKILL", "os._exit")
LIMIT = 5.0


def one(verb, workers, event, seed, peer):
    "In a process of its own: the verb, the event, and what can be done afterwards. Prints a line."
    signal.signal(signal.SIGINT, signal.default_int_handler)       # a shell's background job would ignore it
    signal.signal(signal.SIGUSR1, lambda *_: os._exit(0))           # in the workers, which are forked
    import numpy as np
    import torch
    from PIL import Image
    v = importlib.import_module(f"{'fastai' if peer else 'minifast'}.vision.all")
    draw, folder = random.Random(f"{verb} {workers} {event} {seed}"), tempfile.mkdtemp()
    files = []
    for i in range(96):
        files.append(os.path.join(folder, f"{i % 2}_{i}.png"))
        Image.fromarray(np.full((16, 16, 3), i, np.uint8)).save(files[-1])

    def label(f):
        time.sleep(0.004)                       # so that an epoch takes long enough to be interrupted
        return os.path.basename(f)[0]

    block = v.DataBlock((v.ImageBlock, v.CategoryBlock(vocab=["0", "1"])), splitter=v.IndexSplitter(range(48)), get_y=label,
                        batch_tfms=v.aug_transforms(size=16))
    more = {} if workers == "0" or peer else {"worker_type": {"threads": "thread", "processes": "process"}[workers]}
    dls = block.dataloaders(files, bs=4, device="cpu", num_workers=2 if workers != "0" else 0, **more)
    learn = v.Learner(dls, torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 2)), metrics=v.accuracy)
    calls = {"fit": lambda: learn.fit(1), "lr_find": lambda: learn.lr_find(num_it=12, show_plot=False), "get_preds": learn.get_preds,
             "validate": learn.validate, "tta": learn.tta, "show_batch": dls.show_batch}
    call = calls[verb]
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
        call()                                  # once undisturbed: workers are running, and everything is imported
        n_cbs, done = len(learn.cbs), threading.Event()

        def disturb():
            time.sleep(draw.uniform(0.05, 0.3))
            while event in EVENTS[2:] and not done.is_set():
                if workers_now := multiprocessing.active_children():            # fastai has none between its epochs
                    os.kill(draw.choice(workers_now).pid, signal.SIGKILL if event == "SIGKILL" else signal.SIGUSR1)
                    return
            if not done.is_set():
                os.killpg(0, signal.SIGINT)
                if event == "SIGINT twice":
                    time.sleep(draw.uniform(0.001, 0.04))
                    os.killpg(0, signal.SIGINT)

        said, error = "no error", None
        try:
            disturber = threading.Thread(target=disturb)
            disturber.start()
            until = time.time() + 8
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
        heard = []
        try:
            call()
            learn.fit(1, cbs=v.Callback(**{"after_fit" if peer else "cleanup_fit": lambda *_: heard.append(1)}))
            whole = heard == [1] and (peer or learn.dl is None) and len(learn.cbs) == n_cbs and all(cb.learn is learn for cb in learn.cbs)
            after = "usable" if whole else f"not whole: cleaned up {len(heard)}, dl {learn.dl}, {len(learn.cbs)} callbacks of {n_cbs}"
        except BaseException as e:
            after = f"{type(e).__name__}: {str(e)[:200]}"
        seconds = time.time() - ended
    del error
    print(f"RESULT {int(after == 'usable' and seconds < LIMIT)} | {seconds:.1f} s | {said} | {after}", flush=True)


def tried(*args):
    "The line that `one` printed. The process is forked, so that nothing is imported again."
    with tempfile.TemporaryFile("w+") as out:
        pid = os.fork()
        if not pid:
            os.setsid()
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            try:
                one(*args)
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


MINIFAST = "from minifast.basics import *"
FASTAI = "from fastai.basics import *"
JUPYTER = '''
import torch, time
class DS(torch.utils.data.Dataset):
    def __len__(self): return 320
    def __getitem__(self, i): time.sleep(.002); return torch.randn(4), i % 2
learn = Learner(DataLoaders(DataLoader(DS(), bs=8, num_workers=2, device="cpu"), DataLoader(DS(), bs=8, num_workers=2, device="cpu")),
                torch.nn.Linear(4, 2), torch.nn.functional.cross_entropy)
learn.fit(1)
'''


def jupyter(n, imports):
    "In a real kernel: fit, interrupt, fit."
    from jupyter_client.manager import start_new_kernel
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        def cell(code, interrupt=None):
            sent = client.execute(code, stop_on_error=False)        # else what comes too soon after an error is left out
            if interrupt is not None:
                time.sleep(interrupt)
                manager.interrupt_kernel()
            try:
                while (reply := client.get_shell_msg(timeout=60))["parent_header"].get("msg_id") != sent:
                    pass                        # an answer from the start of the kernel
                return reply["content"]
            except queue.Empty:
                return {"status": "no answer within 60 s"}

        assert cell(imports + JUPYTER)["status"] == "ok"
        usable = 0
        for k in range(n):
            reply, begun = cell("learn.fit(1000)", interrupt=1.5 + random.random()), time.time()
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
    parser.add_argument("--peer", action="store_true", help="the same in fastai")
    args = parser.parse_args()
    os.environ["MPLBACKEND"] = "Agg"
    importlib.import_module("fastai.vision.all" if args.peer else "minifast.vision.all")
    good, count, slowest = 0, 0, 0.0
    for verb in filter(None, args.only.split(",")):
        for workers in WORKERS[::2] if args.peer else WORKERS:
            for event in EVENTS if workers == "processes" else EVENTS[:2]:          # elsewhere there is no worker process
                for k in range(args.times):
                    line = tried(verb, workers, event, k, args.peer)
                    usable = line[0] == "1"
                    good, count, slowest = good + usable, count + 1, max(slowest, float(line.split()[2])) if usable else slowest
                    print(f"{verb:10} {workers:9} {event:12} {line}", flush=True)
    print(f"usable within {LIMIT:.0f} s: {good} of {count}, these within {slowest:.1f} s")
    if args.jupyter:
        jupyter(args.jupyter, FASTAI if args.peer else MINIFAST)


if __name__ == "__main__":
    main()
