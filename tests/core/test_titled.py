"""Titled values and tensor classes: what they are, and how they show themselves."""
import matplotlib.pyplot as plt
import pytest
import torch
from PIL import Image

from minifast.core.titled import (
    TensorBase,
    TensorCategory,
    TensorMultiCategory,
    TitledFloat,
    TitledInt,
    TitledStr,
    TitledTensorScalar,
    TitledTuple,
    cast,
)
from minifast.vision.images import PILImage


@pytest.mark.parametrize(("value", "text"), [(TitledStr("cat"), "cat"), (TitledInt(3), "3"), (TitledFloat(0.5), "0.5"),
                                             (TitledTensorScalar(torch.tensor(2)), "2"), (TitledTuple((1, 2)), "(1, 2)")])
def test_they_show_themselves(value, text):
    fig, ax = plt.subplots()
    assert value.show(ctx=ax) is ax and ax.get_title() == text
    plt.close(fig)


def test_they_are_what_they_were():
    assert TitledStr("a b c").truncate(2) == "a b" and TitledInt(3) + 1 == 4 and TitledFloat(0.5) * 2 == 1


def test_tensor_classes():
    x = TensorCategory([1, 2], origin="here")
    assert isinstance(x, torch.Tensor) and x.dtype == torch.int64 and x.origin == "here" and (x + 1).tolist() == [2, 3]
    assert issubclass(TensorMultiCategory, TensorCategory) and type(TensorBase(torch.ones(2)) * 2) is TensorBase

    class TensorMap(TensorBase):
        pass

    assert type(TensorMap(torch.ones(2, 2)).sum()) is TensorMap


def test_cast():
    class Map(TensorBase):
        "Made without its own arguments."

    x = TensorBase([1.0, 2.0], unit="m")
    made = cast(x, Map)
    assert type(made) is Map and made.unit == "m" and made.data_ptr() == x.data_ptr() and type(x) is TensorBase
    assert type(cast(made, torch.Tensor)) is torch.Tensor and type(cast(made, TensorBase)) is TensorBase and cast(x, TensorBase) is x
    im = Image.new("RGB", (2, 3))
    shown = cast(im, PILImage)
    assert type(shown) is PILImage and shown.size == (2, 3) and cast(shown, PILImage) is shown and type(im) is Image.Image
    assert cast(3, float) == 3.0 and type(cast("a", TitledStr)) is TitledStr and cast([1], tuple) == (1,)
