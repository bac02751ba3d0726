"""Write docs/reports.md: what `dls.check()` and `learn.check()` say of real data, healthy and with a fault planted, in full and judged.

    MINIFAST_TEST_DATA=folder python docs/make_reports.py                # writes the page
    MINIFAST_TEST_DATA=folder python docs/make_reports.py titanic rare   # prints some of the reports

With `--cache folder` reports are kept there and not made again. The data are in `$MINIFAST_TEST_DATA`, or ../shared/data beside the
repository. Each issue and each tip about healthy data is judged in `JUDGED`, by hand; lines that nobody has judged yet are listed.
"""
import json
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn
from torchvision.models import mobilenet_v2

from minifast.tabular.all import (
    Categorify,
    CategoryBlock,
    CrossEntropyLossFlat,
    FillMissing,
    Learner,
    Normalize,
    TabularDataLoaders,
    accuracy,
    rmse,
    tabular_learner,
)
from minifast.vision.all import (
    DataBlock,
    FuncSplitter,
    ImageBlock,
    ImageDataLoaders,
    IndexSplitter,
    MaskBlock,
    MultiCategoryBlock,
    RandomSplitter,
    Resize,
    accuracy_multi,
    aug_transforms,
    get_image_files,
    imagenet_stats,
    set_seed,
    unet_learner,
    vision_learner,
)
from minifast.vision.normalize import Normalize as PixelNormalize

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reports.md"
DATA = Path(os.environ.get("MINIFAST_TEST_DATA") or ROOT.parent / "shared" / "data")
PROCS = [Categorify, FillMissing, Normalize]
BUDGET = 90         # seconds, of learn.check()


class SetUp(NamedTuple):
    "What is checked: a function that makes loaders or a learner, and the code that names the planted fault ('' for healthy data)."
    name: str
    make: Callable[[], Any]
    code: str = ""
    call: str = ""          # which of the two checks names the fault: 'dls' or 'learn'
    data: str = ""


HEALTHY: list[SetUp] = []
PLANTED: list[SetUp] = []


def healthy(name: str) -> Callable:
    "Register healthy data."
    return lambda f: HEALTHY.append(SetUp(name, f)) or f


def planted(name: str, data: str, call: str, code: str) -> Callable:
    "Register a planted fault."
    return lambda f: PLANTED.append(SetUp(name, f, code, call, data)) or f


# -- tables -----------------------------------------------------------------------------------------------------------------------------
def table(df: pd.DataFrame, y: str, cats: list, conts: list, procs: Any = None, block: Any = None, seed: int = 0,
          splits: Any = None) -> TabularDataLoaders:
    "Loaders of a frame, split at random."
    splits = splits or RandomSplitter(seed=seed)(df)
    return TabularDataLoaders.from_df(df, procs=PROCS if procs is None else procs, cat_names=cats, cont_names=conts, y_names=y,
                                      y_block=block, splits=splits, bs=64)


def fitted(learn: Learner, epochs: int, lr: float | None = None) -> Learner:
    "The learner, trained."
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, lr)
    return learn


TITANIC = (["Pclass", "Sex", "Embarked"], ["Age", "SibSp", "Parch", "Fare"])
ADULT = (["workclass", "education", "marital-status", "occupation", "relationship", "race", "sex", "native-country"],
         ["age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"])
CALIFORNIA = (["ocean_proximity"], ["longitude", "latitude", "housing_median_age", "total_rooms", "total_bedrooms", "population",
                                    "households", "median_income"])


def titanic() -> pd.DataFrame:
    return pd.read_csv(DATA / "titanic" / "train.csv")


def adult() -> pd.DataFrame:
    return pd.read_csv(DATA / "adult" / "adult.csv")


def california() -> pd.DataFrame:
    df = pd.read_csv(DATA / "california_housing" / "housing.csv")
    return df.assign(value=df.median_house_value / 100_000)


def ames() -> tuple[pd.DataFrame, list, list]:
    "Ames, with the logarithm of the price, and its columns."
    df = pd.read_csv(DATA / "ames_housing" / "AmesHousing.csv")
    xs = df.drop(columns=["SalePrice"])
    cats = [c for c in xs if xs[c].dtype.kind not in "iuf" or c == "MS SubClass"]
    return df.assign(log_price=np.log(df.SalePrice)), cats, [c for c in xs if c not in cats]


@healthy("titanic")
def _():
    return fitted(tabular_learner(table(titanic(), "Survived", *TITANIC, block=CategoryBlock), metrics=accuracy), 5)


