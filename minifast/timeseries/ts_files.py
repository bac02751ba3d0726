"""Files of the archives of time series: `.ts`, `.arff` and `.tsv`. What contradicts the header is named with file and line.

In all of them `?` and `NaN` are missing values.
"""
import csv
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ..core.messages import brief, did_you_mean, listing, plural
from ..core.paths import Path
from ..core.types import PathLike

_FLAGS = {"true": True, "false": False}


class SeriesFile(NamedTuple):
    """What a file of series holds.

    Args:
        X: float32 (samples, channels, steps), or where lengths differ a list of (channels, steps); NaN are missing values.
        y: the labels as text, or numbers to predict, float64; None: the file has none.
        classes: the labels that the header lists, in its order; None: it lists none.
        header: the other entries of the header, by their names in small letters.
    """

    X: Any
    y: np.ndarray | None
    classes: list[str] | None
    header: dict[str, str]


def read_ts(file: PathLike) -> SeriesFile:
    """The series of a `.ts` file: a header of lines with @, then one line per series, channels separated by colons, the label last.

    Args:
        file: its path.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not a series, or does not fit the header.
    """
    source = _Source(file)
    header: dict[str, str] = {}
    for line in source:
        if line.startswith("#"):
            continue
        if not line.startswith("@"):
            source.refuse(f"the header must end with a line @data before the first series; received {brief(line)}")
        name, _, value = line[1:].partition(" ")
        if name.lower() == "data":
            break
        header[name.lower()] = value.strip()
    else:
        source.refuse("there is no line @data")
    flags = {name: _flag(source, header, name) for name in ("timestamps", "univariate", "equallength", "classlabel", "targetlabel")}
    if flags["timestamps"]:
        source.refuse("series with time stamps (@timeStamps true) are not read: make a table of them with the columns id, time and value, "
                      "TSDataLoaders.from_df(df, id_col='id', time_col='time')", at_line=False)
    classes = header["classlabel"].split()[1:] if flags["classlabel"] else None
    if classes == []:
        source.refuse("@classLabel true lists no classes: write them after it, such as @classLabel true 1 2", at_line=False)
    labelled = bool(flags["classlabel"] or flags["targetlabel"])
    n_channels = 1 if flags["univariate"] else _number(source, header, "dimensions") or _number(source, header, "dimension")
    n_steps = _number(source, header, "serieslength") if flags["equallength"] is not False else None
    series, labels = [], []
    for line in source:
        if line.startswith("#"):
            continue
        parts = line.split(":")
        if labelled:
            if len(parts) < 2:
                source.refuse("a series and its label, separated by a colon, were expected; there is no colon")
            labels.append(_label(source, parts.pop(), classes))
        series.append(_channels(source, [p.split(",") for p in parts], n_channels, n_steps))
        n_channels = n_channels or len(parts)
    return _made(source, series, labels if labelled else None, classes, header, flags["equallength"])


def read_arff(file: PathLike) -> SeriesFile:
    """The series of an `.arff` file: one attribute per step, or of several channels one relational attribute, and the class last.

    Args:
        file: its path.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not a series, or does not fit the header.
    """
    source, header, attributes, relational = _Source(file), {}, [], False
    for line in source:
        if line.startswith("%"):
            continue
        word, _, rest = line.partition(" ")
        word = word.lower()
        if word == "@data":
            break
        if word == "@relation":
            header["relation"] = rest.strip().strip("'\"")
        elif word == "@attribute":
            attributes.append(rest.strip())
            relational |= rest.split()[-1:] == ["relational"]
        elif word != "@end":
            source.refuse(f"the header has lines @relation, @attribute, @end and @data; received {brief(line)}")
    else:
        source.refuse("there is no line @data")
    if len(attributes) < 2:
        source.refuse("the header must have an attribute for each step and one for the class", at_line=False)
    listed = re.search(r"\{(.*)\}$", attributes[-1])
    classes = [c.strip().strip("'\"") for c in listed[1].split(",")] if listed else None
    n_steps = len(attributes) - 2 if relational else len(attributes) - 1
    series, labels = [], []
    for line in source:
        if line.startswith("%"):
            continue
        quote = line[0] if line[0] in "'\"" else "'"
        fields = next(csv.reader([line], quotechar=quote, skipinitialspace=True))
        labels.append(_label(source, fields.pop().strip("'\""), classes))
        if relational and len(fields) != 1:
            source.refuse("the channels must be one text in quotes, separated by \\n, and the class after it")
        rows = [row.split(",") for row in re.split(r"\\n|\n", fields[0])] if relational else [fields]
        series.append(_channels(source, rows, None if relational else 1, n_steps))
    return _made(source, series, labels, classes, header, None)


def read_tsv(file: PathLike) -> SeriesFile:
    """The series of a `.tsv` file of the UCR archive: one line per series, the label first, then the steps, separated by tabs.

    Args:
        file: its path. NaN at the end of a line is the padding of a shorter series, and is dropped.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not a series.
    """
    source, series, labels = _Source(file), [], []
    for line in source:
        fields = line.split("\t")
        if len(fields) < 2:
            source.refuse(f"a label and the steps of a series, separated by tabs, were expected; received {brief(line)}")
        labels.append(_label(source, fields[0], None))
        x = _channels(source, [fields[1:]], 1, None)
        steps = np.flatnonzero(~np.isnan(x[0]))
        if not len(steps):
            source.refuse("the series has no values")
        series.append(x[:, :steps[-1] + 1])
    return _made(source, series, labels, None, {}, None)


