import pickle
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from minifast.core.items import L
from minifast.data import datasets
from minifast.data.categories import Categorize, MultiCategorize, RegressionSetup
from minifast.data.datasets import Datasets, TfmdLists
from minifast.data.labels import ColReader, ItemGetter
from minifast.data.one_hot import OneHotEncode
from minifast.data.pipeline import Pipeline
from minifast.data.splitters import ColSplitter, GrandparentSplitter
from minifast.data.transforms import RandTransform, Transform

WORDS = ["ant", "bee", "cat", "dog", "eel"]
SPLITS = [[0, 1, 2], [3, 4]]


def all_of(error):
    "The message of an error with its notes."
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


def first_letter(o):
    return o[0]


def length(o):
    return len(o)


class Jitter(RandTransform):
    def draw(self, sample, rng, split_idx):
        return {"by": rng.integers(1, 1000)}

    def encodes(self, x: int, by=0):
        return x + 1000 * int(by)


def numbers(**kwargs):
    return Datasets(WORDS, [[length], [length, RegressionSetup()]], splits=SPLITS, **kwargs)


def test_tfmd_lists():
    tl = TfmdLists(WORDS, [str.upper], splits=SPLITS)
    assert tl[0] == "ANT" and tl[-1] == "EEL" and len(tl) == 5 and tl[[1, 2]] == ["BEE", "CAT"] and tl[3:] == ["DOG", "EEL"]
    assert list(tl.train) == ["ANT", "BEE", "CAT"] and list(tl.valid) == ["DOG", "EEL"] and tl.n_subsets == 2
    assert tl.valid.items == ["dog", "eel"] and isinstance(tl.items, list)
    with pytest.raises(IndexError, match="item 5 of 5 items"):
        tl[5]


def test_samples_are_tuples_and_learn_from_the_training_items_only():
    ds = Datasets(["b", "a", "c"], [None, [str.upper, Categorize()]], splits=[[0, 1], []][:1])
    assert ds.vocab == ["A", "B"] and ds.c == 2
    ds = Datasets(WORDS, [[length], [first_letter, Categorize(vocab=list("abcde"))]], splits=SPLITS)
    assert ds[1][0] == 3 and ds[1][1] == 1 and isinstance(ds[1], tuple) and isinstance(ds[[0, 1]], L)
    assert ds.decode(ds[1]) == (3, "b") and ds.decode((3,)) == (3,)
    assert ds.n_inp == 1 and type(ds.loss_func).__name__ == "CrossEntropyLossFlat" and ds.blocks is None


def test_setup_uses_the_training_items():
    seen = []

    class Look(Transform):
        def setups(self, items):
            seen.extend(items)

    Datasets(WORDS, [[str.upper, Look()]], splits=SPLITS)
    assert seen == ["ANT", "BEE", "CAT"]
    seen.clear()
    TfmdLists(WORDS, [Look()], splits=SPLITS, train_setup=False)
    assert seen == WORDS
    seen.clear()
    TfmdLists(WORDS, [Look()], splits=SPLITS, do_setup=False)
    assert seen == []


def test_labels_of_the_validation_set_are_checked_when_the_data_are_made():
    with pytest.raises(ValueError, match=r"the validation set has labels that are not among the 3 known classes.*\['d','e'\]"):
        Datasets(WORDS, [None, [first_letter, Categorize()]], splits=SPLITS)
    with pytest.raises(ValueError, match="1 of 2 targets of the validation set are missing, NaN or infinite: item 1, 'eel'"):
        Datasets(WORDS, [None, [{"eel": float("nan")}.get, lambda o: 1.0 if o is None else o, RegressionSetup()]], splits=SPLITS)


