"""Values that a transform makes of all items at once, when it is set up."""
import pytest

from minifast.data.ahead import all_ahead
from minifast.data.datasets import Datasets, TfmdLists
from minifast.data.transforms import Transform


class Many(list):
    def subset(self, indices):
        return Many(self[i] for i in indices)


class Doubled(Transform):
    "Counts how often it works, one by one and on all."

    def __init__(self, can=True):
        super().__init__()
        self.can, self.single, self.at_once, self.learned_of = can, [], [], None

    def encode_ahead(self, items):
        self.at_once.append(list(items))
        return Many(2 * o for o in items) if self.can else None

    def encodes(self, x):
        self.single.append(x)
        return 2 * x


class Learning(Doubled):
    def setups(self, items):
        self.learned_of = list(items)


SPLITS = [[0, 2, 3], [4, 1]]


def test_each_item_is_made_once_however_often_it_is_asked_for():
    first, second = Doubled(), Learning()
    ds = Datasets([1, 2, 3, 4, 5], [[lambda o: o, first, second], [str]], splits=SPLITS)
    assert first.at_once == [[1, 2, 3, 4, 5]] and second.at_once == [[2, 4, 6, 8, 10]] and second.learned_of == [2, 6, 8]
    assert [ds.train[i] for i in range(3)] == [(4, "1"), (12, "3"), (16, "4")] and list(ds.valid) == [(20, "5"), (8, "2")]
    assert ds[1] == (8, "2") and ds.train.with_split_idx(1)[0] == (4, "1") and ds.targets(1) == ("2",)
    assert not first.single and not second.single
    assert ds.test_set([7]).sample(0) == (28,) and first.single == [1, 7]           # 1: to see which types the transforms take
    many = ds.test_set(list(range(100)))
    assert many.sample(50) == (200,) and first.single == [1, 7] and ds.test_set(list(range(100)), with_labels=True).sample(9) == (36, "9")


def test_a_list_of_one_pipeline():
    double = Doubled()
    tl = TfmdLists([1, 2, 3], [double, str], splits=[[0, 1], [2]])
    assert list(tl.valid) == ["6"] and tl.train[1] == "4" and not double.single and tl.test_set([5])[0] == "10"


@pytest.mark.parametrize("before", [{"split_idx": 0}, {"varies": True}])
def test_not_where_an_item_differs_from_time_to_time(before):
    double, changing = Doubled(), Transform(lambda o: o + 1)
    vars(changing).update(before)
    assert not Datasets([1, 2], [[changing, double]]).ahead and not double.at_once


def test_not_where_the_transform_cannot_or_another_comes_between():
    double, cannot = Doubled(), Doubled(can=False)
    ds = Datasets([1, 2], [[cannot, abs, double]])
    assert list(ds.ahead) == [0] and ds.ahead[0].done == 3 and ds[1] == (8,)        # what `double` was given was made one by one
    late = Doubled()
    ds = Datasets([1, 2], [[Doubled(), abs, late]])
    assert ds.ahead[0].done == 1 and not late.at_once and ds[1] == (8,)
    assert all_ahead([ds.pipelines[0]], ds.rows)[0].values == [2, 4]
