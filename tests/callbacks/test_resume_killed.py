"""All ranks are killed in the middle of an epoch, and as many, fewer or more go on: weights divided among them or not."""
from pathlib import Path

import pytest
import torch
from torchrun import run_ranks

SCRIPT = Path(__file__).parents[1] / "processes" / "killed_recipes.py"
pytestmark = pytest.mark.slow


def end(folder):
    return torch.load(folder / "end.pt", weights_only=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run_ranks(1, SCRIPT, folder, "ddp", "never")
    return end(folder)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_ranks_then_one_then_two(tmp_path, whole, strategy):
    run_ranks(2, SCRIPT, tmp_path, strategy, 1, ok=False)
    for n, epoch, said in ((1, 2, "continues at batch 3 of 7 of epoch 1"), (2, "never", "continues at batch 3 of 7 of epoch 2")):
        # three batches of 16 items make a step, so that the state of the sixth batch is that of the third
        done = run_ranks(n, SCRIPT, tmp_path, strategy, epoch, ok=epoch == "never")
        assert said in done.stdout, f"{done.stdout}{done.stderr[-2000:]}"
    got = end(tmp_path)
    for part in ("weights", "averaged"):
        torch.testing.assert_close(got[part], whole[part], rtol=0, atol=1e-6)
    torch.testing.assert_close(got["values"], whole["values"], rtol=1e-5, atol=1e-6)
    assert torch.equal(got["values"][:, 2], whole["values"][:, 2])              # the metric, exactly
    assert list((tmp_path / "models").iterdir()) == []


def test_ranks_whose_weights_are_divided_go_on_to_the_bit(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir()
    b.mkdir()
    run_ranks(2, SCRIPT, a, "fsdp2", "never")
    run_ranks(2, SCRIPT, b, "fsdp2", 1, ok=False)
    run_ranks(2, SCRIPT, b, "fsdp2", "never")
    for part in ("weights", "averaged", "values"):
        assert torch.equal(end(a)[part], end(b)[part])
