"""`pad_sequences` and `PadSequences` beside what they say about cutting: which elements, which types, what is refused."""
import pickle

import numpy as np
import pytest
import torch

from minifast.data.loaders import DataLoader
from minifast.data.sequences import PadSequences, pad_sequences


def values(samples):
    return [[o.tolist() if isinstance(o, torch.Tensor) else o for o in s] for s in samples]


def test_the_first_elements_are_padded_and_the_others_left():
    samples = [([1, 2, 3], [1], "a"), ([4], [2, 3], "b")]
    assert values(pad_sequences(samples)) == [[[1, 2, 3], [1], "a"], [[4, 0, 0], [2, 3], "b"]]
    assert values(pad_sequences(samples, n_inp=2, pad_value=-1, pad_first=True)) == [[[1, 2, 3], [-1, 1], "a"], [[-1, -1, 4], [2, 3], "b"]]


@pytest.mark.parametrize("one", [[1, 2], np.array([1, 2]), torch.tensor([1, 2])], ids=["list", "array", "tensor"])
def test_types_of_sequences(one):
    padded = pad_sequences([one, one[:1], one[:0]])
    assert [o.tolist() for o in padded] == [[1, 2], [1, 0], [0, 0]] and all(o.dtype == torch.int64 for o in padded[:2])


def test_floats_keep_their_type():
    assert pad_sequences([torch.ones(2, dtype=torch.float16), torch.ones(1, dtype=torch.float16)], 0.5)[1].dtype == torch.float16


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda: pad_sequences([torch.ones(2, 2)]), TypeError, r"element 0 of the samples must be a list of numbers or a 1-d tensor; received"),
    (lambda: pad_sequences([("a text", 1)]), TypeError, "must be a list of numbers or a 1-d tensor; received str 'a text'"),
    (lambda: pad_sequences([(3, 1)]), TypeError, "must be a list of numbers or a 1-d tensor; received int 3"),
    (lambda: pad_sequences([]), TypeError, "takes the list of samples of a batch"),
    (lambda: PadSequences(max_len=0), ValueError, r"max_len=0\): a whole number of at least 1, or None to cut nothing"),
    (lambda: PadSequences(n_inp=None), ValueError, r"n_inp=None\): a whole number of at least 1$"),
])
def test_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_it_can_be_sent_and_the_loader_copied():
    pad = pickle.loads(pickle.dumps(PadSequences(max_len=2)))
    dl = DataLoader([([1, 2, 3], 0), ([4], 1)], bs=2, before_batch=pad, num_workers=0, device="cpu").new(shuffle=True)
    with pytest.warns(UserWarning, match="1 of 2 sequences of this batch are longer than max_len=2"):
        assert dl.one_batch()[0].shape == (2, 2)
    assert pad.cut["cut"] == 1
