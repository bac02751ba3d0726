"""Showing images, labels and grids of them with matplotlib, which is imported when something is shown.

Names of classes and files are drawn as they are written: with `parse_math=False` a `$` begins no formula.
"""
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch

from .messages import describe
from .types import Axes, Figure

#: What functions that draw images take: never a misspelt keyword of ours.
DRAWING = ("cmap", "vmin", "vmax", "norm", "alpha", "interpolation", "title", "aspect", "origin", "extent")


def subplots(nrows: int = 1, ncols: int = 1, figsize: tuple[float, float] | None = None, imsize: float = 3, suptitle: str | None = None,
             **kwargs: Any) -> "tuple[Figure, np.ndarray]":
    """`plt.subplots` sized for images.

    Args:
        nrows: rows.
        ncols: columns.
        figsize: (width, height) in inches (default: from `imsize`).
        imsize: inches per image.
        suptitle: title of the whole.
        kwargs: for `plt.subplots`.

    Returns:
        The figure and an array of axes, an array also where there is one.
    """
    import matplotlib.pyplot as plt
    if figsize is None:
        figsize = ncols * imsize, nrows * imsize + (0.6 if suptitle else 0)
    fig, axs = plt.subplots(nrows, ncols, figsize=figsize, **kwargs)
    if suptitle is not None:
        fig.suptitle(suptitle, parse_math=False)
    return fig, axs if isinstance(axs, np.ndarray) else np.array([axs])


def _is_pil(x):
    return hasattr(x, "getbands") and hasattr(x, "convert")


def _pixels(im: Any) -> tuple[np.ndarray, bool]:
    "`im` as an array (H,W), (H,W,3) or (H,W,4), and whether it is an image of known range rather than a bare table of numbers."
    if _is_pil(im):
        if im.mode[:1] in ("I", "F"):                      # 16 or 32 bits or fractions, of which converting would cut off what is above 255
            return np.asarray(im), False
        return np.asarray(im.convert("RGB") if im.mode not in ("L", "RGB", "RGBA", "1") else im), True
    if isinstance(im, torch.Tensor):
        im = im.detach().cpu()
        im = im.float() if im.dtype in (torch.bfloat16, torch.float16, torch.bool) else im
        a = im.as_subclass(torch.Tensor).numpy()
    else:
        a = np.asarray(im)
    if a.ndim == 2:
        return a, False
    if a.ndim == 3:
        first, last = a.shape[0] in (1, 3, 4), a.shape[-1] in (1, 3, 4)
        if first and not (last and isinstance(im, np.ndarray)):
            a = np.moveaxis(a, 0, -1)
        elif not last:
            raise ValueError(f"an image has 1, 3 or 4 channels, first or last; received {describe(im)}")
        return (a[..., 0] if a.shape[-1] == 1 else a), True
    raise ValueError(f"an image is (H,W), (C,H,W) or (H,W,C); received {describe(im)}"
                     + (": show one item of the batch, or use show_images." if a.ndim == 4 else "."))


def show_image(im: Any, ax: "Axes | None" = None, figsize: tuple[float, float] | None = None, title: str | None = None,
               ctx: "Axes | None" = None, **kwargs: Any) -> "Axes":
    """Show one image and return its axes.

    Float images are clipped to 0..1, integer ones go from 0 to 255; a bare (H,W) table is scaled from its lowest to its highest value.
    One channel is shown in grey, or in matplotlib's `image.cmap` where that was set.

    Args:
        im: tensor or array (C,H,W), (H,W,C) or (H,W), or a PIL image. Where both ends look like channels, a tensor has them first and an
            array last.
        ax: axes to draw on (default: new ones).
        figsize: of new axes, in inches.
        title: above the image.
        ctx: another name for `ax`.
        kwargs: for `Axes.imshow`.
    """
    import matplotlib.pyplot as plt
    a, ranged = _pixels(im)
    ax = ctx if ax is None else ax
    if ax is None:
        _, ax = plt.subplots(figsize=figsize)
    if ranged:
        is_float = np.issubdtype(a.dtype, np.floating)
        a = np.clip(a, 0, 1) if is_float else np.clip(a, 0, 255).astype(np.uint8) if a.dtype != bool else a
        if a.ndim == 2 and "norm" not in kwargs:
            kwargs = {"vmin": 0, "vmax": 1 if is_float or a.dtype == bool else 255, **kwargs}
    if a.ndim == 2 and plt.rcParams["image.cmap"] == plt.rcParamsDefault["image.cmap"]:
        kwargs = {"cmap": "gray", **kwargs}
    ax.imshow(a, **kwargs)
    if title is not None:
        ax.set_title(title, parse_math=False)
    ax.axis("off")
    return ax


