"""Two checkouts of minifast side by side: did a change make anything slower?

    git worktree add ../before main~40
    python benchmarks/before_after.py --before ../before                       all rows, about forty minutes
    python benchmarks/before_after.py --before ../before --rows mlp,images --pairs 5

Each row runs in two processes, one per checkout, that take turns; a round runs both, in changing order. A process keeps its luck (where
its memory lies, which core it woke up on: up to 10 % either way for the short rows) for as long as it lives, so the processes are started
anew `--pairs` times. The speed after over the speed before (1: the same; more: faster) is the median of the ratio within a round over the
rounds of all pairs. Both checkouts are compiled first. Only public names that both have are used.
"""
import argparse
import compileall
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
HERE = Path(__file__).resolve().parent
SHORTEST_TURN = 0.5             # seconds: quick work is repeated until a turn lasts this long
PHOTOS = {"500x375": (500, 375, 4, 512), "1600x1200": (1600, 1200, 2, 192)}         # width, height, noise, how many


# -- the rows: each makes a function that does the work once and says how much it was --------------------------------------------------

def mlp():
    import torch

    from minifast.basics import DataLoaders, Learner
    torch.set_num_threads(1)
    gen = torch.Generator().manual_seed(0)
    batches = [(torch.randn(64, 32, generator=gen), torch.randint(0, 10, (64,), generator=gen)) for _ in range(2000)]
    model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    learn = Learner(DataLoaders(batches, batches[:1]), model, torch.nn.functional.cross_entropy)
    return fitting(learn, len(batches))


def convnet():
    import torch

    from minifast.basics import ConvLayer, DataLoaders, Flatten, Learner
    gen = torch.Generator().manual_seed(0)
    batches = [(torch.randn(64, 1, 28, 28, generator=gen), torch.randint(0, 10, (64,), generator=gen)) for _ in range(60)]
    model = torch.nn.Sequential(ConvLayer(1, 16, stride=2), ConvLayer(16, 32, stride=2), torch.nn.AdaptiveAvgPool2d(1), Flatten(),
                                torch.nn.Linear(32, 10))
    return fitting(Learner(DataLoaders(batches, batches[:1]), model, torch.nn.functional.cross_entropy), len(batches))


def fitting(learn, n):
    def fit():
        with learn.no_bar(), learn.no_logging():
            learn.fit(1, 1e-3)
        return n
    return fit


