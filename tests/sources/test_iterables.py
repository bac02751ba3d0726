"Any iterable as a source: what its code asks for while it runs."
import os
import sys

import pytest
import torch
from torch.utils.data import get_worker_info

from minifast.sources.iterables import asked_by


def test_questions_are_seen_however_they_are_asked():
    assert asked_by(lambda: 1) == (1, (False, False))
    assert asked_by(lambda: get_worker_info() or 2) == (2, (True, False))
    assert asked_by(lambda: torch.utils.data.get_worker_info())[1] == (True, False)
    assert asked_by(lambda: os.environ.get("RANK"))[1] == (False, True)
    assert asked_by(lambda: os.environ.get("HOME"))[1] == (False, False)
    assert asked_by(lambda: next(x for x in (get_worker_info() for _ in range(3)) if x is None))[1] == (True, False)


def test_where_a_profiler_is_at_work_the_user_says_it():
    sys.setprofile(lambda *args: None)
    try:
        with pytest.raises(RuntimeError, match=r"write StreamLoader\(..., split='own'\)"):
            asked_by(get_worker_info)
    finally:
        sys.setprofile(None)
    assert asked_by(get_worker_info)[1] == (True, False)
