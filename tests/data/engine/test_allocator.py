"""Memory that was freed stays with the process once batches are made for a model on the CPU."""
import sys

import fresh_process
import pytest

CODE = """
import resource
import torch
from torch.utils.data import TensorDataset
from minifast.data.dataloader import DataLoader
from minifast.core.device import defaults
defaults.keep_memory = {keep}
for _ in DataLoader(TensorDataset(torch.zeros(8, 1)), bs=4, device="cpu"): pass
def made():
    torch.ones(16, 2**20)           # 64 MB
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
made()
counts = []
for _ in range(5):
    before = faults()
    made()
    counts.append(faults() - before)
print(min(counts))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="thresholds of glibc")
@pytest.mark.parametrize("keep", [True, False])
def test_large_tensors_reuse_memory(keep):
    faults = int(fresh_process.run(CODE.format(keep=keep), check=True).stdout)
    assert (faults < 16) == keep, "each has at least 32 pages of 2 MB, or 16,384 of 4 KB"
