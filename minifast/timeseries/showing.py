"""Series as lines: `show_batch`, `show_results`, the items with the largest losses."""
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Of a series with more channels the first ones are drawn.
MAX_CHANNELS = 8


def show_series(x: torch.Tensor, ctx: "Axes | None" = None, title: str | None = None, channels: Sequence[Any] | None = None,
                max_channels: int = MAX_CHANNELS, figsize: tuple[float, float] = (4, 2.5), **kwargs: Any) -> "Axes":
    """Draw a series, a line for each channel.

    Args:
        x: (channels, steps); a step that is NaN is left out.
        ctx: matplotlib axes. None: new ones.
        title: of the axes.
        channels: their names, for the legend. None: their numbers.
        max_channels: of a series with more channels the first ones are drawn, and the legend says how many there are.
        figsize: of new axes, (width, height) in inches.
        **kwargs: for `Axes.plot`, such as `alpha=`; `cmap` names the colours.

    Returns:
        The axes.
    """
    if ctx is None:
        import matplotlib.pyplot as plt
        _, ctx = plt.subplots(figsize=figsize, layout="constrained")
    _draw(ctx, x, 0, channels, max_channels, **kwargs)
    ctx.margins(x=0.02)
    ctx.locator_params(axis="x", integer=True)
    ctx.tick_params(labelsize="x-small")
    if x.shape[0] > 1:
        left = x.shape[0] - max_channels
        ctx.legend(title=f"and {left:,} more" if left > 0 else None, fontsize="xx-small", title_fontsize="xx-small", loc="best",
                   handlelength=1, borderaxespad=0.2, framealpha=0.6)
    if title is not None:
        ctx.set_title(title, parse_math=False)
    return ctx


def show_forecast(y: torch.Tensor, ctx: "Axes | None" = None, title: str | None = None, max_channels: int = MAX_CHANNELS,
                  **kwargs: Any) -> "Axes":
    """Draw what comes after the series on the axes, dashed, in the colours of its channels.

    Args:
        y: (targets, horizon).
        ctx: matplotlib axes with a series. None: new ones.
        title: of the axes.
        max_channels: of more targets the first ones are drawn.
        **kwargs: for `Axes.plot`.

    Returns:
        The axes.
    """
    if ctx is None:
        return show_series(y, None, title, max_channels=max_channels, **kwargs)
    ends = [np.max(line.get_xdata()) for line in ctx.lines if line.get_linestyle() == "-"]
    _draw(ctx, y, int(max(ends, default=-1)) + 1, None, max_channels, **{"linestyle": "--", "label": False, **kwargs})
    if title is not None:
        ctx.set_title(title, parse_math=False)
    return ctx


def show_scores(x: torch.Tensor, scores: torch.Tensor, ctx: "Axes") -> "Axes":
    """Colour the background of the steps of a series by their scores, behind its lines: what is evidence for a class.

    Args:
        x: the series (channels, steps), which is drawn on `ctx`.
        scores: (steps,), padding at the end left out here; fewer ones are of parts of the series that are equally long. With negative ones
            red is for and blue against, else the darker, the more.
        ctx: matplotlib axes.

    Returns:
        The axes.
    """
    n = x.shape[-1]
    scores = scores[:n] if len(scores) >= n else scores
    limits, low = (ctx.get_xlim(), ctx.get_ylim()), bool((scores < 0).any())
    largest = float(scores.nan_to_num().abs().max()) or 1.0
    ctx.imshow(scores[None].numpy(), aspect="auto", extent=(-0.5, n - 0.5, *limits[1]), cmap="bwr" if low else "Reds",
               vmin=-largest if low else 0, vmax=largest, alpha=0.45, interpolation="nearest", zorder=0)
    ctx.set(xlim=limits[0], ylim=limits[1])
    return ctx


def _draw(ax, x, start, channels, max_channels, cmap=None, label=True, **kwargs):
    "The lines of (channels, steps)."
    import matplotlib.pyplot as plt
    x = x.as_subclass(torch.Tensor).detach().cpu().float()
    steps = range(start, start + x.shape[1])
    marker = "." if x.shape[1] <= 3 else None
    colours = plt.get_cmap(cmap or "tab10").colors
    for i, row in enumerate(x[:max_channels].tolist()):
        name = (i if channels is None else channels[i]) if label else None
        ax.plot(steps, row, **{"color": colours[i % len(colours)], "linewidth": 1, "marker": marker, "label": name, **kwargs})
