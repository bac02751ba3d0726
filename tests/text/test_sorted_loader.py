"""`SortedDL`: batches of like lengths as a function of the seed; predictions in the order of the dataset."""
import numpy as np
import pytest
import torch
from torch import nn

from minifast.data.engine.samplers import InOrder, PartialSampler, Shuffled, WeightedSampler
from minifast.data.loaders import DataLoaders
from minifast.interpret.base import Interpretation
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.text.padding import Pad_Chunk, pad_input
from minifast.text.sorted_loader import LengthBuckets, SortedDL

N = 57


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    return [(torch.full((int(n),), i + 2), i % 2) for i, n in enumerate(rng.integers(1, 60, N))]


def items(loader):
    return [x.max(1).values.sub(2).tolist() for x, _ in loader]


def flat(lists):
    return [i for batch in lists for i in batch]


def test_validation_is_sorted_and_training_is_a_function_of_the_seed(samples):
    lengths = [len(x) for x, _ in samples]
    valid = SortedDL(samples, bs=8, before_batch=pad_input, split_idx=1)
    assert flat(items(valid)) == sorted(range(N), key=lambda i: -lengths[i]) == valid.pass_order.tolist()

    def train(seed, **kwargs):
        return SortedDL(samples, bs=8, before_batch=pad_input, shuffle=True, seed=seed, **kwargs)
    loader = train(3)
    first, second = items(loader), items(loader)
    assert first != second
    assert first == items(train(3)) == items(train(3, num_workers=2)) == items(train(3, num_workers=2, worker_type="thread"))
    assert items(train(4)) != first and loader.pass_order is None
    for epoch in (first, second):
        assert len({i for batch in epoch for i in batch}) >= N - 1 and max(lengths) in [lengths[i] for i in epoch[0]]


def test_little_is_padding(samples):
    many = [samples[i] for i in torch.randperm(N, generator=torch.Generator().manual_seed(0)).repeat(20)]
    lengths = torch.tensor([len(x) for x, _ in many])
    padded = sum(x.numel() for x, _ in SortedDL(many, bs=16, before_batch=pad_input, shuffle=True, seed=0))
    assert padded < 1.05 * lengths.sum()


def test_an_incomplete_batch_that_is_dropped_leaves_out_other_texts_in_each_epoch(samples):
    loader = SortedDL(samples, bs=8, before_batch=pad_input, shuffle=True, drop_last=True, seed=0)
    left_out = [set(range(N)) - set(flat(items(loader))) for _ in range(30)]
    assert all(len(one) == N % 8 == 1 for one in left_out) and len(set().union(*left_out)) > 10
    longest = int(np.argmax([len(x) for x, _ in samples]))
    assert all(longest in items(loader)[0] for _ in range(10))


def test_the_order_of_a_sampler_that_keeps_it_is_left_alone():
    kept = Shuffled(N).order(0)

    class Kept(Shuffled):
        def order(self, epoch_seed):
            return kept
    before = kept.clone()
    LengthBuckets(Kept(N), np.arange(N), 4).order(0)
    assert (kept == before).all()


def test_resuming_within_an_epoch(samples):
    loader = SortedDL(samples, bs=8, before_batch=pad_input, shuffle=True, seed=3)
    whole = items(SortedDL(samples, bs=8, before_batch=pad_input, shuffle=True, seed=3))
    begun = iter(loader)
    next(begun), next(begun)
    other = SortedDL(samples, bs=8, before_batch=pad_input, shuffle=True, seed=3)
    other.load_state_dict(loader.state_dict())
    assert items(other) == whole[2:] and loader.indices_of_batch(1) == whole[1]


def test_other_samplers_are_kept(samples):
    lengths = [len(x) for x, _ in samples]
    for sampler in (InOrder(N), Shuffled(N), PartialSampler(N, 20), WeightedSampler(np.arange(N), n=30), Shuffled(3), Shuffled(4)):
        buckets = LengthBuckets(sampler, lengths, 4)
        assert sorted(buckets.order(5).tolist()) == sorted(sampler.order(5).tolist()) and buckets.repeats == sampler.repeats
    loader = SortedDL(samples, bs=8, before_batch=pad_input, sampler=WeightedSampler([1.] * 3 + [0.] * (N - 3), n=16))
    assert {i for batch in items(loader) for i in batch} <= {0, 1, 2}
    subset = torch.utils.data.SubsetRandomSampler([1, 5, 6])
    assert sorted(flat(items(SortedDL(samples, bs=8, before_batch=pad_input, sampler=subset)))) == [1, 5, 6]


