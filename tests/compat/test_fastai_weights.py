"""Weights out of files of fastai: real ones where fastai is installed, files written like them, and files that try to run code."""
import importlib.util
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from minifast.cli.main import main
from minifast.compat.fastai_weights import StandIn, port_weights, read_file, renamed, vocabs_in, weights_in
from minifast.core import checkpoint
from minifast.vision.models.unet import create_unet_model


# -- classes that fastai pickles, written here under other names ------------------------------------------------------------------
class CategoryMap:
    def __init__(self, items):
        self.items = items


class Holder:
    def __init__(self, **attributes):
        vars(self).update(attributes)


def fastai_learner(model, vocab):
    "Objects nested as those of a learner of fastai are."
    pipes = [Holder(tfms=Holder(fs=CategoryMap([]))), Holder(tfms=Holder(fs=CategoryMap([Holder(vocab=CategoryMap(vocab))])))]
    return Holder(model=model, dls=Holder(loaders=[Holder(dataset=Holder(tls=CategoryMap(pipes)))]), opt=None)


def net():
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))


def test_a_learner(tmp_path):
    model = net()
    torch.save(fastai_learner(model, ["cat", np.str_("dog"), np.int64(3), np.bool_(True)]), tmp_path / "export.pkl")
    out, told = port_weights(tmp_path / "export.pkl")
    assert out == tmp_path / "export.safetensors" and "9 tensors with 36 numbers; vocabularies: target (4 values)" in told
    new = net()
    new.load_state_dict(checkpoint.load(out)["model"])
    assert all(torch.equal(a, b) for a, b in zip(new.state_dict().values(), model.state_dict().values(), strict=True))
    assert vocabs_in(read_file(tmp_path / "export.pkl")) == {"target": ["cat", "dog", "3", "True"]}


def test_weights_alone_with_an_optimizer_and_a_bare_model(tmp_path):
    model = net()
    for value in ({"model": model.state_dict(), "opt": {"hypers": [Holder(lr=1)]}}, model.state_dict(), model):
        torch.save(value, tmp_path / "x.pth")
        assert list(weights_in(read_file(tmp_path / "x.pth"))) == list(model.state_dict())


def test_half_precision_shared_and_strided_tensors(tmp_path):
    base = torch.arange(12.0).view(3, 4)
    state = {"a": base.half(), "b": base.t(), "c": base[1:], "d": nn.Parameter(base), "e": torch.tensor(3), "f": base.bool(),
             "g": base.bfloat16(), "h": torch.empty(0, 3)}
    torch.save(state, tmp_path / "x.pth")
    read = weights_in(read_file(tmp_path / "x.pth"))
    assert all(torch.equal(read[k], v) and read[k].dtype == v.dtype for k, v in state.items())


def test_what_a_notebook_defined_is_no_obstacle(tmp_path):
    cloudpickle = pytest.importorskip("cloudpickle", reason="cloudpickle is not installed; fastai exports with it")
    scope = {}
    exec("class Own:\n    def __init__(self): self.x = 1\ndef label(p): return p.name\n", scope)      # of no module, as in a notebook
    learn = fastai_learner(net(), ["a", "b"])
    learn.own, learn.label, learn.lam = scope["Own"](), scope["label"], lambda x: x
    torch.save(learn, tmp_path / "x.pkl", pickle_module=cloudpickle, pickle_protocol=2)
    assert len(weights_in(read_file(tmp_path / "x.pkl"))) == 9


# -- nothing runs ------------------------------------------------------------------------------------------------------------------
class Runs:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("call", [
    lambda marker: (os.system, (f"touch {marker}",)), lambda marker: (exec, (f"open({str(marker)!r}, 'w')",)),
    lambda marker: (open, (str(marker), "w")), lambda marker: (getattr, (os, "system")),
    lambda marker: (subprocess.check_output, (["touch", str(marker)],))])
