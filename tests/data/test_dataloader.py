import gc
import json
import multiprocessing
import os
import pickle
import random
import sys
import time
import warnings
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from suggestions import told
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset, get_worker_info
from torchvision import tv_tensors

from minifast.core.nested import to_concat
from minifast.core.seeds import set_seed
from minifast.data.categories import Categorize
from minifast.data.datasets import Datasets, TfmdLists
from minifast.data.engine.collate import collate, kinds_of, wrap_kinds
from minifast.data.engine.fetch import Fetcher, Order, is_in_memory
from minifast.data.engine.processes import let_go
from minifast.data.engine.samplers import InOrder, PartialSampler, Shuffled, WeightedSampler
from minifast.data.loaders import DataLoader, DataLoaders, PartialDL, WeightedDL
from minifast.data.pipeline import Pipeline
from minifast.data.transforms import ItemTransform, RandTransform, Transform


def all_of(error):
    "The message of an error with its notes."
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


def failure_of(loop):
    "Type and text of the error that iterating raises; the error itself is let go, because it would keep the workers alive."
    try:
        list(loop)
    except Exception as e:
        return type(e), all_of(e)
    return None, ""


def tensors(n=10):
    return TensorDataset(torch.arange(n).float()[:, None], torch.arange(n))


def on_cpu(*args, **kwargs):
    return DataLoader(*args, **{"device": "cpu", **kwargs})


def order_of(dl):
    return torch.cat([b[-1] for b in dl]).tolist()


class Noise(RandTransform):
    "Adds a random number to the tensor."

    def draw(self, sample, rng, split_idx):
        return {"by": float(rng.random())}

    def encodes(self, x: torch.Tensor, by=0.0):
        return x + by if x.is_floating_point() else x


class Globally(Dataset):
    "A dataset that draws from the global streams, as code written for torch does."

    def __len__(self):
        return 12

    def __getitem__(self, i):
        return torch.tensor([random.random(), np.random.rand(), torch.rand(()).item()]), i


class Pids(Dataset):
    def __init__(self, n=8):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return os.getpid(), i


def as_float(o):
    return torch.tensor([float(o)])


# -- batches -----------------------------------------------------------------------------------------------------------------------
def test_batches_are_those_of_torchs_loader():
    ds = TensorDataset(torch.randn(10, 3), torch.arange(10))
    for ours, theirs in zip(on_cpu(ds, bs=4), TorchDataLoader(ds, 4), strict=True):
        assert isinstance(ours, tuple) and all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    items = [(x, int(y), float(y)) for x, y in ds]
    for ours, theirs in zip(on_cpu(items, bs=4), TorchDataLoader(items, 4), strict=True):
        assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
        assert ours[2].dtype == torch.float32 and torch.equal(ours[2].double(), theirs[2])


def test_subsets_of_tensors_are_indexed_at_once():
    dl = on_cpu(Subset(tensors(), [7, 3, 5]), bs=2)
    assert Fetcher(dl.dataset, Pipeline(), Pipeline()).tensors is not None and order_of(dl) == [7, 3, 5]


def test_batches_do_not_share_memory_with_the_data():
    ds = tensors(4)
    next(iter(on_cpu(ds, bs=4)))[0].zero_()
    assert ds.tensors[0].sum() == 6


def test_arguments_and_what_they_say():
    dl = on_cpu(tensors(), bs=4)
    assert (len(dl), dl.n, dl.bs, dl.batch_size, dl.num_workers, dl.n_inp) == (3, 10, 4, 4, 0, 1)
    assert on_cpu(tensors(), batch_size=5).bs == 5 == on_cpu(tensors(), bs=5).batch_size and dl.device == torch.device("cpu")
    assert dl.vocab is None and dl.c is None and dl.loss_func is None
    assert repr(dl) == "DataLoader: 10 items in 3 batches of 4, in order, num_workers=0"


def test_unknown_arguments_are_refused_all_at_once():
    with pytest.raises(TypeError, match="batch_sz=int 4; did you mean 'batch_size'.*suffle=bool True; did you mean 'shuffle'"):
        DataLoader(tensors(), batch_sz=4, suffle=True)
    with pytest.raises(TypeError, match="num_worker=int 2; did you mean 'num_workers'"):
        DataLoader(tensors()).new(num_worker=2)
    with pytest.raises(TypeError, match="does not take item_tfms.*write after_item= here"):
        DataLoader(tensors(), item_tfms=[])


def test_what_cannot_work_is_refused_when_the_loader_is_made():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(3))

    with pytest.raises(TypeError, match="Stream is an IterableDataset: write StreamLoader"):
        DataLoader(Stream())
    with pytest.raises(TypeError, match="needs a dataset with len and indices; received int 3"):
        DataLoader(3)
    with pytest.raises(ValueError, match=r"the dataset is empty; bs=0: a batch has.*num_workers=-1: a whole number.*seed=-1"):
        DataLoader([], bs=0, num_workers=-1, seed=-1)
    with pytest.raises(ValueError, match="shuffle=True and sampler=... both say in which order"):
        DataLoader(tensors(), shuffle=True, sampler=[1, 2])


