import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from minifast.core.plots import (
    get_grid,
    show_at,
    show_image,
    show_image_batch,
    show_images,
    show_item,
    show_title,
    show_titled_image,
    subplots,
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def drawn(ax):
    return np.asarray(ax.images[0].get_array())


def test_subplots_always_gives_an_array():
    fig, axs = subplots()
    assert axs.shape == (1,) and tuple(fig.get_size_inches()) == (3, 3)
    fig, axs = subplots(2, 3, imsize=2, suptitle="cells")
    assert axs.shape == (2, 3) and tuple(fig.get_size_inches()) == (6, 4.6) and fig.get_suptitle() == "cells"
    assert tuple(subplots(2, 3, figsize=(5, 1))[0].get_size_inches()) == (5, 1)


RGB = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)


@pytest.mark.parametrize("im", [RGB, np.moveaxis(RGB, -1, 0), torch.tensor(RGB), torch.tensor(RGB).permute(2, 0, 1), Image.fromarray(RGB)],
                         ids=["numpy hwc", "numpy chw", "tensor hwc", "tensor chw", "pil"])
def test_show_image_takes_every_layout(im):
    assert np.array_equal(drawn(show_image(im)), RGB)


def test_float_images_are_cut_to_0_1():
    x = torch.tensor([-1.0, 0.0, 0.5, 1.0, 3.0]).expand(3, 2, 5)
    assert np.array_equal(drawn(show_image(x))[0, :, 0], [0, 0, 0.5, 1, 1])
    assert np.array_equal(drawn(show_image(x.half()))[0, :, 0], [0, 0, 0.5, 1, 1])
    assert drawn(show_image(torch.full((3, 2, 2), 300)))[0, 0, 0] == 255                 # int64 pixels


def test_one_channel_is_grey_on_a_fixed_scale_and_a_table_on_its_own():
    ax = show_image(torch.full((1, 4, 4), 0.25))
    assert ax.images[0].get_cmap().name == "gray" and ax.images[0].get_clim() == (0, 1) and drawn(ax).shape == (4, 4)
    assert show_image(torch.zeros(1, 4, 4, dtype=torch.uint8)).images[0].get_clim() == (0, 255)
    assert show_image(Image.new("L", (3, 2), 9)).images[0].get_clim() == (0, 255)
    weights = torch.tensor([[-3.0, 0.0], [1.0, 5.0]], requires_grad=True)
    assert show_image(weights).images[0].get_clim() == (-3, 5)
    assert show_image(weights, cmap="Reds", vmin=0, vmax=1).images[0].get_clim() == (0, 1)
    with plt.rc_context({"image.cmap": "Greys"}):                                        # a notebook's own setting is kept
        assert show_image(weights).images[0].get_cmap().name == "Greys"
    assert show_image(torch.tensor([[True, False]])).images[0].get_clim() == (0, 1)


def test_show_image_draws_where_it_is_told():
    _, (a, b) = plt.subplots(1, 2)
    assert show_image(RGB, ax=a, title="cat") is a and a.get_title() == "cat" and not a.axison
    assert show_image(RGB, ctx=b, alpha=0.5) is b and b.images[0].get_alpha() == 0.5
    assert tuple(show_image(RGB, figsize=(2, 1)).figure.get_size_inches()) == (2, 1)
    assert show_titled_image((RGB, 7)).get_title() == "7"


def test_what_is_no_image_is_refused():
    with pytest.raises(ValueError, match=r"1, 3 or 4 channels, first or last; received float32\[5,6,7\]"):
        show_image(torch.zeros(5, 6, 7))
    with pytest.raises(ValueError, match=r"received float32\[2,3,4,4\].*show one item of the batch, or use show_images"):
        show_image(torch.zeros(2, 3, 4, 4))


def test_show_images():
    axs = show_images(torch.rand(5, 3, 4, 4), nrows=2, titles=range(5), suptitle="batch")
    assert len(axs) == 5 and axs[4].get_title() == "4" and axs[0].figure.get_suptitle() == "batch" and len(axs[0].figure.axes) == 6
    assert len(show_images([RGB, RGB], ncols=1, nrows=None)) == 2
    with pytest.raises(ValueError, match="5 images but 2 titles"):
        show_images(torch.rand(5, 3, 4, 4), titles=["a", "b"])
    with pytest.raises(ValueError, match="the list of images is empty"):
        show_images([])


@pytest.mark.parametrize("n, kw, shape", [(9, {}, (3, 3)), (7, {}, (2, 4)), (5, {"nrows": 1}, (1, 5)), (5, {"ncols": 2}, (3, 2)),
                                          (1, {}, (1, 1)), (4, {"double": True}, (2, 4))])
def test_get_grid(n, kw, shape):
    axs = get_grid(n, **kw)
    assert len(axs) == n * (2 if kw.get("double") else 1)
    grid = axs[0].get_gridspec()
    assert (grid.nrows, grid.ncols) == shape
    assert [ax.axison for ax in axs[0].figure.axes] == [True] * len(axs) + [False] * (shape[0] * shape[1] - len(axs))


