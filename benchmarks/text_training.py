"""Tokens per second of training an AWD-LSTM, as a language model and as a classifier: minifast against fastai, each with its own loaders.

    python benchmarks/text_training.py --data path/to/data --peer-python path/to/python     where fastai is installed, if not here

The folder holds `imdb_sample/texts.csv`. Both get the same ids of the same words (those that occur 3 times or more), batch 64, 72 tokens
at a time, dropouts as they come, AR and TAR, Adam. A round is one `fit` of each, without validation, in changing order, each in a process
of its own that stays; ratios are medians over the rounds. Padding is not counted.
"""
import argparse
import os
import re
import sys
from pathlib import Path

SIZES = {"small": (100, 200, 2), "medium": (200, 500, 2), "book": (400, 1152, 3)}      # vectors of words, hidden features, layers
TASKS = ("lm", "classifier", "frozen classifier")       # frozen: the first step of gradual unfreezing
BS, SEQ_LEN = 64, 72


def texts(data):
    "(ids of each text, its label, the vocabulary)."
    import csv
    from collections import Counter
    csv.field_size_limit(10**9)
    with open(Path(data) / "imdb_sample" / "texts.csv", encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    tokens = [["xxbos", *re.findall(r"\w+|[^\w\s]", row["text"].lower())] for row in rows]
    counts = Counter(t for ts in tokens for t in ts)
    vocab = ["xxunk", "xxpad", *(t for t, n in counts.most_common() if n >= 3)]
    id_of = {t: i for i, t in enumerate(vocab)}
    return [[id_of.get(t, 0) for t in ts] for ts in tokens], [int(row["label"] == "positive") for row in rows], vocab


def chosen(task, data, batches):
    "What is trained on: `batches` batches of tokens, or of texts."
    ids, labels, vocab = texts(data)
    if task == "lm":
        stream = [i for text in ids for i in text][:batches * BS * SEQ_LEN + 1]
        return stream, None, vocab, batches * BS * SEQ_LEN
    n = batches * BS
    return ids[:n], labels[:n], vocab, sum(map(len, ids[:n]))


def minifast(task, size, data, batches):
    "(a function that trains for one epoch, tokens of an epoch)."
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import numpy as np
    import torch

    from minifast.text.all import (
        AWD_LSTM,
        CrossEntropyLossFlat,
        DataLoaders,
        LMDataLoader,
        Pad_Chunk,
        SortedDL,
        language_model_learner,
        text_classifier_learner,
    )
    ids, labels, vocab, n = chosen(task, data, batches)
    config = dict(zip(("emb_sz", "n_hid", "n_layers"), SIZES[size], strict=True))
    if task == "lm":
        dls = DataLoaders(LMDataLoader(np.array(ids, dtype=np.int32), bs=BS, seq_len=SEQ_LEN, shuffle=True), device="cpu")
        dls.vocab = vocab
        learn = language_model_learner(dls, AWD_LSTM, config, pretrained=False)
    else:
        samples = [(torch.tensor(x), torch.tensor(y)) for x, y in zip(ids, labels, strict=True)]
        dls = DataLoaders(SortedDL(samples, bs=BS, shuffle=True, before_batch=Pad_Chunk(seq_len=SEQ_LEN), num_workers=0), device="cpu")
        dls.vocab, dls.c = [vocab, ["negative", "positive"]], 2
        learn = text_classifier_learner(dls, AWD_LSTM, config=config, pretrained=False, loss_func=CrossEntropyLossFlat())
        if task == "frozen classifier":
            learn.freeze()

    def run():
        with learn.no_bar(), learn.no_logging():
            learn.fit(1, 1e-3)
        return n
    return run


def fastai(task, size, data, batches):
    "As `minifast`."
    import torch
    from fastai.callback.core import Callback, CancelValidException
    from fastai.text.all import (
        AWD_LSTM,
        CrossEntropyLossFlat,
        DataLoaders,
        LMDataLoader,
        Pad_Chunk,
        SortedDL,
        TensorCategory,
        TensorText,
        awd_lstm_clas_config,
        awd_lstm_lm_config,
        language_model_learner,
        text_classifier_learner,
    )

    class NoValidation(Callback):
        def before_validate(self):
            raise CancelValidException

    ids, labels, vocab, n = chosen(task, data, batches)
    config = dict(zip(("emb_sz", "n_hid", "n_layers"), SIZES[size], strict=True))
    if task == "lm":
        train = LMDataLoader([(torch.tensor(ids),)], lens=[len(ids)], bs=BS, seq_len=SEQ_LEN, shuffle=True, device=torch.device("cpu"))
        dls = DataLoaders(train, train)
        dls.vocab = vocab
        learn = language_model_learner(dls, AWD_LSTM, config={**awd_lstm_lm_config, **config}, pretrained=False, cbs=NoValidation())
    else:
        samples = [(TensorText(x), TensorCategory(y)) for x, y in zip(ids, labels, strict=True)]
        train = SortedDL(samples, bs=BS, shuffle=True, before_batch=Pad_Chunk(seq_len=SEQ_LEN), num_workers=0,
                         device=torch.device("cpu"))
        dls = DataLoaders(train, train)
        dls.vocab, dls.c = vocab, 2
        learn = text_classifier_learner(dls, AWD_LSTM, config={**awd_lstm_clas_config, **config}, pretrained=False, cbs=NoValidation(),
                                        loss_func=CrossEntropyLossFlat())
        if task == "frozen classifier":
            learn.freeze()

    def run():
        with learn.no_bar(), learn.no_logging():
            learn.fit(1, 1e-3)
        return n
    return run


def serve_one(args):
    "In a process of its own: train when told to."
    import torch
    torch.set_num_threads(args.threads)
    from turns import serve
    run = {"minifast": minifast, "fastai": fastai}[args.pipeline](args.task, args.size, args.data, args.batches)
    run()
    serve(run)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=str(Path(__file__).parents[2] / "shared" / "data"), help="the folder that holds imdb_sample")
    parser.add_argument("--tasks", default=",".join(TASKS), help="names with commas")
    parser.add_argument("--sizes", default=",".join(SIZES), help="names with commas")
    parser.add_argument("--threads", default="1,2", help="numbers of torch threads, with commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=4, help="batches of an epoch")
    parser.add_argument("--peer-python", default=sys.executable, help="the Python in which fastai is installed")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    parser.add_argument("--pipeline", help=argparse.SUPPRESS)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--size", help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if args.pipeline:
        args.threads = int(args.threads)
        return serve_one(args)
    from common import machine, median, quartiles, report
    from turns import Runner, take_turns
    print(f"# {machine()}", file=sys.stderr, flush=True)
    for size in args.sizes.split(","):
        for task in args.tasks.split(","):
            for threads in args.threads.split(","):
                os.environ["OMP_NUM_THREADS"] = threads
                options = ["--task", task, "--size", size, "--threads", threads, "--data", args.data, "--batches", str(args.batches)]
                runners = [Runner(python, __file__, name, options)
                           for name, python in (("minifast", sys.executable), ("fastai", args.peer_python))]
                rates = take_turns(runners, args.rounds, lambda n: report({"skipped": n}, f"{n}: skipped, it did not start", args.json))
                medians = {name: round(median(v)) for name, v in rates.items()}
                row = {"task": task, "size": size, "threads": int(threads), "tokens_per_second": medians}
                text = f"{task:18} {size:7} {threads} threads: " + ", ".join(f"{k} {v} tokens/s" for k, v in medians.items())
                if len(rates) == 2:
                    ratios = [a / b for a, b in zip(*rates.values(), strict=True)]
                    row.update(ratio=round(median(ratios), 2), quartiles=[round(q, 2) for q in quartiles(ratios)])
                    text += f"; ratio {row['ratio']} (quartiles {row['quartiles'][0]} to {row['quartiles'][1]})"
                report(row, text, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