def test_a_training_set_smaller_than_a_batch():
    assert len(on_cpu(tensors(3), bs=64, shuffle=True)) == 1
    with pytest.raises(ValueError, match="the dataset is smaller than one batch: drop_last=True with 3 items and bs=64"):
        DataLoader(tensors(3), bs=64, drop_last=True)


@pytest.mark.parametrize("n, shuffle, drop_last, expected", [
    (9, True, None, [4, 4]), (10, True, None, [4, 4, 2]), (9, False, None, [4, 4, 1]), (1, True, None, [1]), (10, True, True, [4, 4]),
    (9, True, False, [4, 4, 1])])
def test_only_a_lone_last_item_is_dropped_and_only_in_training(n, shuffle, drop_last, expected):
    dl = on_cpu(tensors(n), bs=4, shuffle=shuffle, drop_last=drop_last)
    assert [len(b[0]) for b in dl] == expected and len(dl) == len(expected)


# -- order and randomness ----------------------------------------------------------------------------------------------------------
def test_shuffling_visits_every_item_in_a_new_order():
    dl = on_cpu(tensors(50), bs=8, shuffle=True)
    a, b = order_of(dl), order_of(dl)
    assert sorted(a) == sorted(b) == list(range(50)) and a != b


def test_set_seed_after_making_the_loader_reproduces():
    dl = on_cpu(tensors(50), bs=8, shuffle=True, after_item=Noise(), split_idx=0)

    def epoch():
        return to_concat(list(dl))

    set_seed(3)
    a, a2 = epoch(), epoch()
    set_seed(3)
    b = epoch()
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and not torch.equal(a[0], a2[0])


def test_seed_makes_order_a_function_of_seed_and_epoch():
    dl = on_cpu(tensors(50), bs=8, shuffle=True, seed=5)
    torch.manual_seed(0)
    epochs = [order_of(dl), order_of(dl)]
    torch.manual_seed(1)
    again = on_cpu(tensors(50), bs=8, shuffle=True, seed=5)
    assert [order_of(again), order_of(again)] == epochs and epochs[0] != epochs[1]
    again.epoch = 0
    assert order_of(again) == epochs[0]
    assert order_of(on_cpu(tensors(50), bs=8, shuffle=True, seed=6)) != epochs[0]


@pytest.mark.parametrize("kind", ["items", "tensors", "global streams"])
def test_batches_do_not_depend_on_the_number_of_workers(kind):
    ds = {"items": Datasets(list(range(12)), [[as_float, Noise()], [Categorize(vocab=list(range(12)))]], splits=[list(range(12))]).train,
          "tensors": [(torch.tensor([float(i)]), i) for i in range(12)], "global streams": Globally()}[kind]
    epochs = {}
    for workers in (0, 2):
        dl = on_cpu(ds, bs=4, shuffle=True, num_workers=workers, after_item=None if kind == "global streams" else Noise(),
                    after_batch=Noise(), split_idx=0)
        set_seed(11)
        epochs[workers] = [to_concat(list(dl)) for _ in range(2)], torch.rand(1), random.random(), np.random.rand()
    (zero, *streams0), (two, *streams2) = epochs.values()
    for a, b in zip(zero, two, strict=True):
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    assert not torch.equal(zero[0][0].sort(0)[0], zero[1][0].sort(0)[0]) and streams0 == streams2


def test_looking_takes_nothing_from_the_streams_of_training():
    def epoch(look):
        set_seed(1)
        dl = on_cpu(Datasets(list(range(20)), [[as_float, Noise()], None]), bs=4, shuffle=True, split_idx=0, num_workers=0)
        looks = [dl.one_batch() for _ in range(2)] if look else []
        if look:
            dl.n_inp, dl.decode_batch(looks[0])
        return to_concat(list(dl))[1], looks

    (plain, _), (looked, looks) = epoch(False), epoch(True)
    assert torch.equal(plain, looked) and not torch.equal(looks[0][1], looks[1][1])


def test_validation_is_the_same_each_time_and_takes_nothing_from_the_streams():
    dl = on_cpu(tensors(6), bs=4, split_idx=1, after_batch=[Transform(lambda x: x + torch.rand(()) * 0)], after_item=Noise(split_idx=1))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = on_cpu(Globally(), bs=4, split_idx=1, num_workers=0)
    a, b = to_concat(list(first))[0], to_concat(list(first))[0]
    assert torch.equal(a, b) and torch.equal(torch.get_rng_state(), state)
    assert torch.equal(to_concat(list(dl))[0], to_concat(list(dl))[0])


def test_every_item_is_augmented_in_its_own_way_also_when_drawn_twice():
    dl = on_cpu(TfmdLists([0.0], as_float).train, bs=5, sampler=WeightedSampler([1.0], n=5), after_item=Noise(), split_idx=0)
    values = next(iter(dl)).flatten().tolist()
    assert len(set(values)) == 5


def test_resuming_in_the_middle_of_an_epoch():
    def make():
        return on_cpu(tensors(20), bs=3, shuffle=True, after_item=Noise(), after_batch=Noise(), split_idx=0)

    dl, whole, state = make(), [], None
    for i, batch in enumerate(dl):
        whole.append(batch)
        if i == 2:
            state = dl.state_dict()
    other = make()
    other.load_state_dict(pickle.loads(pickle.dumps(state)))
    rest = list(other)
    for a, b in zip(rest, whole[3:], strict=True):
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    assert iter(dl) is not None and dl.state_dict()["batch"] == 0
    dl.epoch = 1
    assert other.epoch == dl.epoch == 1 and len(list(other)) == len(other) == 7