def images(size, how, workers=2):
    from photos import photos

    from minifast.vision.all import Flip, ImageDataLoaders, Normalize, RandomResizedCrop
    *shape, n = PHOTOS[size]
    files, _ = photos(os.path.join(tempfile.gettempdir(), "minifast-benchmark-photos"), n, *shape)
    dls = ImageDataLoaders.from_path_func(".", files, label_of, item_tfms=RandomResizedCrop(224), bs=64, num_workers=workers, device="cpu",
                                          valid_pct=0.001, cache="ram" if how == "cached" else None, drop_last=True,
                                          batch_tfms=[Flip(), Normalize.from_stats([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])

    def epoch():
        return sum(len(x) for x, *_ in dls.train)
    return epoch


def label_of(file):
    return Path(file).parent.name


def batch_augment():
    import torch
    from torch.utils.data import TensorDataset

    from minifast.vision.all import DataLoader, TensorImage, Transform, aug_transforms

    class Images(Transform):
        order = 1

        def encodes(self, x: torch.Tensor):
            return TensorImage(x) if x.ndim == 4 else x

    x = torch.rand(256, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    dataset = TensorDataset(x, torch.zeros(len(x), dtype=torch.int64))
    dl = DataLoader(dataset, bs=64, num_workers=0, after_batch=[Images(), *aug_transforms()], split_idx=0, device="cpu")

    def epoch():
        return sum(len(xb) for xb, *_ in dl)
    return epoch


def frame(strings, n=300_000):
    import numpy as np
    import pandas as pd
    rng = np.random.default_rng(0)
    cats = {f"c{i}": rng.integers(0, 10 * (i + 1), n) for i in range(8)}
    if strings:
        cats = {k: pd.Series(v).map(lambda x, k=k: f"{k}_{x}").astype(object) for k, v in cats.items()}
    df = pd.DataFrame({**cats, **{f"n{i}": rng.standard_normal(n) for i in range(6)}, "y": rng.integers(0, 2, n)})
    df.loc[df.index[::50], "n0"] = np.nan
    return df, [f"c{i}" for i in range(8)], [f"n{i}" for i in range(6)]


def table(strings):
    from minifast.tabular.all import Categorify, CategoryBlock, FillMissing, Normalize, TabularPandas
    df, cats, conts = frame(strings)
    splits = list(range(240_000)), list(range(240_000, 300_000))

    def process():
        TabularPandas(df, [Categorify, FillMissing, Normalize], cats, conts, y_names="y", y_block=CategoryBlock(), splits=splits)
        return len(df)
    return process


def table_learner():
    from minifast.tabular.all import TabularDataLoaders, tabular_learner
    df, cats, conts = frame(strings=False, n=100_000)
    dls = TabularDataLoaders.from_df(df, cat_names=cats, cont_names=conts, y_names="y", bs=1024, valid_idx=list(range(80_000, 100_000)),
                                     device="cpu")
    return df, tabular_learner(dls, layers=[64, 32])


def table_epoch():
    _, learn = table_learner()
    return fitting(learn, 80_000)


def table_preds():
    df, learn = table_learner()

    def preds():
        with learn.no_bar():
            learn.get_preds(dl=learn.dls.test_dl(df))
        return len(df)
    return preds


def table_row():
    df, learn = table_learner()
    rows = [df.iloc[i] for i in range(300)]

    def predict():
        with learn.no_bar():
            for row in rows:
                learn.predict(row)
        return len(rows)
    return predict


def image_predict():
    from photos import photos

    from minifast.vision.all import ImageDataLoaders, Resize, resnet18, vision_learner
    *shape, n = PHOTOS["500x375"]
    files, _ = photos(os.path.join(tempfile.gettempdir(), "minifast-benchmark-photos"), n, *shape)
    dls = ImageDataLoaders.from_path_func(".", files, label_of, item_tfms=Resize(64), bs=16, num_workers=0, device="cpu")
    learn = vision_learner(dls, resnet18, pretrained=False)

    def predict():
        with learn.no_bar():
            for file in files[:60]:
                learn.predict(file)
        return 60
    return predict


def importing(statement):
    def run():
        subprocess.run([sys.executable, "-c", statement], check=True)
        return 1
    return run


ROWS = {
    "mlp": mlp, "convnet": convnet, "batch_augment": batch_augment,
    **{f"images {size} {how}": (lambda size=size, how=how: images(size, how)) for size in PHOTOS for how in ("pillow", "fast", "cached")},
    "table strings": lambda: table(True), "table integers": lambda: table(False), "table epoch": table_epoch,
    "table get_preds": table_preds, "table predict": table_row, "image predict": image_predict,
    "import vision.all": lambda: importing("import minifast.vision.all"),
    "import tabular.all": lambda: importing("import minifast.tabular.all"),
    "import Learner": lambda: importing("import minifast.basics"),
}


class Checkout:
    "A row running in the checkout at `path`."

    def __init__(self, path, row):
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(path).resolve()), str(HERE)]),
               "MINIFAST_JPEG": "pillow" if row.endswith("pillow") else ""}
        if not env["MINIFAST_JPEG"]:
            del env["MINIFAST_JPEG"]
        self.process = subprocess.Popen([sys.executable, __file__, "--serve", row], env=env, cwd=tempfile.gettempdir(), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{row} did not start in {path}")

    def turn(self):
        "How much per second."
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        n, seconds = map(float, self.process.stdout.readline().split())
        return n / seconds

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def serve(row):
    import warnings
    warnings.filterwarnings("ignore")
    run = ROWS[row]()
    for _ in range(2):
        run()
    print("ready", flush=True)
    for _ in sys.stdin:
        n, started = 0, time.perf_counter()
        while (seconds := time.perf_counter() - started) < SHORTEST_TURN:
            n += run()
        print(n, seconds, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--before", help="the other checkout")
    parser.add_argument("--rows", default=",".join(ROWS), help="names with commas; a prefix stands for all rows that start with it")
    parser.add_argument("--rounds", type=int, default=5, help="of each pair of processes")
    parser.add_argument("--pairs", type=int, default=3, help="how often the two processes are started anew")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.serve)
    if args.before is None:
        parser.error("--before PATH: the checkout to compare with")
    from common import machine, median, quartiles, report
    print(f"# {machine()}", file=sys.stderr, flush=True)
    for checkout in (args.before, HERE.parent):
        compileall.compile_dir(Path(checkout, "minifast"), quiet=2)
    wanted = args.rows.split(",")
    for row in ROWS:
        if not any(row.startswith(w) for w in wanted):
            continue
        ratios, rates = [], []
        for _ in range(args.pairs):
            before, after = Checkout(args.before, row), Checkout(HERE.parent, row)
            for r in range(args.rounds):
                pair = [before.turn(), after.turn()] if r % 2 == 0 else [after.turn(), before.turn()][::-1]
                ratios.append(pair[1] / pair[0])
                rates.append(pair)
            before.end()
            after.end()
        q1, q3 = quartiles(ratios)
        found = {"row": row, "before_per_second": round(median([p[0] for p in rates]), 2), "after_per_second":
                 round(median([p[1] for p in rates]), 2), "ratio": round(median(ratios), 3), "q1": round(q1, 3), "q3": round(q3, 3)}
        report(found, f"{row:26} before {found['before_per_second']:12.1f}/s   after {found['after_per_second']:12.1f}/s   "
                      f"after/before {found['ratio']:.3f} ({found['q1']:.3f} to {found['q3']:.3f})", args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
