"""Transforms that can be undone, and pipelines of them."""
import random
import time
import typing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from minifast.core.seeds import fixed_seed, item_rng
from minifast.data.categories import Categorize
from minifast.data.datasets import Datasets
from minifast.data.pipeline import Pipeline, as_transform
from minifast.data.transforms import ItemTransform, RandTransform, Transform


class Add(Transform):
    order = 1

    def __init__(self, n=1, **kwargs):
        super().__init__(**kwargs)
        self.n = n

    def encodes(self, x: int):
        return x + self.n

    def decodes(self, x):
        return x - self.n if isinstance(x, int) else x


class Center(Transform):
    "Learns the mean of the training items."

    def setups(self, items):
        self.mean = sum(items) / len(items)

    def encodes(self, x):
        return x - self.mean

    def decodes(self, x):
        return x + self.mean


class Shift(RandTransform):
    def draw(self, sample, rng, split_idx):
        return {"by": int(rng.integers(1000))}

    def encodes(self, x: int, by):
        return x + by


# -- one transform --------------------------------------------------------------------------------------------------------------
def test_applies_to_the_annotated_type_and_is_undone():
    t = Add(5)
    assert t(1) == 6 and t("a") == "a"
    assert t((1, "a", 2)) == (6, "a", 7)
    assert t.decode((6, "a", 7)) == (1, "a", 2)
    assert t.decode(6) == 1


def test_named_tuples_and_lists_are_values():
    assert Transform(len)([1, 2, 3]) == 3
    assert Transform(len)(([1, 2], [3])) == (2, 1)


def test_functions_are_wrapped():
    def halve(x: float | complex):
        return x / 2

    t = Transform(halve, dec=lambda x: x * 2)
    assert t((1.0, "a", 2j)) == (0.5, "a", 1j) and t.decode(0.5) == 1.0
    assert repr(t) == "halve" and t(3) == 3                         # an int is no float
    assert repr(Add(5)) == "Add(n=5)" and repr(Center()) == "Center"


@Transform
def shout(x: "str"):
    return x.upper()


def test_decorator_and_string_annotation():
    assert shout(("a", 1)) == ("A", 1)


@pytest.mark.parametrize("annotation", [typing.Any, object, "an image or a mask", "NoSuchClass", "no.such", 3, typing.Literal["a"],
                                        typing.TypeVar("T"), None])
def test_an_annotation_that_names_no_class_excludes_nothing(annotation):
    def twice(x):
        return x * 2
    twice.__annotations__["x"] = annotation
    if annotation is None:
        del twice.__annotations__["x"]
    assert Transform(twice)((1, "a")) == (2, "aa")


@pytest.mark.parametrize("annotation, yes, no", [(typing.Optional[int], None, "a"), (int | str, "a", 2.5), (list[int], [1], (1,)),  # noqa: UP045
                                                 (typing.Annotated[int, "pixels"], 1, "a"), (Path, Path("a"), "a")])
def test_annotations_that_name_classes(annotation, yes, no):
    def same(x):
        return x
    same.__annotations__["x"] = annotation
    assert Transform(same).handles(yes) and not Transform(same).handles(no)


def test_callables_without_annotations():
    assert Transform(int)("3") == 3
    assert Transform(np.mean)(np.ones(3)) == 1


def test_types_attribute_wins():
    class Named(Transform):
        types = (str,)

        def encodes(self, x: int):
            return x * 2

    assert Named()((2, "a")) == (2, "aa")


@pytest.mark.parametrize("mine, asked, applied", [(None, 0, True), (None, None, True), (0, 0, True), (0, 1, False), (1, 0, False),
                                                  (0, None, True)])
def test_split_idx(mine, asked, applied):
    assert (Add(split_idx=mine)(1, split_idx=asked) == 2) is applied


def test_setup():
    t = Center()
    assert t.has_setup and not Add().has_setup
    t.setup([1., 2., 3.])
    assert t(5.) == 3. and t.decode(3.) == 5.
    Add().setup([1])                                                # nothing to learn