def test_get_grid_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="5 items do not fit into nrows=1 times ncols=2"):
        get_grid(5, nrows=1, ncols=2)
    with pytest.raises(ValueError, match=r"get_grid\(n=0\)"):
        get_grid(0)
    assert get_grid(2, title="T")[0].figure.get_suptitle() == "T"


@pytest.mark.parametrize("label, text", [("cat", "cat"), (3, "3"), (2.123456, "2.123"), (np.float32(0.5), "0.5"), (torch.tensor(4), "4"),
                                         (True, "True"), (["a", "b"], "a; b"), (torch.tensor([1.5, 2.0]), "1.5; 2"), (("a", "b"), "a; b"),
                                         (None, "None"), ([], "")])
def test_labels_become_the_title(label, text):
    ax = show_image(RGB)
    assert show_item(label, ctx=ax) is ax and ax.get_title() == text


def test_titles_are_added_to_the_one_that_is_there():
    ax = show_item((RGB, "cat", 3))
    assert ax.get_title() == "cat\n3" and len(ax.images) == 1
    assert show_item("dog", title="guess").get_title() == "guess\ndog"
    assert show_item(torch.rand(3, 4, 4), title="x").get_title() == "x"


def test_items_show_themselves_and_pil_images_open_no_viewer(monkeypatch):
    class Wave:
        def show(self, ctx=None, title=None, colour="k"):
            self.seen = (ctx, title, colour)
            return ctx
    w, ax = Wave(), plt.figure().gca()
    assert show_item(w, ctx=ax, title="w", colour="r") is ax and w.seen == (ax, "w", "r")
    monkeypatch.setattr(Image.Image, "show", lambda self: pytest.fail("a viewer was opened"))
    assert np.array_equal(drawn(show_item(Image.fromarray(RGB))), RGB)


def test_show_at():
    class Items(list):
        def show(self, item, ctx=None):
            return f"shown {item}"
    assert show_at(Items("ab"), 1) == "shown b"
    assert show_at([(RGB, "a")], 0).get_title() == "a"


def test_nothing_is_printed(capsys):
    show_item("label")
    show_item((RGB, 1))
    assert capsys.readouterr().out == ""


def test_show_image_batch():
    batch = (torch.rand(12, 3, 4, 4), ["cat", "dog"] * 6)
    axes = show_image_batch(batch, items=5, cols=2, cmap="gray")
    assert [ax.get_title() for ax in axes] == ["cat", "dog"] * 3                  # the third row is filled, as fastai does
    assert axes[0].figure.get_size_inches().tolist() == [6, 9]
    assert len(show_image_batch(batch)) == 9
    axes, seen = show_image_batch((torch.rand(2, 1, 4, 4), [0, 1]), figsize=(4, 5)), []
    assert len(axes) == 2 and axes[0].figure.get_size_inches().tolist() == [4, 5] and not any(ax.axison for ax in axes[0].figure.axes)
    show_image_batch(batch, show=lambda pair, ax, **kwargs: seen.append((pair[1], kwargs)), items=2, cols=2, alpha=0.5)
    assert seen == [("cat", {"alpha": 0.5}), ("dog", {"alpha": 0.5})]
    plt.close("all")


def test_show_title(capsys):
    ax = plt.subplots()[1]
    assert show_title("cat", ax=ax) is ax and show_title(torch.tensor(3), ctx=ax, label="y", color="red") is ax
    assert ax.get_title() == "cat\ntensor(3)" and ax.title.get_color() == "red" and capsys.readouterr().out == ""
    row = pd.Series({"x": "z"})
    assert show_title("a", ctx=row, label="x") is row and show_title("b", ctx=row, label="y") is row
    assert row.to_dict() == {"x": "z", "x_": "a", "y": "b"}
    assert show_title("dog") is None and capsys.readouterr().out == "dog\n"
    with pytest.raises(TypeError, match="takes matplotlib axes or a row of a table as ax; received int 3"):
        show_title("a", 3)
    plt.close("all")


@pytest.mark.parametrize("draw", [
    lambda name: show_titled_image((np.zeros((4, 4, 3)), name)), show_item, lambda name: show_title(name, ax=show_item("a")),
    lambda name: show_images([np.zeros((4, 4))], titles=[name], suptitle=name)[0]])
@pytest.mark.parametrize("name", ["$5_$", "$5 to $10", "\\$", "50 %"])
def test_names_are_no_formulas(draw, name):
    ax = draw(name)
    ax.figure.canvas.draw()                     # where matplotlib parses
    assert ax.get_title().endswith(name)


def test_deep_images_are_not_cut_off():
    ax = show_image(Image.fromarray(np.array([[0, 3000]], np.uint16)))
    assert ax.images[0].get_array().max() == 3000
