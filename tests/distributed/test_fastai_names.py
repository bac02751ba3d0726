"fastai's words in a single process; for several see tests/core/test_ranks.py and test_launcher.py."
import pytest

from minifast.distributed import distrib_barrier, num_distrib, rank0_first, rank_distrib, setup_distrib, teardown_distrib


def test_in_one_process_they_do_nothing():
    assert (rank_distrib(), num_distrib(), setup_distrib(3), teardown_distrib(), distrib_barrier()) == (0, 0, 3, None, None)
    assert rank0_first(len, "abc") == 3


def test_what_loaders_do_themselves_is_absent():
    with pytest.raises(ImportError, match="its part of every batch: `learn.fit`"):
        from minifast.distributed import DistributedDL  # noqa: F401
    with pytest.raises(ImportError, match=r"`minifast launch train\.py`"):
        from minifast.distributed import ParallelTrainer  # noqa: F401
