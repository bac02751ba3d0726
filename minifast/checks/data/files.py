"""Files of pictures: can they be read, are there copies, above all between training and validation, what are they like."""
import re
from collections import Counter, defaultdict
from pathlib import Path

from ...core.messages import plural
from ..report import issue, not_applicable, passed, tip
from .images import exact_copies


# -- pure functions -----------------------------------------------------------------------------------------------------------------
def group_of(name):
    "The part of a file name before its last number, such as the film of a frame: 'film3_0017' -> 'film3'; None without one."
    stem = Path(str(name)).stem
    found = re.match(r"^(.*?)[ _.\-]*[a-zA-Z]?\d+$", stem)
    return found[1] if found and found[1] else None


def straddling(groups, sides):
    "The groups (other than None) that have members on more than one side, with how many on each: `{group: Counter}`."
    members = defaultdict(Counter)
    for group, side in zip(groups, sides, strict=True):
        if group is not None:
            members[group][side] += 1
    return {g: c for g, c in members.items() if len(c) > 1}


def across(pairs, sides):
    "The pairs (i, j) of which one is on one side and the other on another."
    return [(i, j) for i, j in pairs if sides[i] != sides[j]]


def pairs_of(groups):
    "Groups of indices as pairs: each with the first on another side, or simply the first."
    return [(g[0], other) for g in groups for other in g[1:]]


# -- checks: of a `DataProbe` -------------------------------------------------------------------------------------------------------
def _no_files(code):
    return not_applicable(code, "the items are no files of pictures")


def readable(data):
    if not data.facts:
        return _no_files("MF801")
    bad = [f for f in data.facts if f.error is not None]
    numbers = {"files": len(data.facts), "unreadable": len(bad), "files_per_second": data.rate}
    if bad:
        return issue("MF801", f"{plural(len(bad), 'file')} of {len(data.facts):,} cannot be read: "
                              + "; ".join(f"{Path(f.path).name}: {f.error}" for f in bad[:3]), items=[f.path for f in bad], **numbers)
    return passed("MF801", f"{len(data.facts):,} files, {data.rate:,.0f} per second", **numbers)


def _short(path):
    "Folder and name of a file, short enough to stand above a small picture."
    path = Path(path)
    name = path.name if len(path.name) <= 16 else f"{path.stem[:6]}…{path.name[-9:]}"
    return f"{path.parent.name[:12]}/{name}"


def _pair_pictures(data, pairs, title):
    "A function that draws up to four pairs side by side."
    def draw():
        from ...core.plots import get_grid, show_image
        shown = pairs[:4]
        axes = get_grid(2 * len(shown), ncols=2 * min(2, len(shown)), imsize=2.8, title=title)
        for k, pair in enumerate(shown):
            for side, i in enumerate(pair):
                f = data.facts[i]
                from PIL import Image
                with Image.open(f.path) as im:
                    im.thumbnail((200, 200))
                    show_image(im.convert("RGB"), ax=axes[2 * k + side], title=f"{data.side_names[data.sides[i]]}\n{_short(f.path)}")
        return axes
    return draw


def copies_across(data):
    if not data.facts:
        return _no_files("MF802")
    groups = [g for g in exact_copies(data.facts) if len({data.sides[i] for i in g}) > 1]
    if len(set(data.sides)) < 2:
        return not_applicable("MF802", "there is no validation set")
    pairs = [
        (next(i for i in g if data.sides[i] == 0), next(i for i in g if data.sides[i] != 0))
        for g in groups
        if any(data.sides[i] == 0 for i in g)
    ]
    if pairs:
        n_valid = sum(s == 1 for s in data.sides)
        found = {j for _, j in pairs}
        return issue(
            "MF802",
            f"{plural(len(pairs), 'validation file')} of {n_valid:,} are also in training: "
            + ", ".join(f"{Path(data.facts[j].path).name} = {Path(data.facts[i].path).name}" for i, j in pairs[:3]),
            items=[(data.facts[i].path, data.facts[j].path) for i, j in pairs],
            draw=_pair_pictures(data, pairs, "copies across the split"),
            copies=len(pairs),
            share_of_validation=len(found) / max(n_valid, 1),
        )
    return passed("MF802", files=len(data.facts))


def near_across(data):
    if not data.facts:
        return _no_files("MF803")
    if len(set(data.sides)) < 2:
        return not_applicable("MF803", "there is no validation set")
    pairs = across(data.near, data.sides)
    n_valid = sum(s == 1 for s in data.sides)
    touched = {i for p in pairs for i in p if data.sides[i] == 1}
    numbers = {"pairs": len(pairs), "share_of_validation": len(touched) / max(n_valid, 1)}
    if not pairs:
        return passed("MF803", **numbers)
    ordered = [(i, j) if data.sides[i] == 0 else (j, i) for i, j in pairs]
    said = (f"{plural(len(touched), 'validation picture')} of {n_valid:,} look almost like a training picture: "
            + ", ".join(f"{Path(data.facts[j].path).name} ~ {Path(data.facts[i].path).name}" for i, j in ordered[:3]))
    make = issue if numbers["share_of_validation"] >= 0.02 else tip
    return make("MF803", said, items=[(data.facts[i].path, data.facts[j].path) for i, j in ordered],
                draw=_pair_pictures(data, ordered, "near copies across the split"), **numbers)


