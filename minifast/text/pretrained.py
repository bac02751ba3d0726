"""Weights of language models that were trained before: where they come from, and how they go on with other words."""
import pickletools
from collections.abc import Mapping, Sequence
from typing import Any
from warnings import warn

import torch
from torch import nn

from ..core import checkpoint
from ..core.messages import describe, plural
from ..core.paths import Path
from ..core.types import PathLike
from ..sources.urls import DownloadError, untar_data
from .special import TEXT_SPEC_TOK

Weights = Mapping[str, torch.Tensor]

_MODELS = "https://s3.amazonaws.com/fast-ai-modelzoo/"
#: Where the weights that fastai trained on Wikipedia (WikiText-103) are, forwards and backwards.
WT103_FWD: str = f"{_MODELS}wt103-fwd.tgz"
WT103_BWD: str = f"{_MODELS}wt103-bwd.tgz"
#: Of a vocabulary, at least this share must be known to the weights: of words of another kind, next to none are.
MIN_SHARE = 0.1


def wt103_files(backwards: bool = False) -> tuple[Path, Path]:
    """The files of the weights trained on Wikipedia, and of their vocabulary, downloaded if need be.

    Args:
        backwards: those of a model that reads backwards.

    Raises:
        OSError: they are not here and cannot be downloaded; says what to write instead.
    """
    url = WT103_BWD if backwards else WT103_FWD
    try:
        folder = untar_data(url, data="models")
    except DownloadError as e:
        raise OSError("pretrained=True starts from the weights that fastai trained on Wikipedia, which are not on this machine: "
                      f"{str(e).rstrip('.')}. Or write pretrained=False to start from random weights, or "
                      "pretrained_fnames=('weights', 'vocab') for files of your own in path/model_dir") from e
    found = [next(iter(sorted(folder.glob(f"*{suffix}"))), None) for suffix in (".pth", ".pkl")]
    if None in found:
        raise OSError(f"{folder} lacks {' and '.join(s for s, f in zip(('.pth', '.pkl'), found, strict=True) if f is None)}: delete the "
                      "folder, and it is unpacked again")
    return found[0], found[1]  # type: ignore[return-value]  # neither is None


def match_embeds(old_wgts: Weights, old_vocab: Sequence[str], new_vocab: Sequence[str]) -> dict[str, torch.Tensor]:
    """Weights of a language model, or of its encoder, for another vocabulary: words that both have keep their vectors, new ones get the
    mean of all.

    Args:
        old_wgts: the weights; they do not change.
        old_vocab: the words they were trained with.
        new_vocab: the words they are wanted for.
    """
    id_of = {w: i for i, w in enumerate(old_vocab)}
    ids = torch.tensor([id_of.get(w, -1) for w in new_vocab], dtype=torch.int64)
    known = ids >= 0
    matched = dict(old_wgts)
    for name, old in old_wgts.items():
        if name.removeprefix("0.") in ("encoder.weight", "encoder_dp.emb.weight") or name in ("1.decoder.weight", "1.decoder.bias"):
            if len(old) != len(old_vocab):
                raise ValueError(f"these weights have {len(old)} rows in {name}, and their vocabulary {plural(len(old_vocab), 'word')}: "
                                 "they do not belong together. Give the vocabulary that the weights were trained with")
            matched[name] = torch.where(known.view(-1, *[1] * (old.ndim - 1)), old[ids.clamp(min=0)], old.float().mean(0).to(old.dtype))
    return matched


def known_share(old_vocab: Sequence[str], new_vocab: Sequence[str]) -> tuple[int, int]:
    "How many of the words of `new_vocab`, special tokens apart, are in `old_vocab`, and how many there are."
    special, old = {*TEXT_SPEC_TOK, "xxfake"}, set(old_vocab)
    words = [w for w in new_vocab if w not in special]
    return sum(w in old for w in words), len(words)


