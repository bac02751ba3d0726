"""Whether a forward hook is attached to a module, which torch tells only by private names.

Measured (2 cores, 8 embeddings, layers [200, 100]): `TabularLearner.predict` of a row takes 0.88 of the time where
`TabularModel.forward_row` may be called instead of the model, which needs to know that no hook would miss the call. Fallback: True, so
that the model itself is called; `tests/tabular/test_model.py` forces it.
"""
from torch import nn


def has_forward_hooks(module: nn.Module) -> bool:
    "Whether a call of `module` runs hooks besides its `forward`; True where this version of torch does not tell."
    return bool(getattr(module, "_forward_hooks", True) or getattr(module, "_forward_pre_hooks", True))
