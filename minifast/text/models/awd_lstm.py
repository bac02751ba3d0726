"""AWD-LSTM: an LSTM with dropout on everything, weights and words included.

Source: S. Merity, N. Keskar, R. Socher, "Regularizing and Optimizing LSTM Language Models", 2017, https://arxiv.org/abs/1708.02182.
The names of the weights are those of fastai, so that weights trained there load here.
"""
import math
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from ...core import brief, describe, did_you_mean, is_number

Hidden: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"Hidden state and cell state of a layer, (directions, batch, features) each."

#: The functions of torch that `nn.LSTM` and its kind call, which take the weights as arguments.
_RECURRENT: dict[str, Callable[..., Any]] = {"LSTM": torch.lstm, "GRU": torch.gru, "RNN_TANH": torch.rnn_tanh, "RNN_RELU": torch.rnn_relu}


def _check_p(where: str, p: float) -> float:
    if not is_number(p, 0, 1):
        raise ValueError(f"{where}={brief(p)}: a probability of dropout, from 0 to 1")
    return float(p)


def dropout_mask(x: torch.Tensor, sz: Sequence[int], p: float) -> torch.Tensor:
    """A mask to multiply with: 0 with probability `p`, else 1 / (1 - p).

    Args:
        x: gives the mask its dtype and device.
        sz: the shape of the mask.
        p: probability of 0.
    """
    keep = 1 - p
    if x.device.type != "cpu":
        return x.new_empty(*sz).bernoulli_(keep).div_(keep or 1.0)
    # 16 random bits per number, a sixth of the time of `bernoulli_`: the probability is a multiple of 1 / 65536
    n, level = math.prod(sz), round(keep * 2**16) - 2**15
    if level == 2**15:
        return x.new_ones(*sz)
    bits = torch.empty(-(-n // 4), dtype=torch.int64).random_(-2**63, None).view(torch.int16)[:n].view(*sz)
    return (bits < level).to(x.dtype).div_(keep or 1.0)


class RNNDropout(nn.Module):
    """Dropout with one mask for all steps of a sequence: (batch, time, features) in and out.

    Args:
        p: probability that a feature of a sequence is 0.
    """

    def __init__(self, p: float = 0.5):
        super().__init__()
        self.p = _check_p("RNNDropout(p)", p)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or not self.p:
            return x
        return x * dropout_mask(x, (x.shape[0], 1, *x.shape[2:]), self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class WeightDropout(nn.Module):
    """A layer of which some weights are dropped anew in each call of training (DropConnect).

    The weights themselves are parameters here, called `NAME_raw`; the layer inside has none of that name. They are handed to the layer
    when it is called, so a copy of this module is independent, and calls in several threads do not meet.

    Args:
        module: a recurrent layer of torch, or any layer.
        weight_p: probability that a weight is 0.
        layer_names: names of the weights in `module`, one or several.
    """

    def __init__(self, module: nn.Module, weight_p: float, layer_names: str | Sequence[str] = "weight_hh_l0"):
        super().__init__()
        self.module, self.weight_p = module, _check_p("WeightDropout(weight_p)", weight_p)
        self.layer_names = [layer_names] if isinstance(layer_names, str) else list(layer_names)
        own = dict(module.named_parameters(recurse=False))
        for name in self.layer_names:
            if name not in own:
                raise ValueError(f"WeightDropout(layer_names={brief(name)}): {type(module).__name__} has no weight of that name"
                                 f"{did_you_mean(name, own)} It has: {', '.join(own)}")
            self.register_parameter(f"{name}_raw", own[name])
            setattr(module, name, None)
        self._rnn: Callable[..., Any] | None = _RECURRENT[module.mode] if isinstance(module, nn.RNNBase) else None

    def _weight(self, name: str) -> torch.Tensor | None:
        "The weight `name` of the layer, with dropout if it is one of those."
        raw = getattr(self, f"{name}_raw", None)
        if raw is None:
            return getattr(self.module, name)
        return raw * dropout_mask(raw, raw.shape, self.weight_p) if self.training and self.weight_p else raw

    def forward(self, x: torch.Tensor, *args: Any) -> Any:
        if self._rnn is None:
            return functional_call(self.module, {name: self._weight(name) for name in self.layer_names}, (x, *args))
        return self._recurrent(self._rnn, self.module, x, *args)

    def _recurrent(self, function: Callable[..., Any], rnn: Any, x: torch.Tensor, hx: Any = None) -> Any:
        if isinstance(x, nn.utils.rnn.PackedSequence):
            raise TypeError("WeightDropout reads sequences of one length, (batch, time, features), not a PackedSequence: write "
                            "pad_packed_sequence(x, batch_first=True)[0], and look at the outputs of real steps alone")
        ends = ["", "_reverse"] if rnn.bidirectional else [""]
        kinds = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if rnn.bias else []), *(["weight_hr"] if rnn.proj_size else [])]
        weights = [self._weight(f"{kind}_l{i}{end}") for i in range(rnn.num_layers) for end in ends for kind in kinds]
        if hx is None:
            zeros = x.new_zeros(rnn.num_layers * len(ends), x.shape[0 if rnn.batch_first else 1], rnn.hidden_size)
            hx = (zeros[..., :rnn.proj_size or None], zeros) if rnn.mode == "LSTM" else zeros
        args = (x, hx, weights, rnn.bias, rnn.num_layers, rnn.dropout, self.training, rnn.bidirectional, rnn.batch_first)
        if x.is_cuda:
            with warnings.catch_warnings():     # weights that were just drawn do not lie in one piece of memory: cuDNN copies them
                warnings.filterwarnings("ignore", ".*contiguous chunk of memory.*")
                out, *hidden = function(*args)
        else:
            out, *hidden = function(*args)
        return out, tuple(hidden) if rnn.mode == "LSTM" else hidden[0]

    def reset(self) -> None:
        "Forget the hidden state of the layer inside, if it keeps one."
        if callable(reset := getattr(self.module, "reset", None)):
            reset()

    def extra_repr(self) -> str:
        return f"weight_p={self.weight_p}, layer_names={self.layer_names}"


class EmbeddingDropout(nn.Module):
    """Embedding of words, some of which are dropped wherever they stand in the batch.

    Args:
        emb: the embedding.
        embed_p: probability that a word of the vocabulary is all 0.
    """

    def __init__(self, emb: nn.Embedding, embed_p: float):
        super().__init__()
        self.emb, self.embed_p = emb, _check_p("EmbeddingDropout(embed_p)", embed_p)

    def forward(self, words: torch.Tensor, scale: float | None = None) -> torch.Tensor:
        """Args:
            words: ids, of any shape.
            scale: factor of all vectors.
        """
        # the mask has a number per word of the vocabulary, and the rows that were looked up are multiplied, not the whole matrix
        rows = self.emb(words)
        if self.training and self.embed_p:
            mask = dropout_mask(self.emb.weight, (self.emb.num_embeddings, 1), self.embed_p)
            rows = rows * F.embedding(words, mask)
        return rows if scale is None else rows * scale

    def extra_repr(self) -> str:
        return f"embed_p={self.embed_p}"


class AWD_LSTM(nn.Module):
    """An embedding and LSTM layers with dropout: ids (batch, time) -> (batch, time, emb_sz).

    The hidden state is kept from call to call, cut off from the gradient, until `reset()`: each batch continues the one before.

    Args:
        vocab_sz: size of the vocabulary.
        emb_sz: size of the vectors of words, and of the output.
        n_hid: features of the layers between.
        n_layers: number of LSTM layers.
        pad_token: the id whose vector gets no gradient.
        hidden_p: dropout between layers.
        input_p: dropout of what goes into the first layer.
        embed_p: dropout of words.
        weight_p: dropout of the hidden-to-hidden weights.
        bidir: each layer reads in both directions, with half of its features each.
    """

    initrange = 0.1         #: the vectors of words start from a uniform distribution in +-initrange
    #: What `to_onnx` and `to_torch_export` say.
    no_graph = ("AWD_LSTM reads each text as long as it is, piece by piece, and keeps a hidden state: a graph can do neither. Write "
                "learn.export('model.pkl'), and load_learner('model.pkl') where it is to predict")

    def __init__(self, vocab_sz: int, emb_sz: int, n_hid: int, n_layers: int, pad_token: int = 1, hidden_p: float = 0.2,
                 input_p: float = 0.6, embed_p: float = 0.1, weight_p: float = 0.5, bidir: bool = False):
        super().__init__()
        self.emb_sz, self.n_hid, self.n_layers, self.pad_token, self.n_dir = emb_sz, n_hid, n_layers, pad_token, 2 if bidir else 1
        self.encoder = nn.Embedding(vocab_sz, emb_sz, padding_idx=pad_token)
        nn.init.uniform_(self.encoder.weight, -self.initrange, self.initrange)
        self.encoder_dp = EmbeddingDropout(self.encoder, embed_p)
        sizes = [emb_sz, *[n_hid] * (n_layers - 1), emb_sz]
        self.rnns = nn.ModuleList(
            WeightDropout(nn.LSTM(n_in, n_out // self.n_dir, 1, batch_first=True, bidirectional=bidir), weight_p)
            for n_in, n_out in pairwise(sizes))
        self.input_dp = RNNDropout(input_p)
        self.hidden_dps = nn.ModuleList(RNNDropout(hidden_p) for _ in range(n_layers))
        self.hidden: list[Hidden] | None = None

    def reset(self) -> None:
        "Forget the hidden state."
        self.hidden = None

    def forward(self, inp: torch.Tensor, from_embeds: bool = False) -> torch.Tensor:
        """Args:
            inp: ids (batch, time); or vectors (batch, time, emb_sz), with `from_embeds`.
            from_embeds: `inp` holds vectors of words.
        """
        output, self.hidden = self.read(inp, self.hidden, from_embeds)
        return output

    def read(self, inp: torch.Tensor, hidden: list[Hidden] | None = None,
             from_embeds: bool = False) -> tuple[torch.Tensor, list[Hidden]]:
        """As a call, with the hidden state given and returned instead of kept.

        Args:
            inp: as of a call.
            hidden: the state of each layer, of this many sequences (others: cut, or begun anew at the end); None: zeros.
            from_embeds: `inp` holds vectors of words.

        Returns:
            The output, and the new state without a gradient.
        """
        if not from_embeds and inp.ndim != 2:
            raise ValueError(f"AWD_LSTM reads ids of shape (batch, time); received {describe(inp)}")
        # the steps lie one after the other in memory, as an LSTM reads them: no layer has to copy its input
        output = self.input_dp(inp if from_embeds else self.encoder_dp(inp.t()).transpose(0, 1))
        states: list[Hidden] = []
        for i, rnn in enumerate(self.rnns):
            output, (h, c) = rnn(output, self._state(None if hidden is None else hidden[i], i, output))
            states.append((h.detach(), c.detach()))
            if i < self.n_layers - 1:
                output = self.hidden_dps[i](output)
        return output, states

    def _state(self, state: Hidden | None, layer: int, x: torch.Tensor) -> Hidden:
        "`state` for as many sequences as there are in `x`, on its device."
        n, size = len(x), (self.emb_sz if layer == self.n_layers - 1 else self.n_hid) // self.n_dir
        if state is None:
            zeros = x.new_zeros(self.n_dir, n, size)
            return zeros, zeros
        h, c = (s.to(x.device, x.dtype)[:, :n] for s in state)
        if (new := n - h.shape[1]) > 0:
            h, c = (torch.cat([s, s.new_zeros(self.n_dir, new, size)], 1) for s in (h, c))
        return h.contiguous(), c.contiguous()


def _params(*modules: nn.Module) -> list[nn.Parameter]:
    return list(dict.fromkeys(p for m in modules for p in m.parameters()))


def awd_lstm_lm_split(model: Any) -> list[list[nn.Parameter]]:
    """The layer groups of a language model: each LSTM layer; embedding and decoder, which share their weights, last.

    Args:
        model: of `get_language_model`.
    """
    return [*map(_params, model[0].rnns), _params(model[0].encoder, model[1])]


def awd_lstm_clas_split(model: Any) -> list[list[nn.Parameter]]:
    """The layer groups of a classifier: embedding, each LSTM layer, head.

    Args:
        model: of `get_text_classifier`.
    """
    return [_params(model[0].module.encoder), *map(_params, model[0].module.rnns), _params(model[1])]


#: Settings of `AWD_LSTM` in a language model, and of its decoder.
awd_lstm_lm_config: dict[str, Any] = {
    "emb_sz": 400, "n_hid": 1152, "n_layers": 3, "pad_token": 1, "bidir": False, "output_p": 0.1, "hidden_p": 0.15, "input_p": 0.25,
    "embed_p": 0.02, "weight_p": 0.2, "tie_weights": True, "out_bias": True}
#: Settings of `AWD_LSTM` in a classifier.
awd_lstm_clas_config: dict[str, Any] = {
    "emb_sz": 400, "n_hid": 1152, "n_layers": 3, "pad_token": 1, "bidir": False, "output_p": 0.4, "hidden_p": 0.3, "input_p": 0.4,
    "embed_p": 0.05, "weight_p": 0.5}
