"""Checks of image files: can they be read, what are they like, which are duplicates, above all between training and validation."""
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...core.messages import plural
from ...core.plots import show_images
from ..outcomes import Check, graded, issue, passed, require, tip
from .image_files import exact_duplicates
from .probe import DataProbe

LOOKED_AT, FEW_LEVELS = 16, 32          # images; grey levels of 256, over all of them
TINY, LONG = 16, 4              # pixels of the shorter side; longer side divided by the shorter one
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "CMYK")


# -- groups -------------------------------------------------------------------------------------------------------------------------
def group_of(name: Path | str) -> str | None:
    "The part of a file name before its last number, such as the video of a frame: 'video3_0017' -> 'video3'; None without one."
    found = re.match(r"^(.*?)[ _.\-]*[a-zA-Z]?\d+$", Path(name).stem)
    return found[1] or None if found else None


def straddling(groups: Iterable[Hashable], sides: Iterable[int]) -> dict[Hashable, Counter]:
    "The groups (other than None) with members in both splits, with how many in each."
    members: dict[Hashable, Counter] = defaultdict(Counter)
    for group, side in zip(groups, sides, strict=True):
        if group is not None:
            members[group][side] += 1
    return {g: c for g, c in members.items() if len(c) > 1}


def group_leakage(data: DataProbe) -> Check:
    "Groups with members in both splits: those given are an issue, those guessed from file names worth a tip."
    data.require_validation()
    if data.groups is not None:
        found = straddling(data.groups, data.sides)
        return graded(f"{plural(len(found), 'group')} have members in training and in validation, such as {next(iter(found), None)!r}",
                      found, items=found, groups=len(found or set(data.groups)))
    require(data.paths, "the items have no names; pass groups=")
    stems = straddling(map(_distinctive_stem, data.paths), data.sides)
    if stems:
        return tip(f"{plural(len(stems), 'file stem')} in both training and validation, such as {next(iter(stems))!r}", items=stems,
                   stems=len(stems))
    guessed = [group_of(p) for p in data.paths]
    n_groups = len(set(guessed) - {None})
    if not 2 <= n_groups <= len(guessed) / 3 or _are_labels(guessed, data):
        return passed("by file name; pass groups= if items belong together")
    found = straddling(guessed, data.sides)
    return graded(f"the names suggest {n_groups} groups (videos, patients ...), {len(found)} of them in both training and validation, such "
                  f"as {next(iter(found), None)!r}", tip=len(found) > 1, items=found, groups=n_groups, straddling=len(found),
                  advice="if they belong together, split by group, and pass groups= to check")


def _distinctive_stem(path):
    "The stem of a file name, unless it is short or a mere running number."
    stem = Path(path).stem
    return None if re.fullmatch(r"[\d_\-. ]*", stem) or len(stem) < 4 else stem


def _are_labels(guessed, data):
    "Whether the groups are the labels under another name, or kinds of them: words, such as breeds of cats, each within one label."
    labels = data.label_list()
    if labels is None or len(labels) != len(guessed):
        return False
    n_labels = Counter(group for group, _ in set(zip(guessed, labels, strict=True)) if group is not None)      # by group
    if max(n_labels.values()) == 1 and not any(re.search(r"\d", group) for group in n_labels):
        return True
    return len(n_labels) <= 1.5 * len(set(labels)) + 1 and sum(n == 1 for n in n_labels.values()) > 0.7 * len(n_labels)


# -- duplicates ---------------------------------------------------------------------------------------------------------------------
def duplicates_across_splits(data: DataProbe) -> Check:
    "Validation files that are also training files."
    facts, n_valid = data.image_files(), data.require_validation()
    firsts = ({data.sides[i]: i for i in reversed(group)} for group in exact_duplicates(facts))        # by split
    pairs = [(g[0], g[1]) for g in firsts if len(g) > 1]
    return _graded_pairs(data, pairs, f"{plural(len(pairs), 'validation file')} of {n_valid:,} are also in training", "=",
                         "duplicates across splits", pairs, copies=len(pairs), share_of_validation=len(pairs) / max(n_valid, 1),
                         files=len(facts))


def near_duplicates_across_splits(data: DataProbe) -> Check:
    "Validation images that look almost like a training image."
    _, n_valid = data.image_files(), data.require_validation()
    pairs = [(i, j) if data.sides[i] == 0 else (j, i) for i, j in data.near if data.sides[i] != data.sides[j]]
    touched = len({j for _, j in pairs})
    share = touched / max(n_valid, 1)
    return _graded_pairs(data, pairs, f"{plural(touched, 'validation image')} of {n_valid:,} look almost like a training image", "~",
                         "near-duplicates across splits", share >= 0.02, pairs, pairs=len(pairs), share_of_validation=share)


def duplicates_within_splits(data: DataProbe) -> Check:
    "Files that are there several times in one split."
    facts = data.image_files()
    groups = [[i for i in g if data.sides[i] == side] for g in exact_duplicates(facts) for side in set(data.sides)]
    exact = [(g[0], other) for g in groups for other in g[1:]]
    near = [(i, j) for i, j in data.near if data.sides[i] == data.sides[j]]
    sentence = f"{len(exact)} exact and {len(near)} near-duplicates within the splits"
    film = "if they are frames of a film, keep each film in one split, and pass groups= to check that; otherwise remove them"
    return _graded_pairs(data, exact + near, sentence, "~", "duplicates within a split", advice="" if exact else film,
                         tip=exact or len(near) > 0.02 * len(facts), copies=len(exact),
                         near_copies=len(near), files=len(facts))


