"""The command line: `minifast demo` and `minifast doctor`."""
import re
import subprocess
import sys
from importlib import metadata

import pytest
import torch

import minifast
from minifast.cli import demo, doctor
from minifast.cli.main import main
from minifast.core import device


@pytest.fixture(autouse=True)
def fresh_device(monkeypatch):
    monkeypatch.setattr(device.defaults, "device", None)
    monkeypatch.setattr(device.defaults, "use_cuda", None)


# -- arguments ------------------------------------------------------------------------------------------------------------------
def refused(capsys, *argv):
    "What a wrong call prints; it ends with status 2."
    with pytest.raises(SystemExit) as e:
        main(argv)
    out, err = capsys.readouterr()
    assert e.value.code == 2 and out == ""
    return err


@pytest.mark.parametrize("argv, sentence", [
    ([], "the following arguments are required: command"),
    (["train"], "invalid choice: 'train'"),
    (["demo", "--epoch"], "expected one argument"),
    (["demo", "--epochs", "many"], "argument --epochs: must be a whole number, 1 or more; received 'many'"),
    (["demo", "--epochs", "0"], "argument --epochs: must be a whole number, 1 or more; received '0'"),
    (["demo", "--size", "-32"], "argument --size: must be a whole number, 1 or more; received '-32'"),
    (["demo", "--colour", "red"], "unrecognized arguments: --colour red"),
    (["demo", "audio"], "invalid choice: 'audio'"),
    (["doctor", "now"], "unrecognized arguments: now"),
])
def test_wrong_arguments(capsys, argv, sentence):
    assert sentence in refused(capsys, *argv)


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as e:
        main(["--help"])
    out = capsys.readouterr().out
    assert e.value.code == 0 and re.search(r"^ +demo +train on real handwritten digits", out, re.M) and "doctor" in out


def test_as_a_module_and_without_waiting_for_torch():
    code = ("import sys; sys.argv = ['minifast']; from minifast.cli.main import main\n"
            "try: main()\nfinally: assert 'torch' not in sys.modules")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("usage: minifast"), done.stderr
    done = subprocess.run([sys.executable, "-m", "minifast", "demo", "--nonsense"], capture_output=True, text=True)
    assert done.returncode == 2 and "unrecognized arguments: --nonsense" in done.stderr and done.stdout == ""


def test_the_console_script_is_main():
    script, = metadata.entry_points(group="console_scripts", name="minifast")
    assert script.load() is main


# -- demo -----------------------------------------------------------------------------------------------------------------------
def test_demo_passes_its_arguments_on(monkeypatch):
    calls = []
    monkeypatch.setattr(demo, "run", lambda *args, **kwargs: calls.append((args, kwargs)))
    assert main(["demo"]) == 0
    assert main(["demo", "--data", "pets", "--out", "here", "--epochs", "2", "--size", "64", "--seed", "3", "--weights", "w.pth"]) == 0
    assert main(["demo", "text", "--data", "mails.csv", "--target", "spam"]) == 0
    assert calls == [(("vision", None, None, None, None, 42, None, None), {}), (("vision", "pets", "here", 2, 64, 3, "w.pth", None), {}),
                     (("text", "mails.csv", None, None, None, 42, None, "spam"), {})]


@pytest.mark.parametrize("error", [ValueError("no images"), FileNotFoundError("no images")])
def test_demo_reports_what_the_user_can_mend_in_one_line(monkeypatch, capsys, error):
    def run(*args, **kwargs):
        raise error

    monkeypatch.setattr(demo, "run", run)
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == "minifast demo: no images\n"


def test_demo_does_not_hide_our_own_mistakes(monkeypatch):
    def run(*args, **kwargs):
        raise TypeError("a bug")

    monkeypatch.setattr(demo, "run", run)
    with pytest.raises(TypeError, match="a bug"):
        main(["demo"])


# -- doctor ---------------------------------------------------------------------------------------------------------------------
def report(capsys):
    "The lines of `minifast doctor` as a dict."
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert all(": " in line for line in out.splitlines()), out
    return dict(line.split(": ", 1) for line in out.splitlines())


def test_doctor(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").touch()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    lines = report(capsys)
    assert lines["minifast"].startswith(f"{minifast.__version__} (") and lines["torch"] == metadata.version("torch")
    assert lines["python"] == f"{sys.version.split()[0]} ({sys.executable})"
    assert re.fullmatch(rf"\d+ cores for this process, torch uses {torch.get_num_threads()} threads", lines["cpu"])
    assert (lines["cuda"], lines["mps"], lines["default device"]) == ("no device", "not available", "cpu")
    assert lines["working directory"] == f"{tmp_path} (entries: 1, writable)"
    assert {p for p in doctor.PACKAGES if p not in lines} == set()


def test_doctor_knows_what_is_not_installed(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no-such-package"))
    assert report(capsys)["no-such-package"] == "not installed"


def test_doctor_names_the_caches(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIFAST_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    lines = report(capsys)
    assert lines["minifast data (MINIFAST_HOME)"] == f"{tmp_path / 'data'} (not there yet)"
    assert lines["torch weights (TORCH_HOME)"] == f"{tmp_path / 'hub' / 'checkpoints'} (not there yet)"
    (tmp_path / "data").touch()                                     # a file where a folder should be
    assert "cannot be listed: Not a directory" in report(capsys)["minifast data (MINIFAST_HOME)"]


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *i: "Tesla P100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *i: (6, 0))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: type("P", (), {"total_memory": 16 * 2**30}))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_70", "sm_80"])


def test_doctor_on_a_gpu_that_this_torch_was_not_built_for(capsys, gpu):
    with pytest.warns(UserWarning, match="its kernels do not run on it"):
        lines = report(capsys)
    assert lines["cuda:0"] == "Tesla P100, compute capability 6.0, 16.0 GiB"
    assert lines["torch built for"] == "sm_70, sm_80" and lines["default device"] == "cpu"


def test_doctor_on_a_gpu_that_cannot_be_started(capsys, gpu, monkeypatch):
    def broken(*i):
        raise RuntimeError("CUDA unknown error\nmore")

    monkeypatch.setattr(torch.cuda, "get_device_name", broken)
    monkeypatch.setattr(torch.cuda, "get_device_capability", broken)
    lines = report(capsys)
    assert lines["cuda"] == "1 seen, none can be used: CUDA unknown error"
    assert lines["default device"] == "none: CUDA unknown error"


def test_doctor_without_torch():
    code = "import sys; sys.modules['torch'] = None\nfrom minifast.cli.main import main\nsys.exit(main(['doctor']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "devices: none can be used without torch" in done.stdout and "minifast: " in done.stdout