def test_splits_are_checked():
    with pytest.raises(ValueError, match="leaves the validation set empty"):
        Datasets(WORDS, [None], splits=[[0, 1], []])
    with pytest.raises(ValueError, match="outside 0..4"):
        Datasets(WORDS, [None], splits=[[0, 1], [5]])
    with pytest.raises(ValueError, match="received no items. Look at what get_items returns"):
        Datasets([], [None])
    with pytest.raises(TypeError, match="items must be a list, array or DataFrame; received str"):
        TfmdLists("folder", [None])
    with pytest.raises(IndexError, match="has no splits, so there is no subset 1"):
        _ = TfmdLists(WORDS, [None]).valid
    with pytest.raises(ValueError, match=r"Datasets\(n_inp=3\): a sample has 2 elements"):
        Datasets(WORDS, [None, None], n_inp=3)
    with pytest.raises(TypeError, match="takes a list with one list of transforms per element"):
        Datasets(WORDS, "first_letter")


@pytest.mark.parametrize("as_mask", [list, np.array, torch.tensor, pd.Series])
def test_splits_may_be_masks(as_mask):
    ds = Datasets(list(range(4)), [None], splits=[as_mask([True, False, True, True]), as_mask([False, True, False, False])])
    assert list(ds.train) == [(0,), (2,), (3,)] and list(ds.valid) == [(1,)]
    with pytest.raises(ValueError, match="mask of the training set has 3 values for 4 items"):
        Datasets(list(range(4)), [None], splits=[as_mask([True, False, True]), as_mask([False, True, False, False])])


def test_one_function_makes_one_element():
    for tfms in (first_letter, Transform(first_letter), Pipeline(first_letter)):
        assert Datasets(WORDS, tfms)[0] == Datasets(WORDS, [first_letter])[0] == (first_letter(WORDS[0]),)


def test_each_element_as_a_list_of_its_own():
    ds = Datasets(WORDS, [[first_letter], [first_letter, Categorize(vocab=list("abcde"))]], splits=[[0, 1, 2], [3, 4]])
    assert [p.fs for p in ds.tfms] == [p.fs for p in ds.pipelines]
    inputs, targets = ds.train.tls
    assert [*inputs] == [first_letter(w) for w in WORDS[:3]] and [(a, b) for a, b in zip(inputs, targets)] == [*ds.train]  # noqa: B905
    assert targets.vocab == ds.vocab and ds.tls[1].valid[0] == ds.valid[0][1] and inputs.tfms.fs == ds.tfms[0].fs


def test_c_of_several_targets_is_a_list():
    def c(*targets, n_inp=1):
        return Datasets(list(range(6)), [None, *targets], n_inp=n_inp).c

    classes = Categorize(vocab=[0, 1, 2, 3, 4, 5])
    assert c([classes]) == 6 and c([classes], [lambda o: o % 3, Categorize()]) == [6, 3]
    assert c([classes], [float, RegressionSetup()]) == [6, 1]
    assert c([classes], [None]) == 6 and c([None]) is None and c([classes], [lambda o: o % 3, Categorize()], n_inp=2) == 3


def test_training_transforms_stay_away_from_validation_items():
    ds = Datasets(WORDS, [[length, Jitter()]], splits=SPLITS)
    assert ds.train[0][0] > 1000 and ds.valid[0][0] == 3 and ds.train.with_split_idx(1)[0][0] == 3