def adapted(weights: Weights, old_vocab: Sequence[str], new_vocab: Sequence[str], file: Any,
            warned: bool = False) -> dict[str, torch.Tensor]:
    """`match_embeds`, refused where the vocabularies have next to nothing in common.

    Args:
        weights: see `match_embeds`.
        old_vocab: the words of the weights.
        new_vocab: the words of the data.
        file: where the weights come from.
        warned: say so where the words differ at all.
    """
    if list(old_vocab) == list(new_vocab):
        return dict(weights)
    known, total = known_share(old_vocab, new_vocab)
    if known < MIN_SHARE * total:
        raise ValueError(f"the weights in {file} know {known} of the {plural(total, 'word')} of these data: their texts were tokenised in "
                         "another way, or are in another language. Make the data with the tokenizer and the vocabulary of the weights, "
                         "TextDataLoaders.from_df(..., tok_tfm=..., text_vocab=...), or begin without them, pretrained=False")
    if warned:
        warn(f"{file} was trained with another vocabulary: {known} of the {plural(total, 'word')} of these data were found in it by name, "
             "the others start as the mean of all. To use its vocabulary, make the data with text_vocab=dls_lm.vocab (with a TextBlock: "
             "vocab=dls_lm.vocab)", stacklevel=4)
    return match_embeds(weights, old_vocab, new_vocab)


def read_vocab(file: PathLike) -> list[str]:
    """The words in a file: a JSON list, a text with a word on each line, or a pickled list, of which nothing but its strings is read.

    Args:
        file: the file.

    Raises:
        ValueError: it holds something else.
    """
    file = Path(file)
    if file.suffix in (".pkl", ".pickle"):
        return _strings_of_pickle(file)
    words = file.read_json() if file.suffix == ".json" else file.read_text(encoding="utf-8").splitlines()
    if not isinstance(words, list) or not all(isinstance(w, str) for w in words):
        raise ValueError(f"{file} holds {describe(words)}, not a list of words")
    return words


#: What pickling a list of strings writes besides them; there is nothing to run among it.
_LIST_OPS = {"PROTO", "FRAME", "EMPTY_LIST", "LIST", "MARK", "APPENDS", "APPEND", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP"}
#: ... and where a string comes a second time, as the words that fill up a vocabulary do.
_AGAIN_OPS = {"GET", "BINGET", "LONG_BINGET"}


def _strings_of_pickle(file):
    words, memo, latest = [], {}, None
    try:
        for op, arg, _ in pickletools.genops(file.read_bytes()):
            if op.name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
                memo[len(memo) if arg is None else arg] = latest
            is_word = op.name in ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE")
            latest = arg if is_word else None
            if is_word:
                words.append(arg)
            elif op.name in _AGAIN_OPS and memo.get(arg) is not None:
                words.append(memo[arg])
            elif op.name not in _LIST_OPS:
                raise ValueError(f"it is not a plain list of words (there is {op.name} in it)")
    except Exception as e:                                  # what a damaged pickle makes of the reader is of many kinds
        raise ValueError(f"{file} cannot be read as a vocabulary: {e}. Write the words as a JSON list, "
                         "Path('vocab.json').write_text(json.dumps(words))") from e
    return words


def clean_names(weights: Weights) -> dict[str, torch.Tensor]:
    """Weights by the names of today: files of older versions of fastai hold each dropped weight twice.

    Args:
        weights: by name.
    """
    return {k: v for k, v in weights.items() if not (".module." in k and f"{k.replace('.module.', '.')}_raw" in weights)}


def fit_weights(module: nn.Module, weights: Weights, file: Any) -> None:
    """Load weights into a module, all of them; compared first, so that a refused file changes nothing.

    Args:
        module: the module.
        weights: by name.
        file: where they come from.

    Raises:
        ValueError: names or shapes differ.
    """
    own = module.state_dict()
    wrong = [*(f"{n} is not in the file" for n in own if n not in weights), *(f"{n} is not in the model" for n in weights if n not in own),
             *(f"{n} is {describe(weights[n])} in the file, {describe(t)} in the model" for n, t in own.items()
               if n in weights and weights[n].shape != t.shape)]
    if wrong:
        raise ValueError(f"the weights in {file} do not fit this model: {'; '.join(wrong[:3])}{'; ...' if len(wrong) > 3 else ''}. Give "
                         "the learner the config that they were trained with (emb_sz, n_hid, n_layers, bidir)")
    module.load_state_dict(dict(weights))


def read_weights(file: PathLike) -> tuple[dict[str, torch.Tensor], Mapping[str, Any]]:
    """The weights in a file of `learn.save`, of `save_encoder` or of fastai, and all that the file holds.

    Args:
        file: the file.
    """
    state = checkpoint.load(file, "cpu")
    weights = next((state[k] for k in ("model", "encoder") if isinstance(state.get(k), dict)), state) if isinstance(state, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(v, torch.Tensor) for v in weights.values()):
        raise ValueError(f"{file} holds {describe(state)}, not weights by name: give a file of learn.save or learn.save_encoder")
    return clean_names(weights), state
