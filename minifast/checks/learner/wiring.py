"""Wiring: does the model meet its data, its loss and its optimizer in the way they are meant to meet?"""
import torch
from torch import nn

from ...core.messages import describe, plural
from ...core.nested import leaves
from ...nn.loss_traits import class_axis, loss_name, needs_same_shape
from ...nn.target_checks import check_target
from ...optim.groups import NORM_TYPES, param_groups
from ..report import NEEDS, issue, not_applicable, passed, skipped, tip


# -- pure functions of tensors ------------------------------------------------------------------------------------------------------
def bad_values(x):
    "How many values of the tensors in `x` are not finite."
    return sum(int((~torch.isfinite(t)).sum()) for t in leaves(x) if isinstance(t, torch.Tensor) and t.is_floating_point())


def looks_like(pred, axis=1):
    """What the values of `pred` look like along the class axis: 'softmax' (each row 0..1 with sum 1), 'log_softmax', 'sigmoid' (all
    strictly between 0 and 1), 'relu' (none negative, many exactly 0) or 'free'."""
    pred = pred.detach().float()
    if not torch.isfinite(pred).all() or pred.numel() < 8 or float(pred.max() - pred.min()) < 1e-6:
        return "free"
    axis = axis if pred.ndim > abs(axis) else -1
    low, high = float(pred.min()), float(pred.max())
    rows = pred.shape[axis] if pred.ndim > 1 else 1
    if rows > 1 and low >= 0 and high <= 1 and float((pred.sum(axis) - 1).abs().max()) < 1e-3:
        return "softmax"
    if rows > 1 and high <= 1e-6 and float(pred.logsumexp(axis).abs().max()) < 1e-3:
        return "log_softmax"
    if low > 0 and high < 1:
        return "sigmoid"
    if low == 0 and float((pred == 0).float().mean()) > 0.1:
        return "relu"
    return "free"


def bounds(values):
    "(lowest, highest) of a tensor."
    return float(values.min()), float(values.max())


def best_and_worst(kind, pred, y, axis=1):
    "Predictions that are as right and as wrong as can be for the targets `y`, of the shape of `pred`; None where it is not known how."
    if kind == "class logits" and not y.is_floating_point() and y.ndim == pred.ndim - 1:
        n = pred.shape[axis]
        labels = y.long().clamp(0, n - 1)
        hot = torch.nn.functional.one_hot(labels, n).movedim(-1, axis).to(pred.dtype)
        shifted = torch.nn.functional.one_hot((labels + 1) % n, n).movedim(-1, axis).to(pred.dtype)
        return hot * 20 - 10, shifted * 20 - 10
    if kind == "logits" and y.numel() == pred.numel():
        right = (y.reshape(pred.shape).to(pred.dtype) * 2 - 1) * 10
        return right, -right
    if kind == "values" and y.numel() == pred.numel() and y.is_floating_point():
        right = y.reshape(pred.shape).to(pred.dtype)
        return right, right.flip(0) + 2 * right.std().nan_to_num(1.0) + 1.0
    return None


# -- checks -------------------------------------------------------------------------------------------------------------------------
def finite(probe):
    step = probe.step
    bad_x, bad_y = bad_values((step.xb, step.kw)), bad_values(step.yb)
    weights = [n for n, t in [*probe.model.named_parameters(), *probe.model.named_buffers()] if bad_values(t)]
    if bad_x or bad_y or weights:
        where = [*(["the inputs"] if bad_x else []), *(["the targets"] if bad_y else []), *(weights[:3])]
        return issue("MF101", f"NaN or infinite values in {', '.join(where)}", inputs=bad_x, targets=bad_y, weights=len(weights))
    return passed("MF101")


