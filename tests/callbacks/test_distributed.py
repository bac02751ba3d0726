"""Several ranks train what one process trains: same order, same weights, same metrics."""
import re
import sys
from pathlib import Path

import pytest
import torch
from ranks_recipes import RECIPES, Penalty, learner, own_sum
from suggestions import told
from torchrun import needs_fsdp2, run_ranks

from minifast.callbacks import DistributedTrainer
from minifast.distributed import mean_over_items

SCRIPT = Path(__file__).parents[1] / "processes" / "ranks_recipes.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def alone(folder):
    run_ranks(1, SCRIPT, folder)
    return torch.load(folder / "ddp-1-0.pt", weights_only=True)


@pytest.fixture(scope="module", params=[(2, "ddp"), pytest.param((2, "fsdp2"), marks=[pytest.mark.slow, needs_fsdp2]),
                                        pytest.param((4, "ddp"), marks=pytest.mark.slow),
                                        pytest.param((4, "fsdp2"), marks=[pytest.mark.slow, needs_fsdp2])], ids=lambda p: f"{p[1]}-{p[0]}")
def together(request, folder, alone):
    n, strategy = request.param
    done = run_ranks(n, SCRIPT, folder, strategy)
    return done, [torch.load(folder / f"{strategy}-{n}-{r}.pt", weights_only=True) for r in range(n)], f"{strategy}-{n}"


@pytest.mark.parametrize("recipe", RECIPES)
def test_ranks_compute_what_one_process_computes(alone, together, recipe):
    expected = alone[recipe]
    for results in together[1]:
        got = results[recipe]
        torch.testing.assert_close(got["weights"], expected["weights"], rtol=0, atol=1e-6)
        torch.testing.assert_close(got["losses"], expected["losses"], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(got["values"][:, :2], expected["values"][:, :2], rtol=1e-6, atol=1e-6)
        assert torch.equal(got["values"][:, 2:], expected["values"][:, 2:])             # metrics, exactly
        torch.testing.assert_close(got["preds"], expected["preds"], rtol=0, atol=1e-6)
        assert torch.equal(got["targets"], expected["targets"])                         # complete and in order
        assert got["keys"] == expected["keys"]                                          # no prefix


def test_ranks_have_the_same_weights_and_history_to_the_bit(together):
    first, *others = together[1]
    for other in others:
        for recipe, results in first.items():
            assert torch.equal(results["weights"], other[recipe]["weights"])
            assert torch.equal(results["values"], other[recipe]["values"])


@pytest.fixture
def extra(together, folder):
    return [torch.load(folder / f"{together[2]}-{r}-extra.pt", weights_only=True) for r in range(len(together[1]))]


def test_statistics_of_batch_norm_agree_and_so_do_averaged_ones(extra):
    for other in extra[1:]:
        assert torch.equal(other["norms"]["buffers"], extra[0]["norms"]["buffers"])
        assert torch.equal(other["norms"]["values"], extra[0]["norms"]["values"])


def test_sums_and_counts_give_the_same_metrics(extra, folder, alone):
    expected = torch.load(folder / "ddp-1-0-extra.pt", weights_only=True)["large_predictions"]
    for other in extra:
        torch.testing.assert_close(other["large_predictions"], expected, rtol=1e-6, atol=1e-6)
        assert torch.equal(other["large_predictions"], extra[0]["large_predictions"])


def test_parts_of_batches_count_as_much_as_in_one_process(extra, folder, alone):
    expected = torch.load(folder / "ddp-1-0-extra.pt", weights_only=True)["same"]
    for other in extra:
        for name, got in other["same"].items():
            torch.testing.assert_close(got, expected[name], rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


def test_each_rank_names_its_own_items_that_are_not_finite(extra):
    named = [f"item {i}" for i in (1, 5, 9, 13)]
    each = len(named) // len(extra)
    assert [other["nan"] for other in extra] == [named[i:i + each] for i in range(0, len(named), each)]


def test_what_cannot_be_put_together_is_told(extra, folder, alone, together, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["", str(folder)])         # where `learner` writes
    assert torch.load(folder / "ddp-1-0-extra.pt", weights_only=True)["told"] == ["", "", "", "", ""]
    for other in extra:
        penalty, contrast, mean, scaled, inside = other["told"]
        counted = f"this would count {len(extra)} times: write self.learn.loss = "
        assert ("cannot be part of the loss" in penalty and "wd=0.01" in penalty) if "fsdp2" in together[2] else counted in penalty
        assert "neither the mean nor the sum of the losses of its parts" in contrast
        assert "Callback adds to the loss own_sum" in mean and scaled == ""
        with told("callbacks/loss_parts.py", "write self.learn.loss = self.learn.loss + mean_over_items(self.learn, term), with `from "
                  "minifast.distributed import mean_over_items`: right for penalties on weights, and for means over items"):
            raise RuntimeError(mean)
        learner(own_sum, opt_func=torch.optim.SGD, cbs=Penalty(mean_over_items)).fit(1, 1e-3)       # of ranks: "penalty_on_a_sum"
        assert "is a sum over items and 3 more, whatever the items are." in inside
        assert f"this would count {len(extra)} times" in inside
        with told("callbacks/loss_parts.py", "leave the rest out of it, and in `after_loss` of a callback"):
            raise RuntimeError(inside)
        learner(own_sum, opt_func=torch.optim.SGD, cbs=Penalty(mean_over_items)).fit(1, 1e-3)


def test_ranks_split_alike_without_a_seed_and_other_data_is_refused(extra):
    for other in extra:
        assert other["split"] == extra[0]["split"]
        assert "data.train.items not the same" in other["random_items"] and "drawn without a seed" in other["random_items"]


def test_only_rank_0_prints(together, extra):
    assert len(re.findall("^epoch 0 ", together[0].stdout, re.M)) == len(RECIPES) + len(extra[0]["same"]) + 2


def test_settings_are_checked():
    with pytest.raises(ValueError, match="write 'ddp' or 'fsdp2'"):
        DistributedTrainer("dp")
    with pytest.raises(ValueError, match="FSDP2 has no such setting"):
        DistributedTrainer("fsdp2", find_unused_parameters=True)
    with pytest.raises(ValueError, match="a list of classes of modules"):
        DistributedTrainer(blocks=[torch.nn.Linear])
    with pytest.raises(ValueError, match="seconds, a number above 0"):
        DistributedTrainer(timeout=0)