def _graded_pairs(data, found, sentence, sign, title, issue=False, tip=False, advice="", **evidence):
    "`graded`, with the names of the first pairs that were found, the file of validation (or the first one) in front, and a plot of some."
    name = data.names()
    names = ", ".join(f"{name[max(pair)]} {sign} {name[min(pair)]}" for pair in found[:3])
    return graded(f"{sentence}: {names}", issue, tip, advice, items=[(data.paths[i], data.paths[j]) for i, j in found],
                  draw=partial(_draw_pairs, data, found, title) if issue or tip else None, **evidence)


def _draw_pairs(data, pairs, title):
    "Draw up to four pairs side by side."
    from PIL import Image
    shown = [i for pair in pairs[:4] for i in pair]
    images = [Image.open(data.paths[i]).convert("RGB") for i in shown]
    for im in images:
        im.thumbnail((200, 200))
    return show_images(images, None, min(4, len(shown)), imsize=2.8, suptitle=title,
                       titles=[f"{data.side_names[data.sides[i]]}\n{_short(data.paths[i])}" for i in shown])


def _short(path):
    "Folder and name of a file, short enough to stand above a small image."
    name = path.name if len(path.name) <= 16 else f"{path.stem[:6]}…{path.name[-9:]}"
    return f"{path.parent.name[:12]}/{name}"


# -- single images ------------------------------------------------------------------------------------------------------------------
def readable_files(data: DataProbe) -> Check:
    "Files that cannot be decoded."
    facts = data.image_files()
    bad = [f for f in facts if f.error is not None]
    named = "; ".join(f"{Path(f.path).name}: {f.error}" for f in bad[:3])
    return graded(f"{plural(len(bad), 'file')} of {len(facts):,} cannot be read: {named}", bad,
                  fine=f"{len(facts):,} files, {data.rate:,.0f} per second", items=[f.path for f in bad], files=len(facts),
                  unreadable=len(bad), files_per_second=data.rate)


def image_sizes(data: DataProbe) -> Check:
    "Images that are tiny or very long."
    facts = data.image_files(decoded=True)
    tiny = [f for f in facts if min(f.size) < TINY]
    long = [f for f in facts if max(f.size) > LONG * max(min(f.size), 1)]
    odd = [*(tiny if len(tiny) < 0.5 * len(facts) else []), *long]
    sides, sizes = sorted(min(f.size) for f in facts), [f.bytes for f in facts]
    named = ", ".join(f"{Path(f.path).name} {f.size[0]}x{f.size[1]}" for f in odd[:3])
    return graded(f"{plural(len(odd), 'image')} of unusual size or shape: {named}", tip=odd, items=[f.path for f in odd],
                  smallest_side=sides[0], median_side=sides[len(sides) // 2], tiny=len(tiny), long=len(long),
                  smallest_file=f"{min(sizes):,} bytes", largest_file=f"{max(sizes):,} bytes")


def blank_images(data: DataProbe) -> Check:
    "Images of a single colour."
    facts = data.image_files(decoded=True)
    blank = [f for f in facts if f.spread <= 3]
    named = ", ".join(f"{Path(f.path).name} (grey {f.grey:.0f})" for f in blank[:3])
    return graded(f"{plural(len(blank), 'image')} of a single colour: {named}", len(blank) > max(2, 0.02 * len(facts)), blank,
                  items=[f.path for f in blank], one_colour=len(blank), files=len(facts))


def _levels(data: DataProbe) -> tuple[int, int]:
    "The lowest and highest value of the bytes of several training images, as they are opened; (0, 0) where there are none."
    dataset, low, high = getattr(data.loaders[0], "dataset", None), 255, 0
    if not hasattr(dataset, "pipelines") or not len(dataset):
        return 0, 0
    for i in {k * len(dataset) // LOOKED_AT for k in range(LOOKED_AT)}:
        try:
            images = [o for o in dataset[i] if getattr(o, "mode", None) in ("L", "RGB") and not hasattr(o, "source")]
        except Exception:                                   # MF801 says what is wrong with it
            continue
        for a in map(np.asarray, images[:1]):
            low, high = min(low, int(a.min())), max(high, int(a.max()))
    return (low, high) if low <= high else (0, 0)


def image_modes(data: DataProbe) -> Check:
    "Images that keep few of the 256 grey levels as they are opened, or of another mode or bit depth than most."
    low, high = _levels(data)
    if 0 < high - low < FEW_LEVELS:
        return issue(f"opened, the pixels of the training images looked at go from {low} to {high} of 0..255: most grey levels are lost",
                     f"say which values are black and white: value_range=({low}, {high}) where the files hold these, otherwise the range "
                     "of the files (an argument of ImageBlock and ImageDataLoaders.from_..., which look for it where none is given)",
                     low=low, high=high)
    facts = data.image_files(decoded=True)
    counts: dict[str, Any] = dict(Counter(f.mode for f in facts).most_common())
    usual = next(iter(counts))
    odd = [f for f in facts if f.mode != usual]
    named = ", ".join(f"{Path(f.path).name} {f.mode}" for f in odd[:3])
    bad = any(f.mode in _DEEP_MODES for f in odd) or 0 < len(odd) < 0.2 * len(facts)
    return graded(f"{plural(len(odd), 'image')} are not {usual}: {named}", tip=bad, items=[f.path for f in odd],
                  **counts)
