"""How well texts are classified: minifast and fastai with the same lines of code, and TF-IDF with logistic regression.

    python benchmarks/text_accuracy.py --data FOLDER --fastai PYTHON
    python benchmarks/text_accuracy.py --data FOLDER --only ag_news --tokens word --seeds 1 --json

FOLDER holds `imdb_sample/texts.csv` and `ag_news/{dev,test}.tsv`. Nothing is pretrained: a language model learns the training texts, and
the classifier starts from its encoder (ULMFiT's three steps). Both frameworks run the function `train` below in a process of their own, in
turn: same texts, same split, same sizes, epochs and rates; only the import differs. Both print the accuracy on the validation texts.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

#: Of each data set: the first rows for training and validation (None: all), batch size, epochs of the language model and of the
#: classifier (frozen, all), learning rates, and how many subwords there are.
SETS = {
    "imdb": {"rows": (None, None), "bs": 16, "lm_epochs": 3, "epochs": (1, 4), "lm_lr": 1e-2, "lr": 1e-2, "vocab": 3000},
    "ag_news": {"rows": (3000, 1500), "bs": 32, "lm_epochs": 2, "epochs": (1, 3), "lm_lr": 1e-2, "lr": 1e-2, "vocab": 3000},
}
SIZES = {"emb_sz": 64, "n_hid": 128, "n_layers": 2}
#: Of longer texts the first characters.
CHARACTERS = 900


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--only", default=",".join(SETS), help=f"some of {', '.join(SETS)}")
    parser.add_argument("--tokens", default="word,subword", help="word, subword or both")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fastai", metavar="PYTHON", help="a Python that has fastai (and, for subwords, sentencepiece)")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if wrong := [s for s in args.only.split(",") if s not in SETS]:
        parser.error(f"unknown: {', '.join(wrong)}; choose from {', '.join(SETS)}")
    if wrong := [s for s in args.tokens.split(",") if s not in ("word", "subword")]:
        parser.error(f"unknown: {', '.join(wrong)}; --tokens is word, subword or both")
    if not args.data.is_dir():
        parser.error(f"there is no folder {args.data}")
    return args


def read(name, folder):
    "A frame with the columns text, label, is_valid."
    import pandas as pd

    if name == "imdb":
        df = pd.read_csv(folder / "imdb_sample" / "texts.csv")
        parts = df[~df.is_valid], df[df.is_valid]
    else:
        parts = [pd.read_csv(folder / "ag_news" / f"{file}.tsv", sep="\t", header=None, names=["text", "label"], quoting=3)
                 for file in ("dev", "test")]
    parts = [part[:rows].assign(is_valid=is_valid) for part, rows, is_valid in zip(parts, SETS[name]["rows"], (False, True), strict=True)]
    df = pd.concat(parts, ignore_index=True)
    return df.assign(text=df.text.str[:CHARACTERS])


def baseline(df):
    "Accuracy of logistic regression on TF-IDF of words and pairs of words."
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    train, valid = df[~df.is_valid], df[df.is_valid]
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    model = make_pipeline(vectors, LogisticRegression(C=10, max_iter=1000))
    return float(model.fit(train.text, train.label).score(valid.text, valid.label))


def train(library, name, tokens, seed, folder, threads):
    "Accuracy and times of one training, with the library that is imported."
    text = __import__(f"{library}.text.all", fromlist=["*"])
    import torch

    torch.set_num_threads(threads)
    say, df = SETS[name], read(name, folder)
    text.set_seed(seed, reproducible=True)
    started = time.perf_counter()
    tok = None if tokens == "word" else text.SubwordTokenizer(vocab_sz=say["vocab"])
    dls = text.TextDataLoaders.from_df(df[~df.is_valid], text_col="text", is_lm=True, valid_pct=0.1, seed=1, bs=say["bs"], seq_len=72,
                                       tok_tfm=tok)
    tokenised = time.perf_counter()
    with tempfile.TemporaryDirectory() as there:
        learn = text.language_model_learner(dls, text.AWD_LSTM, config={**text.awd_lstm_lm_config, **SIZES}, drop_mult=0.5,
                                            pretrained=False, path=there)
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(say["lm_epochs"], say["lm_lr"])
            loss = float(learn.validate()[0])
        learn.save_encoder("encoder")
        read_lm = time.perf_counter()
        dls = text.TextDataLoaders.from_df(df, text_col="text", label_col="label", valid_col="is_valid", text_vocab=dls.vocab, bs=say["bs"],
                                           tok_tfm=tok)
        learn = text.text_classifier_learner(dls, text.AWD_LSTM, config={**text.awd_lstm_clas_config, **SIZES}, drop_mult=0.5,
                                             pretrained=False, metrics=text.accuracy, path=there)
        learn.load_encoder("encoder")
        learn.freeze()
        started_classifier = time.perf_counter()
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(say["epochs"][0], say["lr"])
            learn.unfreeze()
            learn.fit_one_cycle(say["epochs"][1], slice(say["lr"] / 10, say["lr"] / 2))
            accuracy = float(learn.validate()[1])
    return {"accuracy": accuracy, "lm_loss": loss, "tokenise_s": tokenised - started, "lm_s": read_lm - tokenised,
            "classifier_s": time.perf_counter() - started_classifier, "words": len(dls.vocab[0])}


def elsewhere(python, library, name, tokens, seed, args):
    "`train` in a process of its own."
    command = [python, __file__, "--data", str(args.data), "--threads", str(args.threads), "--serve", library, name, tokens, str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "PYTHONWARNINGS": "ignore", "MPLBACKEND": "Agg"}
    if library == "fastai":
        environment.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as there:                # fastai leaves the model of a subword tokenizer where it runs
        run = subprocess.run(command, cwd=there, env=environment, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{library}, {name}, {tokens}: {run.stderr[-3000:]}")
    return json.loads(run.stdout.strip().splitlines()[-1])


def main():
    args = arguments()
    args.data = args.data.resolve()
    if args.serve:
        library, name, tokens, seed = args.serve
        print(json.dumps(train(library, name, tokens, int(seed), args.data, args.threads)))
        return
    libraries = {"minifast": sys.executable, **({"fastai": args.fastai} if args.fastai else {})}
    for name in args.only.split(","):
        base = baseline(read(name, args.data))
        print(json.dumps({"data": name, "tf-idf": base}) if args.json else f"{name}: TF-IDF and logistic regression {base:.4f}", flush=True)
        for tokens in args.tokens.split(","):
            runs = {library: [] for library in libraries}
            for seed in range(args.seeds):
                for library in list(libraries)[::1 if seed % 2 else -1]:
                    runs[library].append(elsewhere(libraries[library], library, name, tokens, seed, args))
                    if args.json:
                        said = {"data": name, "tokens": tokens, "seed": seed, "library": library}
                        print(json.dumps({**said, **runs[library][-1]}), flush=True)
            for library, of in runs.items() if not args.json else ():
                values = [r["accuracy"] for r in of]
                spread = f"{statistics.mean(values):.4f} ({min(values):.4f}-{max(values):.4f})"
                loss, *times = (statistics.median(r[key] for r in of) for key in ("lm_loss", "lm_s", "classifier_s"))
                print(f"  {tokens:8} {library:9} accuracy {spread}, loss of the language model {loss:.3f}, "
                      f"{times[0]:.0f} s + {times[1]:.0f} s", flush=True)


if __name__ == "__main__":
    main()
