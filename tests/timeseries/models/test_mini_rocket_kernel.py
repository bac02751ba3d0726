"""MiniRocket compiled by numba: the same counts as torch's operations and as a loop over the definition."""
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from minifast.timeseries.models import mini_rocket, mini_rocket_kernel
from minifast.timeseries.models.mini_rocket import MiniRocketFeatures

pytest.importorskip("numba")


def _integers(n, c, t, seed=0):
    "Values whose sums no rounding touches."
    return torch.randint(-8, 9, (n, c, t), generator=torch.Generator().manual_seed(seed)).float()


def _fitted(c=1, t=24, n_features=84 * 4, padded=False):
    model = MiniRocketFeatures(c, t, n_features, padded=padded).fit(_integers(20, c, t, seed=1), seed=3)
    model.biases.copy_(model.biases.floor() + 0.5)
    return model


def _by_torch(model, x, monkeypatch):
    with monkeypatch.context() as m:
        m.setattr(mini_rocket, "compiled_features", lambda *_: None)
        return model(x)


def _by_definition(model, series):
    "The features of one series (C, T) without padding."
    shares, start, (c, t) = [], 0, series.shape
    x = series.tolist()
    for i, (d, n) in enumerate(zip(model.dilations, model.n_biases, strict=True)):
        for within in (0, 1):
            kernels = range((i + within) % 2, 84, 2)
            steps = range(4 * d, t - 4 * d) if within and t > 8 * d else range(t)
            biases = model.biases[start:start + 42 * n].view(n, 42).tolist()
            values = [[sum(model.kernels[k, j].item() * x[ch][s + (j - 4) * d] for ch in range(c) if model.channels[i, k, ch]
                           for j in range(9) if 0 <= s + (j - 4) * d < t) for s in steps] for k in kernels]
            shares += [sum(v > bias for v in value) / len(steps) for row in biases for value, bias in zip(values, row, strict=True)]
            start += 42 * n
    return torch.tensor(shares)


@pytest.mark.parametrize("c", [1, 3])
def test_counts_are_those_of_the_definition_and_of_torch(c, monkeypatch):
    model, x = _fitted(c), _integers(3, c, 24)
    compiled = model(x)
    assert torch.equal(compiled, _by_torch(model, x, monkeypatch))
    assert torch.allclose(compiled, torch.stack([_by_definition(model, series) for series in x]), atol=1e-7)
    assert torch.allclose(model(x[:1, :, :7])[0], _by_definition(model, x[0, :, :7]), atol=1e-7)     # shorter than a kernel


@pytest.mark.parametrize("c", [1, 4])
@pytest.mark.parametrize("n", [1, 31, 33, 70])
@pytest.mark.parametrize("padded", [False, True])
def test_any_number_of_series_of_any_lengths(c, n, padded, monkeypatch):
    model, x = _fitted(c, 40, padded=padded), _integers(n, c, 45)
    assert torch.equal(model(x), _by_torch(model, x, monkeypatch))
    x = torch.where(torch.arange(45) < torch.randint(0, 46, (n, 1, 1), generator=torch.Generator().manual_seed(5)), x, math.nan)
    assert torch.equal(model(x), _by_torch(model, x, monkeypatch))


def test_whatever_the_layout_and_type(monkeypatch):
    model, x = _fitted(2), _integers(9, 2, 24)
    expected = _by_torch(model, x, monkeypatch)
    for same in (x.double(), x.half(), x.transpose(0, 2).contiguous().transpose(0, 2), x.transpose(1, 2).contiguous().transpose(1, 2),
                 x.repeat(1, 1, 2)[..., :24], x.clone().requires_grad_()):
        assert torch.equal(model(same), expected)
    with torch.inference_mode():
        assert torch.equal(model(x.clone()), expected)


def test_level_series(monkeypatch):
    x = (torch.randn(20, 1, 16, generator=torch.Generator().manual_seed(0)).mul(20).round() / 10).repeat_interleave(4, 2) + 7.3
    model = MiniRocketFeatures(1, 64, 84 * 6).fit(x, 0)
    assert torch.equal(model(x), _by_torch(model, x, monkeypatch))


@pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan, 1e37])
def test_what_it_does_not_take_torch_computes(odd, monkeypatch):
    model, x = _fitted(2), _integers(4, 2, 24)
    x[1, 0, 5] = odd
    assert torch.equal(model(x), _by_torch(model, x, monkeypatch))
    x = _integers(4, 2, 24)
    x[2, :, 3:6] = math.nan                         # a gap, and padding at the beginning
    x[3, :, :4] = math.nan
    assert torch.equal(model(x), _by_torch(model, x, monkeypatch))


def test_from_eight_threads_at_once():
    model, x, threads = _fitted(c=2, n_features=168), _integers(100, 2, 24), torch.get_num_threads()
    expected = model(x)
    mini_rocket_kernel._compiled.cache_clear()
    try:
        torch.set_num_threads(3)
        with ThreadPoolExecutor(8) as pool:
            assert all(torch.equal(found, expected) for found in pool.map(lambda _: model(x), range(24)))
    finally:
        torch.set_num_threads(threads)


_ALONE = """
import os, sys, torch
torch.set_num_threads(2)
from minifast.timeseries.models import mini_rocket_kernel
from minifast.timeseries.models.mini_rocket import MiniRocketFeatures
model, x = MiniRocketFeatures(1, 20, 84), torch.arange(2000.0).view(100, 1, 20) % 7
expected = model.fit(x, 0)(x)
print(mini_rocket_kernel._compiled() is not None, len(os.listdir()))
if "fork" in sys.argv:
    pid = os.fork()
    if not pid:
        os._exit(0 if torch.equal(model(x), expected) else 1)
    print(os.waitpid(pid, 0)[1])
"""


def _alone(folder, *args, **environment):
    done = subprocess.run([sys.executable, "-c", _ALONE, *args], cwd=folder, capture_output=True, text=True, timeout=300,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path), **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_after_a_fork(tmp_path):
    assert _alone(tmp_path, "fork") == ["True", "0", "0"]


@pytest.mark.slow
def test_where_no_folder_may_be_written(tmp_path):
    assert _alone(tmp_path, NUMBA_CACHE_DIR="/proc/none") == ["True", "0"]


@pytest.mark.slow
def test_without_machine_code_torch_computes(tmp_path):
    assert _alone(tmp_path, NUMBA_DISABLE_JIT="1") == ["False", "0"]


def test_without_numba_torch_computes(monkeypatch):
    model, x = _fitted(), _integers(3, 1, 24)
    expected = model(x)
    monkeypatch.setitem(sys.modules, "numba", None)
    mini_rocket_kernel._compiled.cache_clear()
    try:
        assert mini_rocket_kernel._compiled() is None and torch.equal(model(x), expected)
    finally:
        mini_rocket_kernel._compiled.cache_clear()
