"""Kinds of files that minifast loads, with ways to damage and to forge them, for `hostile_files.py`."""
import bz2
import contextlib
import gzip
import io
import json
import lzma
import random
import shutil
import tarfile
import zipfile
from functools import partial
from unittest import mock

import torch
from learners_to_save import minifast_learner, same, state


def mutate(data, rng):
    "A copy of `data` with changed bits, bytes or pieces, or without its end. The beginning, where headers are, is changed more often."
    data, kind = bytearray(data), rng.random()
    at = rng.randrange(len(data) if rng.random() < 0.6 else min(len(data), 2000))
    if kind < 0.4:
        data[at] ^= 1 << rng.randrange(8)
    elif kind < 0.6:
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data) if kind < 0.5 else min(len(data), 2000))] = rng.randrange(256)
    elif kind < 0.7:
        del data[at:]
    elif kind < 0.78:
        del data[at:at + rng.randint(1, 60)]
    elif kind < 0.86:
        data[at:at] = rng.randbytes(rng.randint(1, 40))
    elif kind < 0.92:
        data[at:at + rng.randint(1, 600)] = bytes(rng.randint(1, 600))
    elif kind < 0.97:
        data[at:at + 8] = rng.choice([2**63 - 1, 2**31 - 1, 2**40, len(data), 0]).to_bytes(8, rng.choice(["little", "big"]))
    else:
        data[rng.randrange(min(8, len(data)))] = rng.randrange(256)
    return bytes(data)


class Kind:
    """A kind of file: `load()` gives what is in `file`, or None where it is not used but made again.

    sealed: makes a mutation of the original's bytes with checksums that fit. restore: what else a load may change. checksum: whether the
    file carries one.
    """

    def __init__(self, file, load, sealed=None, restore=None, checksum=True):
        self.file, self.load, self.sealed, self.restore, self.checksum = file, load, sealed, restore, checksum
        self.original = file.read_bytes()


def sealed_safetensors(data, rng, write):
    "Another file of the same format: its header, or the tensors in it, mutated; `write(tensors, metadata)` adds the checksums."
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + n])
    metadata = header.pop("__metadata__")
    tensors = {k: torch.frombuffer(bytearray(data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]), dtype=torch.uint8)
               for k, v in header.items() if v["data_offsets"][0] < v["data_offsets"][1]}
    shapes = {k: (v["dtype"], v["shape"]) for k, v in header.items() if k in tensors}
    return write(tensors, shapes, metadata, rng)


def sealed_checkpoint(data, rng):
    from minifast.core import checkpoint

    def write(tensors, shapes, metadata, rng):
        dtypes = {"F32": torch.float32, "I64": torch.int64, "U8": torch.uint8, "F64": torch.float64, "BOOL": torch.bool}
        values = {k: t.view(dtypes[shapes[k][0]]).reshape(shapes[k][1]) for k, t in tensors.items()}
        tree = mutate(metadata[checkpoint.HEADER].encode(), rng).decode("latin1") if rng.random() < 0.4 else \
            mutated_json(json.loads(metadata[checkpoint.HEADER]), rng)
        if rng.random() < 0.3:
            name = rng.choice(sorted(values))
            values[name] = rng.choice([values[name].flatten()[:1].clone(), values[name].double(), torch.zeros(0), torch.zeros(3, 3)])
        head = {checkpoint.HEADER: tree}
        return values, {**head, checkpoint.DIGEST: checkpoint.tensor_digest(values, head)}
    from safetensors.torch import save
    return save(*sealed_safetensors(data, rng, write))


def mutated_json(tree, rng):
    "The text of a JSON tree with one to three values replaced, moved or left out."
    for _ in range(rng.randint(1, 3)):
        places, stack = [], [tree]
        while stack:
            o = stack.pop()
            inner = list(o.items() if isinstance(o, dict) else enumerate(o))
            places += [(o, key) for key, _ in inner]
            stack += [v for _, v in inner if isinstance(v, (dict, list))]
        o, key = rng.choice(places)
        o[key] = rng.choice([None, True, -1, 0, 2**31, 1e300, "", "os:system", "x" * 999, [], {}, {"tensor": "root"}, {"dict": [[[], 1]]},
                             {"list": [1]}, {"tuple": [1, 2]}, json.loads(json.dumps(rng.choice(places)[0]))])
    return json.dumps(tree)


def sealed_zip(data, rng, only="data.pkl"):
    "The zip with the member `only` mutated, and CRCs that fit."
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as z, zipfile.ZipFile(out, "w") as new:
        for info in z.infolist():
            content = z.read(info)
            new.writestr(info, mutate(content, rng) if info.filename.endswith(only) else content, info.compress_type)
    return out.getvalue()


