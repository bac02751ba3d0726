"""`Module`: an `nn.Module` without the call of `super().__init__()`."""
from typing import Any

from torch import nn


class Module(nn.Module):
    "An `nn.Module` whose subclasses need not call `super().__init__()`: assign layers in `__init__` straight away."

    def __new__(cls, *args: Any, **kwargs: Any) -> "Module":
        self = super().__new__(cls)
        nn.Module.__init__(self)
        return self

    def __init__(self) -> None:
        pass                               # everything was done in __new__; a second nn.Module.__init__ would drop the layers
