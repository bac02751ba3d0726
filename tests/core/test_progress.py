"""Progress in logs, terminals and notebooks."""
import os
import re
import sys
import time
from html.parser import HTMLParser

import fresh_kernel
import fresh_process
import numpy as np
import pytest

from minifast.core import progress
from minifast.core.progress import NotebookDisplay, PlainDisplay, choose_display, format_value, progress_bar

has_pty = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo terminal")

#: Two epochs, shown by hand.
SHOW = """
import time
from minifast.core.progress import choose_display
display = choose_display()
display.start(2, ["epoch", "train_loss", "accuracy", "time"])
for epoch in range(2):
    for half, n in (("train", 30), ("valid", 10)):
        advance = display.open_bar(half, epoch, n, lambda: "0.1234")
        for i in range(n):
            advance(i + 1)
            time.sleep(0.002)
        display.close_bar()
    display.write_row([epoch, 0.5 / (epoch + 1), 0.75, "00:01"])
display.finish()
"""
ROWS = [["epoch", "train_loss", "accuracy", "time"], ["0", "0.500000", "0.750000", "00:01"], ["1", "0.250000", "0.750000", "00:01"]]
LINES = ["epoch 0  train_loss 0.500000  accuracy 0.750000  time 00:01", "epoch 1  train_loss 0.250000  accuracy 0.750000  time 00:01"]

#: A learner that needs nothing but torch.
LEARNER = """
import time, torch
from minifast.callbacks.base import Callback
from minifast.learner.learner import Learner

class Loaders:
    def __init__(self, n): self.train, self.valid, self.device = [self.batch()] * n, [self.batch()] * 2, torch.device("cpu")
    def batch(self): return torch.randn(4, 3), torch.randn(4, 1)
    def __len__(self): return 2
    def __getitem__(self, i): return (self.train, self.valid)[i]

def learner(n=5, **events):
    return Learner(Loaders(n), torch.nn.Linear(3, 1), loss_func=torch.nn.MSELoss(), cbs=Callback(**events))
"""


@pytest.fixture
def env():
    "The environment of a script."
    env = {k: v for k, v in os.environ.items() if k not in ("MINIFAST_PROGRESS", "COLUMNS", "LINES", "PYTHONPATH")}
    return {**env, "PYTHONPATH": os.path.dirname(os.path.dirname(os.path.dirname(progress.__file__)))}


# -- a terminal to look at ------------------------------------------------------------------------------------------------------
class Terminal:
    "Runs a script on a real pseudo terminal, and knows what its screen looked like."

    def __init__(self, script, env, columns=80):
        import fcntl
        import pty
        import struct
        import termios
        self.columns, self.raw = columns, b""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        # so that ^C arrives as a signal, and is heard even where the tests run as a job in the background, which ignores it
        own_terminal = ("import fcntl, signal, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
                        "signal.signal(signal.SIGINT, signal.default_int_handler)\n")
        self.process = fresh_process.start(own_terminal + script, stdin=slave, stdout=slave, stderr=slave, env=env, new_session=True)
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        os.close(self.master)

    def read(self, until=None, timeout=60):
        "Read until this text appears, or to the end."
        import select
        end = time.monotonic() + timeout
        while until is None or until not in self.raw:
            if not select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(self.raw.decode())
            try:
                chunk = os.read(self.master, 65536)
            except OSError:                             # the other end is closed
                chunk = b""
            if not chunk:
                break
            self.raw += chunk
        return self

    def finish(self):
        self.read()
        assert self.process.wait(30) == 0, self.raw.decode()
        return self

    def type(self, keys):
        os.write(self.master, keys)

    @property
    def screens(self):
        "The lines of the screen each time the cursor went back to the start of one, and at the end."
        lines, column, seen = [""], 0, []
        for char in self.raw.decode():
            if char == "\r":
                seen.append([line.rstrip() for line in lines])
                column = 0
            elif char == "\n":
                lines.append("")
            else:
                assert char >= " ", f"control character {char!r}"
                if column == self.columns:
                    lines, column = [*lines, ""], 0
                lines[-1] = lines[-1].ljust(column)[:column] + char + lines[-1][column + 1:]
                column += 1
        return [*seen, [line.rstrip() for line in lines]]

    @property
    def bars(self):
        return [screen[-1] for screen in self.screens if "|" in screen[-1]]


