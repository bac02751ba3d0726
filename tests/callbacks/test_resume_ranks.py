"""Several ranks go on with a fit that was interrupted, also as fewer or more ranks; SIGTERM ends a fit when its state is written."""
import re
from pathlib import Path

import pytest
import torch
from torchrun import run_ranks, torchrun

SCRIPT = Path(__file__).parents[1] / "processes" / "ranks_resume.py"
CONTINUED = "Resume: the training can be continued from"


def end(folder):
    return torch.load(folder / "end.pt", weights_only=True)


@pytest.mark.slow
def test_terminated_ranks_write_their_state_and_go_on_to_the_bit(tmp_path):
    "The signal reaches one of two. Dropout of each rank goes on with its own random numbers."
    whole, folder = tmp_path / "whole", tmp_path / "ended"
    whole.mkdir()
    folder.mkdir()
    run_ranks(2, SCRIPT, whole, "whole", 0.3, 1)
    done = torchrun(2, SCRIPT, folder, "terminated", 0.3, 1, ok=False)
    assert done.returncode and done.stdout.count(CONTINUED) == 1 and not (folder / "end.pt").exists()
    assert "exitcode  : 143" in done.stderr and "failed first" not in done.stderr
    done = run_ranks(2, SCRIPT, folder, "whole", 0.3, 1)
    assert "continues at batch 4 of 7 of epoch 1" in done.stdout or "continues at batch 5 of 7 of epoch 1" in done.stdout, done.stdout
    assert torch.equal(end(folder)["weights"], end(whole)["weights"]) and torch.equal(end(folder)["values"], end(whole)["values"])
    assert list((folder / "models").iterdir()) == []


@pytest.mark.slow
def test_as_two_ranks_then_one_then_two(tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    folder.mkdir()
    run_ranks(1, SCRIPT, whole, "whole", 0, 1)
    done = run_ranks(2, SCRIPT, folder, "fails", 0, 1, ok=False)
    assert "rank 1 failed first:\nTraceback" in done.stderr and "KeyError: 'not there" in done.stderr
    assert "in Ends.after_batch" in done.stderr
    done = run_ranks(1, SCRIPT, folder, "fails", 0, 2, ok=False)
    assert "continues at batch 3 of 7 of epoch 1" in done.stdout and "KeyError: 'not there" in done.stderr, done.stdout
    done = run_ranks(2, SCRIPT, folder, "whole", 0, 1)
    assert "of epoch 2" in done.stdout
    torch.testing.assert_close(end(folder)["weights"], end(whole)["weights"], rtol=0, atol=1e-6)
    torch.testing.assert_close(end(folder)["values"], end(whole)["values"], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_one_process_is_terminated_and_goes_on(tmp_path):
    done = run_ranks(1, SCRIPT, tmp_path, "terminated", 0, 1, ok=False)
    assert done.returncode == 143 and done.stdout.count(CONTINUED) == 1 and "Traceback" not in done.stderr
    assert "continues at batch 4 of 7 of epoch 1" in run_ranks(1, SCRIPT, tmp_path, "whole", 0, 1).stdout


@pytest.mark.slow
@pytest.mark.parametrize("how, left, event", [("alone", "CancelFitException", "after_batch"),
                                              ("alone_batch", "CancelBatchException", "before_backward"),
                                              ("alone_backward", "CancelBackwardException", "before_backward")])
def test_a_rank_that_leaves_alone_is_told(tmp_path, how, left, event):
    done = run_ranks(2, SCRIPT, tmp_path, how, 0, 0, ok=False, timeout=120, MINIFAST_TIMEOUT="600")     # at once
    assert re.search(rf"rank 1 left alone: {left} in epoch 0, batch 3 of training, from Ends.{event}, line \d+ of "
                     r"ranks_resume.py; rank 0 has gone on to batch 3 of training in epoch 0. All ranks wait for each other",
                     done.stderr), done.stderr[-3000:]
    assert "rank 0 failed first" not in done.stderr
