"""`minifast demo text`: tell texts apart. Real ones, which are on every machine that runs this: the first sentences of docstrings of four
libraries, without the names of the libraries. Which of them is a sentence from?
"""
import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.messages import plural
from .shared import Asked, column_of, read_table

if TYPE_CHECKING:
    import pandas as pd

    from ...learner.learner import Learner

LIBRARIES = {"matplotlib": "plots", "pandas": "tables", "sklearn": "machine learning", "torch": "tensors"}
NAMES = re.compile(r"\b(matplotlib|mpl|plt|pandas|pd|scikit-learn|scikit|sklearn|pytorch|torch|aten|numpy|np)\b", re.I)


def sentences_of(library: str, n: int, seed: int = 0) -> Iterator[str]:
    """First sentences of docstrings of an installed library, read from its source without importing it; at most `n`.

    Args:
        library: its name.
        n: how many.
        seed: of the files that are read.
    """
    import random
    spec = find_spec(library)
    folders = spec.submodule_search_locations if spec is not None else None
    files = [f for folder in folders or () for f in sorted(Path(folder).rglob("*.py")) if "test" not in str(f.relative_to(folder))]
    random.Random(seed).shuffle(files)
    seen: set[str] = set()
    for file in files:
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError, OSError):      # such as templates
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                text = " ".join(NAMES.sub("it", (ast.get_docstring(node) or "").split("\n\n")[0]).split()).split(". ")[0]
                if len(text.split()) >= 6 and "---" not in text and text not in seen:           # a line below a heading
                    seen.add(text)
                    yield text
                    if len(seen) == n:
                        return


def write_sentences(file: Path, n: int = 2000) -> Path:
    """Write sentences of the four libraries as CSV: text, library.

    Args:
        file: where.
        n: how many of each at most.
    """
    import pandas as pd
    rows = [(text, library) for library in LIBRARIES for text in sentences_of(library, n)]
    pd.DataFrame(rows, columns=["text", "library"]).drop_duplicates("text", keep=False).to_csv(file, index=False)
    return file


def columns_of(frame: "pd.DataFrame", asked: Asked) -> tuple[str, str]:
    """The columns of texts and of labels: the longest text, and `--target` or the column with the fewest values.

    Args:
        frame: the table.
        asked: with `target`.
    """
    lengths = {name: frame[name].dropna().astype(str).str.len().mean() for name in frame if name != asked.target}
    text = max(lengths, key=lambda name: lengths[name])
    label = column_of(frame, asked, min((c for c in frame if c != text), key=lambda c: frame[c].nunique()))
    if not 2 <= frame[label].nunique() <= len(frame) // 5:
        raise ValueError(f"the column {label!r} has {plural(frame[label].nunique(), 'value')} in {len(frame):,} rows, which are no "
                         f"classes; name the column of labels, one of {', '.join(map(str, frame.columns))}: --target COLUMN")
    return text, label


def run(asked: Asked) -> "Learner":
    "Train an LSTM from scratch, and compare with word counts. asked: see `Asked`."
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from ...text.all import (
        AWD_LSTM,
        ClassificationInterpretation,
        RandomSplitter,
        TextDataLoaders,
        accuracy,
        set_seed,
        text_classifier_learner,
        token_attributions,
    )
    set_seed(asked.seed)
    file = asked.data or write_sentences(asked.out / "sentences.csv")
    frame = read_table(file, "minifast demo text")
    text, label = columns_of(frame, asked)
    frame = frame[[text, label]].dropna().reset_index(drop=True)
    held = set(RandomSplitter(seed=asked.seed)(frame)[1])
    frame["for validation"] = [i in held for i in range(len(frame))]
    if asked.data is None:
        print(f"Wrote {len(frame):,} sentences to {file}: they stand at the head of functions and classes of {', '.join(LIBRARIES)},\n"
              "which are installed here. The names of the libraries are taken out. Which library is a sentence from?")
    dls = TextDataLoaders.from_df(frame, text_col=text, label_col=label, valid_col="for validation", bs=64, path=asked.out)
    train, valid = (part for _, part in frame.groupby("for validation"))
    print(f"{len(train):,} training and {len(valid):,} validation texts in {plural(frame[label].nunique(), 'class')} of {label!r}")
    learn = text_classifier_learner(dls, AWD_LSTM, config={"emb_sz": 64, "n_hid": 64, "n_layers": 1}, drop_mult=0.5, pretrained=False,
                                    metrics=accuracy, path=asked.out)
    learn.fit_one_cycle(asked.epochs or 4, 1e-2)
    learn.recorder.plot_metrics()
    asked.save_figure("metrics.png")
    ClassificationInterpretation.from_learner(learn).plot_confusion_matrix()
    asked.save_figure("confusion.png")
    example = str(valid[text].iloc[0])
    found = token_attributions(learn, example[:400])
    found.plot()
    asked.save_figure("words.png")
    said, index, probabilities = learn.predict(example)
    print(f"\n{example[:160]!r}: {said!r} with probability {probabilities[index]:.3f}; what speaks for it is in words.png")
    counts = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10)).fit(
        train[text].astype(str), train[label])
    score, others = learn.validate()[1], counts.score(valid[text].astype(str), valid[label])
    return asked.finish(learn, f"Accuracy on {len(valid):,} texts never trained on: {score:.4f}; of TF-IDF and logistic regression: "
                               f"{others:.4f}", "nbs/12_text.ipynb", "FILE.csv [--target LABELS]")