def table(lines):
    return [re.split(r"  +", line.strip()) for line in lines]


@pytest.mark.slow
@has_pty
def test_a_terminal_shows_a_bar_in_place_and_an_aligned_table(env):
    with Terminal(SHOW, env, columns=100) as t:
        t.finish()
    assert t.screens[-1][-1] == "" and table(t.screens[-1][:-1]) == ROWS
    places = [[line.index(cell) for cell in row] for line, row in zip(t.screens[-1], ROWS, strict=False)]
    assert places[0] == places[1] == places[2] == [0, 11, 23, 34]
    assert any(re.fullmatch(r"Epoch 1/2 train \|#{30}\| 100\.00% \[30/30 00:00<00:00\] 0\.1234", b) for b in t.bars), t.bars
    assert any(re.match(r"Epoch 2/2 valid \|#{6}-{24}\| 20\.00% \[2/10 ", b) for b in t.bars), t.bars
    heights = {len(screen) for screen in t.screens}
    assert max(heights) == 4                                        # header, two rows, and the empty line below


@pytest.mark.slow
@has_pty
def test_a_narrow_terminal_is_not_filled_with_wrapped_bars(env):
    for columns, full in ((62, r"Epoch 1/2 train \|#{3,}\| 100\.00% .*\] 0\.1234"), (52, r"Epoch 1/2 train \|\| 100\.00% \[30/30 .*\]")):
        with Terminal(SHOW, env, columns) as t:
            t.finish()
        assert table(t.screens[-1][:-1]) == ROWS
        assert max(map(len, t.bars)) <= columns - 3 and any(re.fullmatch(full, b) for b in t.bars), t.bars


@pytest.mark.slow
@has_pty
def test_interrupting_by_hand_leaves_a_clean_line(env):
    script = """
import time
from minifast.core.progress import choose_display
display = choose_display()
display.start(1, ["epoch"])
try:
    advance = display.open_bar("train", 0, 1000, lambda: "")
    for i in range(1000):
        advance(i + 1)
        time.sleep(0.05)
except KeyboardInterrupt:
    display.close_bar()
    display.finish()
print("after", flush=True)
"""
    with Terminal(script, env) as t:
        t.read(b"[3/1000").type(b"\x03")
        t.finish()
    assert b"^C" in t.raw and t.screens[-1] == ["epoch", "after", ""]


@has_pty
def test_interrupting_a_fit_leaves_a_clean_line(env):
    script = LEARNER + """
learn = learner(1000, after_batch=lambda: time.sleep(0.05))
try: learn.fit(2)
except KeyboardInterrupt: pass
print("after", flush=True)
"""
    with Terminal(script, env) as t:
        t.read(b"[3/1000").type(b"\x03")
        t.finish()
    assert table(t.screens[-1]) == [["epoch", "train_loss", "valid_loss", "time"], ["after"], [""]]


@has_pty
def test_predicting_in_the_middle_of_a_fit_does_not_disturb_its_bars(env):
    script = LEARNER + """
def predict(cb):
    if cb.training and cb.iter == 2: cb.learn.get_preds()
with learner().no_logging() as quiet: quiet.fit(1)
learner(5, after_batch=predict, after_epoch=lambda cb: cb.learn.validate()).fit(3)
"""
    with Terminal(script, env, columns=100) as t:
        t.finish()
    assert [row[0] for row in table(t.screens[-1])] == ["epoch", "0", "1", "2", ""]
    assert any(re.match(r"Epoch 2/3 train \|#{30}\| 100\.00% \[5/5 ", b) for b in t.bars), t.bars


@has_pty
def test_plain_lines_in_a_terminal_when_asked_for(env):
    with Terminal(SHOW, {**env, "MINIFAST_PROGRESS": "0"}) as t:
        t.finish()
    assert t.screens[-1] == [*LINES, ""] and t.bars == []