@healthy("adult")
def _():
    return fitted(tabular_learner(table(adult(), "salary", *ADULT), metrics=accuracy), 2)


@healthy("ames")
def _():
    df, cats, conts = ames()
    return fitted(tabular_learner(table(df, "log_price", cats, conts), metrics=rmse, y_range=(9, 14)), 5, 1e-2)


@healthy("california")
def _():
    return fitted(tabular_learner(table(california(), "value", *CALIFORNIA), metrics=rmse), 2, 5e-3)


# -- images -----------------------------------------------------------------------------------------------------------------------------
WEIGHTS = DATA / "weights" / "mobilenet_v2-from-qnnpack.pth"


def vision(dls: Any, **kw: Any) -> Learner:
    "A pretrained learner of images."
    set_seed(0)
    return vision_learner(dls, mobilenet_v2, weights=WEIGHTS, **{"metrics": accuracy, **kw})


def cat_or_dog(f: Any) -> str:
    return Path(f).name[:3]


def pets(files: list | None = None, **kw: Any) -> ImageDataLoaders:
    "Loaders of cats and dogs."
    path = DATA / "cats_vs_dogs"
    return ImageDataLoaders.from_name_func(path, get_image_files(path) if files is None else files, cat_or_dog,
                                           **{"seed": 0, "item_tfms": Resize(128), "batch_tfms": aug_transforms(), "bs": 32,
                                              "num_workers": 0, **kw})


def flowers(**kw: Any) -> ImageDataLoaders:
    "Loaders of flowers."
    return ImageDataLoaders.from_folder(DATA / "flowers", **{"valid_pct": 0.2, "seed": 0, "batch_tfms": aug_transforms(), "bs": 32,
                                                             "num_workers": 0, **kw})


def camvid(splitter: Any, parts: tuple = ("train", "val"), n: int | None = None) -> Any:
    "Loaders of CamVid."
    folder = DATA / "camvid_half"
    codes = [o for o in (folder / "codes.txt").read_text().split() if o != "Void"]
    files = [f for part in parts for f in sorted(get_image_files(folder / part))[:n]]
    block = DataBlock((ImageBlock, MaskBlock(codes, ignore_index=len(codes))), splitter=splitter,
                      get_y=lambda f: folder / f"{f.parent.name}annot" / f"{f.stem}.png", item_tfms=Resize((96, 128), "squish"))
    return block.dataloaders(files, bs=8, num_workers=0, seed=1)


def small_convnet(n_out: int) -> nn.Sequential:
    "A network to train from scratch."
    torch.manual_seed(0)
    widths = (3, 16, 32, 64)
    blocks = [m for a, b in pairwise(widths)
              for m in (nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, n_out))


@healthy("cats_vs_dogs")
def _():
    return vision(pets())


@healthy("flowers")
def _():
    return Learner(flowers(batch_tfms=[*aug_transforms(), PixelNormalize.from_stats(*imagenet_stats)]), small_convnet(5), metrics=accuracy)


@healthy("camvid")
def _():
    set_seed(0)
    return unet_learner(camvid(FuncSplitter(lambda f: f.parent.name == "val")), mobilenet_v2, weights=WEIGHTS)


@healthy("coco_tiny")
def _():
    path = DATA / "coco_tiny"
    names = sorted({label for labels in pd.read_csv(path / "labels.csv").labels.dropna() for label in labels.split(";")})
    dls = ImageDataLoaders.from_csv(path, folder="images", label_delim=";", valid_col="is_valid", y_block=MultiCategoryBlock(vocab=names),
                                    item_tfms=Resize(128), batch_tfms=aug_transforms(), bs=32, num_workers=0)
    return vision(dls, metrics=accuracy_multi)


# -- planted faults: leaks --------------------------------------------------------------------------------------------------------------
@planted("a column that is known only afterwards (boat number)", "titanic", "dls", "MF821")
def _():
    df, rng = titanic(), np.random.default_rng(0)
    df["boat"] = np.where((df.Survived == 1) & (rng.random(len(df)) < 0.97), rng.integers(1, 17, len(df)).astype(str), "none")
    return table(df, "Survived", [*TITANIC[0], "boat"], TITANIC[1], block=CategoryBlock)