def test_lengths_that_are_known_and_other_arguments(samples):
    opened = []

    class Counting(list):
        def __getitem__(self, i):
            opened.append(i)
            return list.__getitem__(self, i)
    lengths = [len(x) for x, _ in samples]
    loader = SortedDL(Counting(samples), res=lengths, bs=8, before_batch=Pad_Chunk(), seq_len=10)
    assert loader.seq_len == 10 and loader.new(bs=4).seq_len == 10 and loader.new(seq_len=5).seq_len == 5 and set(opened) == {0}
    assert len(loader.new(samples[:9]).res) == 9
    loader.bs = 4
    assert len(loader) == 15 and len(items(loader)[0]) == 4
    shortest_first = SortedDL(samples, sort_func=lambda s: -len(s[0]), bs=8, before_batch=pad_input)
    assert flat(items(shortest_first)) == sorted(range(N), key=lambda i: lengths[i])
    with pytest.raises(ValueError, match=r"SortedDL\(res=...\): the lengths of 3 samples for 57"):
        SortedDL(samples, res=[1, 2, 3])
    with pytest.raises(TypeError, match="seq_lenn=int 3; did you mean 'seq_len'"):
        loader.new(seq_lenn=3)


class Mean(nn.Module):
    "Logits that say which item it is."

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        item = x.max(1).values.float()
        return torch.stack([item, -item], 1) * 0.01 + self.weight


def test_predictions_and_interpretation_are_in_the_order_of_the_dataset(samples):
    dls = DataLoaders(SortedDL(samples, bs=8, before_batch=pad_input, shuffle=True, split_idx=0),
                      SortedDL(samples, bs=8, before_batch=pad_input, split_idx=1))
    learn = Learner(dls, Mean(), loss_func=CrossEntropyLossFlat())
    for ds_idx in (0, 1):
        x, preds, targs, decoded, losses = learn.get_preds(ds_idx, act=nn.Identity(), with_input=True, with_decoded=True, with_loss=True)
        assert preds[:, 0].mul(100).round().int().tolist() == [i + 2 for i in range(N)] and targs.tolist() == [y for _, y in samples]
        assert [int(t.max()) for t in x] == [i + 2 for i in range(N)] and decoded.tolist() == [0] * N
        assert torch.allclose(losses, nn.functional.cross_entropy(preds, targs, reduction="none"))
    raw = learn.get_preds(1, act=nn.Identity(), reorder=False)[0]
    assert raw[:, 0].mul(100).round().int().sub(2).tolist() == dls.valid.pass_order.tolist()
    found = Interpretation.from_learner(learn)
    assert found.targs.tolist() == [y for _, y in samples] and found.items == list(range(N))
    with pytest.raises(ValueError, match="batches of this loader are in order of length"):
        learn.get_preds(save_preds="preds")


def test_what_the_error_suggests_about_saving_works(samples, tmp_path):
    dls = DataLoaders(*(SortedDL(samples, bs=8, before_batch=pad_input, split_idx=i) for i in (0, 1)))
    learn = Learner(dls, Mean(), loss_func=CrossEntropyLossFlat(), path=tmp_path)
    learn.get_preds(save_preds=tmp_path / "preds", reorder=False)
    assert len(list((tmp_path / "preds").iterdir())) == 8


def test_few_new_texts_need_no_workers():
    import pandas as pd

    from minifast.text.loaders import TextDataLoaders
    df = pd.DataFrame({"text": ["a film", "a good one"] * 50, "mood": ["bad", "good"] * 50})
    dls = TextDataLoaders.from_df(df, text_col="text", label_col="mood", bs=4, device="cpu")
    assert dls.test_dl(["a film"] * 63).num_workers == 0, "which take longer to start than these"
    assert dls.new(num_workers=2).test_dl(["a film"] * 63).num_workers == 2, "where they are asked for"
