"""Importing minifast changes nothing outside minifast, and does not touch an accelerator."""
import functools
import subprocess
import sys

import fresh_process
import pytest

PROBE = """
import warnings, logging, sys, random, os, socket, subprocess
import torch, numpy as np, pandas as pd, PIL.Image, pathlib, torchvision, matplotlib
def state():
    return (set(dir(torch.Tensor)), set(dir(torch.nn.Module)), set(dir(pathlib.Path)), set(dir(PIL.Image.Image)), set(dir(pd.DataFrame)),
            pd.get_option('display.max_colwidth'), pd.get_option('display.max_rows'), pd.DataFrame.__init__, PIL.Image.Image.__dict__.get('size'),
            torch.Tensor.__repr__, tuple(map(str, warnings.filters)), logging.root.level, PIL.Image.MAX_IMAGE_PIXELS,
            torch.get_rng_state().sum().item(), random.getstate(), str(np.random.get_state()), torch.get_num_threads(),
            dict(os.environ), matplotlib.rcParams['backend'] if 'matplotlib.pyplot' in sys.modules else None, torch.get_default_dtype(),
            PIL.ImageFile.LOAD_TRUNCATED_IMAGES)
import PIL.ImageFile, matplotlib.pyplot
warnings.filterwarnings("error", category=DeprecationWarning, module="minifast")
"""


APPLICATIONS = "; ".join(f"from minifast.{room} import *" for room in ("vision.all", "text.all", "timeseries.all"))


@pytest.mark.slow
@pytest.mark.parametrize("statement", [APPLICATIONS, "from minifast.learner.learner import Learner", "import minifast.basics"])
def test_nothing_changes(statement):
    code = PROBE + f"""
before = state()
def no_side_effects(event, args):
    writes = event == 'open' and not isinstance(args[0], int) and '__pycache__' not in str(args[0]) \\
        and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or event in ('socket.connect', 'subprocess.Popen', 'os.system'):
        sys.stderr.write(f'SIDE EFFECT {{event}} {{args}}\\n')
sys.addaudithook(no_side_effects)
{statement}
after = state()
assert before == after, [i for i, (a, b) in enumerate(zip(before, after)) if a != b]
assert not torch.cuda.is_initialized()
"""
    done = fresh_process.run(code)
    assert done.returncode == 0, done.stderr
    assert "SIDE EFFECT" not in done.stderr, done.stderr


@functools.cache
def modules_after(statement):
    "What is imported then, where only torch was before."
    code = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    return set(fresh_process.run(code, check=True, libraries=False).stdout.split())


@pytest.mark.slow
def test_the_learner_is_light():
    heavy = {"torchvision", "pandas", "matplotlib", "PIL", "sklearn", "scipy", "IPython"}
    assert heavy & modules_after("from minifast.learner.learner import Learner") - modules_after("import torch") == set()


def test_package_itself_imports_nothing():
    code = "import sys, minifast; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.slow
def test_star_import_brings_no_web_stack():
    assert {"sklearn", "fastprogress", "fastcore", "scipy", "timm", "starlette"} & modules_after("from minifast.vision.all import *") == set()


@pytest.mark.slow
@pytest.mark.parametrize("room", ["text", "timeseries"])
def test_texts_and_series_bring_neither_images_nor_the_libraries_of_tokenizers_and_transformers(room):
    heavy = {"transformers", "tokenizers", "peft", "spacy", "safetensors.torch", "torchvision", "sklearn", "scipy", "fastcore"}
    assert heavy & modules_after(f"from minifast.{room}.all import *") == set()


@pytest.mark.slow
def test_the_applications_bring_no_checks():
    found = modules_after(f"{APPLICATIONS}; from minifast.collab import *")
    assert {m for m in found if m.startswith(("minifast.checks", "minifast.learner.init_head"))} == set()


def test_a_fit_with_its_bars_leaves_pathlib_alone():
    code = """
import pathlib, sys
before = {c: set(vars(c)) for c in (pathlib.Path, pathlib.PurePath, pathlib.PosixPath, pathlib.WindowsPath)}
sys.stdout.isatty = lambda: True                # bars are drawn
from minifast.basics import *
x, y = torch.randn(8, 3), torch.randn(8, 1)
dls = DataLoaders(*(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), 4) for _ in range(2)))
Learner(dls, nn.Linear(3, 1), loss_func=nn.MSELoss()).fit(1)
assert before == {c: set(vars(c)) for c in before}
assert not hasattr(pathlib.Path("."), "ls") and Path(".").ls() is not None
"""
    done = fresh_process.run(code)
    assert done.returncode == 0 and "100.00%" in done.stdout, done.stderr