def runs(probe):
    step = probe.step
    if probe.loss_func is None:
        return issue("MF102", "the learner has no loss function", "write Learner(dls, model, loss_func=...)")
    if not step.yb:
        return issue("MF102", "the batches have no target", "give the loader pairs (input, target), or n_inp=")
    inputs = describe(tuple(step.xb)) if step.xb else describe(step.kw)
    try:
        pred = probe.output(training=True)
        probe.once("pred", probe.output)
    except Exception as e:
        return issue("MF102", f"the model fails on a batch ({inputs}): {type(e).__name__}: {_first_line(e)}")
    if isinstance(pred, torch.Tensor) and not torch.isfinite(pred).all():
        return issue("MF102", f"the output for finite inputs is not finite ({describe(pred)})",
                     "look for a division by zero, a log of 0, or weights that are far too large", not_finite=bad_values(pred))
    return passed("MF102", f"{inputs} -> {describe(pred)}")


def _first_line(e):
    return (str(e).splitlines() or [""])[0][:300]


def target_fits(probe):
    step, pred = probe.step, probe.pred
    y = step.yb[0] if len(step.yb) == 1 else step.yb
    try:
        check_target(probe.loss_func, pred, y)
    except ValueError as e:
        text = str(e)
        if "probabilities, but the model returns values" in text:        # the target is fine: MF105 says what is not
            return skipped("MF103", f"{NEEDS} MF105, which failed")
        return issue("MF103", text, "change what the sentence names")
    try:
        probe.reset()
        out = probe.predict(step)
        loss = probe.loss(out, step)
    except Exception as e:
        return issue("MF103", f"the loss fails on predictions {describe(pred)} and targets {describe(y)}: {type(e).__name__}: "
                              f"{_first_line(e)}")
    if not isinstance(loss, torch.Tensor) or loss.ndim:
        return issue("MF103", f"the loss must be one number (a 0-d tensor), but it is {describe(loss)}",
                     "use reduction='mean', or return loss.mean()")
    if not torch.isfinite(loss):
        return issue("MF103", f"the loss of the first batch is {float(loss)} for finite predictions and targets",
                     "use a loss that works on raw outputs (with the logarithm inside), or clamp what it divides by")
    spoiled = _broadcasts(probe, pred, step)
    if spoiled:
        return issue("MF103", spoiled, f"return pred.view{tuple(step.y.shape)} from the model, or flatten both in the loss")
    return passed("MF103", f"{loss_name(probe.loss_func)} of {describe(pred)} and {describe(y)}", loss=float(loss.detach()))


def _broadcasts(probe, pred, step):
    """A loss of the user's own that broadcasts (n,1) against (n,): its value changes when the target is given the shape of the prediction.
    None if it does not."""
    y = step.y
    if needs_same_shape(probe.loss_func) or probe.kind is not None or y is None or not isinstance(pred, torch.Tensor):
        return None
    if not y.is_floating_point() or pred.shape == y.shape or pred.numel() != y.numel():
        return None
    try:
        plain, matched = float(probe.loss_func(pred, y)), float(probe.loss_func(pred, y.reshape(pred.shape)))
    except Exception:
        return None
    if abs(plain - matched) <= 1e-4 * (abs(matched) + 1e-6):
        return None
    return (f"the loss is {plain:.4g} for targets {describe(y)}, and {matched:.4g} once they have the shape of the predictions "
            f"({describe(pred)}): torch broadcasts them against each other, so each prediction is compared with every target")


def outputs_match_classes(probe):
    n_classes, pred = getattr(probe.learn.dls, "c", None), probe.pred
    if not isinstance(pred, torch.Tensor) or probe.kind is None or probe.kind == "values" or not isinstance(n_classes, int):
        return not_applicable("MF104", "the data does not say how many classes there are" if not isinstance(n_classes, int) else
                              "the outputs are no classes")
    n_out = pred.shape[class_axis(probe.loss_func, pred)] if pred.ndim > 1 else 1
    numbers = {"n_out": n_out, "classes": n_classes}
    if n_out == n_classes or (n_out == 1 and n_classes <= 2 and probe.kind in ("logits", "probabilities")):
        return passed("MF104", **numbers)
    if n_out < n_classes:
        return issue("MF104", f"the model has {n_out} outputs, the data {n_classes} classes", **numbers)
    return tip("MF104", f"the model has {n_out} outputs for {n_classes} classes: the others are only ever pushed down", **numbers)


