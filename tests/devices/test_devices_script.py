"""device_checks/gpu.sh, the script for whoever has a GPU, runs here in miniature: its checks pass, or are skipped by name."""
import json
import os
import subprocess
import sys
from pathlib import Path

import fresh_process
import pytest
import torch

FOLDER = Path(__file__).parents[2] / "device_checks"
ON_GPUS_ONLY = {"fp16", "pinned"}


def run(device, out, *args, seconds=700):
    return subprocess.run(["bash", str(FOLDER / "gpu.sh"), *args], capture_output=True, text=True, timeout=seconds + 60, env={
        **os.environ, "DEVICE": device, "PYTHON": sys.executable, "OUT": str(out), "SECONDS_IN_ALL": str(seconds), "OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    "What is said to an unknown name."
    return run("cpu", tmp_path_factory.mktemp("out"), "--only", "speed")


@pytest.mark.slow
def test_an_unknown_name_is_refused(refused):
    assert refused.returncode == 2 and "choose from tests, fp16" in refused.stderr


@pytest.mark.slow
def test_every_check_passes_in_miniature_or_is_skipped_by_name(refused, tmp_path):
    names = refused.stderr.partition("choose from ")[2].strip().split(", ")
    done = run("cpu", tmp_path, "--only", ",".join(n for n in names if n != "tests"))        # those run in this suite anyway
    found = json.loads((tmp_path / "checks.json").read_text())["checks"]
    assert found.keys() == {*names} - {"tests"} and len(found) > 10
    assert done.returncode == 0 and {r["verdict"] for r in found.values()} == {"PASS", "SKIP"}, done.stdout
    assert {name for name, r in found.items() if r["verdict"] == "SKIP"} == ON_GPUS_ONLY
    assert all(f"{r['verdict']}  {name}" in done.stdout and r["text"] for name, r in found.items())


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_all_are_skipped(tmp_path):
    done = run("cuda", tmp_path)
    found = json.loads((tmp_path / "checks.json").read_text())["checks"]
    assert done.returncode == 0 and {(r["verdict"], r["text"]) for r in found.values()} == {("SKIP", "torch sees no GPU here")}
    assert "resnet50" in found and f"{len(found)} SKIP" in done.stdout


@pytest.mark.slow
def test_what_takes_too_long_is_ended():
    code = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); from checks import run_apart; print(run_apart('plan', 'cpu', 0.5)[0])"
    done = fresh_process.run(code, check=True, libraries=False)
    assert "verdict='FAIL'" in done.stdout and "not done after 0.5 s" in done.stdout
