"""What the pictures of docs/checks.md show below the line of the report: for each code a figure of the broken set-up that was checked.

`DRAW[code](subject, check)` draws on matplotlib's current figure. subject: a learner or loaders of the zoo in tests/checks.
"""
import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageFile

BLUE, RED, GREY, GREEN = "#4477aa", "#cc3311", "#bbbbbb", "#228833"
CLASSES = [BLUE, "#ee7733", GREEN, "#aa3377", GREY]
DRAW = {}


def draws(*codes):
    def add(f):
        DRAW.update(dict.fromkeys(codes, f))
        return f
    return add


# -- parts --------------------------------------------------------------------------------------------------------------------------
def axes(n=1, width=6.2, height=2.0, **kwargs):
    _, axs = plt.subplots(1, n, figsize=(width, height), layout="constrained", squeeze=False, **kwargs)
    for ax in axs[0]:
        ax.spines[["top", "right"]].set_visible(False)
    return axs[0] if n > 1 else axs[0][0]


def loaders_of(subject):
    return getattr(subject, "dls", subject)


def batch_of(subject, split=0):
    "Inputs and targets of the first batch."
    return [t.as_subclass(torch.Tensor) for t in loaders_of(subject)[split].one_batch()]


def everything(subject, split=0):
    "Inputs and targets of a whole split."
    parts = list(loaders_of(subject)[split].new(bs=64, shuffle=False, drop_last=False))
    return [torch.cat([p[i].as_subclass(torch.Tensor) for p in parts]) for i in (0, -1)]


def histogram(ax, values, label=None, color=BLUE, bins=40, **kwargs):
    values = np.asarray(values, float).ravel()
    ax.hist(values[np.isfinite(values)], bins=bins, color=color, label=label, alpha=0.75, **kwargs)
    ax.set_yticks([])


def bars(ax, names, values, color=BLUE, log=False, says=""):
    ax.barh(range(len(names)), values, color=color, height=0.65)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    if log:
        ax.set_xscale("log")
    ax.set_xlabel(says)


def heat(ax, values, xlabel, ylabel, says=None, **kwargs):
    cmap = copy.copy(plt.get_cmap(kwargs.pop("cmap", "viridis")))
    cmap.set_bad(RED)
    values = np.ma.masked_invalid(np.asarray(values, float))
    image = ax.imshow(values, aspect="auto", interpolation="nearest", cmap=cmap, **kwargs)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if says:
        plt.colorbar(image, ax=ax, label=says)


def outputs(learn, x, train=False):
    learn.model.train(train)
    with torch.no_grad():
        out = learn.model(x)
    return (out[0] if isinstance(out, tuple) else out).as_subclass(torch.Tensor)


def backward(learn):
    "Gradients of the first batch, by name."
    x, y = batch_of(learn)
    learn.model.train()
    learn.model.zero_grad()
    loss = learn.loss_func(learn.model(x), y)
    if loss.requires_grad:
        loss.backward()
    return {name: 0.0 if p.grad is None else float(p.grad.norm()) for name, p in learn.model.named_parameters()}


def from_evidence(code, title, names):
    "A drawing of some of the numbers of a check: a name for each key of its evidence."
    def draw(subject, check):
        found = {name: check.evidence[key] for key, name in names.items() if key in check.evidence}
        bars(axes(height=0.6 + 0.3 * len(found)), list(found), list(found.values()), says=title)
    DRAW[code] = draw


# -- the model meets a batch --------------------------------------------------------------------------------------------------------
@draws("MF101", "MF831")
def non_finite(subject, check):
    x, _ = batch_of(subject)
    heat(axes(), x[:32].T, "item of the first batch", "column", "value (red: NaN or infinite)")


@draws("MF106")
def unreachable(learn, check):
    ax = axes()
    histogram(ax, outputs(learn, batch_of(learn)[0]))
    ax.set_xlabel("outputs of the model for a batch")


@draws("MF105")
def probabilities(learn, check):
    p = outputs(learn, batch_of(learn)[0])
    ax = axes()
    histogram(ax, p, "what the model returns: sums to 1 already")
    histogram(ax, p.softmax(-1), "what the loss makes of it", RED)
    ax.legend(fontsize=8)


@draws("MF107", "MF832")
def input_scale(subject, check):
    x = batch_of(subject)[0]
    ax = axes()
    histogram(ax, x, "inputs of a batch")
    histogram(ax, np.random.default_rng(0).normal(size=x.numel()), "mean 0, standard deviation 1", GREEN, bins=15)
    ax.legend(fontsize=8)


