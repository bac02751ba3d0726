"""The notebooks run, and what is stored in them is what a reader should see."""
import importlib.util
import os
from pathlib import Path

import fresh_kernel
import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NBS = Path(__file__).parents[2] / "nbs"
NOTEBOOKS = sorted(NBS.glob("*.ipynb"))

spec = importlib.util.spec_from_file_location("nbs_execute", NBS / "execute.py")
execute = importlib.util.module_from_spec(spec)
spec.loader.exec_module(execute)


def book(*cells):
    "A notebook with code cells `(source, outputs)`, executed in this order."
    v4 = nbformat.v4
    return v4.new_notebook(cells=[v4.new_code_cell(s, outputs=list(outs), execution_count=i) for i, (s, outs) in enumerate(cells, 1)])


FIGURE = nbformat.v4.new_output("display_data", {"image/png": "iVBORw0KGgo="})


def stream(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


@pytest.fixture
def environment(monkeypatch):
    "As on a reader's machine: the kernel chooses how to show figures and finds the package from any folder."
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(NBS.parent), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
    with fresh_kernel.forked():
        yield


@pytest.mark.slow
def test_there_are_notebooks():
    assert [f.name for f in NOTEBOOKS[:2]] == ["01_quickstart.ipynb", "02_training_loop.ipynb"]


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda f: f.stem)
def test_stored_outputs(file):
    nb = nbformat.read(file, as_version=4)
    nbformat.validate(nb)
    assert execute.problems(nb) == [], f"run `python nbs/execute.py {file.name[:2]}`"
    counts = [c.execution_count for c in nb.cells if c.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "the cells were not executed once, from top to bottom"
    fits = [c for c in nb.cells if c.cell_type == "code" and ".fit_one_cycle(" in c.source
            and "no_logging" not in c.source and "notebook_launcher" not in c.source]             # other processes print lines
    for cell in fits:       # one table for each fit, in its final state
        tables = [o.data["text/html"] for o in cell.outputs if "train_loss" in o.get("data", {}).get("text/html", "")]
        assert len(tables) == cell.source.count(".fit"), cell.source
        assert not any("<progress" in t for t in tables)
    assert fits


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda f: f.stem)
def test_it_runs(file, environment):
    if execute.lacks_data(file):
        pytest.skip(f"no test data in {execute.DATA}: set MINIFAST_TEST_DATA")
    before = file.read_bytes()
    fresh = execute.run(file, timeout=300)
    errors = [text for c in fresh.cells for kind, text in execute.texts(c) if kind == "error"]
    assert errors == []
    assert [p for p in execute.problems(fresh) if "stderr" not in p] == []       # a new library may warn
    assert file.read_bytes() == before


@pytest.mark.slow
def test_a_failing_cell_is_reported(tmp_path, environment):
    from nbclient.exceptions import CellExecutionError
    file = tmp_path / "fails.ipynb"
    nbformat.write(book(("1 / 0", [])), file)
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute.run(file, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("cells, problem", [
    ([("x", [])], "there is no figure"),
    ([("x", [FIGURE, stream("/home/me/digits/3.png")])], "cell 0 shows the machine path '/home/me/digits/3.png'"),
    ([("x", [FIGURE, stream(r"C:\Users\me\digits")])], "cell 0 shows the machine path"),
    ([("x", [FIGURE, stream("UserWarning", "stderr")])], "cell 0 wrote to stderr: 'UserWarning'"),
    ([("x", [FIGURE, nbformat.v4.new_output("error", ename="E", evalue="e", traceback=["boom"])])], "cell 0 wrote to error: 'boom'"),
    ([("x", [FIGURE]), ("y" * 1_000_001, [])], "more than 1,000,000"),
])
def test_what_a_stored_notebook_must_not_have(cells, problem):
    assert problem in "; ".join(execute.problems(book(*cells)))


@pytest.mark.slow
def test_a_good_notebook_has_no_problem():
    nb = book(("x", [FIGURE, stream("digits/3/1.png, 3/4 of 8 <b>x</b> models/digits.safetensors")]))
    assert execute.problems(nb) == []
    nb.cells[0].execution_count = None
    assert execute.problems(nb) == ["cell 0 was not executed: 'x'"]


@pytest.mark.slow
def test_a_notebook_without_its_data_is_skipped(tmp_path, monkeypatch, capsys):
    file = tmp_path / "06_images.ipynb"
    nbformat.write(book(('path = os.environ["MINIFAST_TEST_DATA"]', [])), file)
    monkeypatch.setattr(execute, "HERE", tmp_path)
    monkeypatch.setattr(execute, "DATA", tmp_path)
    assert not execute.lacks_data(file)
    monkeypatch.setattr(execute, "DATA", tmp_path / "none")
    before = file.read_bytes()
    assert execute.lacks_data(file) and execute.main([]) == 0 and file.read_bytes() == before
    assert "06_images.ipynb: skipped" in capsys.readouterr().out


@pytest.mark.slow
def test_names(capsys):
    assert execute.notebooks(["02"]) == [NBS / "02_training_loop.ipynb"] and execute.notebooks() == NOTEBOOKS
    with pytest.raises(SystemExit):
        execute.main(["99"])
    assert "no notebook in" in capsys.readouterr().err
