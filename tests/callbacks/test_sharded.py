"""FSDP2: weights divided among ranks train as they do in one process, and are whole again afterwards."""
from pathlib import Path

import pytest
import torch
from sharded_recipes import RECIPES
from torch import nn
from torchrun import needs_fsdp2, run_ranks

from minifast.callbacks.sharded import blocks_of

SCRIPT = Path(__file__).parents[1] / "processes" / "sharded_recipes.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sharded")


@pytest.fixture(scope="module")
def alone(folder):
    run_ranks(1, SCRIPT, folder)
    return torch.load(folder / "1-0.pt", weights_only=True)


@pytest.fixture(scope="module", params=[pytest.param(n, marks=needs_fsdp2) for n in (2, 4)])
def together(request, folder, alone):
    run_ranks(request.param, SCRIPT, folder)
    return [torch.load(folder / f"{request.param}-{r}.pt", weights_only=True) for r in range(request.param)]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_ranks_compute_what_one_process_computes(alone, together, recipe):
    for results in together:
        got, expected = results[recipe], alone[recipe]
        assert "failed" not in got, got["failed"]
        torch.testing.assert_close(got["weights"], expected["weights"], rtol=0, atol=1e-6)
        torch.testing.assert_close(got["preds"], expected["preds"], rtol=0, atol=1e-6)
        assert torch.equal(got["values"][:, 2:], expected["values"][:, 2:])             # the metric, exactly


@pytest.mark.slow
def test_a_fit_divides_the_weights_and_leaves_a_plain_model(alone, together):
    for results in together:
        got, expected = results["after"], alone["after"]
        assert got["share"] <= 0.55 if len(together) == 2 else got["share"] <= 0.35         # rows are not always divided evenly
        assert got["same"] and got["plain"] and got["no_hooks_left"] and got["marks"] == []
        assert got["state_divided"] and got["name"] == expected["name"]         # layers are told under their own names
        assert got["hooks"] == expected["hooks"]                # a hook of the user's is called as ever
        torch.testing.assert_close(got["norms"], expected["norms"], rtol=1e-5, atol=0)
        torch.testing.assert_close(got["during"], expected["during"], rtol=0, atol=1e-6)
        torch.testing.assert_close(got["after"], got["during"], rtol=0, atol=1e-6)
        assert torch.equal(got["loaded"], got["here"])          # exported by all, loaded by each for itself
        torch.testing.assert_close(got["averaged"], expected["averaged"], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_what_cannot_be_divided_is_refused(together):
    for results in together:
        optimizer, channels, compiled, reader, again, whole = results["refused"]
        assert "Adafactor cannot step parameters that are divided among ranks" in optimizer
        assert "ChannelsLast lays weights out anew" in channels and "leave out learn.compile()" in compiled
        assert "blocks=[] for the whole model" in reader and "ended with an error while its weights were divided" in again
        assert whole == ""                                      # as the message says


def test_groups_are_members_of_containers():
    layers = [nn.TransformerEncoderLayer(16, 2, 32) for _ in range(4)]
    model = nn.Sequential(nn.Sequential(*layers), nn.LayerNorm(16), nn.Linear(16, 2))
    assert blocks_of(model) == layers                           # norm and head are too small, the container too large
    assert blocks_of(model, [nn.Linear]) == [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert blocks_of(model, []) == []
    assert blocks_of(nn.Linear(3, 3)) == []


def test_modules_that_share_a_weight_stay_with_the_whole():
    a, b, c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
    b.weight = a.weight
    assert blocks_of(nn.Sequential(a, b, c)) == [c]
    assert blocks_of(nn.Sequential(a, c, a)) == [a, c]          # one module at two places is one group
