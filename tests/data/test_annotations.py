"""What the annotations of a transform's methods mean: the type is kept, and several `encodes` in one class all apply."""
import numbers
import pickle
import warnings

import numpy as np
import pytest
import torch
from torchvision.tv_tensors import Image, Mask

from minifast.data.loaders import DataLoader
from minifast.data.pipeline import Pipeline
from minifast.data.transforms import ItemTransform, RandTransform, Transform
from minifast.vision.tensors import TensorImage


def image():
    return Image(torch.ones(3, 2, 2))


def mask():
    return Mask(torch.ones(2, 2, dtype=torch.int64))


class Pair(Transform):
    "At module level, so that it can be sent to another process."

    def encodes(self, x: Image):
        return x * 0

    def encodes(self, x: Mask):         # noqa: F811
        return x * 3


# -- the type is kept -------------------------------------------------------------------------------------------------------------
def test_a_plain_tensor_made_of_an_image_is_an_image_again():
    class Double(Transform):
        def encodes(self, x: Image):
            return x * 2                                                # tv_tensors' arithmetic makes plain tensors

        def decodes(self, x: Image):
            return x / 2

    t = Double()
    assert type(t(image())) is Image and type(t.decode(t(image()))) is Image
    assert [type(o) for o in t((image(), mask()))] == [Image, Mask]
    assert type(t(torch.ones(3, 2, 2).as_subclass(Image))) is Image
    assert type(Transform(lambda x: x * 2)(image())) is Image           # of a plain function too, as in fastai


def test_the_annotation_of_what_is_returned_decides():
    class ToMask(Transform):
        def encodes(self, x: Image) -> Mask:
            return torch.zeros(2, 2)

    class Measure(Transform):
        def encodes(self, x: Image) -> torch.Tensor:
            return x.mean()

    assert type(ToMask()(image())) is Mask and type(Measure()(image())) is torch.Tensor


def test_later_transforms_of_a_loader_see_the_type():
    class Halve(Transform):
        order = 1

        def encodes(self, x: Image):
            return x / 2

    seen = []

    class Look(Transform):
        order = 2

        def encodes(self, x: Image):
            seen.append(type(x))
            return x

    dl = DataLoader([(image(), 0)] * 2, bs=2, after_item=[Halve(), Look()], after_batch=[Halve(), Look()], num_workers=0, device="cpu")
    assert dl.one_batch()[0].unique().tolist() == [0.25] and set(seen) == {Image}


def test_a_tuple_of_classes_is_an_annotation():
    class Zero(Transform):
        def encodes(self, x: (Image, Mask)):
            return x * 0

    assert Zero()(image()).sum() == 0 and Zero()(mask()).sum() == 0 and Zero()(5) == 5


def test_a_call_on_plain_tensors_that_does_nothing_says_so():
    class Zero(Transform):
        def encodes(self, x: Image):
            return x * 0

    class Never(RandTransform):
        def encodes(self, x: Image):
            return x * 0

    t = Zero()
    for tfm in (t, Never(), Pipeline(Zero())):
        with pytest.warns(UserWarning, match=r"plain tensors and did nothing, because it takes Image.*x.as_subclass\(Image\)"):
            assert tfm((torch.ones(3, 2, 2), torch.tensor(1)))[0].sum() == 12
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert t(torch.ones(3)).sum() == 3                              # once is enough
        assert Zero()((image(), torch.tensor(1)))[0].sum() == 0         # there is an image in it
        assert Zero()(torch.ones(3, 2, 2).as_subclass(Image)).sum() == 0        # what the warning says to write


# -- several of one name ------------------------------------------------------------------------------------------------------------
def test_two_encodes_of_different_classes_both_apply():
    t = Pair()
    assert t(image()).sum() == 0 and t(mask()).sum() == 12 and t("text") == "text"
    assert [type(o) for o in t((image(), mask()))] == [Image, Mask]
    assert t.handled_types() == (Image, Mask) and pickle.loads(pickle.dumps(t))(mask()).sum() == 12


def test_two_decodes_and_classes_without_a_parent_in_common():
    class Both(Transform):
        def encodes(self, x: int):
            return x + 1

        def encodes(self, x: Image):    # noqa: F811
            return x * 0

        def decodes(self, x: int):
            return x - 1

        def decodes(self, x: Image):    # noqa: F811
            return x + 9

    t = Both()
    assert t(3) == 4 and t.decode(3) == 2 and t(image()).sum() == 0 and t.decode(image()).sum() == 120 and t.decode("a") == "a"


