"""Figures below the lines of the report in docs/checks.md, continued: labels, tables, batches, texts and series."""
import numpy as np
import torch
from check_drawings import BLUE, CLASSES, GREY, RED, axes, bars, batch_of, draws, everything, from_evidence, heat, histogram, loaders_of

from_evidence("MF401", "loss", {"loss": "at the start", "same_probability": "every class the same",
                                "knowing_frequencies": "the classes' frequencies"})
from_evidence("MF503", "loss on 8 items, as low as it gets", {"with_inputs": "with inputs", "without_inputs": "without"})
from_evidence("MF504", "accuracy in validation", {"constant_accuracy": "the most frequent class", "boosting_accuracy": "gradient boosting",
                                                  "network_accuracy": "the network"})
from_evidence("MF701", "share of a training step", {name: name for name in ("data", "forward and loss", "backward", "optimizer")})


# -- labels -------------------------------------------------------------------------------------------------------------------------
@draws("MF811")
def conflicting(subject, check):
    x, y = everything(subject)
    ax = axes()
    for k, (i, j) in enumerate([(int(a.split()[-1]), int(b.split()[-1])) for a, b in check.items[:3]]):
        ax.plot(x[i], color=CLASSES[k], lw=4, alpha=0.4, label=f"item {i}: class {int(y[i])}")
        ax.plot(x[j], "--", color=CLASSES[k], label=f"item {j}: class {int(y[j])}")
    ax.set(xlabel="column", ylabel="value")
    ax.legend(fontsize=8, ncol=3)


@draws("MF812", "MF813")
def class_counts(subject, check):
    axs = axes(2, height=1.7)
    for ax, split, name in zip(axs, (0, 1), ("training", "validation"), strict=True):
        n = np.bincount(everything(subject, split)[1].long(), minlength=3)
        ax.bar(range(len(n)), n, color=BLUE)
        ax.set(xlabel=f"class in {name}", ylabel="items", xticks=range(len(n)))


@draws("MF814", "MF815")
def classes_in_space(subject, check):
    axs = axes(2, height=2.4, sharex=True, sharey=True)
    for ax, split, name in zip(axs, (0, 1), ("training", "validation"), strict=True):
        x, y = everything(subject, split)
        for c in range(3):
            ax.plot(x[y == c, 0], x[y == c, 1], ".", color=CLASSES[c], label=f"class {c}")
        ax.set(title=name, xlabel="column 0")
    axs[0].set_ylabel("column 1")
    axs[0].legend(fontsize=8)


# -- tables -------------------------------------------------------------------------------------------------------------------------
@draws("MF821")
def leak(subject, check):
    x, y = everything(subject)
    ax = axes()
    for c in range(3):
        histogram(ax, x[y == c, 4], f"class {c}", CLASSES[c], bins=np.linspace(-1.5, 3.5, 60))
    ax.set_xlabel("column 4")
    ax.legend(fontsize=8)


@draws("MF822")
def constant(subject, check):
    x = everything(subject)[0]
    n = [len(column.unique()) for column in x.T]
    bars(axes(height=2.2), [f"column {k}" for k in range(len(n))], n, [BLUE if k > 1 else RED for k in n], says="different values")


@draws("MF823")
def row_numbers(subject, check):
    x = everything(subject)[0]
    ax = axes()
    ax.plot(x[:, 3].sort().values, ".", color=RED)
    ax.set(xlabel="rows in the order of column 3: no value comes twice", ylabel="column 3")


@draws("MF824", "MF827")
def shares(subject, check):
    columns = ["age", "hours", "job"]
    found = [float(check.evidence.get(name, 0)) for name in columns]
    bars(axes(height=1.4), columns, found, [RED if v else BLUE for v in found],
         says="share that is missing" if check.code == "MF824" else "share of the validation rows with a category that training lacks")


@draws("MF825")
def shift(subject, check):
    ax = axes()
    histogram(ax, everything(subject)[0][:, 3], "training")
    histogram(ax, everything(subject, 1)[0][:, 3], "validation", RED)
    ax.set_xlabel("column 3")
    ax.legend(fontsize=8)


