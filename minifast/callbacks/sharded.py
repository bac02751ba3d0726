"""`ShardedModel`: a model whose weights, gradients and optimizer state are divided among ranks while it trains, by torch's FSDP2.

`fully_shard` divides the weights in groups. Those of one group are put together when the group's forward or backward pass comes, and let
go afterwards, so that a rank holds little more than its own rows and the largest group. `blocks_of` says what the groups are.
"""
import copy
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..core.nested import leaves
from ..core.ranks import group, world_size
from ..core.sharded import is_sharded, sharded_like

#: A member of a container with less of the weights than this stays with what is around it; one with more than the other is looked into.
SMALLEST, LARGEST = 1 / 50, 1 / 2
#: What an optimizer is told, one after the other, until it can step divided parameters.
_SLOWER: tuple[dict[str, Any], ...] = ({}, {"fused": False}, {"fused": False, "foreach": False})


def blocks_of(model: nn.Module, classes: Sequence[type] | None = None) -> list[nn.Module]:
    """Choose the modules whose weights are put together at once, each group at a time; what is left makes one more, the whole model's.

    A group is a member of an `nn.Sequential` or `nn.ModuleList`, at any depth, with 2% to 50% of the weights; a larger one is looked into
    for smaller ones first. Modules that share a weight with another one, such as an embedding tied to the output layer, stay with the
    whole.

    Args:
        model: any model.
        classes: of which classes the groups are, instead of that rule; none: the model is one group.
    """
    total = sum(p.numel() for p in model.parameters())
    if classes is not None:
        found = list(_outermost(model, tuple(classes)))
    else:
        found = list(dict.fromkeys(_members(model, False, total)))
    owners = defaultdict(set)
    inside = {id(m): i for i, block in enumerate(found) for m in block.modules()}
    for m in model.modules():
        for p in m.parameters(recurse=False):
            owners[p].add(inside.get(id(m)))
    tied = {i for of_one in owners.values() if len(of_one) > 1 for i in of_one}
    return [block for i, block in enumerate(found) if i not in tied]


def _outermost(module, classes):
    for child in module.children():
        if isinstance(child, classes):
            yield child
        else:
            yield from _outermost(child, classes)


def _members(module, is_member, total):
    n = sum(p.numel() for p in module.parameters())
    if n < SMALLEST * total:
        return
    container = isinstance(module, (nn.Sequential, nn.ModuleList))
    within = [] if is_member and n <= LARGEST * total else [b for child in module.children() for b in _members(child, container, total)]
    yield from within or ([module] if is_member and type(module).forward is not nn.ModuleList.forward else [])


class ShardedModel:
    """Divides the parameters of a model among the ranks, and the state of its optimizer; `gather` undoes it. Made by all ranks.

    The model stays the same object, with the same names. Its parameters are `DTensor`s meanwhile, also those of the optimizer.

    Args:
        model: any model. It is on its device already.
        opt: its optimizer.
        device: of the mesh of ranks, 'cpu' or 'cuda'.
        classes: of the groups, see `blocks_of`.
        dtype: in which the weights of groups without batch norm are put together, and their gradients computed; what is left is put
            together in its own, so that what a model adds up remains in full precision. None: all in their own.

    Raises:
        ValueError: the model or its optimizer cannot be divided.
    """

    def __init__(self, model: nn.Module, opt: torch.optim.Optimizer, device: str, classes: Sequence[type] | None = None,
                 dtype: torch.dtype | None = None):
        from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
        self.model, self.opt = model, opt
        mesh = init_device_mesh(device, (world_size(),)) if group() is None else DeviceMesh.from_group(group(), device)
        _refuse_params_of(model, opt)
        slower = _what_steps(opt, mesh)
        self.originals: list[nn.Parameter] = list(model.parameters())
        before = {m: set(vars(m)) for m in model.modules()}
        self._replaced: dict[nn.Module, tuple[Any, set[str]]] = {}
        for block in blocks_of(model, classes):
            self._shard(block, fully_shard, mesh, MixedPrecisionPolicy, dtype)
        self.root = self._shard(model, fully_shard, mesh, MixedPrecisionPolicy, None)
        self._marks = {m: set(vars(m)) - names for m, names in before.items()}
        self.parameters: list[Any] = list(model.parameters())
        self._settings = [dict(g) for g in opt.param_groups]
        for g in opt.param_groups:
            g.update({name: value for name, value in slower.items() if name in g})
        self._exchange(self.originals, self.parameters)
        for p in self.originals:
            p.data = p.data.new_empty(0)                # its memory is free; the object stays, for those who know it

    def _shard(self, module, fully_shard, mesh, policy, dtype):
        """Apply `fully_shard` to a copy of `module` that shares all tables with it: of parameters, submodules and hooks. torch has no way
        to undo it, so that a module is divided once in its life; this one's life ends with the fit."""
        copied = object.__new__(type(module))
        vars(copied).update(vars(module))
        self._put(copied, in_place_of=module)
        halves = dtype is not None and not any(hasattr(m, "running_mean") for m in module.modules())
        how = {"mp_policy": policy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)} if halves else {}
        # also the root is divided again after its forward pass: whoever looks at the weights then finds those to change
        fully_shard(copied, mesh=mesh, reshard_after_forward=True, **how)
        for name in ("__name__", "__qualname__", "__module__"):         # of a class of its own, which is told as the other one
            setattr(type(copied), name, getattr(type(module), name))
        self._replaced[module] = copied, set(vars(copied)) - set(vars(module))
        return copied

    def _put(self, module, in_place_of):
        for path, found in list(self.model.named_modules(remove_duplicate=False)):
            if found is in_place_of and path:
                parent, _, name = path.rpartition(".")
                setattr(self.model.get_submodule(parent), name, module)

    def synchronise(self, on: bool) -> None:
        "Whether backward passes from now on exchange gradients; else they are added up on each rank."
        self.root.set_requires_gradient_sync(on)

    def flush(self, xb: Sequence, kw: dict[str, Any]) -> None:
        """Exchange the gradients that were added up: by one more pass, whose own gradient is 0.

        Args:
            xb, kw: inputs of the model, of this rank.
        """
        self.synchronise(True)
        outputs = [t for t in leaves(self.model(*xb, **kw)) if isinstance(t, torch.Tensor) and t.requires_grad]
        torch.autograd.backward(outputs, [torch.zeros_like(t) for t in outputs])

    @torch.no_grad()
    def gather(self) -> None:
        "Put the parameters together again, each in the object that it was before. Called by all ranks."
        for p, sharded in zip(self.originals, self.parameters, strict=True):
            p.data, p.grad = sharded.full_tensor(), None
            p.requires_grad_(sharded.requires_grad)
        objects = dict(zip(self.parameters, self.originals, strict=True))
        for module, (copied, marks) in self._replaced.items():
            if module is not self.model:
                self._put(module, in_place_of=copied)
                vars(module).update({k: v for k, v in vars(copied).items() if k not in marks})
        for module in self.model.modules():
            for name, p in list(module.named_parameters(recurse=False)):
                if p in objects:
                    setattr(module, name, objects[p])
            _forget_hooks(module)
            for mark in self._marks.get(module, ()):
                vars(module).pop(mark, None)
        self._exchange(self.parameters, self.originals)
        for g, settings in zip(self.opt.param_groups, self._settings, strict=True):
            g.update({name: settings[name] for name in ("fused", "foreach") if name in settings})

    def _exchange(self, old, new):
        "The optimizer has the parameters `new` in the place of `old`; its state is divided, and stays so."
        opt, table = self.opt, dict(zip(old, new, strict=True))
        for g in opt.param_groups:
            g["params"][:] = [table.get(p, p) for p in g["params"]]
        for p, q in table.items():
            if p in opt.state:
                kept = opt.state.pop(p)
                opt.state[q] = {name: sharded_like(t, q) for name, t in kept.items()} if is_sharded(q) else kept