def learner_kinds(folder):
    "Checkpoints, `.pth` files, exports and files of `Resume`."
    from minifast.callbacks.averaging import EMA
    from minifast.callbacks.resume import Resume
    from minifast.compat.fastai_weights import read_file
    from minifast.learner import artifact
    from minifast.learner.export import load_learner
    learn = minifast_learner(folder).add_cb(EMA())
    learn.fit(1)

    def load_into(name):
        target = minifast_learner(folder).add_cb(EMA())
        target.create_opt()
        before = state(target)
        try:
            target.load(name)
        except Exception:
            if not same(before, state(target)):
                raise AssertionError("a load that failed changed the learner") from None
            raise
        return state(target)

    def exported():
        spec, weights = artifact.read(export)
        return spec, weights, dict(load_learner(export).model.state_dict())

    ck, export = learn.save("ck"), learn.export("export.pkl")
    pth, old, plain = folder / "models" / "w.pth", folder / "models" / "old.pth", folder / "models" / "plain.safetensors"
    torch.save({"model": learn.model.state_dict(), "opt": learn.opt.state_dict()}, pth)
    torch.save({"model": learn.model.state_dict(), "opt": learn.opt.state_dict()}, old, _use_new_zipfile_serialization=False)
    from safetensors.torch import save_file
    save_file(learn.model.state_dict(), plain)
    yield "checkpoint", Kind(ck, lambda: load_into("ck"), sealed_checkpoint)
    yield ".pth", Kind(pth, lambda: load_into("w.pth"), sealed_zip)
    yield ".pth before torch 1.6", Kind(old, lambda: load_into("old.pth"), checksum=False)
    yield "weights of other programs", Kind(plain, lambda: load_into("plain"), checksum=False)
    yield "export", Kind(export, exported)
    yield "port-weights", Kind(pth, lambda: read_file(pth), sealed_zip)

    class Stop(Exception):
        pass

    resumed = minifast_learner(folder)

    def stop():
        if resumed.epoch == 1:
            raise Stop
    from minifast.callbacks.base import Callback
    with contextlib.suppress(Stop):
        resumed.fit(2, cbs=[Resume(), Callback(before_epoch=stop)])
    file = folder / "models" / "resume.safetensors"
    left = {f: f.read_bytes() for f in file.parent.glob("resume*")}

    def restore():
        for f in file.parent.glob("resume*"):
            f.unlink()
        for f, content in left.items():
            f.write_bytes(content)

    def resume():
        again = minifast_learner(folder)
        again.fit(2, cbs=Resume())
        return state(again)
    yield "Resume file", Kind(file, resume, restore=restore)


def data_kinds(folder):
    "Cached images, archives, and the records beside them."
    import numpy as np

    from minifast.data.engine.cache import DiskCache
    from minifast.sources import urls
    from minifast.sources.archives import unpack_archive
    cache, key = DiskCache(folder=folder / "cache"), ("a.jpg", "m", 1, 2)
    cache.put(key, np.random.default_rng(0).integers(0, 255, (18, 19, 3), dtype=np.uint8), (99, 88))
    file, = (folder / "cache").glob("??/*")
    bits = random.Random(0)

    def cached():
        found = cache.find(key)
        return None if found is None else (torch.tensor(found[0].copy()), found[1])
    yield "cached image", Kind(file, cached)

    members = {f"t/{i}.txt": bits.randbytes(300) + bytes(300) for i in range(3)}

    def tarred(mode):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=f"w{mode}") as t:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                t.addfile(info, io.BytesIO(content))
        return out.getvalue()

    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in members.items():
            z.writestr(name, content)
    compressed = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}

    def unpacked(file):
        shutil.rmtree(folder / "out", ignore_errors=True)
        out = unpack_archive(file, folder / "out")
        return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}

    def sealed_tar(data, rng, pack):
        return pack(mutate(tarred(""), rng))

    for name, content, sealed, checksum in (
            ("a.zip", zipped.getvalue(), partial(sealed_zip, only=".txt"), True), ("a.tar", tarred(""), None, False),
            *((f"a.tar.{k}", pack(tarred("")), partial(sealed_tar, pack=pack), True) for k, pack in compressed.items()),
            ("a.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99), None, True)):
        (folder / name).write_bytes(content)
        yield name, Kind(folder / name, partial(unpacked, folder / name), sealed, checksum=checksum)

    no_network = urls.DownloadError("no network, and a.tar is not there")
    archive = folder / "base" / "archive" / "a.tar"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(tarred(""))
    record = archive.with_name("a.tar.json")

    def downloaded():
        shutil.rmtree(folder / "base" / "data", ignore_errors=True)
        with mock.patch.object(urls, "fetch", side_effect=no_network):
            out = urls.untar_data("https://example.org/a.tar", base=folder / "base")
        return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}

    def restore():
        archive.write_bytes(content)
        record.write_bytes(recorded)
    downloaded()
    content, recorded = archive.read_bytes(), record.read_bytes().replace(b'"by_hand": true', b'"by_hand": false')
    restore()
    yield "a.tar, downloaded before", Kind(archive, downloaded, restore=restore)
    yield "record of a download", Kind(record, downloaded, restore=restore)
