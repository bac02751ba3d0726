"""Hooks that look at what passes through layers, as context managers.

    with hook_output(model[0]) as hook:
        model(x)
    hook.stored                            # what model[0] returned
"""
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import register_multi_grad_hook

from ..core import describe, leaves, to_detach


class Hook(AbstractContextManager):
    """Call a function whenever a module is run, and keep what it returns in `stored`.

    Use it in a `with`, or call `remove()`.

    Args:
        m: the module.
        hook_func: called as `hook_func(module, input, output)`.
        is_forward: False: in the backward pass, as `hook_func(module, grad_input, grad_output)`.
        detach: give it detached values.
        cpu: move them to the CPU.
    """

    def __init__(self, m: nn.Module, hook_func: Callable[[nn.Module, Any, Any], Any], is_forward: bool = True, detach: bool = True,
                 cpu: bool = False):
        if not isinstance(m, torch.nn.Module):
            raise TypeError(f"a hook is put on a module; received {describe(m)}")
        self.hook_func, self.detach, self.cpu, self.stored, self.removed = hook_func, detach, cpu, None, False
        self._handles = [m.register_forward_hook(self._call) if is_forward else m.register_full_backward_hook(self._call)]

    def _call(self, module, inp, out):
        if self.detach:
            inp, out = to_detach(inp, self.cpu), to_detach(out, self.cpu)
        self.stored = self.hook_func(module, inp, out)

    def remove(self) -> None:
        "Take the hook off; what was stored stays."
        for h in self._handles:
            h.remove()
        self._handles, self.removed = [], True

    def __exit__(self, *exc: Any) -> None:
        self.remove()


class _GradHook(Hook):
    """Stores the gradients that arrive at the outputs of `m`, as a tuple.

    They are taken from the output tensors, not by a backward hook of the module, which fails where a layer works in place.
    """

    def _call(self, module, inp, out):
        def keep(grads):
            self.stored = tuple(to_detach(grads, self.cpu) if self.detach else grads)

        if found := [t for t in leaves(out) if isinstance(t, torch.Tensor) and t.requires_grad]:
            self._handles[1:] = [register_multi_grad_hook(found, keep)]        # in place of that of the call before


class Hooks(AbstractContextManager):
    """One `Hook` on each of several modules, as the list `hooks`; `stored` is the list of what they hold.

    Args:
        ms: the modules.
        hook_func: called as `hook_func(module, input, output)`.
        is_forward: False: in the backward pass.
        detach: give it detached values.
        cpu: move them to the CPU.
        each: the kind of hook.
    """

    def __init__(self, ms: Iterable[nn.Module], hook_func: Callable[[nn.Module, Any, Any], Any], is_forward: bool = True,
                 detach: bool = True, cpu: bool = False, each: type[Hook] = Hook):
        with ExitStack() as undo:               # where one cannot be hooked, none is
            self.hooks = [undo.enter_context(each(m, hook_func, is_forward, detach, cpu)) for m in ms]
            undo.pop_all()

    def __getitem__(self, i: int) -> Hook:
        return self.hooks[i]

    def __len__(self) -> int:
        return len(self.hooks)

    def __iter__(self) -> Iterator[Hook]:
        return iter(self.hooks)

    @property
    def stored(self) -> list[Any]:
        return [h.stored for h in self.hooks]

    def remove(self) -> None:
        "Take all hooks off."
        for h in self.hooks:
            h.remove()

    def __exit__(self, *exc: Any) -> None:
        self.remove()


def hook_output(module: nn.Module, detach: bool = True, cpu: bool = False, grad: bool = False) -> Hook:
    """A `Hook` that stores the output of a module.

    Args:
        module: the module.
        detach: store detached values.
        cpu: move them to the CPU.
        grad: store the gradients of the outputs instead, as a tuple.
    """
    return (_GradHook if grad else Hook)(module, lambda m, inp, out: out, detach=detach, cpu=cpu)


def hook_outputs(modules: Iterable[nn.Module], detach: bool = True, cpu: bool = False, grad: bool = False) -> Hooks:
    """`Hooks` that store the output of each of several modules.

    Args:
        modules: the modules.
        detach: store detached values.
        cpu: move them to the CPU.
        grad: store the gradients of the outputs instead, as tuples.
    """
    return Hooks(modules, lambda m, inp, out: out, detach=detach, cpu=cpu, each=_GradHook if grad else Hook)