_MEANT = {"class logits": ("free", "relu"), "class log-probabilities": ("log_softmax",), "logits": ("free", "relu"),
          "probabilities": ("sigmoid", "softmax")}


def activation_fits(probe):
    pred, kind = probe.pred, probe.kind
    if kind not in _MEANT or not isinstance(pred, torch.Tensor):
        return not_applicable("MF105", "it is not known what the loss expects" if kind is None else "any output will do")
    axis = class_axis(probe.loss_func, pred)
    found = _steady_look(probe, pred, axis)
    name = loss_name(probe.loss_func)
    if kind == "class logits":
        if found in ("softmax", "sigmoid"):
            return issue("MF105", f"the outputs went through a {found} already, and {name} applies softmax again: gradients become small "
                                  "and the loss cannot reach 0", outputs=found, best_loss=_floor(pred, axis, found))
        if found == "log_softmax":
            return tip("MF105", f"the outputs went through log_softmax, and {name} applies it again, without effect",
                       "leave it out of the model", outputs=found)
    if kind == "logits" and found in ("sigmoid", "softmax"):
        return issue("MF105", f"the outputs went through a {found} already, and {name} applies a sigmoid again: every probability is then "
                              "at least 0.5", outputs=found)
    if kind == "class log-probabilities" and found != "log_softmax":
        has = "probabilities without the logarithm" if found == "softmax" else "raw outputs"
        return issue("MF105", f"{name} takes logarithms of probabilities, but the model gives {has}: the loss has no lower limit",
                     "end the model with nn.LogSoftmax(1), or use CrossEntropyLossFlat() on raw outputs", outputs=found)
    if kind == "probabilities" and (float(pred.min()) < 0 or float(pred.max()) > 1):
        return issue("MF105", f"{name} takes probabilities, but the outputs go from {float(pred.min()):.3g} to {float(pred.max()):.3g}",
                     "use BCEWithLogitsLossFlat(), which is also more exact")
    return passed("MF105", f"outputs look {found}")


def _steady_look(probe, pred, axis):
    "What the outputs look like, for the batch and for inputs many times as large: a bounded activation stays bounded."
    found = looks_like(pred, axis)
    if found in ("free", "relu") or not probe.step.float_inputs:
        return found
    wild = probe.output(probe.step.with_inputs(lambda t: t * 30 if t.is_floating_point() else t))
    if not torch.isfinite(wild).all():
        return found
    bounded = float(wild.min()) >= 0 and float(wild.max()) <= 1
    return found if looks_like(wild, axis) == found or (found == "sigmoid" and bounded) else "free"


def _floor(pred, axis, found):
    "The lowest cross entropy that outputs in 0..1 can have: one of them 1, the others 0."
    n = pred.shape[axis]
    return float(torch.log1p((n - 1) * torch.exp(torch.tensor(-1.0))))


def last_layer(probe):
    "The last module without children that is run, and its name; (None, '') if none has been seen."
    seen = probe.layers_run()
    return (seen[-1], next(n for n, m in probe.model.named_modules() if m is seen[-1])) if seen else (None, "")


def reach(probe):
    "Bounded outputs (ReLU, sigmoid, tanh at the end) against the range of the targets or the need for negative logits."
    pred, y = probe.pred, probe.step.y
    if not isinstance(pred, torch.Tensor) or not pred.is_floating_point():
        return not_applicable("MF106", "the output is no tensor of floats")
    module, name = last_layer(probe)
    found = looks_like(pred, class_axis(probe.loss_func, pred))
    if probe.kind in ("class logits", "logits"):
        if isinstance(module, (nn.ReLU, nn.ReLU6)) or found == "relu":
            return issue("MF106", f"the outputs pass a ReLU at the end: {float((pred == 0).float().mean()):.0%} of them are exactly 0, "
                                  "where no gradient passes, and none can be negative",
                         zeros=float((pred == 0).float().mean()))
        if isinstance(module, nn.Tanh):
            return issue("MF106", "the outputs pass a tanh at the end: logits from -1 to 1 leave every probability near that of a guess")
        return passed("MF106")
    if probe.kind != "values" or y is None or not y.is_floating_point():
        return not_applicable("MF106", "the targets are no numbers")
    ys = torch.cat([s.y.flatten().float() for s in probe.steps(4) if s.y is not None])
    low, high = bounds(ys)
    limits = _limits(module, pred)
    if limits is None:
        return passed("MF106", targets=[low, high])
    outside = float(((ys < limits[0]) | (ys > limits[1])).float().mean())
    at_edge = float(((ys <= limits[0]) | (ys >= limits[1])).float().mean())
    said = (f"the outputs stay between {limits[0]:.4g} and {limits[1]:.4g} ({name or type(module).__name__}), the targets go from "
            f"{low:.4g} to {high:.4g}")
    if outside > 0:
        return issue("MF106", said, targets_out_of_reach=outside)
    if at_edge > 0.02 and limits[1] != float("inf"):
        return tip("MF106", said + ": the ends of such a range are only reached in the limit", at_the_ends=at_edge)
    return passed("MF106", said)


