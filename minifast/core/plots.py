"""Showing images, labels and grids of them with matplotlib, which is imported when something is shown."""
import math

import numpy as np
import torch

from .messages import describe


def subplots(nrows=1, ncols=1, figsize=None, imsize=3, suptitle=None, **kwargs):
    """`plt.subplots` sized for images: `(figure, array of axes)`, an array also where there is one.

    imsize: inches per image, used where `figsize` (width, height) is not given. suptitle: title of the whole.
    """
    import matplotlib.pyplot as plt
    if figsize is None:
        figsize = ncols * imsize, nrows * imsize + (0.6 if suptitle else 0)
    fig, axs = plt.subplots(nrows, ncols, figsize=figsize, **kwargs)
    if suptitle is not None:
        fig.suptitle(suptitle)
    return fig, axs if isinstance(axs, np.ndarray) else np.array([axs])


def _is_pil(x):
    return hasattr(x, "getbands") and hasattr(x, "convert")


def _pixels(im):
    "`im` as an array (H,W), (H,W,3) or (H,W,4), and whether it is an image of known range rather than a bare table of numbers."
    if _is_pil(im):
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


def show_image(im, ax=None, figsize=None, title=None, ctx=None, **kwargs):
    """Show one image and return its axes.

    im: tensor or array (C,H,W), (H,W,C) or (H,W), or a PIL image; where both ends look like channels, a tensor has them first and an
    array last. Float images are cut to 0..1, integer ones go from 0 to 255; a bare
    (H,W) table is scaled from its lowest to its highest value. One channel is shown in grey, or in matplotlib's `image.cmap` where
    that was set. ax, ctx: axes to draw on (default: new ones of `figsize`). kwargs: for `Axes.imshow`.
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
        ax.set_title(title)
    ax.axis("off")
    return ax


def show_titled_image(o, **kwargs):
    "Show an (image, label) pair, the label as title."
    return show_image(o[0], title=str(o[1]), **kwargs)


def show_images(ims, nrows=1, ncols=None, titles=None, figsize=None, imsize=3, suptitle=None, **kwargs):
    "Show a list or batch of images in a grid and return its axes; `titles` one per image, kwargs as for `show_image`."
    ims = list(ims)
    if not ims:
        raise ValueError("show_images: there is nothing to show, the list of images is empty")
    titles = [None] * len(ims) if titles is None else list(titles)
    if len(titles) != len(ims):
        raise ValueError(f"show_images: {len(ims)} images but {len(titles)} titles")
    axs = get_grid(len(ims), nrows=nrows, ncols=ncols, figsize=figsize, imsize=imsize, title=suptitle)
    return [show_image(im, ax=ax, title=t, **kwargs) for im, t, ax in zip(ims, titles, axs, strict=True)]


def get_grid(n, nrows=None, ncols=None, figsize=None, double=False, title=None, imsize=3, **kwargs):
    """A list of `n` axes in a grid about as high as wide; what is left over in it is blank.

    nrows, ncols: either or both. double: twice as many axes, in pairs side by side (input and output). title: of the whole.
    """
    if n < 1:
        raise ValueError(f"get_grid(n={n}): there is nothing to show")
    if nrows is None and ncols is None:
        nrows = int(math.sqrt(n))
    if nrows is None:
        nrows = math.ceil(n / ncols)
    elif ncols is None:
        ncols = math.ceil(n / nrows)
    if nrows * ncols < n:
        raise ValueError(f"get_grid: {n} items do not fit into nrows={nrows} times ncols={ncols}")
    each = 2 if double else 1
    if not {"layout", "constrained_layout", "tight_layout"} & set(kwargs):
        kwargs["layout"] = "constrained"                        # titles of several lines make room for themselves
    fig, axs = subplots(nrows, ncols * each, figsize=figsize, imsize=imsize, **kwargs)
    if title is not None:
        fig.suptitle(title, weight="bold", size=14)
    axs = list(axs.flat)
    for ax in axs[n * each:]:
        ax.set_axis_off()
    return axs[:n * each]


def _is_number(x):
    return isinstance(x, (int, float, np.number, np.bool_)) or (isinstance(x, (torch.Tensor, np.ndarray)) and x.ndim == 0)


def _label(x):
    "The text of a label, or None when `x` is none: text, a number, None, or a sequence of these."
    if isinstance(x, str):
        return str(x)
    if x is None or isinstance(x, (bool, np.bool_)):
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


def show_item(x, ctx=None, title=None, **kwargs):
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


def _add_title(ax, text):
    if ax is None:
        import matplotlib.pyplot as plt
        _, ax = plt.subplots(figsize=(3, 1))
        ax.set_axis_off()
    before = ax.get_title()
    ax.set_title(f"{before}\n{text}" if before else text)
    return ax


def show_at(o, idx, **kwargs):
    "Show item `idx` of a dataset or list `o`."
    item = o[idx]
    return o.show(item, **kwargs) if callable(getattr(o, "show", None)) else show_item(item, **kwargs)
