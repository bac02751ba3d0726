"Row S99: a file of weights that changes on the disk."
import pytest
import torch

from minifast.core import checkpoint


def test_s99_a_file_that_changes(tmp_path):
    """A byte of a file of weights that changes on the disk, or a file that another process overwrites while, or after, it is loaded.

    Elsewhere: other weights are loaded, or what was loaded changes afterwards, as it is still the file.
    Here: the file is opened once, compared with the SHA-256 that was written with it, and copied.
    """
    file = checkpoint.save({"w": torch.ones(100)}, tmp_path / "m.safetensors")
    good, loaded = file.read_bytes(), checkpoint.load(file)["w"]
    file.write_bytes(good[:-1] + b"\0")
    assert torch.equal(loaded, torch.ones(100))
    with pytest.raises(ValueError, match="its content does not have the SHA-256 that was written with it"):
        checkpoint.load(file)