def _limits(module, pred):
    "(lowest, highest) value the last module can give, or None where there is no limit."
    inf = float("inf")
    if isinstance(module, nn.Sigmoid):
        return 0.0, 1.0
    if isinstance(module, (nn.Tanh, nn.Softsign)):
        return -1.0, 1.0
    if isinstance(module, (nn.ReLU, nn.Softplus)):
        return 0.0, inf
    if isinstance(module, nn.Softmax):
        return 0.0, 1.0
    if type(module).__name__ == "SigmoidRange":
        return float(module.low), float(module.high)
    return (0.0, inf) if looks_like(pred) == "relu" else None


def scale(probe):
    """Float inputs far from mean 0 and standard deviation 1: un-normalised pictures (0..255), columns of thousands. A norm layer that comes
    first makes up for it."""
    tensors = probe.step.float_inputs
    if not tensors:
        return not_applicable("MF107", "no input is made of floats")
    worst = {"mean": 0.0, "std": 1.0, "size": 0.0}
    for t in [t for s in probe.steps(4) for t in s.float_inputs]:
        t = t.detach().float()
        size = float(t.square().mean().sqrt())
        if size > worst["size"]:
            worst = {"mean": float(t.mean()), "std": float(t.std()), "size": size}
    small = max(float(t.detach().float().square().mean().sqrt()) for t in tensors)
    if starts_with_norm(probe):
        return passed("MF107", "a norm layer comes first", **worst)
    if worst["size"] > 20:
        return issue("MF107", f"the inputs have mean {worst['mean']:.4g} and standard deviation {worst['std']:.4g}", **worst)
    if worst["size"] > 5 or 0 < small < 0.05:
        return tip("MF107", f"the inputs have mean {worst['mean']:.4g} and standard deviation {worst['std']:.4g}", **worst)
    return passed("MF107", **worst)


def starts_with_norm(probe):
    "Whether a norm layer sees the inputs before any layer with weights does."
    order = []
    layers = [m for m in probe.model.modules() if isinstance(m, NORM_TYPES) or any(True for _ in m.parameters(recurse=False))]
    handles = [m.register_forward_hook(lambda mod, i, o: order.append(mod)) for m in layers]
    try:
        probe.output()
    finally:
        for h in handles:
            h.remove()
    order = [m for m in order if not isinstance(m, (nn.Embedding, nn.EmbeddingBag))]
    return bool(order) and isinstance(order[0], NORM_TYPES)


def something_to_train(probe):
    "Every parameter frozen, or the graph cut between model and loss."
    trainable = [n for n, p in probe.model.named_parameters() if p.requires_grad]
    total = sum(1 for _ in probe.model.parameters())
    if not trainable:
        return issue("MF108", f"all {plural(total, 'parameter')} of the model are frozen (requires_grad=False)", parameters=total,
                     advice="unfreeze: learn.unfreeze(), or requires_grad_(True)")
    probe.reset()
    pred = probe.predict(probe.step)
    if isinstance(pred, torch.Tensor) and not pred.requires_grad:
        return issue("MF108", "the output of the model has no gradient: the graph is cut inside the model (detach, no_grad, argmax, numpy)",
                     trainable=len(trainable))
    loss = probe.loss(pred, probe.step)
    if not loss.requires_grad:
        return issue("MF108", "the loss has no gradient although the output has: the loss detaches it (detach, item, argmax)",
                     trainable=len(trainable))
    return passed("MF108", f"{len(trainable)} of {plural(total, 'parameter')}", trainable=len(trainable), parameters=total)