@draws("MF110")
def two_evaluations(learn, check):
    x = batch_of(learn)[0]
    ax = axes(width=3.2, height=2.4)
    ax.plot(outputs(learn, x).ravel(), outputs(learn, x).ravel(), ".", color=RED)
    ax.axline((0, 0), slope=1, color=GREY)
    ax.set(xlabel="outputs in eval mode", ylabel="the same, once more")


@draws("MF112")
def target_scale(learn, check):
    x, y = batch_of(learn)
    ax = axes()
    histogram(ax, y, "targets")
    ax.axvline(float(outputs(learn, x).mean()), color=RED, lw=2, label="outputs at the start")
    ax.legend(fontsize=8)


# -- independence -------------------------------------------------------------------------------------------------------------------
@draws("MF201", "MF202")
def dependence(learn, check):
    "How much each output changes when an input is replaced."
    x = batch_of(learn)[0]
    steps = check.code == "MF202"
    x = x[:1] if steps else x
    n = x.shape[1] if steps else len(x)
    before, changes = outputs(learn, x), []
    for j in range(n):
        other = x.clone()
        part = other[:, j] if steps else other[j]
        part[...] = (part + 1) % 10 if steps else part + 1
        changed = (outputs(learn, other) - before).abs()
        changes.append((changed[0] if steps else changed).sum(-1) > 1e-6)
    what = "step" if steps else "item"
    ax = axes(width=3.4, height=2.8)
    heat(ax, torch.stack(changes).T, f"{what} that is replaced", f"{what} whose output changes", cmap="Blues", vmin=0, vmax=1)


# -- the learning signal ------------------------------------------------------------------------------------------------------------
@draws("MF301")
def same_weights(learn, check):
    first = next(p for p in learn.model.parameters() if p.ndim > 1)
    heat(axes(height=1.6), first.detach().T, "unit of the first layer", "input", "weight", vmin=-1, vmax=1, cmap="RdBu")


@draws("MF302")
def dead_units(learn, check):
    x, *layers = batch_of(learn)[0], *learn.model
    acts = []
    with torch.no_grad():
        for layer in layers:
            x = layer(x)
            acts += [x] if type(layer).__name__ == "ReLU" else []
    heat(axes(), (acts[-1] != 0).float(), "unit of the last hidden layer", "item", "responds", vmin=0, vmax=1, cmap="Blues")


@draws("MF303", "MF305")
def gradient_norms(learn, check):
    norms = {name: norm for name, norm in backward(learn).items() if name.endswith("weight") or check.code == "MF305"}
    ax = axes(height=0.7 + 0.2 * len(norms))
    bars(ax, list(norms), list(norms.values()), [BLUE if v else RED for v in norms.values()], check.code == "MF303", "norm of the gradient")
    if check.code == "MF305":
        for k, v in enumerate(norms.values()):
            ax.annotate("" if v else " none", (0, k), color=RED, va="center")


@draws("MF304")
def unused_inputs(learn, check):
    x = batch_of(learn)[0].requires_grad_()
    out = learn.model(x).sum()
    grad = torch.autograd.grad(out, x, allow_unused=True)[0]
    found = torch.zeros(x.shape[1]) if grad is None else grad.abs().mean(0)
    ax = axes(height=1.5)
    ax.bar(range(len(found)), found, color=BLUE)
    for k, value in enumerate(found):
        ax.annotate(f"{value:.1g}", (k, value), color=RED, ha="center", va="bottom")
    ax.set(xlabel="input", ylabel="mean |gradient|", ylim=(0, 1))


@draws("MF306")
def flat_loss(learn, check):
    x, y = batch_of(learn)
    losses, norms = [], []
    for i in range(len(x)):
        learn.model.zero_grad()
        loss = learn.loss_func(learn.model(x[i:i + 1]), y[i:i + 1])
        loss.backward()
        losses.append(float(loss))
        norms.append(sum(float(p.grad.norm()) for p in learn.model.parameters()))
    ax = axes()
    ax.bar(range(len(x)), losses, color=GREY, label="loss")
    ax.plot(norms, "o", color=RED, label="norm of its gradient")
    ax.set(xlabel="item of the batch")
    ax.legend(fontsize=8, ncol=2, loc="upper center", bbox_to_anchor=(0.5, 1.25))


