"""How well tables are learnt: minifast, fastai, gradient boosting, and network and boosting together, on four data sets.

    python benchmarks/tables_accuracy.py --data FOLDER                     fastai too, where this Python has it
    python benchmarks/tables_accuracy.py --data FOLDER --fastai PYTHON     ... of another environment: the path of its Python
    python benchmarks/tables_accuracy.py --data FOLDER --only adult,movielens --seeds 3 --json

FOLDER holds `adult/adult.csv` and `adult/adult_test.csv`, `titanic/train.csv`, `california_housing/housing.csv`, `ml-100k/u.data`. Both
networks get the same rows, columns, layers, epochs, rates and batch size; their predictions of the validation rows come back and are
measured by the same few lines. The seed decides on the split (Adult has its own), the order and the weights.
"""
import argparse
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

ADULT = {"cats": ["workclass", "education", "marital-status", "occupation", "relationship", "race", "sex", "native-country"],
         "conts": ["age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"]}
#: Of each data set: columns, target, and how to train.
SETS = {
    "adult": {**ADULT, "y": "salary", "classes": True, "layers": [200, 100], "epochs": 3, "lr": 5e-3, "bs": 256},
    "titanic": {"cats": ["Pclass", "Sex", "SibSp", "Parch", "Embarked", "Deck", "Title"], "conts": ["Age", "Fare"], "y": "Survived",
                "classes": True, "layers": [50, 25], "epochs": 12, "lr": 1e-2, "bs": 64},
    "california": {"cats": ["ocean_proximity"], "conts": ["longitude", "latitude", "housing_median_age", "total_rooms", "total_bedrooms",
                                                          "population", "households", "median_income"],
                   "y": "value", "classes": False, "layers": [200, 100], "epochs": 20, "lr": 1e-2, "bs": 256, "y_range": (0.0, 5.5)},
    "movielens": {"cats": ["user", "item"], "conts": [], "y": "rating", "classes": False, "epochs": 5, "lr": 5e-3, "wd": 0.1, "bs": 64,
                  "y_range": (0.5, 5.5), "factors": 50},
}


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--only", default=",".join(SETS), help=f"some of {', '.join(SETS)}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="torch threads (0: torch's choice)")
    parser.add_argument("--fastai", default=sys.executable, metavar="PYTHON", help="a Python that has fastai")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    parser.add_argument("--serve-fastai", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    args.sets = args.only.split(",")
    if wrong := [s for s in args.sets if s not in SETS]:
        parser.error(f"unknown: {', '.join(wrong)}; choose from {', '.join(SETS)}")
    if args.seeds < 1:
        parser.error(f"--seeds must be 1 or more, not {args.seeds}")
    if not args.data.is_dir():
        parser.error(f"there is no folder {args.data}")
    return args


# -- data --------------------------------------------------------------------------------------------------------------------------
def read(name, folder, seed):
    "`(frame, positions of training rows, of validation rows)`."
    import numpy as np
    import pandas as pd
    fixed = None
    if name == "adult":
        parts = [pd.read_csv(folder / "adult" / f) for f in ("adult.csv", "adult_test.csv")]
        df, fixed = pd.concat(parts, ignore_index=True), len(parts[0])
        df["salary"] = df["salary"].str.strip().str.rstrip(".")
    elif name == "titanic":
        df = pd.read_csv(folder / "titanic" / "train.csv")
        df["Deck"], df["Title"] = df["Cabin"].str[0], df["Name"].str.extract(r", ([^.]*)\.")[0]
    elif name == "california":
        df = pd.read_csv(folder / "california_housing" / "housing.csv")
        df["value"] = (df["median_house_value"] / 100_000).astype(np.float32)
    else:
        df = pd.read_csv(folder / "ml-100k" / "u.data", sep="\t", names=["user", "item", "rating", "time"])
        df["rating"] = df["rating"].astype(np.float32)
    order = np.random.RandomState(seed).permutation(len(df))
    rows = (np.arange(fixed), np.arange(fixed, len(df))) if fixed else (order[len(df) // 5:], order[:len(df) // 5])
    return df, *rows


def seed_all(seed):
    import random

    import numpy as np
    import torch
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


# -- the two frameworks ------------------------------------------------------------------------------------------------------------
def train_minifast(name, folder, seed):
    "`(loaders, trained learner)`."
    from minifast.collab import TabularCollab, collab_learner
    from minifast.tabular.all import (
        Categorify,
        CategoryBlock,
        FillMissing,
        Normalize,
        RegressionBlock,
        TabularPandas,
        tabular_learner,
    )
    how, (df, train, valid) = SETS[name], read(name, folder, seed)
    seed_all(seed)
    if "factors" in how:
        dls = TabularCollab(df, Categorify, how["cats"], [], how["y"], RegressionBlock, (train, valid)).dataloaders(bs=how["bs"])
        learn = collab_learner(dls, n_factors=how["factors"], y_range=how["y_range"])
    else:
        to = TabularPandas(df, [Categorify, FillMissing, Normalize], how["cats"], how["conts"], how["y"],
                           CategoryBlock if how["classes"] else RegressionBlock, (train, valid))
        dls = to.dataloaders(bs=how["bs"])
        learn = tabular_learner(dls, how["layers"], y_range=how.get("y_range"))
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(how["epochs"], how["lr"], wd=how.get("wd"))
    return dls, learn


def train_fastai(name, folder, seed):
    "Predictions of the validation rows: probabilities, or numbers."
    from fastai.collab import TabularCollab, collab_learner
    from fastai.tabular.all import (
        Categorify,
        CategoryBlock,
        FillMissing,
        Normalize,
        RegressionBlock,
        TabularPandas,
        TransformBlock,
        tabular_learner,
    )
    how, (df, train, valid) = SETS[name], read(name, folder, seed)
    splits = train.tolist(), valid.tolist()
    seed_all(seed)
    if "factors" in how:
        to = TabularCollab(df, [Categorify], list(how["cats"]), y_names=[how["y"]], y_block=TransformBlock(), splits=splits)
        learn = collab_learner(to.dataloaders(bs=how["bs"]), n_factors=how["factors"], y_range=how["y_range"])
    else:
        to = TabularPandas(df, procs=[Categorify, FillMissing, Normalize], cat_names=list(how["cats"]), cont_names=list(how["conts"]),
                           y_names=how["y"], y_block=CategoryBlock() if how["classes"] else RegressionBlock(), splits=splits)
        learn = tabular_learner(to.dataloaders(bs=how["bs"]), layers=how["layers"], y_range=how.get("y_range"))
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(how["epochs"], how["lr"], wd=how.get("wd"))
        return learn.get_preds()[0].numpy()


def serve_fastai(args):
    "Answer requests, one JSON object per line, with the file that holds the predictions."
    import numpy as np
    import torch
    warnings.filterwarnings("ignore")
    if args.threads:
        torch.set_num_threads(args.threads)
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        np.save(request["file"], train_fastai(request["set"], args.data, request["seed"]))
        print(json.dumps({"done": True}), file=answers, flush=True)


class Fastai:
    "fastai in a process of its own."

    def __init__(self, args):
        command = [args.fastai, __file__, "--serve-fastai", "--data", str(args.data), "--threads", str(args.threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def predictions(self, name, seed):
        import tempfile

        import numpy as np
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "predictions.npy")
            print(json.dumps({"set": name, "seed": seed, "file": file}), file=self.process.stdin, flush=True)
            if not self.process.stdout.readline():
                raise RuntimeError(f"the process of fastai ended with status {self.process.wait()}: see above")
            return np.load(file)

    def end(self):
        self.process.stdin.close()
        self.process.wait()


# -- figures -----------------------------------------------------------------------------------------------------------------------
def score(preds, y, classes):
    "Accuracy, or the root of the mean squared error."
    import numpy as np
    if classes:
        return float((preds.argmax(1) == y).mean())
    return float(np.sqrt(np.square(preds.reshape(y.shape) - y).mean()))


def figures(name, seed, folder, fastai):
    "`{model: figure}` of one data set and one seed."
    from minifast.tabular.all import tabular_baseline
    how = SETS[name]
    dls, learn = train_minifast(name, folder, seed)
    with learn.no_bar():
        preds, y = (t.numpy() for t in learn.get_preds())
    found = {"minifast": score(preds, y, how["classes"])}
    if fastai is not None:
        found["fastai"] = score(fastai.predictions(name, seed), y, how["classes"])
    if "factors" not in how:
        with learn.no_bar():
            table = tabular_baseline(dls, learn, seed=seed)["accuracy" if how["classes"] else "rmse"]
        found.update({m: float(table[m]) for m in ("gradient boosting", "network + boosting", "random forest", "constant")})
    return found


def main():
    args = arguments()
    if args.serve_fastai:
        return serve_fastai(args)
    import statistics

    import torch
    from common import machine, report
    warnings.filterwarnings("ignore")
    if args.threads:
        torch.set_num_threads(args.threads)
    print(f"# {machine()}", file=sys.stderr, flush=True)
    there = subprocess.run([args.fastai, "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('fastai') is None)"]).returncode == 0
    if not there:
        print(f"fastai: skipped, {args.fastai} does not have it (--fastai PYTHON)", file=sys.stderr)
    fastai = Fastai(args) if there else None
    try:
        for name in args.sets:
            runs = [figures(name, seed, args.data, fastai) for seed in range(args.seeds)]
            measure = "accuracy" if SETS[name]["classes"] else "rmse"
            for model in runs[0]:
                values = [r[model] for r in runs]
                mean, spread = statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0
                report({"set": name, "measure": measure, "model": model, "mean": round(mean, 5), "spread": round(spread, 5),
                        "values": [round(v, 5) for v in values]},
                       f"{name:11} {measure:9} {model:19} {mean:.4f} +- {spread:.4f}   ({', '.join(f'{v:.4f}' for v in values)})"
                       + (f"   mse {statistics.mean(v * v for v in values):.4f}" if measure == "rmse" else ""), args.json)
    finally:
        if fastai is not None:
            fastai.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
