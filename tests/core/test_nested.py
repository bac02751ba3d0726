"""Functions that map over nested batches."""
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from minifast.core import nested
from minifast.core.nested import (
    find_bs,
    find_device,
    leaves,
    map_nested,
    plain,
    split_batch,
    to_concat,
    to_cpu,
    to_detach,
    to_device,
    to_np,
)

Pair = namedtuple("Pair", "image label")


@dataclass(frozen=True)
class Sample:
    image: torch.Tensor
    label: object


class Subclass(torch.Tensor):
    pass


def test_map_keeps_every_container():
    a, b = torch.tensor(1.), torch.tensor(2.)
    x = ({"k": [a, Pair(a, b)]}, Sample(a, OrderedDict(z=b)), "text", None)
    y = map_nested(lambda t: t + 1 if isinstance(t, torch.Tensor) else t, x)
    assert y == ({"k": [a + 1, Pair(a + 1, b + 1)]}, Sample(a + 1, OrderedDict(z=b + 1)), "text", None)
    assert type(y[0]["k"][1]) is Pair and type(y[1]) is Sample and type(y[1].label) is OrderedDict
    assert x[1].image == 1                                      # the original is left alone


def test_map_keeps_mappings_that_are_no_plain_dict():
    counts = defaultdict(list, a=torch.tensor(1))
    mapped = map_nested(lambda t: t * 5, counts)
    assert type(mapped) is defaultdict and mapped["a"] == 5 and mapped["new"] == [] and counts["a"] == 1
    tokens = UserDict(input_ids=torch.tensor([1, 2]))           # what tokenizers of transformers return
    mapped = map_nested(lambda t: t * 5, tokens)
    assert type(mapped) is UserDict and mapped["input_ids"].tolist() == [5, 10] and tokens["input_ids"].tolist() == [1, 2]


def test_map_keeps_the_order_of_keys():
    x = {"b": torch.tensor(1), "a": torch.tensor(2)}
    assert list(map_nested(lambda t: t, x)) == ["b", "a"]


def test_what_cannot_be_made_again_has_leaves():
    @dataclass
    class Config:
        size: int
        rest: object = None

        def __post_init__(self):
            if not isinstance(self.size, int):
                raise TypeError(f"size={self.size}")

    assert leaves([Config(3, (4, 5))]) == [3, 4, 5]


def test_leaves_in_order():
    assert leaves(({"a": 1, "b": [2, 3]}, Pair(4, 5))) == [1, 2, 3, 4, 5]


def test_moving_and_detaching():
    w = torch.ones(2, requires_grad=True)
    batch = (w * 2, [w * 3, "name"])
    for moved in (to_cpu(batch), to_detach(batch), to_detach(batch, cpu=False)):
        assert moved[1][1] == "name"
    assert to_device(batch, "meta")[1][0].device.type == "meta"
    assert to_detach(batch)[0].requires_grad is False and batch[0].requires_grad
    assert isinstance(to_np(batch)[0], np.ndarray) and to_np(batch)[0].tolist() == [2., 2.]


def test_to_device_uses_the_default_device(monkeypatch):
    from minifast.core import device
    monkeypatch.setattr(device.defaults, "device", torch.device("meta"))
    assert to_device(torch.ones(1)).device.type == "meta"


def test_the_model_sees_plain_tensors():
    x = torch.ones(2).as_subclass(Subclass)
    y = plain((x, [torch.zeros(1), 3]))
    assert type(y[0]) is torch.Tensor and y[1][1] == 3 and y[0].data_ptr() == x.data_ptr()


def test_find_bs():
    assert find_bs((torch.tensor(1), {"x": torch.zeros(7, 2)})) == 7
    assert find_bs([np.zeros((3, 2))]) == 3
    with pytest.raises(ValueError, match=r"no tensor with a first \(batch\) axis: received tuple of 1 \(str 'a'\)"):
        find_bs(("a",))


def test_concat_equals_cat_leaf_by_leaf():
    parts = [({"a": torch.randn(n, 2)}, Pair(torch.randn(n), [torch.randn(n, 1)])) for n in (3, 2)]
    joined = to_concat(parts)
    assert torch.equal(joined[0]["a"], torch.cat([p[0]["a"] for p in parts]))
    assert torch.equal(joined[1][1][0], torch.cat([p[1][1][0] for p in parts]))
    assert type(joined[1]) is Pair


def test_concat_dataclasses_scalars_and_other_axes():
    assert to_concat([Sample(torch.ones(1), torch.zeros(1))] * 2).image.shape == (2,)
    assert to_concat([torch.tensor(1.), torch.tensor(2.)]).tolist() == [1., 2.]
    assert to_concat([torch.zeros(2, 3), torch.zeros(2, 4)], dim=1).shape == (2, 7)


def test_concat_of_ragged_sequences_is_a_list_of_items():
    joined = to_concat([torch.zeros(2, 3), torch.zeros(1, 5)])
    assert [t.shape for t in joined] == [(3,), (3,), (5,)]


def test_concat_of_no_tensors():
    assert to_concat([("a", torch.zeros(1)), ("b", torch.zeros(1))])[0] == ["a", "b"]
    with pytest.raises(ValueError, match="no batches to join"):
        to_concat([])


@pytest.mark.parametrize("batch, n_inp, inputs, keywords, targets", [
    ((1, 2, 3), None, (1, 2), {}, (3,)),
    ([1, 2, 3], 1, (1,), {}, (2, 3)),
    ((1,), None, (1,), {}, ()),
    ({"ids": 1, "labels": 2}, None, (), {"ids": 1}, (2,)),
    ({"ids": 1, "y": 2, "target": 3}, None, (), {"ids": 1, "y": 2}, (3,)),
    ({"ids": 1}, None, (), {"ids": 1}, ()),
    (UserDict(ids=1, label=2), None, (), {"ids": 1}, (2,)),
    (Sample(1, 2), None, (), {"image": 1}, (2,)),
])
def test_split_batch(batch, n_inp, inputs, keywords, targets):
    assert split_batch(batch, n_inp) == (inputs, keywords, targets)


def test_split_batch_of_a_lone_tensor_and_of_nonsense():
    x = torch.zeros(2)
    assert split_batch(x) == ((x,), {}, ())
    with pytest.raises(TypeError, match="a batch must be a tensor, tuple, list, dict or dataclass of tensors; received str 'batch'"):
        split_batch("batch")


def test_target_keys_are_documented():
    assert all(k in split_batch.__doc__ for k in nested.TARGET_KEYS)


def test_find_device():
    assert find_device(torch.zeros(1)) == torch.device("cpu") and find_device([{"a": torch.zeros(1)}]).type == "cpu"
    assert find_device([1, torch.zeros(1, device="meta"), torch.zeros(1)]).type == "meta"
    with pytest.raises(ValueError, match="find_device: there is no tensor in list of 1"):
        find_device([1])
