"""What every room uses: messages, checks of arguments, nested batches, lists, seeds, plots, progress, shared types.

`checkpoint`, `helpers` and `torch_internals` are imported by their own names.
"""
from .arguments import check_arguments, check_choice, is_number, is_whole
from .device import cpu_count, default_device, defaults
from .items import L, coll_repr, first, range_of
from .messages import add_note, brief, describe, did_you_mean, listing, name_of, noting, plural, reject_unknown, unwrapped
from .nested import find_bs, leaves, map_nested, plain, split_batch, to_concat, to_cpu, to_detach, to_device, to_np
from .plots import get_grid, show_at, show_image, show_images, show_item, show_titled_image, subplots
from .progress import PlainDisplay, choose_display, in_notebook, progress_bar
from .seeds import draw_seed, fixed_seed, item_rng, item_rngs, no_random, rng_state, set_rng_state, set_seed
from .types import Axes, Batch, DataFrame, Figure, LossFunc, PathLike, PerGroup, Splits, Splitter

__all__ = [
    "Axes",
    "Batch",
    "DataFrame",
    "Figure",
    "L",
    "LossFunc",
    "PathLike",
    "PerGroup",
    "PlainDisplay",
    "Splits",
    "Splitter",
    "add_note",
    "brief",
    "check_arguments",
    "check_choice",
    "choose_display",
    "coll_repr",
    "cpu_count",
    "default_device",
    "defaults",
    "describe",
    "did_you_mean",
    "draw_seed",
    "find_bs",
    "first",
    "fixed_seed",
    "get_grid",
    "in_notebook",
    "is_number",
    "is_whole",
    "item_rng",
    "item_rngs",
    "leaves",
    "listing",
    "map_nested",
    "name_of",
    "no_random",
    "noting",
    "plain",
    "plural",
    "progress_bar",
    "range_of",
    "reject_unknown",
    "rng_state",
    "set_rng_state",
    "set_seed",
    "show_at",
    "show_image",
    "show_images",
    "show_item",
    "show_titled_image",
    "split_batch",
    "subplots",
    "to_concat",
    "to_cpu",
    "to_detach",
    "to_device",
    "to_np",
    "unwrapped",
]