@planted("a column that gives a rare target away (1.6% of the rows)", "adult", "dls", "MF821")
def _():
    df, rng = adult(), np.random.default_rng(0)
    df["fraud"] = np.where((df["capital-loss"] > 2100) & (rng.random(len(df)) < 0.8) | (rng.random(len(df)) < 0.004), "yes", "no")
    df["case"] = np.where(df.fraud == "yes", rng.normal(3, 1, len(df)), rng.normal(0, 0.3, len(df)))
    return table(df, "fraud", ADULT[0], [*ADULT[1], "case"])


@planted("the price in other units, among 600 columns", "ames", "dls", "MF821")
def _():
    df, cats, conts = ames()
    rng = np.random.default_rng(0)
    wide = pd.get_dummies(df[cats].astype(str)).astype(float)
    wide = pd.concat([df[conts].drop(columns=["Order", "PID"]), wide, pd.DataFrame(
        rng.normal(size=(len(df), 300)), columns=[f"sensor {i}" for i in range(300)])], axis=1)
    wide["commission"] = df.SalePrice * 0.03 * rng.normal(1, 0.02, len(df))
    return table(wide.assign(log_price=df.log_price), "log_price", [], list(wide))


@planted("a fit that is too good: the label, coded in two columns", "adult", "learn", "MF504")
def _():
    df, rng = adult(), np.random.default_rng(0)
    df = df.sample(8000, random_state=0).reset_index(drop=True)
    rich = (df.salary == ">=50K") | (df.salary == ">50K")
    df["a"] = rng.choice([-1.0, 1.0], len(df))
    df["b"] = np.where(rich, df.a, -df.a)
    return fitted(tabular_learner(table(df, "salary", ADULT[0], [*ADULT[1], "a", "b"]), metrics=accuracy), 3, 1e-2)


# -- planted faults: copies, splits, labels -----------------------------------------------------------------------------------------------
@planted("rows doubled before the split (oversampling)", "titanic", "dls", "MF826")
def _():
    df = titanic()
    df = pd.concat([df, df[df.Survived == 1]], ignore_index=True)
    return table(df, "Survived", *TITANIC, block=CategoryBlock)


@planted("copies of training photos in validation", "cats_vs_dogs", "dls", "MF802")
def _():
    files = sorted(get_image_files(DATA / "cats_vs_dogs"))
    folder = Path(tempfile.mkdtemp())
    copies = []
    for f in files[:20]:
        copies.append(folder / f"{f.stem}_copy.jpg")
        copies[-1].write_bytes(f.read_bytes())
    chosen = files[:400] + files[-400:] + copies
    return DataBlock((ImageBlock, CategoryBlock), splitter=IndexSplitter(list(range(640, len(chosen)))), get_y=cat_or_dog,
                     item_tfms=Resize(128)).dataloaders(chosen, bs=32, num_workers=0)


@planted("frames of one video in training and validation", "camvid", "dls", "MF803")
def _():
    return camvid(RandomSplitter(seed=0), parts=("train", "val", "test"))


def breed(f: Path) -> str:
    return f.stem.rsplit("_", 1)[0]


@planted("classes in validation alone (files in order, split at the end)", "pets", "dls", "MF812")
def _():
    files = sorted(get_image_files(DATA / "pets_sample" / "images"))
    return DataBlock((ImageBlock, CategoryBlock(vocab=sorted({breed(f) for f in files}))), get_y=breed, item_tfms=Resize(128),
                     splitter=IndexSplitter(list(range(300, len(files))))).dataloaders(files, bs=32, num_workers=0)


@planted("training sorted by class and not shuffled", "cats_vs_dogs", "dls", "MF834")
def _():
    return DataBlock((ImageBlock, CategoryBlock), splitter=RandomSplitter(seed=0), get_y=cat_or_dog, item_tfms=Resize(128)).dataloaders(
        sorted(get_image_files(DATA / "cats_vs_dogs")), bs=32, num_workers=0, shuffle=False)


@planted("labels shuffled", "adult", "dls", "MF815")
def _():
    df = adult()
    df["salary"] = df.salary.sample(frac=1, random_state=0).to_numpy()
    return table(df, "salary", *ADULT)


@planted("labels shuffled", "cats_vs_dogs", "learn", "MF815")
def _():
    files = get_image_files(DATA / "cats_vs_dogs")
    labels = dict(zip(files, np.random.default_rng(0).permutation([cat_or_dog(f) for f in files]).tolist(), strict=True))
    return vision(ImageDataLoaders.from_path_func(DATA / "cats_vs_dogs", files, lambda f: labels[Path(f)], seed=0, item_tfms=Resize(128),
                                                  bs=32, num_workers=0))