def make_state_whole(opt: torch.optim.Optimizer) -> None:
    "Put together what an earlier fit left divided in the state of `opt`. Called by all ranks."
    for p, kept in opt.state.items():
        opt.state[p] = {name: sharded_like(t, p) for name, t in kept.items()}


def _forget_hooks(module):
    "Remove the hooks of FSDP2 from a module."
    tables = [d for d in vars(module).values() if isinstance(d, dict)]
    for number in {k for d in tables for k, hook in d.items() if isinstance(k, int) and _is_of_fsdp(hook)}:
        for d in tables:
            d.pop(number, None)


def _is_of_fsdp(hook):
    return str(getattr(getattr(hook, "hook", hook), "__module__", "")).startswith("torch.distributed.fsdp")


def _refuse_params_of(model, opt):
    own = set(model.parameters())
    if any(p not in own for g in opt.param_groups for p in g["params"]):
        raise ValueError("strategy='fsdp2' divides the parameters of the model, and the optimizer has others too, such as those of a loss: "
                         "put them into the model, or write strategy='ddp'")
    odd = [n for n, p in model.named_parameters() if not p.is_contiguous() or not p.ndim]
    if odd:
        raise ValueError(f"strategy='fsdp2' cannot divide {odd[0]}, which has no axis or does not lie in one piece of memory (channels "
                         "last): give it the shape (1,), leave out ChannelsLast, or write strategy='ddp'")


def _what_steps(opt, mesh):
    "With which settings `opt` can step divided parameters: tried on a small one."
    from torch.distributed.tensor import Shard, distribute_tensor
    error: Exception | None = None
    inner: Any = opt
    while isinstance(getattr(inner, "opt", None), torch.optim.Optimizer):           # that of a Lookahead
        inner = inner.opt
    for settings in _SLOWER:
        trial, whole = copy.copy(inner), torch.ones(2 * mesh.size(), 4, device=mesh.device_type)
        trial.state, trial.param_groups = defaultdict(dict), []
        for g in inner.param_groups:
            p = nn.Parameter(distribute_tensor(whole, mesh, [Shard(0)]))
            p.grad = distribute_tensor(whole, mesh, [Shard(0)])
            trial.param_groups.append({**g, **{k: v for k, v in settings.items() if k in g}, "params": [p]})
        try:
            for _ in range(2):
                type(inner).step(trial)             # past what a scheduler of torch put into the instance
        except Exception as e:
            error = e
        else:
            return settings
    raise ValueError(f"strategy='fsdp2': {type(inner).__name__} cannot step parameters that are divided among ranks "
                     f"({type(error).__name__}: {str(error).splitlines()[0]}). Use Adam, or write strategy='ddp'") from error
