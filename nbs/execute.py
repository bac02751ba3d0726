"""Execute the notebooks of this folder and store their outputs: `python nbs/execute.py`, or with names, `python nbs/execute.py 01 02`.

Each runs from top to bottom in a new Jupyter kernel and in an empty folder, so that outputs contain relative paths only. A notebook is
written back if it ran without an error and its outputs show nothing of this machine. Needs `pip install -e ".[dev]"`. Notebooks that read
`MINIFAST_TEST_DATA` are skipped if there is neither that folder nor ../shared/data beside the repository.
"""
import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
DATA = Path(os.environ.get("MINIFAST_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data").absolute()
TIMEOUT = 300           # seconds for one cell
MAX_BYTES = 1_000_000

#: An absolute path of some machine, as it would appear in a printed path or a traceback.
MACHINE_PATH = re.compile(r"(?<![\w.<])(?:/(?:home|Users|root|tmp|var|private|opt|usr|mnt|srv|work|content)/|[A-Z]:\\)[\w.\\/-]*")


def lacks_data(file):
    "Whether the notebook `file` reads data from a folder that does not exist here."
    return "MINIFAST_TEST_DATA" in file.read_text(encoding="utf-8") and not DATA.is_dir()


def run(file, timeout=TIMEOUT):
    "Run the notebook `file` and return it with fresh outputs; raises `CellExecutionError` if a cell fails. The file does not change."
    nb = nbformat.read(file, as_version=4)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    env = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}        # the kernel sets its own, which shows figures inline
    env["MINIFAST_TEST_DATA"] = str(DATA)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(nb, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": folder}}, record_timing=False,
                                coalesce_streams=True, extra_arguments=["--log-level=ERROR"])
        client.execute(env=env)
    for cell in nb.cells:
        cell.metadata.clear()
        if cell.cell_type == "code":        # a finished progress bar leaves an empty output
            cell.outputs = [o for o in cell.outputs if o.output_type != "display_data" or any(o.data.values())]
    nb.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}}
    return nb


def texts(cell):
    "`(mime type or stream name, text)` of each textual output of a cell."
    for out in cell.get("outputs", ()):
        if out.output_type == "stream":
            yield out.name, out.text
        elif out.output_type == "error":
            yield "error", "\n".join(out.traceback)
        else:
            yield from ((mime, str(data)) for mime, data in out.data.items() if not mime.startswith("image/"))


def problems(nb):
    "What is wrong with a stored notebook, one sentence each."
    found, images = [], 0
    for i, cell in enumerate(nb.cells):
        if cell.cell_type != "code":
            continue
        if cell.execution_count is None:
            found.append(f"cell {i} was not executed: {cell.source[:40]!r}")
        for kind, text in texts(cell):
            if kind in ("error", "stderr"):
                found.append(f"cell {i} wrote to {kind}: {text[:200]!r}")
            if path := MACHINE_PATH.search(text):
                found.append(f"cell {i} shows the machine path {path[0]!r}")
        images += sum("image/png" in out.get("data", {}) for out in cell.outputs)
    if not images:
        found.append("there is no figure in the outputs")
    size = len(nbformat.writes(nb).encode())
    if size > MAX_BYTES:
        found.append(f"it has {size:,} bytes, more than {MAX_BYTES:,}")
    return found


def notebooks(names=()):
    "The notebooks whose file names start with one of `names` (none: all), in order."
    return [f for f in sorted(HERE.glob("*.ipynb")) if not names or f.name.startswith(tuple(names))]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="prefixes of notebook names, such as 01 (default: all)")
    files = notebooks(parser.parse_args(argv).names)
    if not files:
        parser.error(f"no notebook in {HERE} has such a name")
    failed = False
    for file in files:
        if lacks_data(file):
            print(f"{file.name}: skipped, there is no folder {DATA}")
            continue
        started = time.perf_counter()
        nb = run(file)
        found = problems(nb)
        failed |= bool(found)
        if not found:
            nbformat.write(nb, file)
        print(f"{file.name}: {time.perf_counter() - started:.0f} s" + "".join(f"\n  {p}" for p in found), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