# -- planted faults: scale, loss, parts that do not learn ----------------------------------------------------------------------------------
@planted("prices in dollars as the target", "ames", "learn", "MF112")
def _():
    df, cats, conts = ames()
    return fitted(tabular_learner(table(df.assign(SalePrice=df.SalePrice.astype(float)), "SalePrice", cats, conts), metrics=rmse), 3)


@planted("columns that were not normalised", "california", "learn", "MF107")
def _():
    return tabular_learner(table(california(), "value", *CALIFORNIA, procs=[Categorify, FillMissing]), metrics=rmse,
                           config={"bn_cont": False})


@planted("a softmax before the cross entropy", "flowers", "learn", "MF105")
def _():
    return Learner(flowers(batch_tfms=PixelNormalize.from_stats(*imagenet_stats)), nn.Sequential(*small_convnet(5), nn.Softmax(1)),
                   loss_func=CrossEntropyLossFlat())


@planted("a loss of log-probabilities for raw outputs", "titanic", "learn", "MF105")
def _():
    return tabular_learner(table(titanic(), "Survived", *TITANIC, block=CategoryBlock), loss_func=nn.NLLLoss())


@planted("the body cut off by detach()", "cats_vs_dogs", "learn", "MF305")
def _():
    class Cut(nn.Module):
        def forward(self, x):
            return x.detach()
    body = small_convnet(2)
    return Learner(pets(batch_tfms=PixelNormalize.from_stats(*imagenet_stats)), nn.Sequential(*body[:-1], Cut(), body[-1]))


@planted("a layer that the optimizer does not have (replaced after it was made)", "cats_vs_dogs", "learn", "MF109")
def _():
    learn = vision(pets())
    learn.create_opt()
    learn.model[1][-1] = nn.Linear(512, 2, bias=False)
    return learn


@planted("a learning rate a thousand times too high", "titanic", "learn", "MF308")
def _():
    return tabular_learner(table(titanic(), "Survived", *TITANIC, block=CategoryBlock), lr=1.0)


# -- the page -----------------------------------------------------------------------------------------------------------------------------
#: What each issue and each tip is, by set-up and code: true or false, and why.
_BELOW = "true: it was trained for a few epochs; the interval says whether the difference is more than chance"
_SLOW = "true of the machine that made the report, which was busy: photos decoded in one process"
JUDGED: dict[tuple[str, str], str] = {
    **{(name, "MF504"): _BELOW for name in ("titanic", "adult", "ames", "california")},
    **{(name, "MF835"): _SLOW for name in ("cats_vs_dogs", "flowers", "camvid", "coco_tiny")},
    ("adult", "MF826"): "true: the file has these rows twice, the number fnlwgt included",
    ("ames", "MF823"): "true: `Order` numbers the rows",
    ("ames", "MF824"): "true, and the advice fits: there NA means that there is no pool, alley or fence",
    ("flowers", "MF802"): "true: the same bytes are in two folders, as rose and as tulip",
    ("flowers", "MF811"): "true: see MF802",
    ("coco_tiny", "MF401"): "true: a photo has two or three of the 76 labels, and a new last layer says half of them",
    ("camvid", "MF804"): "true: they are frames of films, a second apart",
}


#: Of a tick that states two numbers: its code, what finds them, and whether they bear it out. The other ticks state what was looked at.
BORNE_OUT: tuple[tuple[str, str, Callable[[float, float], bool]], ...] = (
    ("MF501", r"went from (\S+) to (\S+) in", lambda before, after: after <= before),
    ("MF502", r"went from (\S+) to (\S+) in", lambda before, after: after < before),
    ("MF503", r"falls to (\S+); without them (\S+) is", lambda with_inputs, without: with_inputs < without),
    ("MF601", r": (\S+) (both) times", lambda loss, both: True),
    ("MF815", r"reaches (AUC) (\S+)", lambda _, auc: auc > 0.55),
    ("MF821", r"has (AUC) (\S+)", lambda _, auc: auc < 0.95),
    ("MF821", r"(explains) (\d+)%", lambda _, percent: percent < 95),
    ("MF825", r"(AUC) (\S+)", lambda _, auc: auc < 0.65),
    ("MF832", r"mean (\S+), standard deviation (\S+)", lambda mean, std: abs(mean) < 0.5 and 0.5 < std < 2))


def _number(text: str) -> float:
    return float(text) if re.fullmatch(r"-?[\d.]+(e-?\d+)?", text) else 0.0


