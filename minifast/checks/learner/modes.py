"""Train and eval mode: do modules follow the mode of the model, and is evaluation deterministic?"""
import torch
from torch import nn

from ...learner.probe import Probe
from ...optim.groups import NORM_TYPES
from ..outcomes import Check, issue, passed, tip

#: Modules that draw at random in training mode.
DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def train_and_eval_mode(probe: Probe) -> Check:
    "Modules that do not follow the mode of the model, and outputs that differ from one evaluation to the next."
    model = probe.reset(training=True)
    switching = {m: n for n, m in model.named_modules() if isinstance(m, (*DROPOUT, *NORM_TYPES))}
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
    if stuck_in_eval:
        return tip(f"stays in evaluation mode in training: {', '.join(stuck_in_eval[:4])}",
                   "if that is not intended, do not override train()", items=stuck_in_eval, stuck=len(stuck_in_eval))
    return passed()
