"""A function of many items at a time, with fastcore's results."""
import pytest

from minifast.core.items import L
from minifast.core.parallel import num_cpus, parallel


def plus(x, by=1):
    return x + by


def minus(by, x):
    return x - by


def inverse(x):
    return 1 / x


def test_num_cpus():
    assert num_cpus() >= 1


@pytest.mark.parametrize("how", [{"n_workers": 0}, {"n_workers": 2}, {"n_workers": 2, "threadpool": True}])
def test_parallel(how):
    assert list(parallel(plus, range(5), **how)) == [1, 2, 3, 4, 5]
    assert list(parallel(minus, [1, 2], 10, progress=False, **how)) == [-9, -8] and list(parallel(plus, [1], by=5, **how)) == [6]
    assert isinstance(parallel(plus, [1], **how), L)
    one, error = parallel(inverse, [1, 0], return_exceptions=True, **how)
    assert one == 1 and isinstance(error, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        parallel(inverse, [0], **how)