def test_a_sample_is_a_function_of_its_generator():
    ds = Datasets(WORDS, [[length, Jitter()]], splits=SPLITS).train
    draws = [ds.sample(0, np.random.default_rng(s))[0] for s in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_errors_name_item_and_transform(tmp_path):
    ds = Datasets(WORDS, [[str.upper], [int]])
    with pytest.raises(ValueError) as error:
        ds[2]
    notes = all_of(error.value)
    assert "in transform int on str 'cat'" in notes and "target 1 of 2" in notes and "item 2, 'cat'" in notes
    with pytest.raises(FileNotFoundError) as error:
        Datasets([tmp_path / "gone.txt"], [[Path.read_text]])[0]
    assert "gone.txt" in all_of(error.value)


def test_rows_of_a_frame_keep_the_types_of_their_columns():
    frame = pd.DataFrame({"x": [0.5, 1.5], "label": [3, 7]}, index=[10, 20])
    ds = Datasets(frame, [[ColReader("x")], [ColReader("label"), Categorize()]], splits=[[0], [1]][:1])
    assert ds[0][0] == 0.5 and list(ds.vocab) == [3] and isinstance(ds.vocab[0], int)
    with pytest.raises(KeyError) as error:
        Datasets(frame, [[ColReader("y")]])[1]
    assert "row 20" in all_of(error.value)


def test_a_column_called_c_or_vocab_means_nothing():
    frame = pd.DataFrame({"c": [1, 2], "vocab": ["x", "y"], "label": ["a", "b"]})
    ds = Datasets(frame, [[ColReader("c")], [ColReader("label"), Categorize()]])
    assert ds.c == 2 and ds.vocab == ["a", "b"]


def test_missing_labels_are_reported_with_their_rows():
    frame = pd.DataFrame({"x": [1, 2, 3], "label": ["a", None, "b"]}, index=["r1", "r2", "r3"])
    with pytest.raises(ValueError, match=r"1 of 3 items have no label \(None or NaN\): row 'r2' \(x=2"):
        Datasets(frame, [[ColReader("x")], [ColReader("label"), Categorize()]])


def test_items_of_other_kinds():
    assert list(Datasets(np.arange(6).reshape(3, 2), [[np.sum]], splits=[[2], [0, 1]]).train) == [(9,)]
    assert Datasets(torch.arange(3), [[int]])[2] == (2,)

    class Lazy:
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return i * 10

    assert list(Datasets(Lazy(), [None], splits=[[2, 0], [1]]).train) == [(20,), (0,)]
    assert Datasets(iter("abc"), [None])[1] == ("b",)


def test_the_first_function_gets_a_tuple_item_whole():
    pairs = [(1, "a"), (2, "b")]
    ds = Datasets(pairs, [[lambda o: o[0]], [lambda o: o[1], Categorize()]])
    assert ds[1][0] == 2 and ds[1][1] == 1
    ds = Datasets(pairs, [[ItemGetter(0)], [ItemGetter(1), Categorize()]])
    assert ds[1][0] == 2 and ds[1][1] == 1


def test_targets_tell_loss_and_number_of_outputs():
    multi = Datasets([["a", "b"], ["c"]], [None, [MultiCategorize(), OneHotEncode()]])
    assert multi.c == 3 and multi.vocab == ["a", "b", "c"] and type(multi.loss_func).__name__ == "BCEWithLogitsLossFlat"
    assert numbers().c == 1 and numbers().vocab is None and type(numbers().loss_func).__name__ == "MSELossFlat"
    two = Datasets(["a", "b"], [[Categorize()], [Categorize(add_na=True)]])
    assert two.vocab == [["a", "b"], ["#na#", "a", "b"]] and two.c == 3
    assert Datasets(WORDS, [None, None]).loss_func is None and Datasets(WORDS, [None, None]).c is None


def test_test_set():
    ds = Datasets(WORDS, [[length], [first_letter, Categorize(vocab=list("abcdefgh"))]], splits=SPLITS).valid
    assert list(ds.test_set(["horse", "ox"])) == [(5,), (2,)]
    assert ds.test_set(["horse"], with_labels=True)[0][1] == 7 and ds.test_set("horse")[0] == (5,)
    assert ds.test_set(["x"]).decode((1, torch.tensor(2))) == (1, "c")


def test_a_test_item_enters_where_its_type_fits():
    frame = pd.DataFrame({"name": ["a", "bb"], "y": [1.0, 2.0]})
    ds = Datasets(frame, [[ColReader("name"), length], [ColReader("y"), RegressionSetup()]])
    assert list(ds.test_set(pd.DataFrame({"name": ["cccc"]}))) == [(4,)]
    assert list(ds.test_set(["ddd"])) == [(3,)]                              # a name instead of a row
    assert list(ds.test_set(frame.iloc[1])) == [(2,)] and ds.infer("eeeee") == (5,)
    files = Datasets([Path("a/b.jpg")], [[lambda p: len(Path(p).name)]])
    assert files.test_set("x/yy.jpg")[0] == (6,)
    arrays = Datasets([np.zeros((2, 2))], [[np.sum]])
    assert list(arrays.test_set(np.ones((2, 2)))) == [(4.0,)] and list(arrays.test_set(np.ones((3, 2, 2)))) == [(4.0,)] * 3


def test_transforms_that_apply_to_nothing_are_found():
    class OnlyText(Transform):
        def encodes(self, x: str):
            return x

    assert [type(f) for f in Datasets(WORDS, [[length, OnlyText()]]).idle()] == [OnlyText]
    assert Datasets(WORDS, [[OnlyText()]]).idle() == []


def test_it_can_be_sent_to_a_worker():
    ds = Datasets(WORDS, [[length], [first_letter, Categorize(vocab=list("abcde"))]], splits=SPLITS)
    again = pickle.loads(pickle.dumps(ds))
    assert again.train[1] == ds.train[1] and again.vocab == ds.vocab


def test_repr_says_what_there_is():
    assert re.match(r"Datasets: 5 items \(3 training, 2 validation\)\nPipeline: length\n", repr(numbers()))
    assert repr(TfmdLists(WORDS, None)) == "TfmdLists: 5 items\nPipeline: nothing"


def test_fastai_functions_of_a_dataset():
    ds = Datasets(["b", "a"], [[str.upper, lambda x: x + "!"], [Categorize()]])
    tl = TfmdLists([1, 2], [lambda x: x + 1])
    assert datasets.decode_at(ds, 0) == ("B!", "b") and datasets.decode_at(tl, 1) == 3
    made = datasets.test_set(ds, ["b", "a"])
    assert list(made) == [("B!",), ("A!",)] and made.split_idx == 1 and datasets.test_set(tl, [5])[0] == 6
    assert datasets.test_set(ds, ["a"], rm_tfms=1)[0] == ("a!",) and datasets.test_set(ds, ["a"], rm_tfms=[0])[0] == ("A!",)
    assert datasets.test_set(tl, [5], rm_tfms=1)[0] == 5
    assert datasets.test_set(ds, ["a"], rm_tfms=2, with_labels=True)[0] == ("a", ds[1][1])
    with pytest.raises(ValueError, match="asks for 1 elements; received 2"):
        datasets.test_set(ds, ["a"], rm_tfms=[0, 0])
    with pytest.raises(TypeError, match=r"test_set takes a TfmdLists or Datasets; received list of 1.*write dls.test_dl\(items\)"):
        datasets.test_set([1], [2])


def test_a_training_item_is_looked_at_once_for_all_test_sets():
    opened = []

    def opening(word):
        opened.append(word)
        return word.upper()

    ds = Datasets(WORDS, [[opening], [first_letter]])
    opened.clear()
    for word in ("kiwi", "lime"):
        assert ds.test_set([word])[0] == (word.upper(),)
        assert ds.infer(word) == (word.upper(),)
    assert opened == [WORDS[0], "kiwi", "kiwi", "lime", "lime"]
    assert Datasets(WORDS, [[str.title]]).test_set(["kiwi"]).test_set(["lime"])[0] == ("Lime",)       # made anew with other transforms


@pytest.mark.parametrize("dtype", ["object", None])
def test_a_column_of_a_frame_may_be_the_items(dtype):
    "A Series of strings gave a raw TypeError; its rows are called by their labels."
    column = pd.Series(WORDS, index=range(100, 105), dtype=dtype)
    ds = Datasets(column, [[str.upper], [first_letter, Categorize(vocab=list("abcde"))]], splits=SPLITS)
    assert ds.train[1] == ("BEE", 1) and ds.valid[0] == ("DOG", 3) and ds.valid.items.tolist() == ["dog", "eel"]
    assert ds.valid.item_name(0) == "row 103, 'dog'"
    assert [o[0] for o in ds.dataloaders(bs=2, num_workers=0).valid.items.items()] == [103, 104]
    numbers = TfmdLists(pd.Series([1, 2, 3], index=list("xyz")), lambda o: o * 10)
    assert list(numbers) == [10, 20, 30] and numbers.item_name(2) == "row 'z', 3"


@pytest.mark.parametrize("splitter, words", [(GrandparentSplitter(), "(first item: 'ant')"), (ColSplitter(), "splits a DataFrame")])
def test_splitters_that_need_more_than_a_column_say_so(splitter, words):
    with pytest.raises((TypeError, ValueError), match=re.escape(words)):
        splitter(pd.Series(WORDS, index=range(100, 105)))