def show_titled_image(o: Sequence[Any], **kwargs: Any) -> "Axes":
    """Show an (image, label) pair, the label as title.

    Args:
        o: the pair.
        kwargs: for `show_image`.
    """
    return show_image(o[0], title=str(o[1]), **kwargs)


def show_images(ims: Iterable[Any], nrows: int | None = 1, ncols: int | None = None, titles: Iterable[str | None] | None = None,
                figsize: tuple[float, float] | None = None, imsize: float = 3, suptitle: str | None = None, **kwargs: Any) -> "list[Axes]":
    """Show a list or batch of images in a grid and return its axes.

    Args:
        ims: images, each as for `show_image`.
        nrows: rows.
        ncols: columns.
        titles: one per image.
        figsize: (width, height) in inches (default: from `imsize`).
        imsize: inches per image.
        suptitle: title of the whole.
        kwargs: for `show_image`.
    """
    ims = list(ims)
    if not ims:
        raise ValueError("show_images: there is nothing to show, the list of images is empty")
    titles = [None] * len(ims) if titles is None else list(titles)
    if len(titles) != len(ims):
        raise ValueError(f"show_images: {len(ims)} images but {len(titles)} titles")
    axs = get_grid(len(ims), nrows=nrows, ncols=ncols, figsize=figsize, imsize=imsize, title=suptitle)
    return [show_image(im, ax=ax, title=t, **kwargs) for im, t, ax in zip(ims, titles, axs, strict=True)]


def show_image_batch(b: Sequence[Any], show: Callable[..., Any] = show_titled_image, items: int = 9, cols: int = 3,
                     figsize: tuple[float, float] | None = None, **kwargs: Any) -> "list[Axes]":
    """Show the images of a batch with their labels in a grid, and return its axes.

    Args:
        b: a batch, (images, labels).
        show: draws one (image, label) pair, called as `show(pair, ax=axes, **kwargs)`.
        items: how many to show at least: the last row of the grid is filled.
        cols: columns.
        figsize: (width, height) in inches (default: 3 for each image).
        kwargs: for `show`.
    """
    rows = math.ceil(items / cols)
    pairs = list(islice(zip(*b, strict=False), rows * cols))
    axes = get_grid(rows * cols, rows, cols, figsize=figsize)
    for ax in axes[len(pairs):]:
        ax.set_axis_off()
    for pair, ax in zip(pairs, axes, strict=False):
        show(pair, ax=ax, **kwargs)
    return axes[:len(pairs)]


def get_grid(n: int, nrows: int | None = None, ncols: int | None = None, figsize: tuple[float, float] | None = None, double: bool = False,
             title: str | None = None, imsize: float = 3, **kwargs: Any) -> "list[Axes]":
    """Make a list of `n` axes in a grid about as high as wide; what is left over in it is blank.

    Args:
        n: how many axes.
        nrows: rows.
        ncols: columns.
        figsize: (width, height) in inches (default: from `imsize`).
        double: twice as many axes, in pairs side by side (input and output).
        title: title of the whole.
        imsize: inches per image.
        kwargs: for `plt.subplots`.
    """
    if n < 1:
        raise ValueError(f"get_grid(n={n}): there is nothing to show")
    if nrows is None:
        nrows = int(math.sqrt(n)) if ncols is None else math.ceil(n / ncols)
    if ncols is None:
        ncols = math.ceil(n / nrows)
    if nrows * ncols < n:
        raise ValueError(f"get_grid: {n} items do not fit into nrows={nrows} times ncols={ncols}")
    each = 2 if double else 1
    if not {"layout", "constrained_layout", "tight_layout"} & set(kwargs):
        kwargs["layout"] = "constrained"                        # titles of several lines make room for themselves
    fig, axs = subplots(nrows, ncols * each, figsize=figsize, imsize=imsize, **kwargs)
    if title is not None:
        fig.suptitle(title, weight="bold", size=14, parse_math=False)
    axes = list(axs.flat)
    for ax in axes[n * each:]:
        ax.set_axis_off()
    return axes[:n * each]