def test_a_value_goes_to_the_narrowest_class():
    class T(Transform):
        def encodes(self, x: numbers.Integral):
            return "integral"

        def encodes(self, x: int):          # noqa: F811
            return "int"

        def encodes(self, x: bool):         # noqa: F811
            return "bool"

        def encodes(self, x: TensorImage):  # noqa: F811
            return x * 0

    t = T()
    assert (t(True), t(1), t(np.int64(1))) == ("bool", "int", "integral")
    assert t(image()).sum() == 0 and t(image().as_subclass(TensorImage)).sum() == 0         # every image is a `TensorImage`


def test_one_without_annotation_takes_the_rest_or_everything():
    class Rest(Transform):
        def encodes(self, x):
            return "rest"

        def encodes(self, x: int):      # noqa: F811
            return x + 1

    class All(Transform):
        def encodes(self, x: int):
            return x + 1

        def encodes(self, x):           # noqa: F811
            return "all"

    assert Rest()(1) == 2 and Rest()("a") == "rest" and All()(1) == "all"


def test_random_and_item_transforms_may_have_several_too():
    class Rand(RandTransform):
        def draw(self, sample, rng, split_idx):
            return {"by": 3}

        def encodes(self, x: Image, by):
            return x * 0

        def encodes(self, x: Mask, by):     # noqa: F811
            return x * by

    class Item(ItemTransform):
        def encodes(self, x: tuple):
            return (*x, 1)

        def encodes(self, x: Mask):         # noqa: F811
            return x * 3

    assert Rand()((image(), mask()), 0)[1].sum() == 12 and Rand()(image(), 0).sum() == 0
    assert len(Item()((image(), mask()))) == 3 and Item()(mask()).sum() == 12


def test_a_subclass_adds_a_class_or_replaces():
    class Zero(Transform):
        def encodes(self, x: Image):
            return x * 0

    class More(Zero):
        def encodes(self, x: Mask):
            return x * 3

    class Instead(Zero):
        def encodes(self, x: Image):
            return x * 5

    class Everything(Zero):
        def encodes(self, x):
            return x * 7

    assert More()(image()).sum() == 0 and More()(mask()).sum() == 12
    assert Instead()(image()).sum() == 60 and Instead()(mask()).sum() == 4
    assert Everything()(image()).sum() == 84 and Everything()(mask()).sum() == 28


def test_a_subclass_adds_to_the_types_that_are_declared():
    class Declared(Transform):
        types = (Image,)

        def encodes(self, x):
            return x * 0

    class More(Declared):
        def encodes(self, x: Mask):
            return x * 3

    assert More()(image()).sum() == 0 and More()(mask()).sum() == 12 and Declared()(mask()).sum() == 4


def test_the_decorator_adds_to_a_class():
    class Zero(Transform):
        def encodes(self, x: Image):
            return x * 0

    before = Zero()
    assert before(2.5) == 2.5

    @Zero
    def encodes(self, x: float):
        return x + 1

    @Zero
    def decodes(self, x: float):
        return x - 1

    for t in (before, Zero()):
        assert t(2.5) == 3.5 and t.decode(3.5) == 2.5 and t(image()).sum() == 0 and t("a") == "a"


def test_what_cannot_be_added_is_refused():
    class Untyped(Transform):
        pass

    class Declared(Transform):
        types = (Image,)

    def encodes(self, x: float):
        return x + 1

    def setups(self, items):
        pass

    for cls, f in ((Transform, encodes), (Declared, encodes), (Untyped, setups), (Untyped, Transform.encodes)):
        with pytest.raises(TypeError, match=rf"@{cls.__name__} cannot add this.*class My{cls.__name__}\({cls.__name__}\)"):
            cls(f)
    with pytest.raises(TypeError, match="setups is defined twice"):
        class Two(Transform):
            def setups(self, items: list):
                pass

            def setups(self, items: dict):      # noqa: F811
                pass
    with pytest.raises(TypeError, match="not known yet"):
        class Later(Transform):
            def encodes(self, x: "int"):
                return x

            def encodes(self, x: "Nowhere"):    # noqa: F811, F821
                return x


def test_order_and_split_of_a_plain_function():
    def add(x):
        return x + 1

    def double(x):
        return x * 2

    double.order = -5
    assert Pipeline([add, double])(1) == 3
    add.split_idx = 0
    assert Pipeline(add, split_idx=1)(1) == 1 and Pipeline(add, split_idx=0)(1) == 2
    assert Transform(add, split_idx=1).split_idx == 1                   # what is said outright counts
