"The examples of docs/streams.md run as they stand."
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "streams.md"


def test_the_examples_run(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 5
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["learn"].validate()[1] > 0.9
    assert len(list(names["endless"])) == 20
    names.clear()           # functions refer to their namespace, which holds the loaders, and these their workers
