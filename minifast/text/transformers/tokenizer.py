"""Tokenizers of `transformers`: loaded from a folder or the hub, with a padding token, and as plain values for an exported learner."""
import os
from typing import Any
from warnings import warn

from ...core.messages import describe
from .library import library, quiet
from .sources import fetching

#: `model_max_length` from here on means that a tokenizer knows no limit (transformers writes 1e30).
UNLIMITED = 10**9
#: Tokens of a model that may differ from those of the data: special ones that were set later.
_FEW = 0.02


def is_tokenizer(x: Any) -> bool:
    "Whether `x` is a tokenizer of transformers."
    return callable(x) and hasattr(x, "model_input_names") and hasattr(x, "convert_ids_to_tokens")


def load_tokenizer(source: Any, words: bool = False) -> Any:
    """A tokenizer with a padding token.

    Args:
        source: a folder, a name on the hub, or a tokenizer of transformers.
        words: it is to take lists of words.

    Raises:
        TypeError: it is something else.
        FileNotFoundError: it is neither a folder nor in the cache of the hub, and the hub cannot be reached.
    """
    if is_tokenizer(source):
        tokenizer = source
    elif isinstance(source, str) or hasattr(source, "__fspath__"):
        with quiet():
            tokenizer = fetching(library().AutoTokenizer, source, "tokenizer", **({"add_prefix_space": True} if words else {}))
    else:
        raise TypeError(f"a folder, a name on the hub or a tokenizer of transformers is needed; received {describe(source)}")
    if tokenizer.pad_token_id is None:
        token = next((t for t in (tokenizer.eos_token, tokenizer.bos_token, tokenizer.unk_token) if t is not None), None)
        if token is None:
            raise ValueError(f"{type(tokenizer).__name__} has no padding token and no other special token that could take its place: write "
                             "tokenizer.pad_token = '...', one of its tokens")
        tokenizer.pad_token = token
    return tokenizer


def check_same_tokens(tokenizer: Any, source: Any) -> None:
    """Refuse a model that was trained with another tokenizer than the texts of the data are tokenised with.

    Args:
        tokenizer: of the data.
        source: the folder or name of the model.

    Raises:
        ValueError: its tokenizer has other tokens at the same ids.
    """
    if not source or os.fspath(source) == tokenizer.name_or_path:
        return
    try:
        own = load_tokenizer(source).get_vocab()
    except (OSError, ValueError, ImportError):              # it comes without a tokenizer
        return
    known = tokenizer.get_vocab()
    others = sum(known.get(token) != i for token, i in own.items())
    if others > _FEW * len(own):
        raise ValueError(f"the texts of the data are tokenised with {tokenizer.name_or_path!r}, and the model {str(source)!r} was trained "
                         f"with another tokenizer, of whose {len(own):,} tokens {others:,} have other ids. Give the same name or folder to "
                         "both")


def pad_id_of(tokenizer: Any) -> int:
    "The id of padding; 0 where the tokenizer has no padding token (the attention mask hides it)."
    return 0 if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)


def token_limit(tokenizer: Any, config: Any = None, positions: int | None = None) -> int | None:
    """How many tokens a model can take, special ones included; None: as many as there are.

    Args:
        tokenizer: of the model.
        config: of the model, where it is known.
        positions: what the layers of the model say, see `model_positions`.
    """
    own = int(tokenizer.model_max_length) if tokenizer.model_max_length < UNLIMITED else None
    limits = [n for n in (own, positions if positions is not None else getattr(config, "max_position_embeddings", None))
              if isinstance(n, int) and n > 0]
    return min(limits, default=None)


def capped(max_len: int | None, limit: int | None, stacklevel: int = 3) -> int | None:
    "`max_len`, at most the `limit` of the model, which a line says."
    if max_len is not None and (isinstance(max_len, bool) or not isinstance(max_len, int) or max_len < 4):
        raise ValueError(f"max_len={max_len!r}: a whole number of tokens, at least 4 (a pair has 3 or 4 special ones), or None for all "
                         "that the model takes")
    if max_len is not None and limit is not None and max_len > limit:
        warn(f"max_len={max_len} is more than the {limit} tokens that the model takes: max_len={limit} is used", stacklevel=stacklevel)
        return limit
    return limit if max_len is None else max_len


def saved_tokenizer(tokenizer: Any) -> dict[str, Any]:
    """A tokenizer as plain values.

    Raises:
        TypeError: it is one of Python code, which no file can hold.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise TypeError(f"export: {type(tokenizer).__name__} is written in Python, which no file can hold; a fast tokenizer, one with a "
                        "tokenizer.json, can be exported")
    special = {k: str(v) for k, v in tokenizer.special_tokens_map.items() if isinstance(v, str)}
    return {"json": backend.to_str(), "special": special, "model_input_names": list(tokenizer.model_input_names),
            "model_max_length": min(int(tokenizer.model_max_length), 10**12)}


def restored_tokenizer(saved: dict[str, Any]) -> Any:
    "The tokenizer of `saved_tokenizer`."
    backend = library("tokenizers").Tokenizer.from_str(saved["json"])
    backend.no_truncation()
    backend.no_padding()
    return library().PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=saved["model_input_names"],
                                             model_max_length=saved["model_max_length"], **saved["special"])
