"""`minifast demo tabular`: predict a column of a table. Real measurements of tumours, which come with scikit-learn.

Source: W. N. Street, W. H. Wolberg, O. L. Mangasarian, "Nuclear feature extraction for breast tumor diagnosis", 1993 (569 rows).
"""
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.messages import plural
from ...metrics.classes import classes_in
from .shared import Asked, column_of, read_table

if TYPE_CHECKING:
    from ...learner.learner import Learner


def write_tumours(file: Path) -> Path:
    """Write scikit-learn's table of breast tumours as CSV: 30 measurements and the diagnosis, 'malignant' or 'benign'.

    Args:
        file: where to write.
    """
    from sklearn.datasets import load_breast_cancer
    data = load_breast_cancer(as_frame=True)
    data.frame.drop(columns="target").assign(diagnosis=data.target_names[data.frame.target]).to_csv(file, index=False)
    return file


def run(asked: Asked) -> "Learner":
    "Train on a CSV file, and compare with gradient boosting on the same rows. asked: see `Asked`."
    import matplotlib.pyplot as plt

    from ...tabular.all import TabularDataLoaders, accuracy, permutation_importance, rmse, set_seed, tabular_baseline, tabular_learner
    set_seed(asked.seed)
    file = asked.data or write_tumours(asked.out / "tumours.csv")
    if asked.data is None:
        print(f"Wrote a table of 569 real tumours to {file}: 30 measurements of cell nuclei in each, and the diagnosis")
    frame = read_table(file, "minifast demo tabular")
    target = column_of(frame, asked, frame.columns[-1])
    frame = frame.dropna(subset=[target])
    print(f"Predicting {target!r} from {plural(frame.shape[1] - 1, 'other column')}, a fifth of {len(frame):,} rows kept for validation")
    dls = TabularDataLoaders.from_df(frame, y_names=target, valid_pct=0.2, seed=asked.seed, path=asked.out,
                                     bs=min(64, max(8, len(frame) // 10)))
    classes = classes_in(dls.vocab) is not None
    print(dls.show_batch(max_n=4).iloc[:, -6:].to_string(), end="\n\n")
    learn = tabular_learner(dls, [100, 50], metrics=accuracy if classes else rmse, path=asked.out)
    learn.fit_one_cycle(asked.epochs or 12, 5e-3)
    learn.recorder.plot_metrics()
    asked.save_figure("metrics.png")
    importance = permutation_importance(learn).head(15)
    importance.plot.barh(x="column", y="importance", xerr="std", legend=False, xlabel="how much the loss rises without it",
                         figsize=(7, 0.3 * len(importance) + 1)).invert_yaxis()
    asked.save_figure("importance.png")
    plt.close("all")
    print(f"\nOn the same rows, beside what is to beat:\n{tabular_baseline(dls, learn).round(4).to_string()}\n")
    name, score = learn.metrics[0].name, learn.validate()[1]
    return asked.finish(learn, f"{name.capitalize()} on {len(dls.valid_ds):,} rows never trained on: {score:.4f}", "nbs/07_tabular.ipynb",
                        "FILE.csv [--target COLUMN]")