def test_item_transform_gets_the_tuple_whole():
    class Swap(ItemTransform):
        def encodes(self, x):
            return x[::-1]

        decodes = encodes

    assert Swap()((1, "a")) == ("a", 1) and Swap().decode(("a", 1)) == (1, "a") and Swap().applies_to((1,))


def test_refusals_at_definition():
    with pytest.raises(TypeError, match=r"Transform\(enc=\.\.\.\) takes a function; received int 3"):
        Transform(3)
    with pytest.raises(TypeError, match=r"Old\.before_call is never called: write `def draw\(self, sample, rng, split_idx\)`"):
        type("Old", (Shift,), {"before_call": lambda self, b, split_idx: None})
    with pytest.raises(TypeError, match=r"Typo\.encode is never called; did you mean 'encodes'\?"):
        type("Typo", (Transform,), {"encode": lambda self, x: x})
    with pytest.raises(ValueError, match=r"Shift\(p=1\.5\): p is a probability"):
        Shift(p=1.5)


# -- random transforms ----------------------------------------------------------------------------------------------------------
def test_one_draw_per_sample():
    a, b = Shift()((0, 0), split_idx=0, rng=item_rng(1))
    assert a == b
    assert Shift()((0, 0), split_idx=0, rng=item_rng(1)) == (a, b) != Shift()((0, 0), split_idx=0, rng=item_rng(2))


def test_random_transforms_are_for_training_by_default():
    assert Shift()(0, split_idx=1, rng=item_rng(1)) == 0 and Shift(split_idx=1)(0, split_idx=1, rng=item_rng(1)) != 0


def test_probability():
    rng = item_rng(3)
    moved = [Shift(p=0.3)(0, 0, rng) != 0 for _ in range(4000)]
    assert abs(np.mean(moved) - 0.3) < 0.03
    assert not any(Shift(p=0)(0, 0, rng) for _ in range(50))


def test_draw_may_decline():
    class Never(Shift):
        def draw(self, sample, rng, split_idx):
            return None

    assert Never()(4, 0, item_rng(1)) == 4


def test_without_a_generator_the_global_seed_decides():
    with fixed_seed(1):
        first = Shift()(0)
    with fixed_seed(1):
        assert Shift()(0) == first


def test_random_functions_can_be_wrapped():
    assert RandTransform(enc=lambda x: -x, p=1.0)(3, 0, item_rng(0)) == -3


