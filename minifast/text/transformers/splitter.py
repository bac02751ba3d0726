"""`transformers_splitter`: the layer groups of a transformer, found by its structure: embeddings, one per layer, head."""
from collections import defaultdict

from torch import nn

#: Lists of modules with a smaller share of the weights than this (embeddings left out) are no layers.
_LEAST_SHARE = 0.05


def layer_stacks(model: nn.Module) -> list[list[list[nn.Module]]]:
    """The stacks of layers of a model, in order: of each stack a list with the modules of each layer.

    A stack is a `ModuleList` of modules of one class that lies in no other; several lists of one length side by side, as XLM has them for
    attention and feed-forward layers, are one stack.

    Args:
        model: any module.
    """
    beside: dict[str, list[nn.ModuleList]] = defaultdict(list)
    inside: list[str] = []
    embedded = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters(recurse=False)}
    total = sum(p.numel() for p in model.parameters() if id(p) not in embedded)
    for name, m in model.named_modules():
        if not isinstance(m, nn.ModuleList) or any(name.startswith(outer) for outer in inside):
            continue
        weights = sum(p.numel() for p in m.parameters() if id(p) not in embedded)
        if len({type(o) for o in m}) == 1 and weights:
            inside.append(f"{name}.")
            beside[name.rpartition(".")[0]].append(m)
    stacks = []
    for lists in beside.values():
        for n in dict.fromkeys(map(len, lists)):
            alike = [m for m in lists if len(m) == n]
            if sum(p.numel() for m in alike for p in m.parameters() if id(p) not in embedded) >= _LEAST_SHARE * total:
                stacks.append([list(parts) for parts in zip(*alike, strict=True)])
    return stacks


def transformers_splitter(model: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters of a transformer in layer groups: the embeddings, one group per layer, the head (with a pooler and a last norm).

    Args:
        model: of transformers, or the model of a learner that `transformers_learner` made.

    Raises:
        ValueError: no stack of layers is found in it.
    """
    layers = [layer for stack in layer_stacks(model) for layer in stack]
    if not layers:
        raise ValueError(f"no stack of layers (an nn.ModuleList of modules of one class) is found in {type(model).__name__}, so its layer "
                         "groups are not known: write splitter=lambda m: [params(m.body), params(m.head)] with the parts of your model, "
                         "or splitter=trainable_params for a single group")
    layer_of = {id(p): i for i, parts in enumerate(layers) for m in parts for p in m.parameters()}
    embedded = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters(recurse=False)}
    parameters = list(model.parameters())
    places = [k for k, p in enumerate(parameters) if id(p) in layer_of]
    embeddings, head, groups, latest = [], [], [[] for _ in layers], 0
    for k, p in enumerate(parameters):
        if id(p) in layer_of:
            latest = layer_of[id(p)]
            groups[latest].append(p)
        elif id(p) in embedded or k < places[0]:
            embeddings.append(p)
        else:
            (head if k > places[-1] else groups[latest]).append(p)
    return [g for g in (embeddings, *groups, head) if g]
