"""The code cells of a notebook as a script."""
import json
import sys
import traceback

import pytest

from minifast.distributed.notebooks import cells_of, run_notebook


def notebook(path, *cells):
    "A notebook of these code cells, with a cell of text between them."
    cells = [c for source in cells for c in ({"cell_type": "markdown", "source": ["# text\n"]}, {"cell_type": "code", "source": source})]
    path.write_text(json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}))
    return path


def test_cells_run_one_after_another(tmp_path, capsys):
    file = notebook(tmp_path / "a.ipynb", ["x = 1\n", "y = x % 2\n"], "def f():\n    return x + y\nz = f()", "display(z)")
    namespace = {"__name__": "__main__"}
    run_notebook(file, namespace)
    assert namespace["z"] == 2 and "2" in capsys.readouterr().out


@pytest.mark.parametrize("source, python, left_out", [
    ("x = 10\n%2 == 0", "x = 10\npass\n", ["%2 == 0"]),
    ("x = (10\n%3)", "x = (10\n%3)\n", []),                                     # Python already: nothing is for IPython
    ("%matplotlib inline\n!pip install minifast\nx = 1", "pass\npass\nx = 1\n", ["%matplotlib inline", "!pip install minifast"]),
    ("if True:\n    !ls\nlearn.fit??\n?learn", "if True:\n    pass\npass\npass\n", ["!ls", "learn.fit??", "?learn"]),
    ("%%bash\nls", "", ["%%bash"]),
    ("\n%%time\nx = 1", "\npass\nx = 1\n", ["%%time"]),
])
def test_what_only_ipython_understands_is_left_out(tmp_path, source, python, left_out):
    (_, got, lines), = cells_of(notebook(tmp_path / "a.ipynb", source))
    assert (got, lines) == (python, left_out)


def test_what_is_left_out_is_said(tmp_path, capsys):
    run_notebook(notebook(tmp_path / "a.ipynb", "%matplotlib inline", "x = 1"), {})
    assert "left out, because only IPython understands them: %matplotlib inline" in capsys.readouterr().err


def test_an_error_shows_cell_and_line(tmp_path):
    file = notebook(tmp_path / "a.ipynb", "x = 1", "%time\ny = 0\nx / y")
    with pytest.raises(ZeroDivisionError) as e:
        run_notebook(file, {})
    text = "".join(traceback.format_exception(e.value))
    assert f'File "{file}, code cell 2", line 3' in text and "x / y" in text


def test_what_is_no_notebook(tmp_path):
    (tmp_path / "a.ipynb").write_text("[]")
    with pytest.raises(ValueError, match="is no notebook of nbformat 4"):
        list(cells_of(tmp_path / "a.ipynb"))


def test_it_is_a_program(tmp_path):
    import subprocess
    file = notebook(tmp_path / "a.ipynb", "import sys\nprint(sys.argv[1:], __name__)")
    done = subprocess.run([sys.executable, "-m", "minifast.distributed.notebooks", str(file), "--lr", "3"], capture_output=True, text=True)
    assert done.stdout == "['--lr', '3'] __main__\n", done.stderr
