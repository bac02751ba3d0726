"Row S100: a damaged `.pth` file."
import zipfile

import pytest
import torch

from minifast.core import checkpoint


def test_s100_a_damaged_pth_file(tmp_path):
    """A byte of a `.pth` file that changes: a number in it, or the mark that makes a record of the file a folder.

    Elsewhere: torch does not compare the checksums in the file, and of a folder it reads nothing: the weights are other ones, or what was
    in memory.
    Here: the checksums are compared, and such a mark is refused: "w/data/0 is marked as a folder". Files of torch before 1.6 have no
    checksums, which `learn.load` says.
    """
    torch.save({"w": torch.ones(9)}, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth") as z, zipfile.ZipFile(tmp_path / "x.pth", "w") as marked:
        for info in z.infolist():
            content = z.read(info)
            info.external_attr = 0x10 if info.filename == "w/data/0" else 0
            marked.writestr(info, content)
    with pytest.raises(ValueError, match="w/data/0 is marked as a folder"):
        checkpoint.load(tmp_path / "x.pth")