@draws("MF307")
def adding_up(learn, check):
    norms = []
    x, y = batch_of(learn)
    for _ in range(8):
        learn.loss_func(learn.model(x), y).backward()
        norms.append(sum(float(p.grad.norm()) for p in learn.model.parameters()))
    ax = axes(height=1.7)
    ax.plot(range(1, 9), norms, "o-", color=RED)
    ax.set(xlabel="step on the same batch", ylabel="norm of the gradient", ylim=(0, None))


@draws("MF308")
def update_ratio(learn, check):
    names = ["smallest", "median", "largest"]
    ax = axes(height=1.5)
    ax.axvspan(1e-3, 1e-1, color=GREEN, alpha=0.2)
    bars(ax, names, [check.evidence[name] for name in names], RED, True, "change of the weights per step, relative to them (green: good)")
    ax.set_xlim(1e-4, None)


@draws("MF310")
def decayed(learn, check):
    opt = learn.create_opt()
    decay = {id(p): g.get("weight_decay", g.get("wd", 0)) for g in opt.param_groups for p in g["params"]}
    named = dict(learn.model.named_parameters())
    right = [p.ndim > 1 for p in named.values()]
    ax = axes(height=0.7 + 0.22 * len(named))
    bars(ax, list(named), [decay.get(id(p), 0) for p in named.values()], [BLUE if r else RED for r in right],
         says="weight decay (red: norm layers and biases)")


# -- capacity and evaluation --------------------------------------------------------------------------------------------------------
@draws("MF501", "MF502")
def cannot_overfit(learn, check):
    n = 1 if check.code == "MF501" else 8
    torch.manual_seed(0)
    model, (x, y) = copy.deepcopy(learn.model).train(), batch_of(learn)
    opt, losses = torch.optim.Adam(model.parameters(), check.evidence["lr"]), []
    for _ in range(120):
        opt.zero_grad()
        loss = learn.loss_func(model(x[:n]), y[:n])
        loss.backward()
        opt.step()
        losses.append(float(loss))
    ax = axes()
    ax.plot(losses, color=RED)
    ax.axhline(0, color=GREEN)
    ax.set(xlabel=f"step on the same {n} item{'s' * (n > 1)}", ylabel="loss (green: where it should go)")


@draws("MF601")
def validations(learn, check):
    losses = [float(learn.validate()[0]) for _ in range(8)]
    ax = axes(height=1.6)
    ax.plot(range(1, 9), losses, "o-", color=RED)
    ax.set(xlabel="validation of the same model", ylabel="loss")


@draws("MF602")
def predict_and_get_preds(learn, check):
    dl = loaders_of(learn).valid
    together = learn.get_preds()[0][:, 0]
    items = loaders_of(learn).valid_ds.items[:len(together)]
    alone = [float(learn.predict(item)[2][0]) for item in items[:12]]
    ax = axes(width=3.4, height=2.6)
    ax.plot(together[:len(alone)], alone, "o", color=RED)
    ax.axline((float(together.mean()), float(together.mean())), slope=1, color=GREY)
    ax.set(xlabel=f"get_preds, {len(dl.one_batch()[0])} items a batch", ylabel="predict, one by one")


# -- data: files --------------------------------------------------------------------------------------------------------------------
def images(paths, titles=None):
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    axs = axes(len(paths), width=1.5 * len(paths), height=1.7)
    for ax, path, title in zip(np.atleast_1d(axs), paths, titles or [p.name for p in paths], strict=True):
        try:
            with Image.open(path) as im:
                ax.imshow(im.convert("RGB"))
        except OSError:
            ax.text(0.5, 0.5, "cannot\nbe read", color=RED, ha="center", va="center", transform=ax.transAxes)
        ax.set_title(title, fontsize=8)
        ax.axis("off")
    ImageFile.LOAD_TRUNCATED_IMAGES = False


@draws("MF801", "MF806", "MF807", "MF808")
def odd_images(subject, check):
    odd = check.items[:4]
    others = [p for p in loaders_of(subject).train_ds.items if p not in check.items][:max(1, 4 - len(odd))]
    images([*odd, *others])


@draws("MF805")
def groups_on_both_sides(subject, check):
    dls = loaders_of(subject)
    group = {}
    for side, dl in (("training", dls.train_ds), ("validation", dls.valid_ds)):
        for path in dl.items:
            number = int(path.stem.split("_")[-1]) % 1000
            group.setdefault(number % 2 if len(check.items) == 2 else number, {}).setdefault(side, []).append(path)
    shared = next(sides for sides in group.values() if len(sides) == 2)
    picked = [(side, path) for side in ("training", "validation") for path in shared[side][:2]]
    images([path for _, path in picked], [f"{side}\n{path.name}" for side, path in picked])