def test_no_code_of_the_file_runs(tmp_path, call):
    marker, learn = tmp_path / "ran", fastai_learner(net(), ["a", "b"])
    learn.bad, learn.dls.loaders[0].bad = Runs(*call(marker)), [Runs(*call(marker))]
    try:
        torch.save(learn, tmp_path / "x.pkl")
    except TypeError:                                   # a module is no argument of a pickle
        pytest.skip("cannot be pickled")
    seen = []
    sys.addaudithook(lambda event, args: seen.append(event) if seen is not None and event in WATCHED else None)
    assert isinstance(read_file(tmp_path / "x.pkl").bad, StandIn)
    found, seen = seen, None
    assert found == [] and not marker.exists()


WATCHED = ("os.system", "exec", "subprocess.Popen", "compile", "import", "pickle.find_class.never")


def test_modules_named_in_a_file_are_not_imported(tmp_path):
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
    data = b"cevil_module\nthing\n."
    with zipfile.ZipFile(tmp_path / "x.pkl", "w") as archive:
        archive.writestr("x/data.pkl", data)
    sys.path.insert(0, str(tmp_path))
    try:
        assert issubclass(read_file(tmp_path / "x.pkl"), StandIn) and "evil_module" not in sys.modules
    finally:
        sys.path.remove(str(tmp_path))


