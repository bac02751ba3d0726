"""What comes after a recurrent encoder: a decoder that says the next word, or pooling and linear layers that say a class."""
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from ...core.arguments import check_arguments, is_number
from ...core.messages import brief, describe, reject_unknown
from ...core.recipe import recorded
from ...core.types import YRange
from ...nn.activations import SigmoidRange
from ...nn.hidden_state import in_cache
from ...nn.layers import LinBnDrop
from .awd_lstm import (
    AWD_LSTM,
    RNNDropout,
    awd_lstm_clas_config,
    awd_lstm_clas_split,
    awd_lstm_lm_config,
    awd_lstm_lm_split,
)
from .word_scores import WordScores


class LinearDecoder(nn.Module):
    """A score for every word at every step: (batch, time, n_hid) -> (batch, time, n_out), and its input before and after dropout.

    Args:
        n_out: size of the vocabulary.
        n_hid: features of the input.
        output_p: dropout of the input.
        tie_encoder: an embedding, whose weights are used (and trained) here too.
        bias: add a number per word.
    """

    initrange = 0.1

    def __init__(self, n_out: int, n_hid: int, output_p: float = 0.1, tie_encoder: nn.Module | None = None, bias: bool = True):
        super().__init__()
        self.decoder = WordScores(n_hid, n_out, bias=bias)
        nn.init.uniform_(self.decoder.weight, -self.initrange, self.initrange)
        if bias:
            nn.init.zeros_(self.decoder.bias)
        if tie_encoder is not None:
            self.decoder.weight = tie_encoder.weight  # type: ignore[assignment]  # a parameter
        self.output_dp = RNNDropout(output_p)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        dropped = self.output_dp(x)
        return self.decoder(dropped), x, dropped


class SequentialRNN(nn.Sequential):
    "Layers one after the other, whose hidden states are forgotten together."

    def reset(self) -> None:
        "Call `reset()` of each layer that has one."
        for child in self.children():
            if callable(reset := getattr(child, "reset", None)):
                reset()


class Vectors(NamedTuple):
    "Texts as vectors of their words, (batch, time, features), 0 where there is none, and how many words each has, (batch,)."

    vectors: torch.Tensor
    lengths: torch.Tensor