@draws("MF826")
def same_rows(subject, check):
    x, other = everything(subject)[0], everything(subject, 1)[0]
    rows = [(f"validation {a.split()[-1]}", f"training {b.split()[-1]}") for a, b in check.items[:4]]
    pairs = [(other[int(a.split()[-1])], x[int(b.split()[-1])]) for a, b in rows]
    ax = axes(height=2.6)
    ax.axis("off")
    cells = [[f"{v:.2f}" for v in row] for pair in pairs for row in pair]
    table = ax.table(cells, rowLabels=[name for pair in rows for name in pair], colLabels=[f"column {k}" for k in range(x.shape[1])],
                     loc="center", cellColours=[[c] * x.shape[1] for k in range(len(pairs)) for c in ["#eef3f8" if k % 2 else "white"] * 2])
    table.auto_set_font_size(False)
    table.set_fontsize(8)


# -- batches ------------------------------------------------------------------------------------------------------------------------
@draws("MF833")
def twice(subject, check):
    ax = axes()
    for k in range(4):
        ax.plot(loaders_of(subject).valid.make_batch([0], seed=k)[0][0], "o-", color=CLASSES[k], label=f"load {k + 1}")
    ax.set(xlabel="column", ylabel="validation item 0")
    ax.legend(fontsize=8, ncol=4)


@draws("MF834")
def sorted_batches(subject, check):
    labels = [b[-1][:16].tolist() for b in loaders_of(subject).train]
    ax = axes()
    for c in range(3):
        below = [sum(row.count(o) for o in range(c)) for row in labels]
        ax.bar(range(len(labels)), [row.count(c) for row in labels], bottom=below, color=CLASSES[c], label=f"class {c}")
    ax.set(xlabel="batch of the epoch", ylabel="items")
    ax.legend(fontsize=8, ncol=3, loc="lower right")


# -- texts --------------------------------------------------------------------------------------------------------------------------
def lines_of_text(lines):
    "Lines in which some words are coloured: lists of (word, colour)."
    ax = axes(width=6.4, height=0.1 + 0.28 * len(lines))
    ax.axis("off")
    ax.set(xlim=(0, 92), ylim=(len(lines), 0))
    for k, line in enumerate(lines):
        at = 0
        for word, colour in line:
            if at + len(word) < 92:
                ax.text(at, k + 0.7, word, color=colour, family="monospace", fontsize=8)
            at += len(word) + 1


@draws("MF836")
def unknown_words(subject, check):
    vocab = loaders_of(subject).train_ds.vocab[0]
    lines_of_text([[(vocab[i], RED if i == 0 else "#222222") for i in row] for row in batch_of(subject)[0][:4].long()])


@draws("MF841", "MF842")
def texts(subject, check):
    dls = loaders_of(subject)
    if check.code == "MF842":
        frame = dls.train_ds.items
        rows = [(text.split(), label) for text, label in zip(frame.iloc[:, 0].astype(str)[:4], frame["label"][:4], strict=True)]
        rows = [(w if isinstance(w, list) else str(w).split(), label) for w, label in rows]
        lines_of_text([[(f"{label}:", GREY)] + [(w, RED if label in w else "#222222") for w in words[:12]] for words, label in rows])
        return
    train, valid = dls.train_ds.items, dls.valid_ds.items
    lines = []
    for there, here in check.items[:2]:
        for name, frame, row in (("validation", valid, there), ("training  ", train, here)):
            lines.append([(f"{name} {row}:", GREY), *((str(w), RED) for w in str(frame.loc[int(row.split()[-1]), "text"]).split()[:10])])
    lines_of_text(lines)


# -- series -------------------------------------------------------------------------------------------------------------------------
@draws("MF113", "MF203")
def tokens(learn, check):
    x, y = batch_of(learn)
    if check.code == "MF113":
        axs = axes(2, height=1.6, sharey=True)
        for ax, values, name in zip(axs, (x, y), ("inputs", "targets: the same"), strict=True):
            heat(ax, values[:6], "step", "text", cmap="tab20")
            ax.set_title(name, fontsize=9)
        return
    model, changes = learn.model.eval(), []
    with torch.no_grad():
        for _ in range(6):
            out = model(x)
            changes.append((out[0] if isinstance(out, tuple) else out).as_subclass(torch.Tensor).flatten()[:3].tolist())
    ax = axes(height=1.7)
    ax.plot(range(1, 7), np.subtract(changes, changes[0]), "o-", color=RED)
    ax.set(xlabel="the same batch, again and again", ylabel="change of the output")


