"""Scripts and notebooks in the styles of fastai's users run with their import lines rewritten, and print what fastai prints.

`scripts/` has code that is written for fastai and runs there unchanged; `expected/NAME.txt` has the lines that count of what it prints,
each beginning with a name and a colon. In them `0.5..1` stands for any number from 0.5 to 1; the rest is the same letter by letter.
Of what fastai lacks there are scripts for minifast itself.
With the environment variable MINIFAST_TEST_FASTAI, the path of a Python that has fastai, they run there as well.
"""
import hashlib
import os
import pickle
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import fresh_process
import pytest
import torch

from minifast.compat.port import port_notebook, port_source

HERE = Path(__file__).parent
SCRIPTS = sorted(f.name for f in (HERE / "scripts").iterdir() if f.suffix in (".py", ".ipynb"))
#: Those written for minifast, where fastai has no such application.
OWN = {name for name in SCRIPTS if "\nfrom minifast." in (HERE / "scripts" / name).read_text()}
FASTAI = os.environ.get("MINIFAST_TEST_FASTAI")
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+|nan|inf)(?:e[-+]?\d+)?"
RANGE = re.compile(rf"({NUMBER})\.\.({NUMBER})")
#: What `untar_data` finds as downloaded, under the names of fastai's archives.
DOWNLOADED = {"oxford-iiit-pet": "pets_sample", "mnist_tiny": "mnist_tiny", "adult_sample": "adult", "ml-100k": "ml-100k",
              "imdb_sample": "imdb_sample"}


#: Runs a notebook as `python -m IPython file` does.
IPYTHON = """
import sys
from IPython import start_ipython
sys.exit(start_ipython(["--colors=NoColor", sys.argv[1]]))
"""


def linked(source, dest):
    "A copy of a folder whose files are links, so that what a script writes stays out of the data."
    shutil.copytree(source.resolve(), dest, copy_function=os.symlink)


def language_model(folder):
    "Weights of a language model as fastai publishes them, of few words; the rows of each matrix are one, so that the file is small."
    folder.mkdir(parents=True)
    words = ["xxunk", "xxpad", "xxbos", "xxeos", "xxfld", "xxrep", "xxwrep", "xxup", "xxmaj", "the", "a", "and", "of", "to", "film",
             "it", "is", "in", "that", "this", "was", "but", "i", ".", ",", "'s", "n't", "good", "bad", "with", "for", "as", "on", "are"]
    words += ["xxfake"] * (-len(words) % 8)
    sizes = {"0.encoder.weight": (len(words), 400), "0.encoder_dp.emb.weight": (len(words), 400)}
    for layer, (n_in, n_out) in enumerate([(400, 1152), (1152, 1152), (1152, 400)]):
        sizes |= {f"0.rnns.{layer}.weight_hh_l0_raw": (4 * n_out, n_out), f"0.rnns.{layer}.module.weight_ih_l0": (4 * n_out, n_in),
                  f"0.rnns.{layer}.module.bias_ih_l0": (4 * n_out,), f"0.rnns.{layer}.module.bias_hh_l0": (4 * n_out,)}
    sizes |= {"1.decoder.weight": (len(words), 400), "1.decoder.bias": (len(words),)}
    torch.manual_seed(0)
    weights = {name: torch.randn(1, size[-1]).div(20).expand(size) if len(size) > 1 else torch.zeros(size) for name, size in sizes.items()}
    torch.save(weights, folder / "lstm_fwd.pth")
    (folder / "itos_wt103.pkl").write_bytes(pickle.dumps(words))


@pytest.fixture(scope="session")
def home(tmp_path_factory, data_dir):
    "Folders as on a user's machine: downloaded datasets, `input/`, torch's weights."
    home = tmp_path_factory.mktemp("user")
    for name, folder in DOWNLOADED.items():
        linked(data_dir / folder, home / "data" / name)
    for folder in {f for name in SCRIPTS for f in re.findall(r"\.\./input/(\w+)", (HERE / "scripts" / name).read_text())}:
        linked(data_dir / folder, home / "input" / folder)
    language_model(home / "models" / "wt103-fwd")
    weights = data_dir.resolve() / "weights" / "squeezenet1_1-caffe-ncnn.pth"
    named = home / "torch" / "hub" / "checkpoints" / f"squeezenet1_1-{hashlib.sha256(weights.read_bytes()).hexdigest()[:8]}.pth"
    named.parent.mkdir(parents=True)
    named.symlink_to(weights)
    return home


