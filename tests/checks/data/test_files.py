"""Groups of files."""
import pytest
from zoo import loaders, points

from minifast.checks.check_loaders import check_loaders
from minifast.checks.data.files import group_of, straddling


def test_groups_of_names():
    assert group_of("film3_0017.jpg") == "film3" and group_of("0001TP_006690.png") == "0001TP" and group_of("cat.12.jpg") == "cat"
    assert group_of("0017.jpg") is None and group_of("portrait.jpg") is None
    assert list(straddling(["a", "a", "b", None, None], [0, 1, 0, 0, 1])) == ["a"]


def test_groups_given_as_a_list_must_fit():
    x, y = points()
    dls = loaders(x, y)
    assert check_loaders(dls, fast=True, groups=list(range(240)))["MF805"].verdict == "pass"
    assert check_loaders(dls, fast=True, groups=[i % 100 for i in range(240)])["MF805"].verdict == "issue"
    with pytest.raises(ValueError, match="one group per item"):
        check_loaders(dls, groups=[1, 2])
