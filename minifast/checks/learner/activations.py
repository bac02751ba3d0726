"""What flows through the layers: scaled inputs, dead and saturated units, biases that a norm layer subtracts; train and eval mode."""
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from ...learner.probe import Probe
from ...optim.groups import NORM_TYPES
from ..outcomes import Check, graded, issue, require
from .outputs import last_layer

#: Modules that draw at random in training mode.
DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_BOUNDED = {nn.Sigmoid: (0, 1), nn.Tanh: (-1, 1), nn.Hardsigmoid: (0, 1), nn.Hardtanh: (-1, 1)}
_SUBTRACTING = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


def dead_share(activations: torch.Tensor) -> float:
    "The share of the units of `activations` (items, units, ...) that are exactly 0 for every item and place."
    return float((activations.detach().movedim(1, 0).flatten(1) == 0).all(1).float().mean())


def saturated_share(activations: torch.Tensor, low: float, high: float, margin: float = 0.02) -> float:
    "The share of the values of `activations` within `margin` of the range from the ends of a bounded activation."
    edge = margin * (high - low)
    return float(((activations < low + edge) | (activations > high - edge)).float().mean())


def _shares(probe):
    "By layer: the share of dead units going into it, of all layers with weights but the first; and of saturated values, in eval mode."
    dead, saturated, names = {}, {}, {m: n for n, m in probe.model.named_modules()}

    def look(module, args, out):
        x = args[0] if args else None
        if module in names and isinstance(module, _WEIGHTED) and isinstance(x, torch.Tensor) and x.is_floating_point() and x.ndim > 1:
            units_first = x.movedim(-1, 1) if isinstance(module, nn.Linear) and x.ndim > 2 else x       # a linear layer has units last
            dead.setdefault(names[module], dead_share(units_first))
        if module in names and type(module) in _BOUNDED and isinstance(out, torch.Tensor):
            saturated.setdefault(names[module], saturated_share(out.detach(), *_BOUNDED[type(module)]))

    with register_module_forward_hook(look):
        probe.output()
    return dict(list(dead.items())[1:]), saturated


def input_scale(probe: Probe) -> Check:
    """Float inputs far from mean 0 and standard deviation 1: images of 0..255, columns of thousands. A norm layer that comes first makes up
    for it."""
    require(probe.step.float_inputs, "no input is made of floats")
    values = [t.detach().float() for s in probe.steps(4) for t in s.float_inputs]
    values = [t[~t.isnan()] if t.ndim == 3 and bool(t.isnan().any()) else t for t in values]            # NaN pads series
    sizes = [(float(t.square().mean().sqrt()), t) for t in values]
    size, worst = max(sizes, key=lambda o: o[0])
    mean, std, normalised = float(worst.mean()), float(worst.std()), _starts_with_norm(probe)
    tiny = 0 < min(s for s, _ in sizes[:len(probe.step.float_inputs)]) < 0.05
    off_centre = abs(mean) > 1.2 * std and not _only_few_values(worst)
    found = f"the inputs have mean {mean:.4g} and standard deviation {std:.4g}"
    why = "the model scales them itself" if getattr(probe.model, "scales_inputs", False) else "a norm layer comes first"
    return graded(found, size > 20 and not normalised, (size > 5 or tiny or off_centre) and not normalised,
                  fine=why if normalised else found, mean=mean, std=std, size=size)


def _only_few_values(x):
    "Whether these are flags, or ink on paper, rather than measured values."
    return len(x.unique()) <= 3


def _starts_with_norm(probe):
    "Whether a norm layer sees the inputs before any layer with weights does, embeddings aside; or a model says that it scales them."
    if getattr(probe.model, "scales_inputs", False):
        return True
    layers = [m for m in probe.layers_run() if isinstance(m, NORM_TYPES) or any(True for _ in m.parameters(recurse=False))]
    return isinstance(next((m for m in layers if not isinstance(m, (nn.Embedding, nn.EmbeddingBag))), None), NORM_TYPES)


def dead_and_saturated_units(probe: Probe) -> Check:
    "Hidden units that are 0 for all items, and bounded activations at their ends."
    dead, saturated = _shares(probe)
    saturated.pop(last_layer(probe)[1], None)
    require(dead or saturated, "there is no hidden layer to look into")
    worst_dead, worst_saturated = (max(shares, key=shares.__getitem__, default="") for shares in (dead, saturated))
    dead_units, saturated_values = dead.get(worst_dead, 0.0), saturated.get(worst_saturated, 0.0)
    worst = max(dead_units, saturated_values)
    return graded(f"{dead_units:.0%} of the units that go into {worst_dead} are 0 for every item: dead" if dead_units >= 0.8 else
                  f"{worst:.0%} of the values of {worst_saturated} are at the ends of its range: saturated" if worst >= 0.8 else
                  f"half or more of the units at {worst_dead if dead_units >= 0.5 else worst_saturated} do not respond to the inputs",
                  worst >= 0.8, worst >= 0.5, dead_share=dead_units, saturated_share=saturated_values)


def bias_before_norm(probe: Probe) -> Check:
    "Layers whose bias is subtracted by the batch norm (or instance norm) right after them."
    names = {m: n for n, m in probe.model.named_modules() if isinstance(m, _WEIGHTED) or not any(True for _ in m.children())}
    require(any(isinstance(m, _SUBTRACTING) for m in names), "there is no norm layer that subtracts a bias")
    calls, makers, found = [], {}, []           # outputs are kept until the end, so that no id is used twice
    with register_module_forward_hook(lambda m, args, out: calls.append((m, args, out)) if m in names else None):
        probe.output(training=True)
    for module, args, out in calls:
        maker = makers.get(id(args[0])) if isinstance(module, _SUBTRACTING) and args else None      # the last, if others work in place
        if isinstance(maker, _WEIGHTED) and maker.bias is not None and maker.bias.requires_grad:
            found.append(names[maker])
        makers[id(out)] = module
    return graded(f"the bias of {', '.join(found[:3])} has no effect: the norm layer after it subtracts it", tip=found, items=found,
                  layers=len(found))


def train_and_eval_mode(probe: Probe) -> Check:
    "Modules that do not follow the mode of the model, and outputs that differ from one evaluation to the next."
    switching = {m: n for n, m in probe.reset(training=True).named_modules() if isinstance(m, (*DROPOUT, *NORM_TYPES))}
    stuck_in_eval = [n for m, n in switching.items() if not m.training
                     and (not isinstance(m, NORM_TYPES) or any(p.requires_grad for p in m.parameters(recurse=False)))]
    probe.mode(False)
    stuck_in_train = [n for m, n in switching.items() if m.training]
    if stuck_in_train:
        return issue(f"stays in training mode when the model evaluates: {', '.join(stuck_in_train[:4])}", items=stuck_in_train,
                     stuck=len(stuck_in_train))
    one, two = probe.output(), probe.output()
    if isinstance(one, torch.Tensor) and not torch.allclose(one, two, rtol=1e-3, atol=1e-5 + 1e-4 * float(one.abs().mean())):
        return issue("the output differs between two evaluations of the same batch: something random (dropout) is active in eval mode",
                     largest_difference=float((one - two).abs().max()))
    return graded(f"stays in evaluation mode in training: {', '.join(stuck_in_eval[:4])}", tip=stuck_in_eval,
                  advice="if that is not intended, do not override train()", items=stuck_in_eval, stuck=len(stuck_in_eval))
