"""Damaged and forged files: what is loaded, what is refused, and what must never happen.

    python benchmarks/hostile_files.py [--mutations 50000] [--only export,cache]
    PYTHON_WITH_FASTAI benchmarks/hostile_files.py --peer [--mutations 400]

Of each kind of file, copies in which bits, bytes, pieces or the end are changed are loaded. A load must give what the original gives, or
an `OSError` or `ValueError` that names the file. `sealed` ones get the checksums that belong to what was changed, as a forger would write
them: they may give other content. Kinds marked * carry no checksum, so damaged numbers are loaded. No load may run or compile code, import
a module, start a program, open a connection, write outside of its folder, or touch memory beyond the file (and `SPARE`).
"""
import argparse
import codecs
import contextlib
import encodings
import gc
import os
import pkgutil
import random
import re
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import torch
import torch._subclasses.schema_check_mode  # (torch imports these when it copies a storage, or makes a tensor of an unusual kind)
import torch.nested._internal.ops
from file_kinds import data_kinds, learner_kinds, mutate
from learners_to_save import fastai_learner, same, state

for module in pkgutil.iter_modules(encodings.__path__):                  # imported when they are first used, by names in a zip for instance
    with contextlib.suppress(LookupError):
        codecs.lookup(module.name)

SPARE = 24 << 20        # bytes of memory; the files have a few thousand
WARM_UP = 150           # mutations before the watch begins: what is imported late is imported then
FORBIDDEN = ("exec", "compile", "import", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect",
             "socket.bind", "ctypes.dlopen", "marshal.loads", "pickle.find_class", "code.__new__")
