"""Real tokens per second from tokenised texts to batches: minifast's loaders against fastai's, one process, no workers.

    python benchmarks/text_loaders.py --data FOLDER_OF_imdb_sample --fastai PYTHON_WITH_FASTAI

`lm` is the loader of a language model (bs 64, 72 tokens a row), `classes` that of a classifier (bs 64, length buckets, padded). Both
libraries get the same loaders in the same words, `TextDataLoaders.from_df`; the time is that of epochs over the training texts, after two
that are not counted. They take turns in processes of their own; the median of the ratios of neighbours counts. Tokens of padding are not
counted.
"""
import argparse
import os
import sys
import time
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
PIPELINES = [f"{library} {kind}" for kind in ("lm", "classes") for library in ("minifast", "fastai")]


def run_pipeline(name, data):
    import pandas as pd
    import torch
    from turns import serve
    torch.set_num_threads(1)
    library, kind = name.split()
    if library == "minifast":
        sys.path.insert(0, str(Path(__file__).parents[1]))
        from minifast.text.loaders import TextDataLoaders
    else:
        from fastai.text.all import TextDataLoaders
    df = pd.read_csv(Path(data) / "imdb_sample" / "texts.csv")
    dls = TextDataLoaders.from_df(df, text_col="text", label_col="label", valid_col="is_valid", is_lm=kind == "lm", num_workers=0)

    def epoch():
        n, until = 0, time.perf_counter() + 0.5
        while not n or time.perf_counter() < until:
            n += sum(int((x != 1).sum()) for x, _ in dls.train)
        return n
    serve(epoch)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--fastai", default=sys.executable, help="a Python that has fastai")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pipeline", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pipeline:
        run_pipeline(args.pipeline, args.data)
        return
    from turns import Runner, ratios_over, take_turns
    for kind in ("lm", "classes"):
        names = [f"minifast {kind}", f"fastai {kind}"]
        runners = [Runner(args.fastai if n.startswith("fastai") else sys.executable, __file__, n, ("--data", args.data)) for n in names]
        rates = take_turns(runners, args.rounds, lambda name: print(f"{name}: did not start"))
        for name, seen in rates.items():
            print(f"{name}: {sorted(seen)[len(seen) // 2]:,.0f} tokens per second")
        if len(rates) == 2:
            print(f"{kind}: {ratios_over(rates, *names)} times as many")


if __name__ == "__main__":
    main()
