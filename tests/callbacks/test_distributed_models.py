"""Models with something unusual, trained by several ranks: norms, parts that are unused, frozen or shared, half precision."""
from pathlib import Path

import pytest
import torch
from models_recipes import OF_A_RANK, RECIPES
from torchrun import needs_fsdp2, run_ranks

SCRIPT = Path(__file__).parents[1] / "processes" / "models_recipes.py"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def alone(folder):
    run_ranks(1, SCRIPT, folder, "ddp")
    return torch.load(folder / "ddp-1-0.pt", weights_only=True)


@pytest.fixture(scope="module", params=["ddp", pytest.param("fsdp2", marks=needs_fsdp2)])
def together(request, folder):
    run_ranks(2, SCRIPT, folder, request.param)
    return [torch.load(folder / f"{request.param}-2-{r}.pt", weights_only=True) for r in range(2)]


@pytest.mark.parametrize("recipe", RECIPES)
def test_ranks_compute_what_one_process_computes(alone, together, recipe):
    atol = 5e-3 if "bf16" in recipe else 1e-6                   # sums of rounded gradients in another order
    for got in together:
        for part in ("weights", "preds", "valid"):
            torch.testing.assert_close(got[recipe][part], alone[recipe][part], rtol=0, atol=atol)


@pytest.mark.parametrize("recipe", [*RECIPES, *OF_A_RANK])
def test_ranks_agree_to_the_bit(together, recipe):
    first, other = together
    for part in ("weights", "preds", "valid"):
        assert torch.equal(first[recipe][part], other[recipe][part]) and first[recipe][part].isfinite().all()


@needs_fsdp2
def test_groups_are_gathered_in_bf16_where_that_is_asked(alone, together):
    expected, kinds = alone["gathered_in_bf16"]
    assert kinds == ["torch.float32", "torch.float32"]
    for got in together:
        weights, kinds = got["gathered_in_bf16"]
        assert kinds == ["torch.bfloat16", "torch.float32"]             # the last layer is too small for a group
        assert weights.dtype is torch.float32
        torch.testing.assert_close(weights, expected, rtol=0, atol=5e-3)


def test_what_does_not_work_says_what_to_write(together):
    for got in together:
        assert "FSDP2 on a CPU needs torch 2.7 or later, and this is " in got["told"]["old_torch"]
        assert "leave sync_bn out, or use a norm that does not look at other items" in got["told"]["sync_bn"]
        assert "write learn.to_distributed(find_unused_parameters=True)" in got["told"].get("unused", "write learn.to_distributed(find_"
                                                                                           "unused_parameters=True)")