class SentenceEncoder(nn.Module):
    """Read whole texts, `bptt` tokens at a time: ids (batch, time) -> outputs (batch, tokens kept, features) and where there is none.

    A text is read from its first token, wherever the padding is, and its output is what it would be alone. The gradient stays within
    each piece of `bptt` tokens, and pieces of which nothing is kept have none.

    Args:
        bptt: tokens of a piece.
        module: an encoder such as `AWD_LSTM`.
        pad_idx: the id of padding, before or after a text.
        max_len: keep the outputs of the last tokens of a text: of all pieces that begin within them; None: of all.
    """

    def __init__(self, bptt: int, module: nn.Module, pad_idx: int = 1, max_len: int | None = None):
        super().__init__()
        self.bptt, self.module, self.pad_idx, self.max_len = bptt, module, pad_idx, max_len

    def reset(self) -> None:
        "Forget the hidden state of the encoder; each call begins without one."
        if callable(reset := getattr(self.module, "reset", None)):
            reset()

    def blended_input(self, x: torch.Tensor, perm: torch.Tensor, blend: Callable[[torch.Tensor], torch.Tensor]) -> Vectors:
        """What to call this module with instead of `x`, to read each text blended with its partner, as long as the longer one: see `MixUp`.

        Args:
            x: ids (batch, time).
            perm: the partner of each text.
            blend: blends each row with that of its partner.
        """
        first, lengths = spans(x, self.pad_idx)
        steps = torch.arange(x.shape[1], device=x.device)
        vectors = cast(AWD_LSTM, self.module).encoder_dp(x.gather(1, (first[:, None] + steps).clamp_(max=x.shape[1] - 1)))
        return Vectors(blend(vectors * (steps < lengths[:, None]).unsqueeze(2)), torch.maximum(lengths, lengths[perm]))

    def forward(self, x: torch.Tensor | Vectors) -> tuple[torch.Tensor, torch.Tensor]:
        """Args:
            x: ids (batch, time), or the vectors of `blended_input`.
        """
        from_embeds = isinstance(x, Vectors)
        if isinstance(x, Vectors):
            lengths, x = x.lengths.tolist(), x.vectors
            first = [0] * len(lengths)
        elif x.ndim != 2 or not x.shape[1]:
            raise ValueError(f"a text encoder reads ids of shape (batch, time); received {describe(x)}")
        else:
            first, lengths = (t.tolist() for t in spans(x, self.pad_idx))           # the only look at what is on the device
        order = sorted(range(len(lengths)), key=lambda i: -lengths[i])              # the longest first: those that go on are the first rows
        is_sorted = order == list(range(len(order)))
        if any(first):
            steps = torch.tensor(first, device=x.device)[:, None] + torch.arange(max(lengths), device=x.device)
            x = x.gather(1, steps.clamp_(max=x.shape[1] - 1))
        if not is_sorted:
            x = x[torch.tensor(order, device=x.device)]
        lengths = [lengths[i] for i in order]
        kept_from = [self._kept_from(n) for n in lengths]
        outs, state, start, encoder = [], None, min(kept_from), cast(AWD_LSTM, self.module)
        for i in range(0, lengths[0], self.bptt):
            piece = x[:sum(n > i for n in lengths), i:min(i + self.bptt, lengths[0])]
            with torch.set_grad_enabled(torch.is_grad_enabled() and i >= start):
                out, state = encoder.read(piece, state, from_embeds)
            if i >= start:
                outs.append(out)
        output = _Joined.apply(len(x), *outs)
        steps = torch.arange(start, lengths[0], device=x.device)
        begin, end = torch.tensor([kept_from, lengths], device=x.device)[:, :, None]
        mask = (steps < begin) | (steps >= end)
        if not is_sorted:
            back = torch.tensor(order, device=x.device).argsort()
            output, mask = output[back], mask[back]
        return output, mask

    def _kept_from(self, length: int) -> int:
        "The first token whose output is kept, of a text of `length` tokens: where a piece begins."
        beyond = 0 if self.max_len is None else max(0, length - self.max_len)
        return min(-(-beyond // self.bptt), (length - 1) // self.bptt) * self.bptt


class _Joined(torch.autograd.Function):
    "Pieces (rows, time, features), each with no more rows than the one before, one after the other, with 0 where rows are missing."

    @staticmethod
    def forward(ctx, rows, *pieces):  # type: ignore[no-untyped-def]
        ctx.sizes = [p.shape[:2] for p in pieces]
        made = pieces[0].new_empty(sum(t for _, t in ctx.sizes), rows, pieces[0].shape[2])      # time first, as the pieces lie in memory
        for place, piece in zip(made.split([t for _, t in ctx.sizes]), pieces, strict=True):
            place[:, :len(piece)] = piece.transpose(0, 1)
            place[:, len(piece):] = 0
        return made.transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        parts = grad.split([t for _, t in ctx.sizes], 1)
        return (None, *(part[:n] for (n, _), part in zip(ctx.sizes, parts, strict=True)))


def spans(x: torch.Tensor, pad_idx: int = 1) -> torch.Tensor:
    """Where the text of each row begins, and how many tokens it has, padding inside it included.

    Args:
        x: ids (batch, time).
        pad_idx: the id of padding.

    Returns:
        int64 (2, batch). A row of padding alone has 1 token, the first.
    """
    is_token = (x != pad_idx).int()
    first = is_token.argmax(1)
    after = x.shape[1] - is_token.flip(1).argmax(1)
    return torch.stack([first, torch.where(is_token.amax(1) > 0, after - first, 1)])


def masked_concat_pool(output: torch.Tensor, mask: torch.Tensor, bptt: int | None = None) -> torch.Tensor:
    """The last output of each sequence, the maximum and the mean over it: (batch, time, features) -> (batch, 3 * features).

    Args:
        output: outputs of an encoder.
        mask: bool (batch, time), True where there is no token.
        bptt: accepted for code that passes it; the padding may be anywhere.
    """
    return _ConcatPool.apply(output, mask)


class _ConcatPool(torch.autograd.Function):
    "`masked_concat_pool`, whose gradient is written once: each of the three parts would make one of the size of `output`."

    @staticmethod
    def forward(ctx, output, mask):  # type: ignore[no-untyped-def]
        tokens, rows = ~mask, torch.arange(len(mask), device=mask.device)
        last = (tokens * torch.arange(1, mask.shape[1] + 1, device=mask.device)).argmax(1)
        share = (tokens / tokens.sum(1, keepdim=True).clamp_(min=1)).to(output.dtype)
        mean = torch.einsum("tb,tbf->bf", share.t(), output.transpose(0, 1))
        highest, at = _highest(output.transpose(0, 1), mask.t()[:, :, None], ctx.needs_input_grad[0])
        ctx.save_for_backward(share, at, last, rows)
        return torch.cat([output[rows, last], highest, mean], 1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        share, at, last, rows = ctx.saved_tensors
        of_last, of_highest, of_mean = grad.chunk(3, 1)
        made = (share.t()[:, :, None] * of_mean).transpose(0, 1)
        made.scatter_add_(1, at[:, None], of_highest[:, None])
        made[rows, last] += of_last
        return made, None


def _highest(output, mask, with_steps):
    "The maximum over time of (time, batch, features), and where that is wanted at which step it is."
    lowest, best, at = torch.finfo(output.dtype).min, None, None
    for start, stop in in_cache(output, len(output)):
        part = output[start:stop].masked_fill(mask[start:stop], lowest)
        value, step = part.max(0) if with_steps else (part.amax(0), None)
        if best is None:
            best, at = value, step
        else:
            if with_steps:
                at = torch.where(value <= best, at, step + start)
            best = torch.maximum(best, value)
    return best, at


class PoolingLinearClassifier(nn.Module):
    """Pool the outputs of a `SentenceEncoder` and classify: returns the scores, and its input twice (see `RNNCallback`).

    Args:
        dims: sizes of the layers, from 3 times the features of the encoder to the number of outputs.
        ps: dropout before each layer.
        bptt: accepted for code that passes it.
        y_range: (low, high) of numbers to predict.
    """

    def __init__(self, dims: Sequence[int], ps: Sequence[float], bptt: int | None = None, y_range: YRange | None = None):
        super().__init__()
        if len(ps) != len(dims) - 1:
            raise ValueError(f"PoolingLinearClassifier(dims={brief(dims)}, ps={brief(ps)}): one dropout for each layer is needed, and "
                             f"there are {len(dims) - 1} layers. Give {len(dims) - 1} numbers")
        acts = [*[nn.ReLU(inplace=True)] * (len(dims) - 2), None]
        layers: list[nn.Module] = [LinBnDrop(n_in, n_out, p=p, act=act)
                                   for n_in, n_out, p, act in zip(dims[:-1], dims[1:], ps, acts, strict=True)]
        self.layers = nn.Sequential(*layers, *([] if y_range is None else [SigmoidRange(*y_range)]))

    def forward(self, x: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        output, mask = x
        return self.layers(masked_concat_pool(output, mask)), output, output


class TextArch(NamedTuple):
    "What building a language model or a classifier around an encoder needs to know of it."

    hid_name: str                       #: the setting that is the size of its output
    config_lm: Mapping[str, Any]        #: settings in a language model
    split_lm: Callable[[Any], list]     #: layer groups of a language model
    config_clas: Mapping[str, Any]      #: settings in a classifier
    split_clas: Callable[[Any], list]   #: layer groups of a classifier


#: The encoders that language models and classifiers can be built of; your own can be added.
TEXT_ARCHS: dict[Any, TextArch] = {
    AWD_LSTM: TextArch("emb_sz", awd_lstm_lm_config, awd_lstm_lm_split, awd_lstm_clas_config, awd_lstm_clas_split)}


def text_arch(arch: Any) -> TextArch:
    """What is known about the encoder `arch`.

    Raises:
        ValueError: nothing is.
    """
    if not isinstance(arch, type) or arch not in TEXT_ARCHS:
        raise ValueError(f"arch={describe(arch)}: text models are built of {', '.join(a.__name__ for a in TEXT_ARCHS)}. For a model of "
                         "your own write Learner(dls, model)")
    return TEXT_ARCHS[arch]


def _settings(where: str, defaults: Mapping[str, Any], config: Mapping[str, Any] | None, drop_mult: float) -> dict[str, Any]:
    "`defaults` with those of `config`, dropouts multiplied."
    reject_unknown(config or {}, (*defaults, "init"), f"{where}(config=...)")
    check_arguments(where, drop_mult=(drop_mult, is_number(drop_mult, 0), "a number that all dropouts are multiplied with, 0 or more"))
    merged = {**defaults, **(config or {})}
    return {k: v * drop_mult if k.endswith("_p") else v for k, v in merged.items()}


@recorded(config=lambda c: c and dict(c))
def get_language_model(arch: Any, vocab_sz: int, config: Mapping[str, Any] | None = None, drop_mult: float = 1.0) -> SequentialRNN:
    """A language model: the encoder `arch` and a `LinearDecoder`.

    Args:
        arch: `AWD_LSTM`.
        vocab_sz: size of the vocabulary.
        config: settings that differ from `awd_lstm_lm_config`; `init`, if given, is a function applied to all layers.
        drop_mult: factor of all dropouts.
    """
    meta = text_arch(arch)
    settings = _settings("get_language_model", meta.config_lm, config, drop_mult)
    tie, output_p, bias, init = (settings.pop(k, None) for k in ("tie_weights", "output_p", "out_bias", "init"))
    encoder = arch(vocab_sz, **settings)
    model = SequentialRNN(encoder, LinearDecoder(vocab_sz, settings[meta.hid_name], output_p, encoder.encoder if tie else None, bias))
    return model if init is None else model.apply(init)


@recorded(config=lambda c: c and dict(c))
def get_text_classifier(arch: Any, vocab_sz: int, n_class: int, seq_len: int = 72, config: Mapping[str, Any] | None = None,
                        drop_mult: float = 1.0, lin_ftrs: Sequence[int] | None = None, ps: Sequence[float] | None = None, pad_idx: int = 1,
                        max_len: int | None = 72 * 20, y_range: YRange | None = None) -> SequentialRNN:
    """A classifier of texts: a `SentenceEncoder` of `arch`, and a `PoolingLinearClassifier`.

    Args:
        arch: `AWD_LSTM`.
        vocab_sz: size of the vocabulary.
        n_class: number of outputs.
        seq_len: tokens read at a time.
        config: settings that differ from `awd_lstm_clas_config`; `init`, if given, is a function applied to all layers.
        drop_mult: factor of all dropouts of the encoder, and of the one before the head.
        lin_ftrs: sizes of the hidden layers of the head; None: [50].
        ps: dropout after each hidden layer of the head; None: 0.1.
        pad_idx: the id of padding.
        max_len: pool the outputs of this many tokens at the end of a text; None: of all.
        y_range: (low, high) of numbers to predict.
    """
    meta = text_arch(arch)
    settings = _settings("get_text_classifier", meta.config_clas, config, drop_mult)
    output_p, init = settings.pop("output_p"), settings.pop("init", None)
    lin_ftrs = [50] if lin_ftrs is None else list(lin_ftrs)
    ps = [0.1] * len(lin_ftrs) if ps is None else list(ps)
    encoder = SentenceEncoder(seq_len, arch(vocab_sz, **settings), pad_idx, max_len)
    model = SequentialRNN(encoder, PoolingLinearClassifier([settings[meta.hid_name] * 3, *lin_ftrs, n_class], [output_p, *ps], seq_len,
                                                           y_range))
    return model if init is None else model.apply(init)