def optimizer_holds(probe):
    "The parameters of the learner's optimizer (or, before there is one, of its splitter) against those of its model."
    learn, model = probe.learn, probe.learn.model
    names = {id(p): n for n, p in model.named_parameters()}
    if learn.opt is None:
        try:
            groups = param_groups(model, learn.splitter(model), learn.wd_bn_bias)
        except ValueError as e:
            return issue("MF109", _first_line(e), "correct the splitter: each trainable parameter belongs to exactly one layer group")
    else:
        groups = learn.opt.param_groups
    held = [id(p) for g in groups for p in g["params"]]
    missing = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in set(held)]
    strangers = [i for i in held if i not in names]
    if missing:
        return issue(
            "MF109",
            f"{plural(len(missing), 'trainable parameter')} not in the optimizer: {', '.join(missing[:4])}",
            missing=len(missing),
            not_of_this_model=len(strangers),
            items=missing,
        )
    if strangers:
        return issue("MF109", f"the optimizer holds {plural(len(strangers), 'parameter')} that the model does not have",
                     not_of_this_model=len(strangers))
    twice = len(held) - len(set(held))
    if twice:
        return issue("MF109", f"{plural(twice, 'parameter')} in the optimizer more than once", twice=twice)
    return passed("MF109", held=len(held))


def rewards_right(probe):
    "A loss of the user's own on perfect and on wrong predictions: the perfect ones must cost less."
    pred, y = probe.pred, probe.step.y
    if probe.kind is not None or y is None or not isinstance(pred, torch.Tensor) or not pred.is_floating_point():
        return not_applicable(
            "MF111", "the loss is a known one" if probe.kind is not None else "it is not known what a perfect prediction is"
        )
    kind = "values" if y.is_floating_point() else "class logits"
    made = best_and_worst(kind, pred, y, class_axis(probe.loss_func, pred))
    if made is None:
        return not_applicable("MF111", "it is not known what a perfect prediction is")
    good, bad = (float(probe.loss(o, probe.step)) for o in made)
    numbers = {"perfect": good, "wrong": bad}
    if good > bad + 1e-6 * abs(bad):
        return issue("MF111", f"the loss is {good:.4g} for perfect predictions and {bad:.4g} for wrong ones", **numbers)
    return passed("MF111", **numbers)


_CHANCE = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def modes(probe):
    "Modules that do not follow the mode of the model, and outputs that differ from one evaluation to the next."
    model = probe.reset(training=True)
    names = {m: n for n, m in model.named_modules()}
    moving = (*_CHANCE, *NORM_TYPES)
    stuck_eval = [names[m] for m in model.modules() if isinstance(m, moving) and not m.training
                  and (not isinstance(m, NORM_TYPES) or any(p.requires_grad for p in m.parameters(recurse=False)))]
    probe.mode(False)
    stuck_train = [names[m] for m in model.modules() if isinstance(m, moving) and m.training]
    if stuck_train:
        return issue("MF110", f"stays in training mode when the model evaluates: {', '.join(stuck_train[:4])}", items=stuck_train,
                     stuck=len(stuck_train))
    one, two = probe.output(), probe.output()
    if isinstance(one, torch.Tensor) and not torch.allclose(one, two, rtol=1e-3, atol=1e-5 + 1e-4 * float(one.abs().mean())):
        return issue("MF110", "the output differs between two evaluations of the same batch: something random (dropout) is on in eval mode",
                     largest_difference=float((one - two).abs().max()))
    if stuck_eval:
        return tip("MF110", f"stays in evaluation mode in training: {', '.join(stuck_eval[:4])}", items=stuck_eval,
                   advice="if that is not meant, do not override train()", stuck=len(stuck_eval))
    return passed("MF110")
