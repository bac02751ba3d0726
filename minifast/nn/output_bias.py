"""What the last layer of a model gives on average, set by its bias: functions of tensors and layers, for models that are being made."""
import torch

__all__ = ["before_range", "give_outputs"]


def before_range(outputs, end):
    "What goes into a `SigmoidRange` `end` that gives `outputs`, and how steep it is there. Ends of the range are kept away from."
    share = ((outputs - end.low) / (end.high - end.low)).clamp(0.005, 0.995)
    return share.logit(), (end.high - end.low) * share * (1 - share)


@torch.no_grad()
def give_outputs(norm, last, outputs, calm=None):
    """Let layer `last` give `outputs` (n_out,) on average, by its bias. A linear layer without one takes the least change of the bias of
    `norm`, the norm layer before it, that does the same. calm (n_out,): factors for the weights, at most 1."""
    outputs = outputs.to(last.weight.device, torch.float64)
    if last.bias is not None:
        if calm is not None:
            last.weight.mul_(calm.to(last.weight).reshape(-1, *[1] * (last.weight.ndim - 1)))
        last.bias.copy_(outputs)
        return
    weight = last.weight.flatten(1).double()
    gap = outputs - weight @ norm.bias.double()
    change = torch.linalg.pinv(weight) @ gap
    if calm is not None:               # the smaller the weights, the larger the bias before them: up to the size of what is normalised
        factor = calm.to(weight).clamp(min=float(change.square().mean().sqrt().clamp(max=1)))
        weight = weight * factor[:, None]
        gap = outputs - weight @ norm.bias.double()
        change = torch.linalg.pinv(weight) @ gap
    norm.bias.add_(change.to(norm.bias))
    bias = norm.bias.double()
    left = outputs - weight @ bias     # more outputs than inputs: the weights give the rest, along the bias
    if float(left.abs().max()) > 1e-3 * float(outputs.abs().max()):
        weight = weight + left[:, None] * (bias / bias.square().sum().clamp(min=1e-12))
    last.weight.copy_(weight.reshape(last.weight.shape))
