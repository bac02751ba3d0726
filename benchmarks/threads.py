"""One learner and many threads, as in a web server: are the answers right, is the learner whole afterwards, and what do threads gain?

    python benchmarks/threads.py                                # minifast
    python benchmarks/threads.py --fastai /path/to/python       # fastai beside it, in an interpreter that has it

Each kind of call (`predict` of a picture from its file, of a row of a table and of a text, `get_preds` of a frame) is made by one thread
and then by `--threads` of them, in turns. An answer is right if it is that of one thread before. Throughput is the calls per second of all
threads divided by those of one, the median of the rounds; processor time per call likewise, which other programs on the machine change
less.

Data: $MINIFAST_TEST_DATA, or ../shared/data.
"""
import argparse
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from common import machine, median

KINDS = {"image": 40, "row": 80, "frame": 16, "text": 40}
CATEGORIES, NUMBERS = ["workclass", "education", "marital-status", "occupation"], ["age", "fnlwgt", "education-num"]


def learners(way):
    "{kind: (learner, its items, a function of learner and item that gives probabilities)}"
    import pandas as pd
    import torch
    if way == "fastai":
        from fastai.tabular.all import Categorify, FillMissing, Normalize, TabularDataLoaders, tabular_learner
        from fastai.text.all import AWD_LSTM, BaseTokenizer, TextDataLoaders, awd_lstm_clas_config, text_classifier_learner
        from fastai.vision.all import CrossEntropyLossFlat, ImageDataLoaders, Learner, Resize, get_image_files
    else:
        from minifast.tabular.all import Categorify, FillMissing, Normalize, TabularDataLoaders, tabular_learner
        from minifast.text.all import AWD_LSTM, BaseTokenizer, TextDataLoaders, awd_lstm_clas_config, text_classifier_learner
        from minifast.vision.all import CrossEntropyLossFlat, ImageDataLoaders, Learner, Resize, get_image_files
    data = Path(os.environ.get("MINIFAST_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
    files = sorted(get_image_files(data / "cats_vs_dogs"))[:KINDS["image"]]
    dls = ImageDataLoaders.from_lists(".", files, [i % 2 for i in range(len(files))], item_tfms=Resize(224), bs=16, num_workers=0,
                                      device="cpu")
    conv = torch.nn.Conv2d(3, 32, 5, stride=4)
    images = Learner(dls, torch.nn.Sequential(conv, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(32, 2)),
                     CrossEntropyLossFlat())
    df = pd.read_csv(data / "adult" / "adult.csv").head(2000)
    to = TabularDataLoaders.from_df(df, procs=[Categorify, FillMissing, Normalize], cat_names=CATEGORIES, cont_names=NUMBERS,
                                    y_names=df.columns[-1], bs=256, device="cpu")
    table = tabular_learner(to)
    rows, frames = ([df.iloc[i:i + n] for i in range(KINDS[kind])] for kind, n in (("row", 1), ("frame", 200)))
    reviews = pd.read_csv(data / "imdb_sample" / "texts.csv")
    options = {} if way == "minifast" else {"n_workers": 1}
    words = TextDataLoaders.from_df(reviews.head(300), text_col="text", label_col="label", tok_tfm=BaseTokenizer(" "), bs=16, device="cpu",
                                    **options)
    sizes = {**awd_lstm_clas_config, "emb_sz": 64, "n_hid": 128, "n_layers": 2}
    texts = text_classifier_learner(words, AWD_LSTM, config=sizes, pretrained=False)
    return {"text": (texts, reviews["text"].tolist()[-KINDS["text"]:], lambda learn, text: learn.predict(text)[2]),
            "image": (images, files, lambda learn, file: learn.predict(file)[2]),
            "row": (table, [frame.iloc[0] for frame in rows], lambda learn, row: learn.predict(row)[2]),
            "frame": (table, frames, lambda learn, frame: learn.get_preds(dl=learn.dls.test_dl(frame))[0])}


def measured(learn, items, f, n_threads, runs):
    "What came back from the threads (right, wrong, or the name of an error: how often), callbacks before and after, the gain of each run."
    import torch
    for item in items[:4]:
        f(learn, item)
    want, found, before, gains, costs = [f(learn, item) for item in items], Counter(), len(learn.cbs), [], []

    def work(first, step):
        for i in range(first, len(items), step):
            try:
                found["right" if torch.allclose(f(learn, items[i]), want[i], atol=1e-5) else "wrong"] += 1
            except Exception as e:
                found[type(e).__name__] += 1

    for _ in range(runs):
        times, cpu = [], []
        for n in (1, n_threads):
            threads = [threading.Thread(target=work, args=(k, n)) for k in range(n)]
            began, cpu_began = time.perf_counter(), time.process_time()
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            times.append(time.perf_counter() - began)
            cpu.append(time.process_time() - cpu_began)
        gains.append(times[0] / times[1])
        costs.append(cpu[1] / cpu[0])
        found["right"] -= len(items)                            # those of one thread, all right
    return {"answers": +found, "of": runs * len(items), "cbs": [before, len(learn.cbs)], "gain": median(gains), "cpu": median(costs),
            "per_s": len(items) / times[1]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fastai", help="an interpreter that has fastai")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--way", choices=["minifast", "fastai"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        warnings.filterwarnings("ignore")
        with redirect_stdout(StringIO()):
            found = {kind: measured(*parts, args.threads, args.runs) for kind, parts in learners(args.way).items()}
        print(json.dumps(found))
        return
    print(f"# {machine()}", file=sys.stderr, flush=True)
    print(f"{args.threads} threads, {args.runs} runs\n{'':10}{'kind':8}{'right':>12}{'callbacks':>14}{'throughput':>14}{'cpu per call':>14}"
          f"{'calls/s':>10}")
    for way, python in {"minifast": sys.executable, **({"fastai": args.fastai} if args.fastai else {})}.items():
        command = [python, __file__, "--way", way, "--threads", str(args.threads), "--runs", str(args.runs)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        for kind, r in json.loads(done.stdout.splitlines()[-1]).items():
            others = ", ".join(f"{n} {name}" for name, n in r["answers"].items() if name != "right")
            print(f"{way:10}{kind:8}{r['answers'].get('right', 0):>6} of {r['of']}{r['cbs'][0]:>7} -> {r['cbs'][1]}{r['gain']:>13.2f}x"
                  f"{r['cpu']:>13.2f}x{r['per_s']:>10.0f}  {others}", flush=True)


if __name__ == "__main__":
    main()