@has_pty
def test_a_loader_without_batches_and_one_longer_than_it_says(env):
    script = """
import warnings
warnings.simplefilter("error")
from minifast.core.progress import choose_display
display = choose_display()
for total, n in ((0, 1), (3, 8), (None, 4)):
    advance = display.open_bar("valid", 0, total, lambda: "")
    for i in range(n): advance(i + 1)
    display.close_bar()
"""
    with Terminal(script, env) as t:
        t.finish()
    assert t.screens[-1] == [""] and any("[4/? " in b for b in t.bars)


# -- logs -----------------------------------------------------------------------------------------------------------------------
def run(script, env):
    return fresh_process.run(script, env=env, check=True)


def test_a_log_gets_one_plain_line_per_epoch(env):
    done = run(SHOW, env)
    assert done.stdout.splitlines() == LINES and "\r" not in done.stdout and done.stderr == ""


def test_a_fit_in_a_log(env):
    done = run(LEARNER + "learner().fit(2); learner().validate()", env)
    assert [re.sub(r"\d+\.\d+", "x", line) for line in done.stdout.splitlines()] == \
        [f"epoch {i}  train_loss x  valid_loss x  time 00:00" for i in range(2)]
    assert done.stderr == ""


# -- notebooks ------------------------------------------------------------------------------------------------------------------
class Cells(HTMLParser):
    "The cells of the tables in a piece of HTML, and the tags that stayed open."

    def __init__(self, html):
        super().__init__()
        self.rows, self.open = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data):
        if self.open and self.open[-1] in ("th", "td"):
            self.rows[-1].append(data)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


FAILS_MIDWAY = """
display = choose_display()
display.start(2, ["epoch", "train_loss"])
try:
    advance = display.open_bar("train", 0, 100, lambda: "")
    advance(50)
    raise RuntimeError("boom")
finally:
    display.close_bar()
    display.finish()
"""

HALFWAY = """
display = choose_display()
display.start(2, ["epoch", "<i>"])
display.write_row([0, "<b>"])
display.open_bar("train", 1, 100, lambda: "<script>&")(30)
"""

BAR_OF_ITS_OWN = """
from minifast.core.progress import NotebookDisplay, progress_bar
usual, NotebookDisplay.PATIENCE = NotebookDisplay.PATIENCE, 60       # short, however busy this machine is
print(sum(progress_bar(range(5))))
NotebookDisplay.PATIENCE = usual
"""

SLOW_BAR_OF_ITS_OWN = """
import time
for i in progress_bar(range(4)): time.sleep(0.3)
"""

FIT_FAILS = """
def stop():
    if learn.epoch == 1 and learn.iter == 2: raise RuntimeError("boom")
learn = learner(5, after_loss=stop)
learn.fit(3)
"""


@pytest.fixture
def notebook(tmp_path):
    "Execute cells in a real Jupyter kernel; returns the outputs of each cell."
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")

    def execute(env, *sources):
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
        client = nbclient.NotebookClient(book, timeout=120, allow_errors=True, kernel_name="python3",
                                         resources={"metadata": {"path": str(tmp_path)}})
        with fresh_kernel.forked():
            client.execute(env={**env, "IPYTHONDIR": str(tmp_path)})
        return [cell.outputs for cell in book.cells]

    return execute


def shown(outputs):
    "The one display among these outputs, as (html, text)."
    displays = [o for o in outputs if o.output_type == "display_data"]
    assert len(displays) == 1, outputs
    return displays[0].data["text/html"], displays[0].data["text/plain"]


def errors(outputs):
    return [o.evalue for o in outputs if o.output_type == "error"]