def printed_by(source, suffix, home, folder, python=sys.executable):
    "Run a script or a notebook in a folder of its own, and return what it prints."
    file = folder / f"script{suffix}"
    file.write_text(source)
    weights, = (home / "torch" / "hub" / "checkpoints").iterdir()
    paths = [str(HERE / "fakes"), *([str(HERE.parents[1])] if python == sys.executable else [])]
    if find_spec("wandb") is None:
        paths.append(str(HERE / "fakes" / "wandb_fake"))
    environment = {**os.environ, "MINIFAST_HOME": str(home), "FASTAI_HOME": str(home), "TORCH_HOME": str(home / "torch"),
                   "SQUEEZENET_FILE": weights.name, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore",
                   "IPYTHONDIR": str(folder / "ipython"),
                   "PYTHONPATH": os.pathsep.join(filter(None, [*paths, os.environ.get("PYTHONPATH")]))}
    if python == sys.executable:
        code, given = (IPYTHON, {}) if suffix == ".ipynb" else (source, {"file": file})
        run = fresh_process.run(code, str(file), cwd=folder, env=environment, timeout=120, **given)
    else:
        command = [python, *(["-m", "IPython", "--colors=NoColor"] if suffix == ".ipynb" else []), str(file)]
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0 and "Traceback" not in run.stdout, f"{run.stdout[-3000:]}\n{run.stderr[-4000:]}"
    return run.stdout


def same_line(expected, line):
    "Whether a printed line is the expected one; a range stands for a number in it."
    bounds = [(float(low), float(high)) for low, high in RANGE.findall(expected)]
    found = re.fullmatch(f"({NUMBER})".join(map(re.escape, RANGE.sub("\0", expected).split("\0"))), line)
    return found is not None and all(low <= float(value) <= high for value, (low, high) in zip(found.groups(), bounds, strict=True))


def differences(expected, printed):
    "The expected lines that were not printed, each with what stands there instead."
    lines = [line.strip() for line in printed.replace("\r", "\n").splitlines()]
    wrong = []
    for wanted in expected.splitlines():
        named = [line for line in lines if line.startswith(f"{wanted.partition(':')[0]}:")]
        if not any(same_line(wanted, line) for line in named):
            wrong.append(f"expected {wanted!r}, printed {named}")
    return wrong


def expected_of(name):
    return (HERE / "expected" / name).with_suffix(".txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_script_runs_with_its_imports_rewritten(name, home, tmp_path_factory):
    file = HERE / "scripts" / name
    if file.suffix == ".ipynb":
        pytest.importorskip("IPython")
        pytest.importorskip("ipywidgets")
    source = file.read_text()
    rewritten, findings = (port_notebook if file.suffix == ".ipynb" else port_source)(source)
    assert [str(f) for f in findings if f.absent] == []
    changed = [new for old, new in zip(source.splitlines(), rewritten.splitlines(), strict=True) if old != new]
    assert bool(changed) != (name in OWN)
    assert all(re.search(r"\b(import|from) minifast\b|\bminifast\.__version__", line) for line in changed)
    folder = home / f"work_{file.stem}"
    folder.mkdir(exist_ok=True)
    assert differences(expected_of(name), printed_by(rewritten, file.suffix, home, folder)) == []


@pytest.mark.slow
@pytest.mark.skipif(FASTAI is None, reason="needs a Python with fastai: MINIFAST_TEST_FASTAI=/path/to/python")
@pytest.mark.parametrize("name", sorted(set(SCRIPTS) - OWN))
def test_script_prints_the_same_in_fastai(name, home):
    file = HERE / "scripts" / name
    folder = home / f"fastai_{file.stem}"
    folder.mkdir(exist_ok=True)
    printed = printed_by(file.read_text(), file.suffix, home, folder, python=FASTAI)
    assert differences(expected_of(name), printed) == []


def test_lines_are_compared():
    assert differences("accuracy: 0.5..1\nclasses: 3 ['a']", "epoch 1\naccuracy: 0.75\nclasses: 3 ['a']") == []
    assert differences("accuracy: 0.5..1", "accuracy: 0.4999") != []
    assert differences("accuracy: 0.5..1", "accuracy: nan") != []
    assert differences("rmse: 1e-3..2 for (10, 1)", "rmse: 0.5 for (10, 2)") != []
    assert differences("shape: (3, 4)", "") == ["expected 'shape: (3, 4)', printed []"]


def test_every_script_has_expected_lines():
    assert {Path(name).stem for name in SCRIPTS} == {f.stem for f in (HERE / "expected").glob("*.txt")}
    assert len(SCRIPTS) >= 16
