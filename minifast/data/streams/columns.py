"""Rows of columnar sources as samples: a list of numbers in a cell is an array, as it is to whoever wrote it."""
from typing import Any

import numpy as np
import torch


def as_values(row: dict[str, Any]) -> dict[str, Any]:
    """A row with tensors in the place of lists of numbers, of any depth; what else there is stays.

    Args:
        row: the cells by name.
    """
    return {name: _value(v) if type(v) is list else v for name, v in row.items()}


def _value(cell):
    inner = cell
    while type(inner) is list and inner:
        inner = inner[0]
    if not isinstance(inner, (int, float)):
        return cell
    try:
        values = np.asarray(cell)
    except ValueError:                              # lists of several lengths
        return cell
    if values.dtype.kind not in "biuf":
        return cell
    return torch.as_tensor(values.astype(np.float32) if values.dtype == np.float64 else values)