# -- workers -----------------------------------------------------------------------------------------------------------------------
def test_workers_live_as_long_as_the_loader():
    dl = on_cpu(Pids(), bs=2, num_workers=2)
    epochs = [set(to_concat(list(dl))[0].tolist()) for _ in range(3)]
    assert epochs[0] == epochs[1] == epochs[2] and len(epochs[0]) == 2 and os.getpid() not in epochs[0]
    assert dl.persistent_workers and dl.num_workers == 2
    next(iter(dl))                                                     # an epoch left in the middle
    assert sorted(order_of(dl)) == list(range(8))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_num_workers_is_the_number_in_use(monkeypatch):
    assert on_cpu(tensors()).num_workers == 0 and on_cpu([(1, 2)] * 100, bs=2).num_workers == 0
    monkeypatch.setattr("minifast.data.engine.choice.cpu_count", lambda: 16)
    if sys.platform.startswith("linux"):
        assert on_cpu(Pids(100), bs=1).num_workers == 8 and on_cpu(Pids(9), bs=4).num_workers == 3
    assert on_cpu(Pids(), bs=8).num_workers == 0                       # a single batch gains nothing from workers
    dl = on_cpu(Pids(), bs=4, num_workers=1)
    assert dl.num_workers == 1 and {p for b in dl for p in b[0].tolist()} != {os.getpid()}
    dl.num_workers = 0
    assert {p for b in dl for p in b[0].tolist()} == {os.getpid()}


def test_what_is_in_memory():
    assert is_in_memory(Subset(tensors(), [1])) and is_in_memory(np.zeros(3)) and is_in_memory(torch.utils.data.ConcatDataset([tensors()]))
    assert not is_in_memory(Pids()) and not is_in_memory(["a", None][1:]) and not is_in_memory(Subset(Pids(), [1]))


