"""Hooks that look at what passes through layers, as context managers.

    with hook_output(model[0]) as hook:
        model(x)
    hook.stored                            # what model[0] returned
"""
import torch

from ..core.messages import describe
from ..core.nested import leaves, map_nested


def _detached(x, cpu):
    def one(t):
        if not isinstance(t, torch.Tensor):
            return t
        return t.detach().cpu() if cpu else t.detach()
    return map_nested(one, x)


class Hook:
    """Call `hook_func(module, input, output)` whenever `m` is run, and keep what it returns in `stored`.

    is_forward=False: `hook_func(module, grad_input, grad_output)` in the backward pass. detach, cpu: values are detached, moved to the
    CPU. Use it in a `with`, or call `remove()`.
    """

    def __init__(self, m, hook_func, is_forward=True, detach=True, cpu=False):
        if not isinstance(m, torch.nn.Module):
            raise TypeError(f"a hook is put on a module; received {describe(m)}")
        self.hook_func, self.detach, self.cpu, self.stored, self.removed = hook_func, detach, cpu, None, False
        self._handles = [m.register_forward_hook(self._call) if is_forward else m.register_full_backward_hook(self._call)]

    def _call(self, module, inp, out):
        if self.detach:
            inp, out = _detached(inp, self.cpu), _detached(out, self.cpu)
        self.stored = self.hook_func(module, inp, out)

    def remove(self):
        "Take the hook off; what was stored stays."
        for h in self._handles:
            h.remove()
        self._handles, self.removed = [], True

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


class _GradHook(Hook):
    """Stores the gradients that arrive at the outputs of `m`, as a tuple.

    They are taken from the output tensors, not by a backward hook of the module, which fails where a layer works in place.
    """

    def __init__(self, m, detach=True, cpu=False):
        super().__init__(m, None, detach=detach, cpu=cpu)

    def _call(self, module, inp, out):
        found = [t for t in leaves(out) if isinstance(t, torch.Tensor) and t.requires_grad]
        self._handles = self._handles[:1]                      # forget the tensors of the call before
        grads = [None] * len(found)

        def keep(i):
            def hook(g):
                grads[i] = _detached(g, self.cpu) if self.detach else g
                self.stored = tuple(grads)
            return hook
        for i, t in enumerate(found):
            self._handles.append(t.register_hook(keep(i)))


class Hooks:
    "One `Hook` on each of `ms`; `stored` is the list of what they hold."

    def __init__(self, ms, hook_func, is_forward=True, detach=True, cpu=False):
        self.hooks = []
        try:
            for m in ms:
                self.hooks.append(Hook(m, hook_func, is_forward, detach, cpu))
        except TypeError:
            self.remove()
            raise

    def __getitem__(self, i):
        return self.hooks[i]

    def __len__(self):
        return len(self.hooks)

    def __iter__(self):
        return iter(self.hooks)

    @property
    def stored(self):
        return [h.stored for h in self.hooks]

    def remove(self):
        "Take all hooks off."
        for h in self.hooks:
            h.remove()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


def _output(module, inp, out):
    return out


def hook_output(module, detach=True, cpu=False, grad=False):
    """A `Hook` that stores the output of `module`; with `grad` the gradients of its outputs instead, as a tuple.

    >>> with hook_output(model[0], grad=True) as hook: model(x)[0, 1].backward()
    >>> hook.stored[0].shape
    """
    return _GradHook(module, detach, cpu) if grad else Hook(module, _output, detach=detach, cpu=cpu)


def hook_outputs(modules, detach=True, cpu=False, grad=False):
    "`Hooks` that store the output (with `grad` the gradients of the outputs) of each of `modules`."
    if not grad:
        return Hooks(modules, _output, detach=detach, cpu=cpu)
    hooks = Hooks([], None)
    try:
        for m in modules:
            hooks.hooks.append(_GradHook(m, detach, cpu))
    except TypeError:
        hooks.remove()
        raise
    return hooks