@draws("MF851", "MF852", "MF853", "MF854", "MF857")
def series(subject, check):
    dls = loaders_of(subject)
    if check.code == "MF857":
        x, known, y = (t.as_subclass(torch.Tensor) for t in dls.train.one_batch())
        ax = axes()
        ax.plot(y[0, 0], "o-", color=BLUE, label="'sold', to be predicted")
        ax.plot(known[0, -1] / 2, "s--", color=RED, label="'orders' / 2, given for the same days")
        ax.set(xlabel="day to predict")
        ax.legend(fontsize=8)
        return
    (x, y), (other, _) = everything(subject), everything(subject, 1)
    if check.code in ("MF853", "MF854"):
        axs = axes(x.shape[1], height=1.7, width=6.8)
        for k, ax in enumerate(axs):
            ax.plot(x[:3, k].T, color=BLUE, lw=1)
            ax.plot(other[:3, k].T, color=RED, lw=1, ls="--")
            ax.set_title(f"channel {k}", fontsize=9)
            if check.code == "MF854":
                ax.set_ylim(float(x.min()), float(x.max()))
        axs[0].set_ylabel("training, validation (- -)", fontsize=8)
        return
    v, t = (int(name.split()[-1]) for name in check.items[0])
    a, b = (np.asarray(ds[ds.items.index.get_loc(row)][0])[0] for ds, row in ((dls.valid_ds, v), (dls.train_ds, t)))
    shift = min(range(-15, 16), key=lambda s: abs(a[max(0, s):len(a) + min(0, s)] - b[max(0, -s):len(b) - max(0, s)]).mean())
    ax = axes()
    ax.plot(np.arange(len(a)), a, color=RED, lw=4, alpha=0.4, label=f"validation, row {v}")
    ax.plot(np.arange(len(b)) + shift, b, color=BLUE, label=f"training, row {t}")
    ax.set_xlabel("step")
    ax.legend(fontsize=8)


@draws("MF855", "MF856")
def timeline(subject, check):
    dls = loaders_of(subject)
    axs = np.atleast_1d(axes(1, height=1.5))
    windows = dls.train_ds.windows
    starts, size = np.asarray(windows.starts), windows.size
    if check.code == "MF855":
        for split, colour, row in ((dls.train_ds, BLUE, 0), (dls.valid_ds, RED, 1)):
            for s in starts[np.asarray(split.indices)]:
                if s < 200:
                    axs[0].plot([s, s + size], [row + 0.012 * (s % 40)] * 2, color=colour, lw=1, alpha=0.6)
        axs[0].set(yticks=[0.2, 1.2], yticklabels=["training", "validation"], xlabel="day of one shop")
        return
    n = int(starts.max()) + size
    covered = np.zeros(n)
    for s in starts:
        covered[s:s + size] += 1
    axs[0].fill_between(range(n), covered, color=BLUE, step="mid")
    axs[0].fill_between(range(n), -1.5 * (covered == 0), 0, color=RED, step="mid")
    axs[0].set(xlabel="row (red: in no window)", ylabel="windows")


@draws("MF858")
def lengths_by_class(subject, check):
    ax = axes()
    dls = loaders_of(subject)
    pairs = [(dls.train_ds[i][0].shape[-1], int(dls.train_ds[i][1])) for i in range(len(dls.train_ds))]
    for c, name in enumerate(dls.vocab):
        histogram(ax, [n for n, k in pairs if k == c], name, CLASSES[c], bins=np.arange(28, 42) - 0.5)
    ax.set_xlabel("steps of a series")
    ax.legend(fontsize=8)


@draws("MF859")
def cut(subject, check):
    from zoo_series import waves
    ax = axes()
    x, _ = waves(shortest=30)
    for k, s in enumerate(x[:3]):
        ax.plot(np.arange(10), s[0, :10] - 3 * k, color=BLUE)
        ax.plot(np.arange(9, s.shape[1]), s[0, 9:] - 3 * k, color=GREY)
    ax.axvline(9.5, color=RED)
    ax.set(xlabel="step (grey: what max_len=10 cuts off)", yticks=[])