def test_where_workers_must_be_started_afresh(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.warns(UserWarning, match=r"loaded in this process \(num_workers=0\).*if __name__ == '__main__'"):
        assert on_cpu(Pids(100), bs=2).num_workers == 0
    unsendable = TfmdLists(range(100), lambda o: torch.tensor(o))
    with pytest.warns(UserWarning, match=r"num_workers=0 instead of 2\), because they cannot be sent to a worker"):
        assert on_cpu(unsendable, bs=2, num_workers=2).num_workers == 0
    dl = on_cpu(Pids(), bs=2, num_workers=2)
    assert dl.num_workers == 2 and dl.multiprocessing_context.get_start_method() == "spawn"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes can be forked on Linux")
def test_functions_of_a_notebook_reach_the_workers():
    dl = on_cpu(TfmdLists(range(8), lambda o: torch.tensor(o)), bs=2, num_workers=2)
    assert dl.multiprocessing_context.get_start_method() == "fork" and torch.cat(list(dl)).tolist() == list(range(8))


def test_an_error_in_a_worker_keeps_its_type_and_names_the_item():
    kind, text = failure_of(on_cpu(Datasets(["1", "2", "x"], [[int]]), bs=1, num_workers=1))
    assert kind is ValueError and "invalid literal for int" in text and "item 2, 'x'" in text and "in transform int on str 'x'" in text
    assert "in a worker, where the traceback was:" in text and "in _fetch" in text
    assert failure_of(on_cpu(TfmdLists([b"ok", b"\xff"], bytes.decode), bs=1, num_workers=1))[0] is UnicodeDecodeError
    kind, text = failure_of(on_cpu(TfmdLists(["{}", "{bad"], json.loads), bs=1, num_workers=1))        # which leaves its notes behind
    assert kind is json.JSONDecodeError and "item 1, '{bad'" in text and text.count("in a worker, where the traceback was:") == 1


class Awkward(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


class Raises(Pids):
    def __getitem__(self, i):
        raise Awkward(1, 2)


def test_an_error_that_cannot_be_sent_still_arrives():
    kind, text = failure_of(on_cpu(Raises(), bs=4, num_workers=1))
    assert kind is RuntimeError and "Awkward: 1 and 2" in text


class Slow(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, i):
        time.sleep(1)


class Dies(Slow):
    def __getitem__(self, i):
        os._exit(1)


def test_a_worker_that_hangs_or_dies_is_explained():
    assert on_cpu(Pids(), num_workers=1).timeout == 300 and on_cpu(tensors()).timeout == 0
    kind, text = failure_of(on_cpu(Slow(), bs=1, num_workers=1, timeout=0.3))
    assert kind is RuntimeError and "timed out after 0.3 seconds" in text and "no batch came from the workers within timeout=0.3" in text
    kind, text = failure_of(on_cpu(Dies(), bs=1, num_workers=1))
    assert kind is RuntimeError and "ended with exit code 1: something in the dataset or a transform ends the process" in text


def test_two_loops_over_the_same_workers_are_refused():
    dl = on_cpu(Pids(), bs=2, num_workers=1)
    loop = iter(dl)
    next(loop)
    dl.one_batch()
    next(loop)                                                         # looking at a batch disturbs nothing
    next(iter(dl))
    assert "this loader was iterated again before its epoch was over" in failure_of(loop)[1]


def test_one_batch_starts_no_workers():
    dl, before = on_cpu(Pids(), bs=2, num_workers=2), multiprocessing.active_children()
    assert dl.one_batch()[0].tolist() == [os.getpid()] * 2 and multiprocessing.active_children() == before


def test_it_can_be_sent():
    dl = on_cpu(Pids(), bs=2, num_workers=1)
    list(dl)
    again = pickle.loads(pickle.dumps(dl))
    assert again.num_workers == 1 and len(again) == 4


# -- samplers ----------------------------------------------------------------------------------------------------------------------
def test_weighted_and_partial_loaders():
    wgts = [0, 1, 0, 3]
    drawn = torch.cat([order for s in range(200) for order in [WeightedSampler(wgts).order(s)]])
    counts = torch.bincount(drawn, minlength=4)
    assert counts[0] == counts[2] == 0 and 2.3 < counts[3] / counts[1] < 3.9
    dl = WeightedDL(tensors(4), wgts, bs=2, device="cpu")
    assert set(order_of(dl)) <= {1, 3} and dl.n == 4 and order_of(dl.new(shuffle=False)) == [0, 1, 2, 3]
    dl = PartialDL(tensors(20), 5, bs=2, device="cpu")
    assert dl.n == 5 and len(dl) == 2 and len(set(order_of(dl))) == 4 and order_of(dl) != order_of(dl)
    for call, text in ((lambda: WeightedDL(tensors(4), [1, 2]), "one weight per item: received 2 for 4 items"),
                       (lambda: WeightedSampler([0.0, 0.0]), "not all 0"), (lambda: WeightedSampler([1.0, float("nan")]), "finite"),
                       (lambda: PartialSampler(4, 9), "an epoch can take 1 to 4 items")):
        with pytest.raises(ValueError, match=text):
            call()


def test_torchs_samplers_work():
    assert order_of(on_cpu(tensors(), bs=4, sampler=torch.utils.data.SubsetRandomSampler([2, 4]))) in ([2, 4], [4, 2])
    assert order_of(on_cpu(tensors(), bs=4, sampler=[5, 5, 1])) == [5, 5, 1]


def test_orders_are_pure_functions():
    for sampler in (Shuffled(9), WeightedSampler(torch.ones(9)), PartialSampler(9, 4), InOrder(9)):
        assert torch.equal(sampler.order(3), sampler.order(3)) and sorted(sampler)[0] >= 0
    order = Order(WeightedSampler([1.0], n=3), 2, drop_last=False)
    assert [key.repeats for key in order.keys(5)] == [[0, 1], [2]] and order.indices(5, 1) == [0]


# -- collating ---------------------------------------------------------------------------------------------------------------------
@dataclass
class Pair:
    x: torch.Tensor
    y: int


def test_collate_keeps_the_nesting():
    batch = collate([{"x": torch.ones(2), "more": (1, [2.5, "a"])}] * 3)
    assert batch["x"].shape == (3, 2) and batch["more"][0].tolist() == [1, 1, 1]
    assert batch["more"][1][0].tolist() == [2.5] * 3 and batch["more"][1][1] == ["a"] * 3
    pair = collate([Pair(torch.zeros(2), 4)] * 2)
    assert isinstance(pair, Pair) and pair.x.shape == (2, 2) and pair.y.tolist() == [4, 4]
    assert collate([np.float64(1.5)] * 2).dtype == torch.float32 and collate([np.zeros(2)] * 2).dtype == torch.float64
    assert collate([np.int32(1)] * 2).dtype == torch.int32 and collate([True, False]).dtype == torch.bool
    assert collate([None, None]) == [None, None]


def test_dicts_and_dataclasses_come_out_of_a_loader():
    assert next(iter(on_cpu([{"x": torch.ones(2), "y": 1}] * 4, bs=2)))["x"].shape == (2, 2)
    assert next(iter(on_cpu([Pair(torch.ones(2), 1)] * 4, bs=2))).y.tolist() == [1, 1]
    with pytest.raises(TypeError, match=r"element \['y'\] of the samples is object"):
        collate([Pair(torch.ones(2), object())] * 2)


def test_shapes_that_do_not_fit_are_listed_with_their_items():
    ds = Datasets(["a.jpg", "b.jpg"], [[{"a.jpg": torch.zeros(3, 4, 4), "b.jpg": torch.zeros(3, 5, 4)}.get], [len]])
    with pytest.raises(ValueError, match=r"element \[0\] .* has 2 different shapes: \[3, 4, 4\] \(item 0, 'a.jpg'\); \[3, 5, 4\] "
                                         r"\(item 1, 'b.jpg'\).*item_tfms=Resize\(224\)"):
        next(iter(on_cpu(ds, bs=2)))
    with pytest.raises(ValueError, match="Pad them to one length"):
        collate([torch.zeros(2), torch.zeros(3)])


def test_what_cannot_be_collated():
    from PIL import Image
    with pytest.raises(TypeError, match=r"element \[0\] of the samples is Image L 2x2.*item_tfms=ToTensor"):
        collate([(Image.new("L", (2, 2)), 1)] * 2)
    with pytest.raises(ValueError, match=r"same number of elements: received \[1, 2\]"):
        collate([(1,), (1, 2)])
    with pytest.raises(ValueError, match="same keys"):
        collate([{"a": 1}, {"b": 1}])
    with pytest.raises(TypeError, match="must be alike: received tuple of 1 .*and list of 1"):
        collate([(1,), [1]])
    with pytest.raises(TypeError, match="is a tensor here and int 1 there"):
        collate([torch.zeros(()), 1])
    with pytest.raises(TypeError, match="is a number here and something else there"):
        collate([1, "a"])


def test_kinds_are_remembered_and_restored():
    box = tv_tensors.BoundingBoxes(torch.zeros(2, 4), format="XYXY", canvas_size=(8, 9))
    sample = tv_tensors.Image(torch.zeros(3, 8, 9)), {"box": box, "n": 1}
    kinds, batch = kinds_of(sample), collate([sample] * 2)
    assert type(batch[0]) is torch.Tensor and batch[0].shape == (2, 3, 8, 9) and kinds_of((torch.zeros(2), 3)) is None
    again = wrap_kinds(batch, kinds)
    assert type(again[0]) is tv_tensors.Image and type(again[1]["box"]) is tv_tensors.BoundingBoxes and type(again[1]["n"]) is torch.Tensor
    assert tuple(again[1]["box"].canvas_size) == (8, 9) and again[1]["box"].format.value == "XYXY"


class Pictures(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return tv_tensors.Image(torch.full((3, 4, 4), i, dtype=torch.uint8)), i


class Halve(Transform):
    "Applies to images only, and can be undone."

    def encodes(self, x: tv_tensors.Image):
        return x.float() / 2

    def decodes(self, x):
        return x * 2 if isinstance(x, tv_tensors.Image) else x


@pytest.mark.parametrize("workers", [0, 1])
def test_batch_transforms_see_images_and_the_model_plain_tensors(workers):
    seen = []

    class Look(ItemTransform):
        def encodes(self, x):
            seen.append((type(x[0]), get_worker_info()))
            return x

    dl = on_cpu(Pictures(), bs=3, num_workers=workers, after_batch=[Look(), Halve()])
    x, y = next(iter(dl))
    assert seen == [(tv_tensors.Image, None)] and type(x) is torch.Tensor and x[1, 0, 0, 0] == 0.5 and y.tolist() == [0, 1, 2]


def test_decode_batch_undoes_the_transforms_and_restores_the_kinds():
    dl = on_cpu(Pictures(), bs=3, after_batch=[Halve()], num_workers=0)
    batch = next(iter(dl))
    decoded = dl.decode_batch(batch, max_n=2)
    assert len(decoded) == 2 and decoded[1][0].max() == 1 and decoded[1][1] == 1
    assert type(decoded[0][0]) is tv_tensors.Image
    plain = on_cpu(Pictures(), bs=3, num_workers=0)
    assert type(plain.decode_batch(plain.one_batch())[0][0]) is tv_tensors.Image


# -- transforms in the loader ------------------------------------------------------------------------------------------------------
def test_where_each_pipeline_is_called():
    log = []
    item = ItemTransform(lambda s: (log.append("item"), (s[0] * 2, s[1]))[1])
    before = ItemTransform(lambda samples: (log.append(f"before {len(samples)}"), samples)[1])
    batch = ItemTransform(lambda b: (log.append(f"batch {tuple(b[0].shape)}"), b)[1])
    dl = on_cpu([(torch.tensor([float(i)]), i) for i in range(4)], bs=2, after_item=item, before_batch=before, after_batch=batch)
    assert next(iter(dl))[0].tolist() == [[0.0], [2.0]]
    assert log[:4] == ["item", "item", "before 2", "batch (2, 1)"] and log.count("batch (2, 1)") == 1


def test_collate_fn():
    dl = on_cpu(tensors(4), bs=2, collate_fn=lambda samples: {"x": torch.stack([s[0] for s in samples])})
    assert next(iter(dl))["x"].shape == (2, 1) and dl.n_inp is None


def test_a_transform_that_applies_to_nothing_is_reported_once():
    class OnlyMasks(Transform):
        def encodes(self, x: tv_tensors.Mask):
            return x

    dl = on_cpu(Pictures(), bs=2, after_item=OnlyMasks(), after_batch=[Halve(), OnlyMasks()], num_workers=0)
    with pytest.warns(UserWarning, match=r"applied to nothing .*: OnlyMasks \(it takes Mask\); OnlyMasks \(it takes Mask\)"):
        list(dl)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(dl)
        list(dl.new(shuffle=True))
        list(on_cpu(Pictures(), bs=2, after_batch=[Halve(), Noise()], split_idx=1, num_workers=0))      # left out is not idle


def test_errors_in_transforms_say_where():
    def broken(x):
        raise ZeroDivisionError("oh")

    with pytest.raises(ZeroDivisionError) as error:
        next(iter(on_cpu(tensors(), bs=2, after_batch=broken)))
    assert "in after_batch, batch 0" in all_of(error.value) and "in transform broken" in all_of(error.value)
    with pytest.raises(ZeroDivisionError) as error:
        next(iter(on_cpu(Datasets(["a", "b"], [None, [len]]), bs=1, after_item=[broken])))
    assert "item 0, 'a'" in all_of(error.value)


# -- new loaders -------------------------------------------------------------------------------------------------------------------
def test_the_training_items_as_validation_sees_them():
    ds = Datasets(list(range(6)), [[as_float, Noise()], None], splits=[[0, 1, 2, 3, 4], [5]])
    train = ds.dataloaders(bs=2, device="cpu", after_item=Noise(), after_batch=Noise(), num_workers=0).train
    evaluated = train.new(shuffle=False, drop_last=False, split_idx=1)
    assert to_concat(list(evaluated))[0].flatten().tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert to_concat(list(train))[0].flatten().tolist() != [0.0, 1.0, 2.0, 3.0]
    assert evaluated.new(split_idx=0).one_batch()[0].flatten().tolist() != [0.0, 1.0]


def test_new_keeps_the_other_arguments():
    dl = on_cpu(tensors(), bs=4, shuffle=True, after_batch=Noise(), seed=3, split_idx=0)
    new = dl.new(batch_size=5, dataset=tensors(20))
    assert new.bs == 5 and new.n == 20 and new.seed == 3 and new.after_batch.fs == dl.after_batch.fs and new.device == dl.device


def test_add_tfms():
    dls = DataLoaders(on_cpu(tensors(), bs=2), on_cpu(tensors(), bs=2, split_idx=1))
    dls.add_tfms(lambda x: x + 1, "after_batch", loaders="valid")
    dls.add_tfms([lambda x: x * 2], "after_item")
    assert dls.train.one_batch()[0].tolist() == [[0.0], [2.0]] and dls.valid.one_batch()[0].tolist() == [[1.0], [3.0]]
    with pytest.raises(ValueError, match="the events are 'after_item'"):
        dls.add_tfms(len, "after_bach")


# -- DataLoaders -------------------------------------------------------------------------------------------------------------------
def test_dataloaders_hold_their_loaders():
    train, valid = on_cpu(tensors(), bs=4, shuffle=True), on_cpu(tensors(6), bs=3)
    dls = DataLoaders(train, valid, path="here")
    assert dls.train is train and dls.valid is valid and dls[1] is valid and list(dls) == [train, valid] and len(dls) == 2
    assert dls.train_ds is train.dataset and dls.valid_ds is valid.dataset and dls.bs == 4 and dls.n_inp == 1 and str(dls.path) == "here"
    assert dls.device == torch.device("cpu") and dls.one_batch()[0].shape == (4, 1) and "10 items in 3 batches of 4" in repr(dls)
    alone = DataLoaders(train)
    assert alone.valid is None and alone.valid_ds is None and len(alone) == 1
    with pytest.raises(IndexError, match=r"dls\[1\]: there is 1 loader, 0 is for training; there is no validation data"):
        alone[1]


def test_what_dataloaders_refuse():
    with pytest.raises(ValueError, match="at least a training loader"):
        DataLoaders()
    with pytest.raises(TypeError, match="loader 0 of DataLoaders must be a DataLoader.*received int 3"):
        DataLoaders(3)
    with pytest.raises(ValueError, match="loader 1 of DataLoaders has no batch"):
        DataLoaders([(torch.zeros(1),)], [])

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(3))

    with pytest.raises(TypeError, match="give its dataset a `__len__`"):
        DataLoaders(TorchDataLoader(Stream()))


def test_torchs_loaders_and_lists_of_batches_will_do():
    theirs = TorchDataLoader(tensors(), 4, shuffle=True)
    dls = DataLoaders(theirs, [(torch.zeros(2, 1), torch.zeros(2))], device="cpu")
    state = torch.get_rng_state()
    assert dls.train is theirs and dls.bs == 4 and dls.one_batch()[0].shape == (4, 1) and dls.device.type == "cpu"
    assert torch.equal(torch.get_rng_state(), state) and dls.c is None and dls.loss_func is None and dls.train_ds is theirs.dataset
    assert [len(b[0]) for b in DataLoaders(theirs, device="cpu").test_dl(tensors(5))] == [4, 1]
    with pytest.raises(TypeError, match="needs loaders that apply transforms"):
        dls.with_tfms([Noise()])
    with pytest.raises(TypeError, match="this needs a dataset with len and indices"):
        DataLoaders([(torch.zeros(2, 1),)], device="cpu").test_dl([1])


def test_from_dsets():
    dls = DataLoaders.from_dsets(tensors(9), tensors(6), tensors(2), bs=4, device="cpu", val_bs=5, batch_tfms=Noise(), val_num_workers=0)
    assert [dl.bs for dl in dls] == [4, 5, 5] and [dl.split_idx for dl in dls] == [0, 1, 1] and len(dls.train) == 2
    assert to_concat(list(dls.valid))[0].flatten().tolist() == list(range(6)) and order_of(dls.train) != list(range(8))
    assert order_of(DataLoaders.from_dsets(tensors(8), bs=4, shuffle=False, device="cpu").train) == list(range(8))
    with pytest.raises(TypeError, match="batch_sz=int 3; did you mean"):
        DataLoaders.from_dsets(tensors(), batch_sz=3)
    with pytest.raises(TypeError, match="val_suffle=bool True; did you mean 'val_shuffle'"):
        DataLoaders.from_dsets(tensors(), val_suffle=True)
    with pytest.raises(TypeError, match="two names for the same thing"):
        DataLoaders.from_dsets(tensors(), item_tfms=[Noise()], after_item=[Noise()])


def test_weighted_and_partial_dataloaders():
    ds = Datasets(list(range(10)), [[as_float], [Categorize(vocab=list(range(10)))]], splits=[[1, 2, 3, 4], [0, 5, 6, 7, 8, 9]])
    wgts = [1.0 if i == 3 else 0.0 for i in range(10)]
    dls = ds.weighted_dataloaders(wgts, bs=2, device="cpu", num_workers=0)
    assert set(order_of(dls.train)) == {3} and order_of(dls.valid) == [0, 5, 6, 7, 8, 9]
    assert set(order_of(ds.weighted_dataloaders([0, 1, 0, 0], bs=2, device="cpu", num_workers=0).train)) == {2}
    assert ds.partial_dataloaders(2, bs=2, device="cpu", num_workers=0).train.n == 2
    with pytest.raises(ValueError, match="received 3 for 10 items"):
        ds.weighted_dataloaders([1, 2, 3])


def test_transforms_can_learn_from_training_batches():
    class Centre(Transform):
        mean = None

        def setups(self, batches):
            self.mean = torch.cat([b[0] for b in batches]).mean()

        def encodes(self, x):
            return x - self.mean if x.is_floating_point() else x

    dls = DataLoaders.from_dsets(tensors(9), tensors(3), bs=4, device="cpu", after_item=[Noise()], after_batch=[Noise(), Centre()])
    assert dls.train.after_batch[1].mean == 4.0 and to_concat(list(dls.valid))[0].flatten().tolist() == [-4.0, -3.0, -2.0]
    plain = DataLoaders.from_dsets(tensors(9), tensors(3), bs=4, device="cpu")
    copy = plain.with_tfms([Centre()])
    assert copy.train.after_batch[0].mean == 4.0 and copy.train_ds is plain.train_ds and not len(plain.train.after_batch)
    assert to_concat(list(copy.valid))[0].flatten().tolist() == [-4.0, -3.0, -2.0]


def test_test_dl():
    ds = Datasets(["a", "bb", "ccc", "dddd"], [[len, as_float, Noise()], [len, Categorize(vocab=[1, 2, 3, 4, 5])]], splits=[[0, 1, 2], [3]])
    dls = ds.dataloaders(bs=2, device="cpu", after_item=[Noise()])
    test = dls.test_dl(["eeeee", "a", "bb"])
    assert [len(b) for b in test] == [1, 1] and to_concat(list(test))[0].flatten().tolist() == [5.0, 1.0, 2.0] and test.n_inp == 1
    assert to_concat(list(dls.test_dl(["eeeee", "a"], with_labels=True, bs=1)))[1].tolist() == [4, 0]
    assert next(iter(dls.test_dl("eee")))[0].tolist() == [[3.0]]
    assert DataLoaders(on_cpu(tensors())).test_dl(torch.zeros(3, 1)).one_batch()[0].shape == (3, 1)
    with pytest.raises(ValueError, match="test_dl received no items"):
        dls.test_dl([])
    assert test.decode_batch((torch.zeros(1, 1), torch.tensor([2])))[0][1] == "3"      # targets that were not there can be decoded


@pytest.mark.parametrize("parts", [2, 1])
def test_test_batch_is_the_first_batch_of_test_dl(parts):
    "Also where there is only training data, whose loader shuffles and augments."
    items = [[len, as_float, Noise(split_idx=0)], [len, Categorize(vocab=[1, 2, 3, 4, 5])]]
    ds = Datasets(["a", "bb", "ccc", "dddd"], items, splits=[[0, 1, 2], [3]][:parts])
    dls = ds.dataloaders(bs=3, device="cpu", seed=1)
    batch, n_inp = dls.test_batch(["eeeee", "a"])
    assert n_inp == 1 and len(batch) == 1 and batch[0].flatten().tolist() == [5.0, 1.0]
    assert torch.equal(batch[0], dls.test_dl(["eeeee", "a"]).one_batch()[0])
    plain = DataLoaders(on_cpu(tensors()))
    x, y = tensors()[:3]
    (one, two), n_inp = plain.test_batch(torch.utils.data.TensorDataset(x, y))
    assert n_inp == 1 and torch.equal(one, x) and torch.equal(two, y)
    with pytest.raises(ValueError, match="received no items"):
        dls.test_batch([])


def test_new_and_device():
    dls = DataLoaders.from_dsets(tensors(9), tensors(3), bs=4, device="cpu")
    assert dls.new(bs=3).train.bs == 3 and dls.new(bs=3).valid.bs == 3 and dls.new(dls.valid).train is dls.valid
    assert dls.to("meta").train.device == torch.device("meta") and dls.train.one_batch()[0].is_meta
    assert dls.cpu().device == torch.device("cpu")


# -- showing -----------------------------------------------------------------------------------------------------------------------
def test_show_batch_draws_pictures_with_their_targets():
    import matplotlib.pyplot as plt
    dl = on_cpu(Pictures(), bs=6, num_workers=0, after_batch=[Halve()])
    assert dl.show_batch(max_n=4) is None
    axes = plt.gcf().axes
    assert sum(bool(ax.images) for ax in axes) == 4 and [ax.get_title() for ax in axes[:4]] == ["0", "1", "2", "3"]
    assert len(dl.show_batch(show=False, max_n=2)) == 2
    DataLoaders(dl).show_batch(nrows=1, ncols=3)
    assert len(plt.gcf().axes) == 3
    with pytest.raises(ValueError, match="max_n=0"):
        dl.show_batch(max_n=0)
    with pytest.raises(TypeError, match="has no keyword max; did you mean 'max_n'"):
        dl.show_batch(max=4)
    plt.close("all")


def test_show_batch_of_one_item_again_and_again():
    dl = on_cpu(Datasets(list(range(6)), [[as_float], None]), bs=2, after_item=Noise(), split_idx=0, num_workers=0)
    samples = dl.show_batch(unique=True, show=False, max_n=4)
    assert len({int(s[1]) for s in samples}) == 1 and len({float(s[0]) for s in samples}) == 4


def test_what_has_no_picture_becomes_a_table():
    dl = on_cpu(Datasets(["a", "b", "a"], [None, [Categorize()]]), bs=3)
    table = dl.show_batch()
    assert list(table.columns) == ["input", "target"] and table.input.tolist() == ["a", "b", "a"] == table.target.tolist()


def test_forgotten_workers_end_at_once():
    "A loader in a circle of references, its processes still there: found by the garbage collector, it must not wait for them."
    before = set(multiprocessing.active_children())
    dl = DataLoader(list(range(8)), bs=2, num_workers=2, worker_type="process")
    assert len(list(dl)) == 4
    workers = set(multiprocessing.active_children()) - before
    assert len(workers) == 2
    dl.itself = dl
    assert all(w.is_alive() for w in workers)
    del dl
    began = time.perf_counter()
    gc.collect()
    assert time.perf_counter() - began < 3 and not any(w.is_alive() for w in workers)


@pytest.mark.parametrize("name", ["shuffle", "split_idx"])
def test_what_setting_would_not_change_is_refused(name):
    dl = on_cpu(tensors(10), bs=4)
    with pytest.raises(AttributeError, match=rf"{name} is decided when a loader is made.*dl.new\({name}=...\)"):
        setattr(dl, name, 2)
    assert [len(b[0]) for b in dl.new(bs=5)] == [5, 5]


@pytest.mark.parametrize("persistent", [True, False])
def test_workers_end_with_an_error(persistent):
    "Although the traceback keeps the loop alive, and with it what the loop holds."
    before = set(multiprocessing.active_children())
    dl = DataLoader(Broken(), bs=2, num_workers=2, worker_type="process", persistent_workers=persistent)
    with pytest.raises(ValueError, match="item 5 is broken") as caught:
        list(dl)
    assert caught.value.__traceback__ is not None and not set(multiprocessing.active_children()) - before


def test_a_forked_copy_of_a_loader_leaves_the_workers_alone():
    before = set(multiprocessing.active_children())
    dl = DataLoader(list(range(8)), bs=2, num_workers=1, worker_type="process")
    list(dl)
    worker, = set(multiprocessing.active_children()) - before
    kept = [object()]
    let_go(kept, owner=-1)
    assert worker.is_alive() and kept
    let_go(kept, owner=os.getpid())
    assert not kept
    dl.end_workers()
    assert not worker.is_alive() and len(list(dl)) == 4


class Broken(Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, i):
        if i == 5:
            raise ValueError("item 5 is broken")
        return float(i)


def test_persistent_workers_do_not_stand_in_the_way_of_a_loader_without_workers():
    loader = DataLoader(list(range(4)), 2, num_workers=1, persistent_workers=True)
    assert loader.new(num_workers=0).num_workers == 0 and loader.new().persistent_workers
    with pytest.raises(ValueError, match="persistent_workers=True needs workers"):
        DataLoader(list(range(4)), 2, num_workers=0, persistent_workers=True)


def test_what_cannot_be_sent_to_processes_is_refused_with_what_to_write():
    data = [torch.zeros(2)] * 8
    spawned = {"bs": 4, "num_workers": 1, "worker_type": "process", "multiprocessing_context": "spawn"}
    loader = DataLoader(data, after_item=lambda x: x + 1, **spawned)
    for _ in range(2):
        with pytest.warns(UserWarning, match="pickle error") if torch.__version__ >= "2.13" else nullcontext(), \
                pytest.raises(TypeError, match=r"cannot be sent to worker processes: .*pickle.*worker_type='thread'; or num_workers=0"):
            next(iter(loader))
    with told("data/engine/processes.py", "Write a class or function of a module in the place of a lambda or a local one; or "
                                          "worker_type='thread'; or num_workers=0"):
        next(iter(loader))
    assert next(iter(DataLoader(data, after_item=torch.neg, **spawned))).shape == (4, 2)
    for other in ({"worker_type": "thread"}, {"num_workers": 0}):
        assert (next(iter(DataLoader(data, after_item=lambda x: x + 1, **spawned | {"multiprocessing_context": None} | other))) == 1).all()
