"""Load mutated exports: `python tests/learner/fuzz_export.py N FILE...` prints how they ended, and fails where one did harm.

A mutated file may give a clean error, a `ValueError`, or a learner that predicts exactly as the original does. Half of the files are sealed
again after the mutation, with the SHA-256 that belongs to them, so that the mutation reaches what is built: such a file may give another
learner. No file may cause code to be compiled or run, a module of others to be imported, another file to be opened, or more memory to be
taken than a small multiple of its size.
"""
import contextlib
import json
import random
import resource
import sys
import tempfile
import typing
import warnings
from collections import Counter
from importlib import import_module
from pathlib import Path

import torch
import torch._subclasses.schema_check_mode
from safetensors.torch import load_file

import minifast.vision.all  # noqa: F401  (so that nothing is left to import, of torch's own modules either)
from minifast.learner.artifact import HEADER, SPEC, read, write
from minifast.learner.export import load_learner

MARGIN = 400 * 2**20           # of address space: building one learner takes some, whatever the file says
FORBIDDEN = ("exec", "compile", "import", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect",
             "ctypes.dlopen", "marshal.loads", "pickle.find_class", "shutil.rmtree", "os.remove", "code.__new__")
WORDS = ["vision:Resize", "torch.nn:Linear", "torch.nn:Module", "data:DataLoader", "os:system", "python:object", "minifast.core:save",
         "torch.nn.functional:linear", "torch.nn:LSTM", "builtins:eval", "__class__", "../../x", "", "own", "part", "class", "args", "set"]


def values(rng):
    return rng.choice([None, True, -1, 0, 1, 2**31, 10**12, 1e300, -0.5, "", "x" * 1000, [], {}, [[]], {"own": "X"}, {"part": "os:system"},
                       {"getter": ["attrgetter", ["__class__.__init__"]]}, {"tensor": ["float32", [10**9, 10**9], []]},
                       {"class": "torch.nn:Linear", "args": {"in_features": 10**7, "out_features": 10**7}},
                       {"create": {"part": "vision:PILImage"}}, {"regex": ["(", 0]}, {"path": "/etc/passwd"}, {"dict": [[[], 1]]},
                       {"partial": [{"part": "torch.nn.functional:linear"}, [], {"dict": []}]}])


def places(tree, found):
    "All `(container, key)` of a JSON tree."
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        found.append((tree, key))
        if isinstance(value, (dict, list)):
            places(value, found)
    return found


def mutate_spec(spec, rng):
    for _ in range(rng.randint(1, 3)):
        container, key = rng.choice(places(spec, []))
        old, kind = container[key], rng.randrange(6)
        if kind == 0:
            del container[key]
        elif kind == 1 and isinstance(old, (int, float)):
            container[key] = rng.choice([old + 1, -old, old * 10**6, 10**11])
        elif kind == 2 and isinstance(old, str):
            container[key] = rng.choice(WORDS)
        elif kind == 3 and isinstance(container, dict):
            container[rng.choice(WORDS)] = container.pop(key)
        elif kind == 4:
            other, at = rng.choice(places(spec, []))
            container[key] = json.loads(json.dumps(other[at]))
        else:
            container[key] = values(rng)


def mutate_bytes(data, rng):
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        # the header and the description are where most can go wrong
        at = rng.randrange(len(data) if rng.random() < 0.5 else min(len(data), 4000)) if data else 0
        kind = rng.randrange(5)
        if kind == 0:
            data[at:at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del data[at:at + rng.randint(1, 200)]
        elif kind == 2:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 20)))
        elif kind == 3:
            del data[at:]
        else:
            data[:8] = rng.choice([2**63, 2**40, len(data), 0, 7]).to_bytes(8, "little")
    return bytes(data)


def predictions(learn, batch):
    with torch.no_grad():
        out = learn.model.eval()(*batch)
        return learn.activation(out[0] if isinstance(out, tuple) else out)              # of recurrent models the rest is for training


def run(n, files, seed=0):
    "How `n` mutated copies of `files` ended: `{what: how often}`; raises where one did harm."
    rng, ended, harm = random.Random(seed), Counter(), []
    originals = []
    for file in map(Path, files):
        learn = load_learner(file)
        table = learn.dls.train.dataset
        batch = (torch.zeros(2, 3, 32, 32),) if not hasattr(table, "cat_names") else (
            torch.zeros(2, len(table.cat_names), dtype=torch.int64), torch.zeros(2, len(table.cont_names)))[:table.n_inp]
        if hasattr(learn, "encoder"):                       # texts
            batch = (torch.full((2, 5), 9),)
        originals.append((file.read_bytes(), *read(file), batch, predictions(learn, batch)))
        assert HEADER and SPEC in load_file(file)
    for room in ("core", "nn", "optim", "metrics", "data", "learner", "vision", "tabular", "collab", "text"):
        with contextlib.suppress(ImportError):
            table = import_module(f"minifast.{room}.exportable").PARTS
            list(map(import_module, (f"minifast.{room}.{module}" for module in table)))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.pkl"
        watching = [False]

        def watch(event, args):
            if event in ("compile", "exec") and sys._getframe(1).f_code.co_filename == typing.__file__:
                return                                              # annotations of our own functions
            if watching[0] and (event in FORBIDDEN or (event == "open" and str(args[0]) != str(target) and not isinstance(args[0], int))):
                watching[0] = False
                harm.append((event, str(args)[:200]))
                watching[0] = True

        sys.addaudithook(watch)
        usage = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (usage + MARGIN, resource.RLIM_INFINITY))
        for i in range(n):
            data, spec, weights, batch, expected = rng.choice(originals)
            sealed = rng.random() < 0.5
            if sealed:
                spec = json.loads(json.dumps(spec))
                mutate_spec(spec, rng)
                weights = dict(weights)
                if weights and rng.random() < 0.2:
                    name = rng.choice(sorted(weights))
                    t = weights.pop(name)
                    if rng.random() < 0.5:
                        weights[rng.choice([name, "x"])] = t.flatten()[:t.numel() // 2].clone()
                write(spec, weights, target)
            else:
                target.write_bytes(mutate_bytes(data, rng))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    watching[0] = True
                    learn = load_learner(target)
                    watching[0] = False
            except ValueError as e:
                watching[0] = False
                text = repr(e) + repr(e.__cause__)
                if "allocate" in text or "MemoryError" in text:
                    harm.append((f"mutation {i}: memory", text[:300]))
                ended["sealed: error" if sealed else "error"] += 1
            except BaseException as e:
                watching[0] = False
                harm.append((f"mutation {i}: {type(e).__name__}", str(e)[:300]))
            else:
                if not sealed and not torch.equal(predictions(learn, batch), expected):
                    harm.append((f"mutation {i}", "other predictions"))
                ended["sealed: loaded" if sealed else "equal predictions"] += 1
    assert not harm, harm[:5]
    return dict(ended)


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]), sys.argv[2:])))