@pytest.mark.parametrize("change", ["short", "compressed", "plain pickle", "bytes", "too large", "circle"])
def test_damaged_files(tmp_path, change, capsys):
    file = tmp_path / "x.pkl"
    torch.save(fastai_learner(net(), ["a"]), file)
    if change == "short":
        file.write_bytes(file.read_bytes()[:-300])
    if change == "compressed":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x/data.pkl", pickle.dumps({"a": 1}))
    if change == "plain pickle":
        file.write_bytes(pickle.dumps(net()))
    if change == "bytes":
        file.write_bytes(bytes(range(256)))
    if change == "too large":
        torch.save({"a": torch.zeros(1).expand(10**12)}, file)
    if change == "circle":
        model = Holder()
        model._modules = {"x": model}
        torch.save(Holder(model=model), file)
    assert main(["port-weights", str(file)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("minifast port-weights: ") and said.err.count("\n") == 1 and not file.with_suffix(".safetensors").exists()
    assert "A pickle can run any code" in said.out


def test_forged_files_that_would_take_memory_or_end_in_other_errors(tmp_path):
    file = tmp_path / "x.pkl"
    torch.save(fastai_learner(net(), ["a"]), file)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, data, message in (("archive/data.pkl", b"\x80\x02Nr\0\0\x40\0.", "keeps an object under the number 4,194,304"),
                                ("archive/data/0", b"123", "no whole number of torch.float32")):
        with zipfile.ZipFile(file, "w") as archive:
            for n, content in {f"archive/{n.partition('/')[2]}": d for n, d in members.items()}.items():
                archive.writestr(n, data if n == name else content)
        with pytest.raises(ValueError, match=message):
            read_file(file)
    whole = file.read_bytes()
    data = bytearray(whole)
    at = data.index(b"PK\1\2")
    data[at + 20:at + 28] = (2**31 - 1).to_bytes(4, "little") * 2              # the sizes of the first record
    file.write_bytes(data)
    with pytest.raises(ValueError, match="its records are longer than the file"):
        read_file(file)
    file.write_bytes(whole[:100] + whole[200:])
    with pytest.raises(ValueError, match=r"cannot be read as .*Invalid argument"):
        read_file(file)


def test_no_file_and_no_weights(tmp_path, capsys):
    assert main(["port-weights", str(tmp_path / "none.pkl")]) == 1 and "No such file" in capsys.readouterr().err
    torch.save([1, 2], tmp_path / "x.pkl")
    assert main(["port-weights", str(tmp_path / "x.pkl")]) == 1
    assert "there are no weights of a model in" in capsys.readouterr().err


def test_command_line(tmp_path, capsys):
    torch.save(fastai_learner(net(), ["a", "b"]), tmp_path / "x.pkl")
    assert main(["port-weights", str(tmp_path / "x.pkl"), "--out", str(tmp_path / "new" / "w")]) == 0
    out = capsys.readouterr().out
    assert "none of its code runs" in out and f"learn.load({str(tmp_path / 'new' / 'w.safetensors')!r}, with_opt=False)" in out


# -- names -------------------------------------------------------------------------------------------------------------------------
def test_old_norms_and_the_norm_of_no_column():
    w = torch.rand(2, 3)
    assert list(renamed({"a.weight_orig": w, "a.weight_u": w, "a.weight_v": w, "b.weight_g": w, "b.weight_v": w, "weight_u": w})) == [
        "a.parametrizations.weight.original", "a.parametrizations.weight.0._u", "a.parametrizations.weight.0._v",
        "b.parametrizations.weight.original0", "b.parametrizations.weight.original1", "weight_u"]
    none = {"bn_cont.weight": torch.empty(0), "bn_cont.num_batches_tracked": torch.tensor(0), "layers.0.0.weight": w}
    assert list(renamed(none)) == ["layers.0.0.weight"]


def as_fastai(ours):
    "The weights of a U-Net of ours without its norm layers, under fastai's names: 4 blocks and self-attention in the second."
    found = {}
    for name, value in ours.items():
        i, rest = int(name.split(".")[1]), name.split(".", 2)[2]
        new = {1: lambda r: ("1." if r.startswith("0.") else "3.") + r[2:], 6: lambda r: "8." + r[2:],
               7: lambda r: ("11." if r.startswith("0.") else "12.") + r[2:]}.get(i, lambda r, i=i: f"{i + 2 if i else i}.{r}")(rest)
        is_conv = any(o in new for o in ("conv1.", "conv2.", "convpath.")) or new.startswith("3.")
        if is_conv and ".1.bias" in new:
            found[f"layers.{new.replace('.1.bias', '.0.bias')}"] = value
        elif is_conv and new.split(".")[-2] == "1":
            continue
        else:
            found[f"layers.{new.replace('conv2.3.', 'conv2.2.')}"] = value
    return found


def test_unet():
    torch.manual_seed(0)
    from torchvision.models import resnet18
    model = create_unet_model(resnet18, 3, (32, 32), pretrained=False, self_attention=True).eval()
    ported = renamed(as_fastai(model.state_dict()))
    assert sorted(ported) == sorted(model.state_dict())
    conv = nn.Conv2d(4, 5, 3)
    block = {**{f"layers.4.shuf.{k}": v for k, v in net().state_dict().items()}, "layers.4.conv1.0.weight": conv.weight,
             "layers.4.conv1.0.bias": conv.bias}
    found = renamed(block)
    norm = nn.BatchNorm2d(5).eval()
    norm.load_state_dict({k.removeprefix("layers.2.conv1.1."): v for k, v in found.items() if k.startswith("layers.2.conv1.1.")})
    x = torch.rand(2, 4, 6, 6)
    assert torch.allclose(norm(nn.functional.conv2d(x, found["layers.2.conv1.0.weight"])), conv(x), atol=1e-6)


# -- files of fastai itself --------------------------------------------------------------------------------------------------------
FASTAI = os.environ.get("MINIFAST_FASTAI_PYTHON") or (sys.executable if importlib.util.find_spec("fastai") else None)

SCRIPT = """
import sys, torch, numpy as np, pandas as pd
from fastai.vision.all import *
from fastai.tabular.all import *
from fastai.collab import *
out = Path(sys.argv[1])
for name in "ab":
    (out/"images"/name).mkdir(parents=True)
    for i in range(4): PILImage.create(np.random.randint(0, 255, (40, 48, 3), dtype=np.uint8)).save(out/"images"/name/f"{i}.png")
def mask(p): return np.ones((40, 48), dtype=np.uint8)
def write(learn, name, *inputs):
    learn.path = out
    learn.save(name); learn.export(f"{name}.pkl"); learn.model.eval()
    with torch.no_grad(): torch.save([*inputs, TensorBase(learn.model(*inputs)).as_subclass(torch.Tensor)], out/f"{name}.pt")
x = torch.rand(2, 3, 32, 32)
dls = ImageDataLoaders.from_folder(out/"images", valid_pct=.3, item_tfms=Resize(32), batch_tfms=aug_transforms(), bs=2, num_workers=0)
write(vision_learner(dls, resnet18, pretrained=False), "vision", x)
block = DataBlock((ImageBlock, MaskBlock(codes=["u", "v", "w"])), get_items=get_image_files, get_y=mask, item_tfms=Resize(32))
write(unet_learner(block.dataloaders(out/"images", bs=2, num_workers=0), resnet18, pretrained=False, self_attention=True), "unet", x)
df = pd.read_csv(out/"table.csv")
dls = TabularDataLoaders.from_df(df, procs=[Categorify, FillMissing, Normalize], cat_names=["c"], cont_names=["n", "m"], y_names="y",
                                 y_block=CategoryBlock(), bs=8)
write(tabular_learner(dls, layers=[8], n_out=2), "table", torch.tensor([[1, 1], [2, 0]]), torch.rand(2, 2))
for use_nn in (False, True):
    learn = collab_learner(CollabDataLoaders.from_df(pd.read_csv(out/"ratings.csv"), bs=4), y_range=(0, 5.5), use_nn=use_nn)
    write(learn, f"ratings{int(use_nn)}", torch.tensor([[1, 1], [2, 3]]))
"""


def ours(name, folder):
    import pandas as pd

    from minifast.collab import CollabDataLoaders, collab_learner
    from minifast.tabular import all as tables
    from minifast.vision import all as vision
    if name == "vision":
        dls = vision.ImageDataLoaders.from_folder(folder / "images", valid_pct=.3, item_tfms=vision.Resize(32), bs=2, num_workers=0)
        return vision.vision_learner(dls, vision.resnet18, pretrained=False)
    if name == "unet":
        block = vision.DataBlock((vision.ImageBlock, vision.MaskBlock(codes=["u", "v", "w"])), get_items=vision.get_image_files,
                                 get_y=lambda p: np.ones((40, 48), dtype=np.uint8), item_tfms=vision.Resize(32))
        dls = block.dataloaders(folder / "images", bs=2, num_workers=0)
        return vision.unet_learner(dls, vision.resnet18, pretrained=False, self_attention=True)
    if name == "table":
        dls = tables.TabularDataLoaders.from_df(pd.read_csv(folder / "table.csv"), procs=[tables.Categorify, tables.FillMissing,
                                                tables.Normalize], cat_names=["c"], cont_names=["n", "m"], y_names="y", bs=8)
        return tables.tabular_learner(dls, layers=[8])
    return collab_learner(CollabDataLoaders.from_df(pd.read_csv(folder / "ratings.csv"), bs=4), y_range=(0, 5.5), use_nn=name[-1] == "1")


@pytest.mark.slow
@pytest.mark.skipif(FASTAI is None, reason="fastai is not installed: pip install fastai, or name a Python that has it in "
                                           "MINIFAST_FASTAI_PYTHON")
def test_files_of_fastai(tmp_path):
    import pandas as pd
    rng = np.random.default_rng(0)
    df = pd.DataFrame({"c": rng.choice(list("xyz"), 40), "n": rng.normal(size=40), "m": rng.normal(size=40),
                       "y": rng.choice(["no", "yes"], 40)})
    df.loc[::7, "m"] = np.nan
    df.to_csv(tmp_path / "table.csv", index=False)
    pd.DataFrame({"user": [1, 2] * 10, "item": list("abcde") * 4, "rating": [1.0, 5.0] * 10}).to_csv(tmp_path / "ratings.csv", index=False)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([FASTAI, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("vision", "unet", "table", "ratings0", "ratings1"):
        *inputs, expected = torch.load(tmp_path / f"{name}.pt")
        for file in (tmp_path / f"{name}.pkl", tmp_path / "models" / f"{name}.pth"):
            learn = ours(name, tmp_path)
            learn.load(Path(port_weights(file)[0]).resolve(), with_opt=False)           # refuses another vocabulary
            with torch.no_grad():
                assert (learn.model.cpu().eval()(*inputs) - expected).abs().max() < 1e-5, file