@pytest.mark.slow
def test_displays_in_a_notebook(notebook, env):
    by_hand, fails, halfway, own, slow = notebook(env, SHOW, FAILS_MIDWAY, HALFWAY, BAR_OF_ITS_OWN, SLOW_BAR_OF_ITS_OWN)

    html, text = shown(by_hand)                                     # one output that holds the final table and no bar
    assert len(by_hand) == 1 and Cells(html).rows == ROWS and Cells(html).open == [] and "progress" not in html
    assert table(text.splitlines()) == ROWS and "<style" not in html

    html, _ = shown(fails)                                          # an error: the bar is gone, the table stays
    assert errors(fails) == ["boom"] and "progress" not in html and Cells(html).rows == [["epoch", "train_loss"]]

    html, _ = shown(halfway)                                        # what a running fit looks like
    assert Cells(html).rows == [["epoch", "<i>"], ["0", "<b>"]]
    assert re.search(r'<progress value="30" max="100" [^>]*></progress> Epoch 2/2 train: 30\.00% \[30/100 00:\d\d&lt;\d\d:\d\d\] '
                     r"&lt;script&gt;&amp;</div>$", html), html
    assert html.index("</table>") < html.index("<progress")

    assert [(o.output_type, o.get("text")) for o in own] == [("stream", "10\n")]       # a short pass leaves no empty output
    assert shown(slow) == ("", "")                                  # the bar was there, and is gone


@pytest.mark.slow
def test_fits_in_a_notebook(notebook, env):
    _, fit, fit_fails, validate = notebook(env, LEARNER, "learner(5).fit(2)", FIT_FAILS, "learner(5).validate()[0] > 0")

    html, _ = shown(fit)
    assert len(fit) == 1 and [r[0] for r in Cells(html).rows] == ["epoch", "0", "1"] and "progress" not in html
    assert Cells(html).rows[0] == ["epoch", "train_loss", "valid_loss", "time"] and all(len(r) == 4 for r in Cells(html).rows)

    html, _ = shown(fit_fails)
    assert errors(fit_fails) == ["boom"] and [r[0] for r in Cells(html).rows] == ["epoch", "0"] and "progress" not in html

    assert [(o.output_type, o.data["text/plain"]) for o in validate] == [("execute_result", "True")]


# -- pieces ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("value, text", [(None, "-"), (3, "3"), (0.5, "0.500000"), ("00:01", "00:01"), (float("nan"), "nan"),
                                         (np.float32(0.25), "0.250000"), (np.int64(3), "3"), (True, "True")])
def test_format_value(value, text):
    assert format_value(value) == text


def test_the_captured_output_of_a_test_is_no_terminal():
    assert type(choose_display()) is PlainDisplay


def test_display_of_a_terminal_and_of_a_notebook(monkeypatch):
    class ZMQInteractiveShell:
        pass

    class ColabShell(ZMQInteractiveShell):
        pass

    class IPython:
        shell = ColabShell()

        @classmethod
        def get_ipython(cls):
            return cls.shell

    monkeypatch.delenv("MINIFAST_PROGRESS", raising=False)
    monkeypatch.setitem(sys.modules, "IPython", IPython)
    assert type(choose_display()) is NotebookDisplay
    IPython.shell = None                                            # IPython is imported, but this is no IPython session
    monkeypatch.setattr("sys.stdout", type("Tty", (), {"isatty": lambda self: True, "write": print, "flush": print})())
    chosen = choose_display()
    monkeypatch.undo()
    assert type(chosen) is progress.TerminalDisplay


def test_progress_bar_passes_items_through(capsys):
    assert list(progress_bar([3, 1, 2], comment="files")) == [3, 1, 2]
    assert list(progress_bar(iter("ab"))) == ["a", "b"]             # no length: no end to estimate
    assert capsys.readouterr().out == ""


def test_progress_bar_closes_when_the_loop_is_left(monkeypatch):
    closed = []
    display = PlainDisplay()
    monkeypatch.setattr(display, "close_bar", lambda: closed.append(1))
    monkeypatch.setattr(progress, "choose_display", lambda: display)
    with pytest.raises(KeyError):
        for _ in (bar := progress_bar(range(3))):
            raise KeyError
    bar.close()
    assert closed == [1]


def test_a_row_longer_than_the_header_does_not_stop_training(capsys):
    for display in (PlainDisplay(), progress.TerminalDisplay()):
        display.start(1, ["epoch", "loss"])
        display.write_row([0, 1.0, "extra"])
    assert "extra" not in capsys.readouterr().out