WRITES = ("open", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink", "os.truncate", "shutil.rmtree")


class Watch:
    "What loading does that it must not, from the audit events of Python. `with watch: ...`"

    def __init__(self, folder, forbidden=FORBIDDEN):
        self.folder, self.forbidden, self.on, self.harm = str(folder), forbidden, False, []
        sys.addaudithook(self.hear)

    def hear(self, event, args):
        if not self.on:
            return
        if event in self.forbidden or (event in WRITES and self.writes_elsewhere(event, args)):
            self.on = False
            self.harm.append((event, str(args)[:160], "".join(traceback.format_stack(limit=7))))
            self.on = True

    def writes_elsewhere(self, event, args):
        if event == "open":
            path, mode, flags = args
            if isinstance(path, int) or not (set(mode or "") & set("wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR)):
                return False
        if event != "open" and len(args) > 1 and isinstance(args[-1], int) and args[-1] > 0:
            return False                                        # below an open folder, as shutil.rmtree works
        return not (isinstance(args[0], (str, os.PathLike)) and os.path.abspath(os.fspath(args[0])).startswith(self.folder))

    def __enter__(self):
        self.on = True

    def __exit__(self, *error):
        self.on = False


def memory(name):
    "VmRSS or its greatest value, VmHWM, in bytes; None where the system does not say."
    try:
        return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    except (OSError, TypeError):
        return None


@contextlib.contextmanager
def measured(taken):
    "Appends to `taken` by how many bytes the memory in use grew within the block at most."
    try:
        Path("/proc/self/clear_refs").write_text("5")           # VmHWM begins anew
    except OSError:
        yield
        return
    before = memory("VmRSS")
    yield
    taken.append(memory("VmHWM") - before)


def attack(kind, n, watch, rng, sealed=False, warm_up=WARM_UP):
    "How `n` mutations of a `Kind` ended: a Counter, with up to three examples of what must not be."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = kind.load()
    ended, bad, taken = Counter(), [], []
    for i in range(-warm_up, n):
        if kind.restore:
            kind.restore()
        try:
            data = (kind.sealed or mutate)(kind.original, rng) if sealed else mutate(kind.original, rng)
        except (ValueError, OverflowError):
            continue
        if data == kind.original:
            continue
        kind.file.write_bytes(data)
        harm, problem = len(watch.harm), None
        try:
            with measured(taken), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if i >= 0:
                    with watch:
                        got = kind.load()
                else:
                    got = kind.load()
        except (OSError, ValueError) as e:
            how = "refused"
            text = f"{e!r} {e.__cause__!r}"
            if "allocate" in text or "MemoryError" in text:
                how, problem = "MEMORY", text
            elif kind.file.name.removesuffix(".json") not in str(e):
                how, problem = "RAW", repr(e)
        except BaseException as e:
            if isinstance(e, KeyboardInterrupt):
                raise
            how, problem = "RAW", repr(e)
        else:
            how = "made again" if got is None else "equal" if same(expected, got) else "other" if sealed or not kind.checksum else "WRONG"
            problem = how if how == "WRONG" else None
            del got
        if taken and taken[-1] > SPARE + len(data):
            how, problem = "MEMORY", f"{taken[-1]:,} bytes"
        if len(watch.harm) > harm:
            how, problem = "CODE", watch.harm[-1]
        if i >= 0:
            ended[how] += 1
            if problem and len(bad) < 3:
                bad.append((i, how, str(problem)[:900]))
    kind.file.write_bytes(kind.original)
    if kind.restore:
        kind.restore()
    return ended, bad, max(taken, default=0)


def attacks(kinds, n, watch, seed=0, only=(), warm_up=WARM_UP):
    "Attack all kinds with about `n` mutations together; prints a table and returns the sum of all Counters."
    chosen = [(name, kind, sealed) for name, kind in kinds if not only or any(o in name for o in only)
              for sealed in ((False, True) if kind.sealed else (False,))]
    total, problems = Counter(), []
    for name, kind, sealed in chosen:
        begun = time.time()
        ended, bad, most = attack(kind, -(-n // len(chosen)), watch, random.Random(f"{name} {sealed} {seed}"), sealed, warm_up)
        total += ended
        label = name + (", sealed" if sealed else "" if kind.checksum else " *")
        problems += [(label, *b) for b in bad]
        print(f"{label:32} {sum(ended.values()):6,}: {', '.join(f'{k} {v:,}' for k, v in sorted(ended.items()))}"
              f"   (memory +{most / 2**20:.0f} MB, {time.time() - begun:.0f} s)", flush=True)
    for problem in problems:
        print("   ", *problem)
    return total


# -- fastai ------------------------------------------------------------------------------------------------------------------------
def peer_attack(what, original, load, same_as, n):
    "How loading `n` mutations in processes of their own ended, as code may run in them."
    rng, ended = random.Random(what), Counter()
    for _ in range(n):
        data = mutate(original, rng)
        read, write = os.pipe()
        if not (pid := os.fork()):
            how = "?"
            try:
                resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
                known, ran, on = set(same_as["names"]), [], [True]

                def hear(event, args, known=known, ran=ran, on=on):
                    if on[0] and ((event == "pickle.find_class" and f"{args[0]}.{args[1]}" not in known) or event in FORBIDDEN[3:10]):
                        ran.append((event, args))
                sys.addaudithook(hear)
                with open(os.devnull, "w") as null, contextlib.redirect_stderr(null), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    try:
                        got = load(data)
                        how = "equal" if same(same_as["value"], got) else "WRONG"
                    except (OSError, ValueError) as e:
                        how = f"{type(e).__name__}"
                    except Exception as e:
                        how = f"raw {type(e).__name__}"
                on[0] = False
                if ran:
                    how += ", looked up a name that the original does not have"
            finally:
                os.write(write, how.encode())
                os._exit(0)
        os.close(write)
        with os.fdopen(read) as f:
            said = f.read()
        _, status = os.waitpid(pid, 0)
        ended[said if not status else f"died of signal {status}"] += 1
    print(f"{what:32} {n:6,}: {', '.join(f'{k} {v:,}' for k, v in ended.most_common())}", flush=True)


def peer(mutations):
    "The same in fastai, as far as it has it: `learn.save`, `learn.load`, `learn.export` and `load_learner`."
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fastai.basics import load_learner
        folder = Path(folder)
        learn = fastai_learner(folder)
        learn.fit(1)
        export, saved = folder / "export.pkl", folder / "models" / "w.pth"
        learn.export(export)
        learn.save("w")
        names = set()
        heard = [True]
        sys.addaudithook(lambda event, args: names.add(f"{args[0]}.{args[1]}") if heard[0] and event == "pickle.find_class" else None)

        def load_export(data):
            export.write_bytes(data)
            return dict(load_learner(export).model.state_dict())

        def load_saved(data):
            saved.write_bytes(data)
            return state(learn.load("w"))
        for what, file, load in (("export", export, load_export), (".pth (learn.load)", saved, load_saved)):
            original = file.read_bytes()
            value = load(original)
            peer_attack(what, original, load, {"value": value, "names": names}, mutations)
            file.write_bytes(original)
        heard[0] = False

        class Payload:
            def __reduce__(self):
                return os.mkdir, (str(folder / "ran"),)
        torch.save(Payload(), export)
        with contextlib.suppress(Exception):
            load_learner(export)
        print("a forged export:", "its code ran" if (folder / "ran").exists() else "no code ran")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mutations", type=int, default=50_000, help="of all kinds together (in fastai: of each)")
    parser.add_argument("--only", default="", help="kinds whose names contain one of these words")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer", action="store_true", help="the same in fastai")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.peer:
        peer(args.mutations)
        return
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder).resolve()
        kinds = [*learner_kinds(folder), *data_kinds(folder)]
        gc.freeze()
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), resource.RLIM_INFINITY))       # for the sake of the machine
        total = attacks(kinds, args.mutations, Watch(folder), args.seed, [o for o in args.only.split(",") if o])
        print(f"{sum(total.values()):,} mutations: {', '.join(f'{k} {v:,}' for k, v in sorted(total.items()))}")


if __name__ == "__main__":
    main()