def _is_number(x):
    return isinstance(x, (int, float, np.number, np.bool_)) or (isinstance(x, (torch.Tensor, np.ndarray)) and x.ndim == 0)


def _label(x: Any) -> str | None:
    "The text of a label, or None when `x` is none: text, a number, None, or a sequence of these."
    if x is None or isinstance(x, (str, bool, np.bool_)):
        return str(x)
    if _is_number(x):
        x = x.item() if hasattr(x, "item") else x
        return str(x) if isinstance(x, (int, bool)) else f"{x:.4g}"
    if isinstance(x, (torch.Tensor, np.ndarray)):
        return "; ".join(_label(o) for o in x) if x.ndim == 1 else None
    if isinstance(x, (list, set, frozenset, range)) or (isinstance(x, tuple) and all(isinstance(o, str) or _is_number(o) for o in x)):
        parts = [_label(o) for o in x]
        return None if None in parts else "; ".join(parts)
    return None


def show_item(x: Any, ctx: "Axes | None" = None, title: str | None = None, **kwargs: Any) -> "Axes":
    """Show one value on the axes `ctx` (default: new ones) and return them.

    A value with a method `show` shows itself, `x.show(ctx=ctx, **kwargs)`; images, masks and tensors of two axes or more are drawn;
    text, numbers and lists of them become the title, below the one that is there; a tuple is shown element by element.
    """
    if callable(getattr(x, "show", None)) and not _is_pil(x):
        shown = x.show(ctx=ctx, **({} if title is None else {"title": title}), **kwargs)
        return ctx if shown is None else shown
    text = _label(x)
    if text is not None:
        return _add_title(ctx, text if title is None else f"{title}\n{text}")
    if isinstance(x, tuple):
        for i, o in enumerate(x):
            ctx = show_item(o, ctx=ctx, **({"title": title} if i == 0 and title is not None else {}), **kwargs)
        return ctx
    if _is_pil(x) or isinstance(x, (torch.Tensor, np.ndarray)):
        return show_image(x, ctx=ctx, title=title, **kwargs)
    return _add_title(ctx, str(x) if title is None else f"{title}\n{x}")


def _add_title(ax, text, **kwargs):
    if ax is None:
        import matplotlib.pyplot as plt
        _, ax = plt.subplots(figsize=(3, 1))
        ax.set_axis_off()
    before = ax.get_title()
    ax.set_title(f"{before}\n{text}" if before else text, parse_math=False, **kwargs)
    return ax


def show_title(o: Any, ax: Any = None, ctx: Any = None, label: str | None = None, color: str = "black", **kwargs: Any) -> Any:
    """Put a value above axes, below the title that is there; print it where there are none.

    Args:
        o: the value.
        ax: matplotlib axes, or a row of a table (a pandas Series), which gets the value.
        ctx: another name for `ax`.
        label: name of the value in the row; one that is taken gets an underscore.
        color: of the text.
        kwargs: not used: what `show` of other values takes.

    Returns:
        `ax`.
    """
    ax = ctx if ax is None else ax
    if ax is None:
        print(o)
    elif hasattr(ax, "set_title"):
        _add_title(ax, str(o), color=color)
    elif hasattr(ax, "iloc"):
        while label in ax:
            label = f"{label}_"
        ax[label] = o
    else:
        raise TypeError(f"show_title takes matplotlib axes or a row of a table as ax; received {describe(ax)}")
    return ax


def show_at(o: Any, idx: int, **kwargs: Any) -> Any:
    """Show one item of a dataset or list.

    Args:
        o: the dataset or list.
        idx: index of the item.
        kwargs: for its `show`.
    """
    item = o[idx]
    return o.show(item, **kwargs) if callable(getattr(o, "show", None)) else show_item(item, **kwargs)
