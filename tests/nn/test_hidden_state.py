"""What a recurrent model keeps from batch to batch is found and put back, whatever it is called."""
import pytest
import torch
from torch import nn

from minifast.nn.hidden_state import hidden_state, in_cache, restore_hidden_state


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin, self.h, self.pair, self.calls = nn.Linear(2, 2), torch.zeros(2), None, 0
        self.register_buffer("mean", torch.ones(2))


def test_it_is_found_and_put_back():
    model = nn.Sequential(Cell(), nn.BatchNorm1d(2))
    cell = model[0]
    before = hidden_state(model)
    assert list(before) == ["0"] and list(before["0"]) == ["h"], "neither weights, nor buffers, nor numbers"
    cell.h, cell.pair, cell.calls = torch.ones(2), [(torch.ones(2), torch.ones(2))], 5
    later = hidden_state(model)
    restore_hidden_state(model, before)
    assert cell.h is before["0"]["h"] and cell.pair is None and cell.calls == 5
    restore_hidden_state(model, later)
    assert cell.h is later["0"]["h"] and cell.pair is later["0"]["pair"]


@pytest.mark.parametrize("shape, device, parts", [
    ((64, 100, 100), "cpu", [(0, 40), (40, 80), (80, 99)]), ((64, 100, 100), "meta", [(0, 99)]), ((2, 100, 3), "cpu", [(0, 99)]),
    ((2, 100, 2**20), "cpu", [(i, i + 1) for i in range(99)])])
def test_in_cache(shape, device, parts):
    assert list(in_cache(torch.empty(1, device=device).expand(shape), 99)) == parts
    assert list(in_cache(torch.empty(1, device=device).expand(shape), 0)) == []