def copies_within(data):
    if not data.facts:
        return _no_files("MF804")
    groups = [[i for i in g if data.sides[i] == side] for g in exact_copies(data.facts) for side in set(data.sides)]
    groups = [g for g in groups if len(g) > 1]
    near = [p for p in data.near if data.sides[p[0]] == data.sides[p[1]]]
    extra = sum(len(g) - 1 for g in groups)
    numbers = {"copies": extra, "near_copies": len(near), "files": len(data.facts)}
    if extra or len(near) > 0.02 * len(data.facts):
        pairs = pairs_of(groups) + near
        return tip(
            "MF804",
            f"{extra} exact copies and {len(near)} near copies within the splits: "
            + ", ".join(f"{Path(data.facts[i].path).name} ~ {Path(data.facts[j].path).name}" for i, j in pairs[:3]),
            items=[(data.facts[i].path, data.facts[j].path) for i, j in pairs],
            draw=_pair_pictures(data, pairs, "copies within a split"),
            **numbers,
        )
    return passed("MF804", **numbers)


def groups_together(data):
    "Given groups on both sides are an issue; groups guessed from file names a tip."
    if len(set(data.sides)) < 2:
        return not_applicable("MF805", "there is no validation set")
    if data.groups is not None:
        found = straddling(data.groups, data.sides)
        if found:
            return issue(
                "MF805",
                f"{plural(len(found), 'group')} have members in training and in validation, such as {next(iter(found))!r}",
                items=list(found),
                groups=len(found),
            )
        return passed("MF805", groups=len(set(data.groups)))
    if not data.paths:
        return not_applicable("MF805", "the items have no names; give groups=")
    twins = straddling([_stem_group(p) for p in data.paths], data.sides)
    if twins:
        return tip("MF805", f"{plural(len(twins), 'file stem')} in training and in validation alike, such as {next(iter(twins))!r}",
                   items=list(twins), stems=len(twins))
    guessed = [group_of(p) for p in data.paths]
    kinds = set(guessed) - {None}
    if not 2 <= len(kinds) <= len(guessed) / 3 or _says_label(guessed, data):
        return passed("MF805", "by file name; give groups= if items belong together")
    found = straddling(guessed, data.sides)
    if len(found) >= 2:
        return tip("MF805", f"the names suggest {len(kinds)} groups (films, patients ...), of which {len(found)} are in training and in "
                            f"validation, such as {next(iter(found))!r}", "if they belong together, split by group, and tell check groups=",
                   items=list(found), groups=len(kinds), straddling=len(found))
    return passed("MF805", groups=len(kinds))


def _stem_group(path):
    "A stem that names one thing: not a mere running number."
    stem = Path(str(path)).stem
    return None if re.fullmatch(r"[\d_\-. ]*", stem) or len(stem) < 4 else stem


def _says_label(guessed, data):
    "Whether the groups are the labels under another name."
    labels = data.label_list()
    if labels is None or len(labels) != len(guessed):
        return False
    of_group = defaultdict(set)
    for g, y in zip(guessed, labels, strict=True):
        if g is not None:
            of_group[g].add(y)
    return len(of_group) <= 1.5 * len(set(labels)) + 1 and sum(len(v) == 1 for v in of_group.values()) > 0.7 * len(of_group)


def sizes(data):
    good = [f for f in data.facts if f.size is not None]
    if not good:
        return _no_files("MF806")
    tiny = [f for f in good if min(f.size) < 16]
    long = [f for f in good if max(f.size) / max(min(f.size), 1) > 4]
    sides = sorted(min(f.size) for f in good)
    by_bytes = sorted(good, key=lambda f: f.bytes)
    numbers = {"smallest_side": sides[0], "median_side": sides[len(sides) // 2], "tiny": len(tiny), "long": len(long),
               "smallest_file": f"{by_bytes[0].bytes:,} bytes", "largest_file": f"{by_bytes[-1].bytes:,} bytes"}
    if (tiny and len(tiny) < 0.5 * len(good)) or long:
        odd = [*(tiny if len(tiny) < 0.5 * len(good) else []), *long]
        return tip(
            "MF806",
            f"{plural(len(odd), 'picture')} of unusual size or shape: "
            + ", ".join(f"{Path(f.path).name} {f.size[0]}x{f.size[1]}" for f in odd[:3]),
            items=[f.path for f in odd],
            **numbers,
        )
    return passed("MF806", **numbers)


def blank(data):
    good = [f for f in data.facts if f.error is None]
    if not good:
        return _no_files("MF807")
    flat = [f for f in good if f.spread <= 3]
    numbers = {"one_colour": len(flat), "files": len(good)}
    if flat:
        said = f"{plural(len(flat), 'picture')} of one single colour: " + ", ".join(
            f"{Path(f.path).name} (grey {f.grey:.0f})" for f in flat[:3]
        )
        make = issue if len(flat) > max(2, 0.02 * len(good)) else tip
        return make("MF807", said, items=[f.path for f in flat], **numbers)
    return passed("MF807", **numbers)


def modes(data):
    good = [f for f in data.facts if f.mode is not None]
    if not good:
        return _no_files("MF808")
    counts = Counter(f.mode for f in good)
    usual = counts.most_common(1)[0][0]
    odd = [f for f in good if f.mode != usual]
    numbers = dict(counts.most_common())
    deep = [f for f in odd if f.mode in ("I", "F", "I;16", "I;16B", "CMYK")]
    if deep or 0 < len(odd) < 0.2 * len(good):
        return tip(
            "MF808",
            f"{plural(len(odd), 'picture')} are not {usual}: " + ", ".join(f"{Path(f.path).name} {f.mode}" for f in odd[:3]),
            items=[f.path for f in odd],
            **numbers,
        )
    return passed("MF808", **numbers)
