"""Who is who among several processes, and what they tell each other."""
import torch

from minifast.core import ranks


def test_a_world_of_one_needs_nothing():
    assert (ranks.rank(), ranks.world_size(), ranks.is_main(), ranks.shared(3), ranks.gathered("a")) == (0, 1, True, 3, ["a"])
    assert ranks.rank0_first(lambda x: x + 1, 2) == 3
    assert torch.equal(ranks.summed(torch.ones(2)), torch.ones(2))
    ranks.barrier()
