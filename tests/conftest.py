"""What all tests share."""
import gc
import os
import random
import signal
import sys
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")      # nothing opens a window
sys.dont_write_bytecode = False                 # compiling the package takes seconds: processes that tests start need not do it again
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")           # the processes that run the tests share the cores
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:       # as where a shell has started the tests in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
gc.disable()                                    # while everything is imported, of which nothing is garbage


def pytest_collection_finish():
    """What is imported now stays to the end: the garbage collector need not look through it again and again. Nor need it look for garbage
    after every 700 new objects, an eighth of the time of all tests: a test that says that something is let go collects itself."""
    gc.freeze()
    gc.set_threshold(50_000)
    gc.enable()


_file_of_tests = [None]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    "Every test, its fixtures included, draws the same random numbers, alone or after others: what fails once fails again."
    if item.path != _file_of_tests[0]:          # what the last file has left in caches stays too: `gc.collect()` would look through it
        _file_of_tests[0] = item.path
        gc.collect()
        gc.freeze()
    import numpy as np  # here: torch reads OMP_NUM_THREADS when it is imported
    import torch
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def pytest_collection_modifyitems(items):
    """Files with slow tests first. The second process starts with the quick half, then takes from the end of what the first one has left:
    both end among short tests, none waits for the long one that the other has just begun."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_make_parametrize_id(val, argname):
    "Bytes give a test no name: compressed ones can hold the time, and then the processes that share the tests disagree on their names."
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def data_dir():
    "The folder of real test data, $MINIFAST_TEST_DATA or ../shared/data beside the repository; the test is skipped without it."
    folder = Path(os.environ.get("MINIFAST_TEST_DATA") or Path(__file__).parents[1].parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}: set MINIFAST_TEST_DATA")
    return folder