#: What reads files, by suffix.
READERS = {".ts": read_ts, ".arff": read_arff, ".tsv": read_tsv}


def read_series(file: PathLike) -> SeriesFile:
    """The series of a file, read as its suffix says.

    Args:
        file: its path; `.ts`, `.arff` or `.tsv`.

    Raises:
        ValueError: it has another suffix.
    """
    suffix = Path(file).suffix.lower()
    if suffix not in READERS:
        raise ValueError(f"files of series end with {listing(READERS)}; received {str(file)!r}. Of a table write "
                         "TSDataLoaders.from_df(pd.read_csv(file), ...)")
    return READERS[suffix](file)


def held_out_file(file: PathLike) -> Path | None:
    """The file of the test set that lies beside that of the training set, NAME_TEST.ts beside NAME_TRAIN.ts, if there is one.

    Args:
        file: that of the training set.
    """
    file = Path(file).expanduser()
    test = file.with_name(re.sub("train(?=[^a-z]*[.][a-z]+$)", lambda m: "TEST" if m[0].isupper() else "test", file.name, flags=re.I))
    return test if test != file and test.is_file() else None


class _Source:
    "The lines of a file that are not empty, stripped; iterating again continues where it stopped."

    def __init__(self, file: PathLike):
        self.file, self.line = Path(file).expanduser(), 0
        if not self.file.is_file():
            near = did_you_mean(self.file.name, [o.name for o in self.file.parent.glob("*")]) if self.file.parent.is_dir() else ""
            raise FileNotFoundError(f"there is no file {str(self.file)!r}{near}")
        self._lines = enumerate(self.file.read_text(encoding="utf-8", errors="replace").splitlines(), 1)

    def __iter__(self) -> Iterator[str]:
        for self.line, text in self._lines:
            if text.strip():
                yield text.strip()

    def refuse(self, what: str, at_line: bool = True) -> NoReturn:
        raise ValueError(f"{self.file}{f', line {self.line}' if at_line else ''}: {what}")


def _flag(source: _Source, header: dict[str, str], name: str) -> bool | None:
    "An entry of the header that is true or false, None where it is missing."
    if name not in header:
        return None
    word = header[name].partition(" ")[0].lower()
    if word not in _FLAGS:
        source.refuse(f"@{name} must be true or false; received {header[name]!r}", at_line=False)
    return _FLAGS[word]


def _number(source: _Source, header: dict[str, str], name: str) -> int | None:
    "An entry of the header that is a number, None where it is missing."
    if name not in header:
        return None
    if not header[name].isdecimal() or not int(header[name]):
        source.refuse(f"@{name} must be a whole number from 1; received {header[name]!r}", at_line=False)
    return int(header[name])


def _label(source: _Source, text: str, classes: list[str] | None) -> str:
    label = text.strip()
    if not label:
        source.refuse("the label is empty")
    if classes is not None and label not in classes:
        source.refuse(f"the label {label!r} is not among the classes of the header, {listing(map(repr, classes[:10]))}"
                      f"{did_you_mean(label, classes)}")
    return label


def _channels(source: _Source, rows: list[list[str]], n_channels: int | None, n_steps: int | None) -> np.ndarray:
    "The values (channels, steps) of a series."
    if n_channels is not None and len(rows) != n_channels:
        source.refuse(f"a series of {plural(n_channels, 'channel')} was expected; received {len(rows)}")
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        source.refuse(f"the channels of a series must be equally long; received {', '.join(str(len(row)) for row in rows)} steps")
    if n_steps is not None and lengths != {n_steps}:
        source.refuse(f"a series of {plural(n_steps, 'step')} was expected, as the header says; received {len(rows[0])}")
    try:
        return np.array([[float(v) for v in row] for row in rows], np.float32)
    except ValueError:
        return np.array([[_value(source, v.strip(), c, t) for t, v in enumerate(row)] for c, row in enumerate(rows)], np.float32)


def _value(source: _Source, text: str, channel: int, step: int) -> float:
    try:
        return np.nan if text == "?" else float(text)
    except ValueError:
        source.refuse(f"{brief(text)} (channel {channel}, step {step}) is not a number; a missing value is written as ?")


def _target(source: _Source, text: str) -> float:
    try:
        return np.nan if text == "?" else float(text)
    except ValueError:
        source.refuse(f"the header lists no classes, and the target {text!r} is not a number", at_line=False)


def _made(source: _Source, series: list[np.ndarray], labels: list[str] | None, classes: list[str] | None, header: dict[str, str],
          equal: bool | None) -> SeriesFile:
    if not series:
        source.refuse("there are no series after @data" if header else "there are no series", at_line=False)
    lengths = {x.shape[1] for x in series}
    if equal and len(lengths) > 1:
        source.refuse(f"the header says @equalLength true, and series have from {min(lengths)} to {max(lengths)} steps: write "
                      "@equalLength false", at_line=False)
    if classes is None and labels is not None and source.file.suffix.lower() != ".tsv":
        y = np.array([_target(source, o) for o in labels])
    else:
        y = None if labels is None else np.array(labels)
    return SeriesFile(np.stack(series) if len(lengths) == 1 else series, y, classes, header)