def ticks_of(report: str) -> tuple[int, list[str]]:
    "How many lines of a report are ticks, and those that their own numbers do not bear out."
    ticks = [line for line in report.splitlines() if line.startswith("✓ MF")]
    wrong = [line for line in ticks for code, pattern, right in BORNE_OUT
             if line.startswith(f"✓ {code} ") and (m := re.search(pattern, line)) and not right(*map(_number, (m[1].rstrip(","), m[2])))]
    return len(ticks), wrong


def reports_of(set_up: SetUp) -> dict[str, Any]:
    "The reports of a set-up, by call."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = set_up.make()
        dls = made.dls if isinstance(made, Learner) else made
        calls = {"dls": dls.check, **({"learn": partial(made.check, budget=BUDGET)} if isinstance(made, Learner) else {})}
        return {name: call() for name, call in calls.items() if set_up.call in ("", name)}


def told(set_up: SetUp, cache: Path | None = None) -> dict[str, dict]:
    "Of each report its text and its lines, `[code, verdict]`, causes first; kept in the folder `cache`, if there is one."
    file = None if cache is None else cache / (re.sub(r"\W+", "_", f"{set_up.name} {set_up.data}") + ".json")
    if file is not None and file.exists():
        return json.loads(file.read_text())
    found = {name: {"text": str(r), "lines": [[c.code, c.verdict] for c in (*r.issues, *r.tips)]} for name, r in reports_of(set_up).items()}
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found))
    return found


HEAD = f"""# What the checks say of real data

Written by `python docs/make_reports.py`: eight public data sets with the set-ups that people use, and faults planted in them. Each issue
and each tip is judged by hand. (The reports were made with `budget={BUDGET}` on two cores; what there was no time for is listed.)
"""


def page(cache: Path | None = None) -> str:
    "The text of docs/reports.md."
    lines, unjudged, false = [HEAD], [], 0
    table = ["## Planted faults", "", "| fault | data | call | first line of the report | named first |", "|---|---|---|---|---|"]
    bodies, named = [], 0
    for s in PLANTED:
        (call, report), = told(s, cache).items()
        first = next((line for line in report["text"].splitlines()[1:] if line[0] in "✗!"), "")
        right = bool(report["lines"]) and report["lines"][0][0] == s.code
        named += right
        table.append(f"| {s.name} | {s.data} | `{call}.check()` | {first[:200].replace('|', '/')} | {'yes' if right else 'NO'} |")
        bodies += [f"### {s.name} ({s.data})", "", "```", report["text"], "```", ""]
    healthy, ticks, wrong = [], 0, []
    for s in HEALTHY:
        healthy += [f"### {s.name}", ""]
        for call, report in told(s, cache).items():
            healthy += ["```", report["text"], "```", ""]
            n, odd = ticks_of(report["text"])
            ticks, wrong = ticks + n, [*wrong, *((s.name, line) for line in odd)]
            for code, verdict in report["lines"]:
                judged = JUDGED.get((s.name, code), "")
                unjudged += [] if judged else [(s.name, code)]
                false += judged.startswith("false") and verdict == "issue"
                healthy.append(f"- `{call}` {verdict} {code}: {judged or 'NOT JUDGED'}")
            healthy += [""] * bool(report["lines"])
    if unjudged:
        print(f"not judged yet: {unjudged}", file=sys.stderr)
    for name, line in wrong:
        print(f"{name}: a tick that its numbers do not bear out: {line}", file=sys.stderr)
    score = f"**{named} of {len(PLANTED)} planted faults are named first; {false} false issues on {len(HEALTHY)} data sets.**"
    read = (f"Of the {ticks} ticks on these data sets {len(wrong)} say what their own numbers do not bear out (`BORNE_OUT` in the script "
            "has the rules), and each was read beside what is known of the data.")
    lines += [score, "", read, "", *table, "", "## Healthy data", "", *healthy, "## Planted faults: the reports", "", *bodies]
    return "\n".join(lines)


if __name__ == "__main__":
    cache = Path(sys.argv.pop(sys.argv.index("--cache") + 1)) if "--cache" in sys.argv else None
    words = [w for w in sys.argv[1:] if w != "--cache"]
    if words:
        for s in (*HEALTHY, *PLANTED):
            if any(w in f"{s.name} ({s.data})" for w in words):
                for name, report in told(s, cache).items():
                    print(f"==== {s.name} ({s.data}) {s.code}: {name}\n{report['text']}", flush=True)
    else:
        PAGE.write_text(page(cache))
        print(f"wrote {PAGE}")
