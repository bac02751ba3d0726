"""Nothing that minifast loads can run code."""
import os
import pickle
import re
from pathlib import Path

import pytest
import torch

from minifast.core import checkpoint

PACKAGE = Path(__file__).parents[2] / "minifast"


#: Reads pickles of fastai without looking up any name in them; `tests/compat/test_fastai_weights.py` shows that nothing runs.
RESTRICTED = PACKAGE / "compat" / "fastai_weights.py"
#: Runs the cells of the notebook that the user names on the command line, as Python runs a script: each cell under its own name in
#: tracebacks, and all with the same variables, which `runpy` does not do. Nothing else of the package reaches it.
PROGRAM = PACKAGE / "distributed" / "notebooks.py"


def test_no_pickle_in_the_package():
    assert "def find_class" in RESTRICTED.read_text() and "super().find_class" not in RESTRICTED.read_text()
    for file in [file for file in PACKAGE.rglob("*.py") if file != RESTRICTED]:
        code = file.read_text()
        if file != PACKAGE / "core" / "pickles.py":         # what users call by name to read pickles of their own
            assert not re.search(r"^\s*(import|from)\s+(pickle|cloudpickle|dill|joblib)\b", code, re.M), file
            assert "load_pickle(" not in code, file
        assert "weights_only=False" not in code, file
        for call in re.findall(r"torch\.load\((.*)", code):
            assert "weights_only=True" in call, f"{file}: torch.load({call}"
        runs = re.findall(r"(?<![\w.])(?:eval|exec)\(.*", code)
        assert runs == (['exec(compile(cell.source, cell.name, "exec"), namespace)'] if file == PROGRAM else []), file
        assert file == PROGRAM or not re.search(r"import .*(notebooks|run_notebook|cells_of)\b|notebooks import", code), file


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.system, (f"touch {self.marker}",))


@pytest.mark.parametrize("name", ["model.pth", "model.pt", "model.pkl", "model.safetensors"])
def test_a_malicious_file_is_refused(tmp_path, name):
    marker = tmp_path / "ran"
    torch.save({"model": Malicious(marker)}, tmp_path / name) if name.endswith(("pth", "pt")) else \
        (tmp_path / name).write_bytes(pickle.dumps(Malicious(marker)))
    with pytest.raises((ValueError, pickle.UnpicklingError)):
        checkpoint.load(tmp_path / name)
    assert not marker.exists()
