"""The head of a vision model: from the features of a body to the outputs."""
from torch import nn

from ..layers import AdaptiveConcatPool2d, Flatten, LinBnDrop, SigmoidRange, apply_init

__all__ = ["add_head", "create_head"]


def create_head(nf, n_out, lin_ftrs=None, ps=0.5, pool=True, concat_pool=True, first_bn=True, bn_final=False, lin_first=False,
                y_range=None):
    """A head from `nf` features to `n_out` outputs: pooling, then blocks of batch norm, dropout, linear layer and ReLU.

    lin_ftrs: sizes between (default [512]). ps: dropout, one number (halved for all blocks but the last) or one per block.
    pool: whether to pool maps to vectors; concat_pool: with maximum and mean (2 nf features) instead of the mean. first_bn: batch norm
    before the first linear layer. bn_final: batch norm after the last. lin_first: linear layer before norm and dropout.
    y_range: (low, high) of a scaled sigmoid at the end.
    """
    if pool and concat_pool:
        nf *= 2
    sizes = [nf, *([512] if lin_ftrs is None else lin_ftrs), n_out]
    n_blocks = len(sizes) - 1
    ps = [ps] if isinstance(ps, (int, float)) else list(ps)
    if len(ps) == 1:
        ps = [ps[0] / 2] * (n_blocks - 1) + ps
    if len(ps) != n_blocks:
        raise ValueError(f"ps has {len(ps)} dropout probabilities for {n_blocks} linear layers: give one number, or one per linear layer "
                         f"(lin_ftrs={lin_ftrs} and the output)")
    layers = [AdaptiveConcatPool2d() if concat_pool else nn.AdaptiveAvgPool2d(1), Flatten()] if pool else []
    if lin_first:
        layers.append(nn.Dropout(ps[0]))
        for i in range(n_blocks - 1):
            layers += LinBnDrop(sizes[i], sizes[i + 1], bn=True if i else first_bn, p=ps[i + 1], act=nn.ReLU(inplace=True), lin_first=True)
        layers.append(nn.Linear(sizes[-2], n_out))
    else:
        for i in range(n_blocks):
            act = nn.ReLU(inplace=True) if i < n_blocks - 1 else None
            layers += LinBnDrop(sizes[i], sizes[i + 1], bn=True if i else first_bn, p=ps[i], act=act)
    if bn_final:
        layers.append(nn.BatchNorm1d(n_out, momentum=0.01))
    if y_range is not None:
        layers.append(SigmoidRange(*y_range))
    return nn.Sequential(*layers)


def add_head(body, nf, n_out, init=nn.init.kaiming_normal_, head=None, **head_args):
    "`Sequential(body, head)` with `head`, or one made by `create_head(nf, n_out, **head_args)`; `init` goes over the weights of the head."
    head = create_head(nf, n_out, **head_args) if head is None else head
    if init is not None:
        apply_init(head, init)
    return nn.Sequential(body, head)
