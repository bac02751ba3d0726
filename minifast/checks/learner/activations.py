"""What flows through the layers: dead and saturated units, and biases that a norm layer subtracts again."""
from contextlib import ExitStack

import torch
from torch import nn

from ...learner.probe import Probe
from ..outcomes import Check, graded, require
from .outputs import last_layer

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

    def before(module, args):
        x = args[0] if args else None
        if isinstance(x, torch.Tensor) and x.is_floating_point() and x.ndim > 1:
            units_first = x.movedim(-1, 1) if isinstance(module, nn.Linear) and x.ndim > 2 else x       # a linear layer has units last
            dead.setdefault(names[module], dead_share(units_first))

    def after(module, args, out):
        if isinstance(out, torch.Tensor):
            saturated.setdefault(names[module], saturated_share(out.detach(), *_BOUNDED[type(module)]))

    with ExitStack() as stack:
        for m in names:
            if isinstance(m, _WEIGHTED):
                stack.enter_context(m.register_forward_pre_hook(before))
            if type(m) in _BOUNDED:
                stack.enter_context(m.register_forward_hook(after))
        probe.output()
    return dict(list(dead.items())[1:]), saturated


def dead_and_saturated_units(probe: Probe) -> Check:
    "Hidden units that are 0 for all items, and bounded activations at their ends."
    dead, saturated = _shares(probe)
    saturated.pop(last_layer(probe)[1], None)
    require(dead or saturated, "there is no hidden layer to look into")
    worst_dead, worst_saturated = (max(shares, key=shares.__getitem__, default="") for shares in (dead, saturated))
    dead_units, saturated_values = dead.get(worst_dead, 0.0), saturated.get(worst_saturated, 0.0)
    if dead_units >= 0.8:
        found = f"{dead_units:.0%} of the units that go into {worst_dead} are 0 for every item: dead"
    elif saturated_values >= 0.8:
        found = f"{saturated_values:.0%} of the values of {worst_saturated} are at the ends of its range: saturated"
    else:
        found = f"half or more of the units at {worst_dead if dead_units >= 0.5 else worst_saturated} do not respond to the inputs"
    worst = max(dead_units, saturated_values)
    return graded(found if worst >= 0.5 else "", worst >= 0.8, worst >= 0.5, dead_share=dead_units, saturated_share=saturated_values)


def bias_before_norm(probe: Probe) -> Check:
    "Layers whose bias is subtracted by the batch norm (or instance norm) right after them."
    names = {m: n for n, m in probe.model.named_modules()}
    outputs, found = {}, []                     # outputs are kept until the end, so that no id is used twice

    def after(module, args, out):
        outputs[id(out)] = module, out

    def before(module, args):
        maker, _ = outputs.get(id(args[0]), (None, None)) if args else (None, None)
        if maker is not None and maker.bias is not None and maker.bias.requires_grad:
            found.append(names[maker])

    norms = [m for m in names if isinstance(m, _SUBTRACTING)]
    require(norms, "there is no norm layer that subtracts a bias")
    with ExitStack() as stack:
        for m in names:
            if isinstance(m, _WEIGHTED):
                stack.enter_context(m.register_forward_hook(after))
        for m in norms:
            stack.enter_context(m.register_forward_pre_hook(before))
        probe.output(training=True)
    return graded(f"the bias of {', '.join(found[:3])} has no effect: the norm layer after it subtracts it" if found else "",
                  tip=bool(found), items=found, layers=len(found))
