"""Padding: the values are those of fastai 2.8.12 for the same calls."""
import pickle

import numpy as np
import pytest
import torch

from minifast.data.dataloader import DataLoader
from minifast.data.sequences import PadSequences
from minifast.text.padding import Pad_Chunk, Pad_Input, count_tokens, pad_chunk, pad_input, pad_input_chunk
from minifast.text.tensors import TensorText

SAMPLES = [(TensorText([5, 6, 7]), 0), (TensorText([8]), 1), (TensorText([2, 3]), 0)]


def texts(samples):
    return [x.tolist() for x, _ in samples]


@pytest.mark.parametrize(("kwargs", "expected"), [
    ({}, [[5, 6, 7], [8, 1, 1], [2, 3, 1]]), ({"pad_idx": 0}, [[5, 6, 7], [8, 0, 0], [2, 3, 0]]),
    ({"pad_first": True}, [[5, 6, 7], [1, 1, 8], [1, 2, 3]]), ({"backwards": True}, [[7, 6, 5], [8, 1, 1], [3, 2, 1]]),
    ({"pad_first": True, "backwards": True}, [[7, 6, 5], [1, 1, 8], [1, 3, 2]])])
def test_pad_input_on_both_sides(kwargs, expected):
    assert texts(pad_input(SAMPLES, **kwargs)) == texts(Pad_Input(**kwargs)(SAMPLES)) == expected
    assert [y for _, y in pad_input(SAMPLES, **kwargs)] == [0, 1, 0] and texts(pad_input(SAMPLES)) == [[5, 6, 7], [8, 1, 1], [2, 3, 1]]


@pytest.mark.parametrize(("kwargs", "expected"), [
    ({}, [2, 3, 4, 5, 6, 1, 1, 1, 1, 1]), ({"seq_len": 2}, [1, 1, 1, 1, 2, 3, 4, 5, 6, 1]),
    ({"seq_len": 2, "pad_len": 12}, [1, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 1]), ({"seq_len": 3, "pad_len": 12}, [1] * 6 + [2, 3, 4, 5, 6, 1]),
    ({"seq_len": 3, "pad_len": 12, "pad_first": False}, [2, 3, 4, 5, 6, 1, 1, 1, 1, 1, 1, 1]), ({"pad_len": 2}, [2, 3, 4, 5, 6])])
def test_pad_chunk_pads_in_front_by_whole_pieces(kwargs, expected):
    padded = pad_chunk(TensorText(range(2, 7)), **kwargs)
    assert padded.tolist() == expected and type(padded) is TensorText and padded.dtype == torch.int64


def test_chunks_of_samples():
    samples = [(TensorText(range(2, 9)), 0), (TensorText([4]), 1)]
    assert texts(pad_input_chunk(samples, seq_len=2)) == texts(Pad_Chunk(seq_len=2)(samples)) == [[*range(2, 9)], [1, 1, 1, 1, 1, 1, 4]]
    both = Pad_Chunk(seq_len=3)([(TensorText(range(2, 9)), TensorText([4, 5])), (TensorText([4]), TensorText([4, 5]))])
    assert [[x.tolist() for x in s] for s in both] == [[list(range(2, 9)), [1, 1, 1, 4, 5, 1, 1]], [[1] * 6 + [4], [1, 1, 1, 4, 5, 1, 1]]]


def test_texts_are_shown_without_padding():
    samples = pad_input([(TensorText([5, 6, 7]), torch.tensor([1, 2])), (TensorText([8]), torch.tensor([1, 2]))])
    x, y = pad_input.decode(samples[1])
    assert x.tolist() == [8] and y.tolist() == [1, 2]
    loader = DataLoader([(TensorText([5, 6, 7]), 0), (TensorText([8]), 1)], bs=2, before_batch=pad_input, num_workers=0)
    assert [x.tolist() for x, _ in loader.decode_batch(loader.one_batch())] == [[5, 6, 7], [8]]


def test_long_texts_are_cut_with_a_count():
    pad = pickle.loads(pickle.dumps(Pad_Chunk(seq_len=2, max_len=4)))
    with pytest.warns(UserWarning, match=r"1 of 2 sequences of this batch are longer than max_len=4 \(the longest has 7\)"):
        assert texts(pad([(TensorText(range(2, 9)), 0), (TensorText([4]), 1)])) == [[2, 3, 4, 5], [1, 1, 4, 1]]
    assert pad.cut == {"sequences": 2, "cut": 1, "lost": 3, "longest": 7} and isinstance(pad, PadSequences)


def test_texts_without_a_token_and_plain_lists():
    assert texts(pad_input([(torch.zeros(0, dtype=torch.int64), 0), (torch.tensor([3, 4]), 1)])) == [[1, 1], [3, 4]]
    assert texts(pad_input([(torch.zeros(0, dtype=torch.int64), 0)])) == [[1]]              # no model takes a text of length 0
    assert [x.tolist() for x in pad_input([[3], np.array([4, 5])])] == [[3, 1], [4, 5]]


@pytest.mark.parametrize(("call", "message"), [
    (lambda: pad_input([("some words", 0)]), "element 0 of a sample must be the ids of a text"),
    (lambda: pad_input([(torch.rand(3), 0)]), "element 0 of a sample must be the ids of a text"),
    (lambda: pad_input("words"), "takes the list of samples"), (lambda: Pad_Chunk(seq_len=0), r"Pad_Chunk\(seq_len=0\): tokens per piece"),
    (lambda: Pad_Input(max_len=0), "max_len=0")])
def test_what_cannot_be_padded_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_tokens_that_are_no_padding_are_counted():
    x = torch.stack([x for x, _ in pad_input(SAMPLES)])
    assert count_tokens(x) == 6 and count_tokens(x, pad_idx=0) == 9