# -- pipelines ------------------------------------------------------------------------------------------------------------------
def test_pipeline_runs_by_order_and_back():
    p = Pipeline([Transform(lambda x: x * 10, dec=lambda x: x // 10, order=2), Add(1)])
    assert p(1) == 20 and p.decode(20) == 1 and len(p) == 2 and [t.order for t in p] == [1, 2] and isinstance(p[0], Add)
    assert repr(p) == "Pipeline: Add(n=1) -> <lambda>(order=2)" and repr(Pipeline()) == "Pipeline: nothing"


def test_ties_run_in_the_order_given():
    assert Pipeline([lambda x: x + "a", lambda x: x + "b"])("") == "ab"


def test_pipelines_are_made_of_anything():
    assert Pipeline(Add)(1) == 2 and Pipeline(str)(1) == "1" and Pipeline([None, Add(1)])(1) == 2
    assert Pipeline(Pipeline([Add(1)])).fs[0].n == 1
    with pytest.raises(TypeError, match="a transform must be a Transform or a function of one item; received str 'resize'"):
        Pipeline(["resize"])
    with pytest.raises(TypeError, match="received NoneType None"):
        as_transform(None)


def test_add_and_new_leave_the_original_alone():
    p = Pipeline([Add(1)], split_idx=0)
    q = p.with_tfms([lambda x: x * 2])
    with pytest.raises(TypeError, match=r"dls.add_tfms\(tfms, 'after_batch'\)`, otherwise `pipe = pipe.with_tfms\(tfms\)`"):
        p.add(str)
    assert (p(1), q(1)) == (2, 3) and len(p) == 1 and q.split_idx == 0       # the function has order 0: it runs first
    assert p.new(1).split_idx == 1 and p.new(1).fs == p.fs


def test_split_of_the_pipeline_reaches_its_transforms():
    assert Pipeline([Add(split_idx=0), Shift()], split_idx=1)(1) == 1


def test_setup_sees_what_the_earlier_transforms_return():
    p = Pipeline([lambda x: x * 2, Center()])
    p.setup([1., 2., 3.])
    assert p[1].mean == 4. and p(2.) == 0.


def test_decode_until():
    p = Pipeline([Add(1), Add(1), Add(1)])
    assert p.decode(4, until=lambda x: x == 3) == 3 and p.decode(4) == 1


def test_errors_name_the_transform_and_the_value():
    def fails(x):
        raise ValueError("boom")

    with pytest.raises(ValueError) as e:
        Pipeline([Add(1), fails])(torch.zeros(2, 3))
    assert "in transform fails on float32[2,3] on cpu" in "".join(getattr(e.value, "__notes__", e.value.args))


def test_trace_and_idle():
    p = Pipeline([Add(1), shout, Transform(str, split_idx=1), Shift(split_idx=0)], split_idx=0)
    steps = p.trace((1, 2.5), item_rng(0))
    assert [(type(f).__name__ if f is not shout else "shout", applied) for f, _, applied in steps] == \
        [("shout", False), ("Transform", False), ("Shift", True), ("Add", True)]
    assert p.idle((1, 2.5), item_rng(0)) == [shout]                 # `str` is meant for other items
    assert p.idle((1, "a"), item_rng(0)) == []


def test_decode_honours_the_annotation_of_decodes():
    class Half(Transform):
        def encodes(self, x: float):
            return x / 2

        def decodes(self, x: float):
            return x * 2
    assert Half().decode((3.0, "cat")) == (6.0, "cat")


def test_a_pipeline_shows_what_it_made_and_knows_its_classes():
    class Shown(str):
        def show(self, ctx=None, **kwargs):
            return f"shown {self} {ctx} {kwargs}"

    pipe = Pipeline([Transform(str.upper, lambda o: Shown(o.lower())), Transform(lambda o: o + "!", lambda o: o[:-1])])
    assert pipe.show(pipe("a"), ctx=1, c=2) == "shown a 1 {'c': 2}"
    with pytest.raises(AttributeError, match="no transform of this pipeline has a vocab"):
        pipe.vocab
    classes = Categorize()
    classes.setup(["b", "a"])
    assert list(Pipeline([str.lower, classes]).vocab) == ["a", "b"]


class Marked(RandTransform):
    "fastai's way to draw, as in its tutorial on albumentations."
    split_idx = None

    def before_call(self, b, split_idx):
        self.idx = split_idx

    def encodes(self, x: str):
        return f"{x} {'train' if self.idx == 0 else 'valid'}"


def test_before_call_sets_what_encodes_reads():
    mark = Marked()
    assert mark("a", split_idx=0) == "a train" and mark(("a", 1), split_idx=1) == ("a valid", 1) and "idx" not in vars(mark)
    data = Datasets(["a", "b", "c"], [[mark]], splits=[[0, 1], [2]])
    assert [x for x, in data.train] == ["a train", "b train"] and [x for x, in data.valid] == ["c valid"]

    class Sometimes(RandTransform):
        def before_call(self, b, split_idx):
            super().before_call(b, split_idx)
            self.by = 10

        def encodes(self, x: int):
            return x + self.by
    random.seed(0)
    changed = [Sometimes(p=0.3)(1) for _ in range(200)]
    assert set(changed) == {1, 11} and 30 < changed.count(11) < 90
    assert Sometimes(p=0.3)(1, split_idx=1) == 1


def test_threads_do_not_see_what_another_call_drew():
    class Slow(RandTransform):
        split_idx = None

        def before_call(self, b, split_idx):
            self.mine = b
            time.sleep(0.001)

        def encodes(self, x: int):
            return x, self.mine
    slow = Slow()
    with ThreadPoolExecutor(8) as pool:
        assert all(a == b for a, b in pool.map(slow, range(100)))
