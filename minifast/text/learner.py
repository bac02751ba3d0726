"""`language_model_learner` and `text_classifier_learner`: a `Learner` for texts, from pretrained weights if wanted.

Source: J. Howard, S. Ruder, "Universal Language Model Fine-tuning for Text Classification" (ULMFiT), 2018, https://arxiv.org/abs/1801.06146.
"""
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar, cast
from warnings import warn

import torch
from torch import nn

from ..callbacks.base import Callback
from ..callbacks.regularise import rnn_cbs
from ..core import checkpoint
from ..core.keywords import knows_keywords
from ..core.messages import describe, plural
from ..core.paths import Path
from ..core.seeds import fixed_seed
from ..core.types import LossFunc, PathLike, Splitter, YRange
from ..data.loaders import DataLoaders
from ..learner.learner import Learner
from ..learner.saving import file_of, stored_file, stored_vocabs, vocab_tensor
from ..nn.losses import CrossEntropyLossFlat
from ..optim.optimizers import Adam
from .generation import check_generation, decode_spec_tokens, generate
from .language_loader import LMDataLoader
from .models.awd_lstm import AWD_LSTM
from .models.heads import get_language_model, get_text_classifier, text_arch
from .pretrained import adapted, fit_weights, read_vocab, read_weights, wt103_files
from .special import BOS, PAD, UNK
from .tensors import is_backwards
from .vocabulary import FAKE, text_vocab

Self = TypeVar("Self", bound="TextLearner")
MOMS = (0.8, 0.7, 0.8)          #: momentum in `fit_one_cycle`, lower than elsewhere

__all__ = ["LMLearner", "TextLearner", "language_model_learner", "text_classifier_learner"]


def encoder_of(model: nn.Module) -> nn.Module:
    """The part of a model that reads, without the part that decides.

    Args:
        model: an encoder and a head, as `SequentialRNN(encoder, head)` puts them together.

    Raises:
        TypeError: the model has no parts.
    """
    try:
        first = cast(Any, model)[0]
    except (TypeError, IndexError) as e:
        raise TypeError(f"{type(model).__name__} has no part [0], which would be its encoder: make it of one and a head, "
                        "SequentialRNN(encoder, head)") from e
    return getattr(first, "module", first)


class TextLearner(Learner):
    """A `Learner` of a recurrent model of texts, which begins with an encoder: `model[0]`, or `model[0].module`.

    Args:
        dls: the data.
        model: returns (output, outputs of the encoder before dropout, and after), see `RNNCallback`.
        alpha: weight of activation regularisation, see `RNNRegularizer`.
        beta: weight of temporal activation regularisation.
        moms: see `Learner`.
        **kwargs: other arguments of `Learner`.
    """

    def __init__(self, dls: DataLoaders, model: nn.Module, alpha: float = 2.0, beta: float = 1.0,
                 moms: tuple[float, float, float] | None = MOMS, **kwargs: Any):
        super().__init__(dls, model, moms=moms, **kwargs)
        self.add_cbs(rnn_cbs(alpha, beta))

    @property
    def encoder(self) -> nn.Module:
        "The part of the model that reads, without the part that decides."
        return encoder_of(self.model)

    def save_encoder(self, file: PathLike) -> Path:
        """Write the weights of the encoder, and the words they belong to.

        Args:
            file: a name, for `path/model_dir/file.safetensors`, or a path.

        Returns:
            The file.
        """
        file = file_of(self, file).with_suffix(".safetensors")
        checkpoint.save({"encoder": self.encoder.state_dict(), "vocab": vocab_tensor({"tokens": text_vocab(self.dls)})}, file)
        return file

    def load_encoder(self: Self, file: PathLike, device: torch.device | str | None = None) -> Self:
        """Read the weights of an encoder and freeze all but the head. Words are matched by name where the vocabularies differ.

        Args:
            file: of `save_encoder`, or of fastai, which stores no words; a name or a path.
            device: move the data, and with it the learner, there.

        Raises:
            ValueError: the weights do not fit, or know next to none of the words of these data.
        """
        file = stored_file(self, file)
        weights, state = read_weights(file)
        words = text_vocab(self.dls)
        if stored := self._words_of(state, weights, "encoder.weight", file):
            weights = adapted(weights, stored, words, file, warned=True)
        elif not isinstance(state.get("vocab"), torch.Tensor):
            warn(f"{file} does not say which words its weights belong to: they are right only if these data have the same vocabulary in "
                 "the same order. Where its words are in a file, write learn.load_pretrained(weights, vocab) instead, which finds them by "
                 "name", stacklevel=2)
        with self.pass_lock.for_pass():
            fit_weights(self.encoder, weights, file)
            if device is not None:
                self.dls.to(device)
            self.to_device()
        self.freeze()
        return self

    def load_pretrained(self: Self, wgts_fname: PathLike, vocab_fname: PathLike | None = None, model: nn.Module | None = None) -> Self:
        """Read the weights of a language model for the words of these data, and freeze all but the last layer group.

        Words that were known keep their vectors, new ones start as the mean of all. A classifier takes the encoder alone.

        Args:
            wgts_fname: weights of a language model, or of its encoder: a file of `learn.save` or `save_encoder`, or of fastai (.pth).
            vocab_fname: their words in order: a JSON list, a text with a word on each line, or a pickled list; None: those stored in
                `wgts_fname`.
            model: the model to load them into; None: the learner's.

        Raises:
            ValueError: the weights do not fit, no words are known for them, or next to none of the words of these data.
        """
        wgts_fname = Path(wgts_fname).expanduser()
        weights, state = read_weights(wgts_fname)
        of_encoder = "encoder.weight" in weights
        stored_at = "encoder.weight" if of_encoder else "0.encoder.weight"
        old = self._words_of(state, weights, stored_at, wgts_fname) if vocab_fname is None else read_vocab(vocab_fname)
        if not old:
            raise ValueError(f"{wgts_fname} does not say which words its weights belong to: write load_pretrained(file, 'words.json'), a "
                             "JSON list of them in their order")
        weights = adapted(weights, old, text_vocab(self.dls), wgts_fname)
        with self.pass_lock.for_pass():
            target = self.model if model is None else model
            if of_encoder or "1.decoder.weight" not in target.state_dict():
                target = encoder_of(target)
                weights = {k.removeprefix("0."): v for k, v in weights.items() if of_encoder or k.startswith("0.")}
            fit_weights(target, weights, wgts_fname)
            self.to_device()
        self.freeze()
        return self

    @staticmethod
    def _words_of(state, weights, name, file):
        "The words stored in a file: the vocabulary with an entry per row of the embedding; None: there is none."
        rows, stored = len(weights.get(name, ())), state.get("vocab")
        found = stored_vocabs(stored, file) if isinstance(stored, torch.Tensor) else {}
        return next((words for words in found.values() if len(words) == rows), None)


class LMLearner(TextLearner):
    "A `TextLearner` of a language model, which can write."

    #: What `Predictor` says.
    no_predictor = ("a language model writes, and keeps a hidden state meanwhile: write learn = load_learner(file) and "
                    "learn.predict(text, n_words), from any thread")

    def predict(self, text: str, n_words: int = 1, no_unk: bool = True,  # type: ignore[override]  # it writes, it does not decide
                temperature: float = 1.0, min_p: float | None = None, no_bar: bool = False,
                decoder: Callable[[Sequence[str]], Sequence[str]] = decode_spec_tokens, only_last_word: bool = False,
                top_k: int | None = None, top_p: float | None = None) -> str:
        """Write on: `text` and `n_words` tokens after it (before it, of a model that reads backwards), each drawn by its probability.

        Args:
            text: how it begins.
            n_words: how many tokens to write.
            no_unk: never write the unknown word.
            temperature: below 1 likely tokens become likelier, above 1 all become more alike; 0: always the likeliest.
            min_p: only tokens of at least this probability; where there is none, all.
            no_bar: accepted for code that passes it.
            decoder: carries out special tokens, see `decode_spec_tokens`.
            only_last_word: each token is chosen after the last one alone.
            top_k: only the `top_k` likeliest tokens.
            top_p: only the likeliest tokens that together have this probability.
        """
        check_generation(n_words, temperature, top_k, top_p, min_p)
        pipe, vocab = self._pipeline(), text_vocab(self.dls)
        never = {BOS, PAD, FAKE, *([UNK] if no_unk else [])}
        own_draws = fixed_seed() if self.running else nullcontext()           # in a callback: training goes on as if nothing were written
        with self.pass_lock.for_pass(), self.within_pass(), own_draws, torch.no_grad(), self.forward_context():
            self.to_device()
            self.model.eval()
            ids = torch.as_tensor(pipe(text)).as_subclass(torch.Tensor).to(self.dls.device)
            ids = generate(self.model, ids, n_words, [i for i, w in enumerate(vocab) if w in never], only_last_word,
                           temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        tokens = [vocab[i] for i in ids.tolist() if vocab[i] not in (BOS, PAD)]
        words = decoder(tokens[::-1] if is_backwards(pipe) else tokens)
        tokenizer = next((f for f in pipe if hasattr(f, "sep")), None)
        return " ".join(words) if tokenizer is None else str(tokenizer.decodes(words))

    def _pipeline(self):
        "The transforms that make ids of a text."
        for dl in self.dls:
            pipelines = getattr(getattr(dl, "dataset", None), "pipelines", None)
            if pipelines:
                return pipelines[0]
        raise TypeError("predict(text) needs loaders that tokenise, of TextDataLoaders or of a TextBlock; these are "
                        f"{describe(self.dls.train)}. For ids write minifast.text.generation.generate(learn.model, ids, n)")

    def get_preds(self, *args: Any, **kwargs: Any) -> tuple:
        """As `Learner.get_preds`; batches are joined along time (`concat_dim=1`), because each goes on where the one before ended.

        Args:
            *args: of `Learner.get_preds`.
            **kwargs: of `Learner.get_preds`.
        """
        kwargs.setdefault("concat_dim", 1)
        return super().get_preds(*args, **kwargs)


def _classes_of(dls):
    "What a loader of texts with a target says about it: the second part of its vocabulary; None: there is none."
    vocab = getattr(dls, "vocab", None)
    nested = isinstance(vocab, (list, tuple)) and len(vocab) > 1 and isinstance(vocab[0], (list, tuple))
    return vocab[1] if nested else None  # type: ignore[index]  # a list


def _load(learn, pretrained, pretrained_fnames, backwards):
    "Give `learn` the weights it is to start from."
    pipelines = getattr(getattr(learn.dls.train, "dataset", None), "pipelines", None)
    if pipelines and is_backwards(pipelines[0]) is not backwards and (backwards or (pretrained and pretrained_fnames is None)):
        read = "backwards" if is_backwards(pipelines[0]) else "forwards"
        raise ValueError(f"backwards={backwards}, and the texts of these data are read {read}: write backwards={not backwards}, or make "
                         f"the data with backwards={backwards}")
    if pretrained_fnames is not None:
        names = [pretrained_fnames] if isinstance(pretrained_fnames, (str, Path)) else list(pretrained_fnames)
        folder, found = learn.path / learn.model_dir, []
        for name, suffixes in zip(names, ((".pth", ".safetensors"), (".pkl", ".json", ".txt")), strict=False):
            file = folder / name
            choices = [file, *(file.with_name(file.name + s) for s in suffixes)]
            found.append(next((f for f in choices if f.is_file()), None))
            if found[-1] is None:
                raise FileNotFoundError(f"pretrained_fnames={tuple(map(str, names))}: there is no {' or '.join(str(c) for c in choices)}")
        learn.load_pretrained(*found)
    elif pretrained:
        learn.load_pretrained(*wt103_files(backwards))


@knows_keywords
def language_model_learner(dls: DataLoaders, arch: Any = AWD_LSTM, config: Mapping[str, Any] | None = None, drop_mult: float = 1.0,
                           backwards: bool = False, pretrained: bool = True, pretrained_fnames: Sequence[PathLike] | None = None,
                           alpha: float = 2.0, beta: float = 1.0, loss_func: LossFunc | None = None, opt_func: Callable[..., Any] = Adam,
                           lr: float | slice = 1e-3, splitter: Splitter | None = None, cbs: Callback | Sequence[Callback] | None = None,
                           metrics: Any = None, path: PathLike | None = None, model_dir: str = "models", wd: float | None = None,
                           wd_bn_bias: bool = False, train_bn: bool = True, moms: tuple[float, float, float] | None = MOMS,
                           default_cbs: bool = True) -> LMLearner:
    """A learner of a language model. If pretrained, all but the embedding and the decoder starts frozen.

    Args:
        dls: loaders made with `is_lm=True`.
        arch: `AWD_LSTM`.
        config: settings that differ from `awd_lstm_lm_config`.
        drop_mult: factor of all dropouts.
        backwards: start from weights of a model that reads backwards.
        pretrained: start from weights trained on Wikipedia, which are downloaded.
        pretrained_fnames: start from your own: names of weights and vocabulary in `path/model_dir`, see `load_pretrained`.
        alpha: weight of activation regularisation, see `RNNRegularizer`.
        beta: weight of temporal activation regularisation.
        loss_func: None: `CrossEntropyLossFlat`.
        opt_func, lr, splitter, cbs, metrics, path, model_dir, wd, wd_bn_bias, train_bn, moms, default_cbs: see `Learner`.

    Raises:
        TypeError: `dls` are no loaders of texts.
        ValueError: they are those of a classifier, or `arch` is unknown.
        OSError: the pretrained weights cannot be had.
    """
    vocab, meta = text_vocab(dls), text_arch(arch)
    if (classes := _classes_of(dls)) is not None:
        raise ValueError(f"language_model_learner learns to predict the next token, and these data have a target, {describe(classes)}: "
                         "make them with is_lm=True, or write text_classifier_learner")
    learn = LMLearner(dls, get_language_model(arch, len(vocab), config, drop_mult), alpha, beta, moms,
                      loss_func=CrossEntropyLossFlat() if loss_func is None else loss_func,
                      splitter=meta.split_lm if splitter is None else splitter, opt_func=opt_func, lr=lr, cbs=cbs, metrics=metrics,
                      path=path, model_dir=model_dir, wd=wd, wd_bn_bias=wd_bn_bias, train_bn=train_bn, default_cbs=default_cbs)
    learn.arch = arch
    _load(learn, pretrained, pretrained_fnames, backwards)
    return learn


@knows_keywords
def text_classifier_learner(dls: DataLoaders, arch: Any = AWD_LSTM, seq_len: int = 72, config: Mapping[str, Any] | None = None,
                            backwards: bool = False, pretrained: bool = True, drop_mult: float = 0.5, n_out: int | None = None,
                            lin_ftrs: Sequence[int] | None = None, ps: Sequence[float] | None = None, max_len: int | None = 72 * 20,
                            y_range: YRange | None = None, pretrained_fnames: Sequence[PathLike] | None = None, alpha: float = 2.0,
                            beta: float = 1.0, loss_func: LossFunc | None = None, opt_func: Callable[..., Any] = Adam,
                            lr: float | slice = 1e-3, splitter: Splitter | None = None, cbs: Callback | Sequence[Callback] | None = None,
                            metrics: Any = None, path: PathLike | None = None, model_dir: str = "models", wd: float | None = None,
                            wd_bn_bias: bool = False, train_bn: bool = True, moms: tuple[float, float, float] | None = MOMS,
                            default_cbs: bool = True) -> TextLearner:
    """A learner that classifies texts. If pretrained, all but the head starts frozen; unfreeze gradually: `freeze_to(-2)`, `freeze_to(-3)`,
    `unfreeze()`, training in between.

    Args:
        dls: loaders of texts with a target.
        arch: `AWD_LSTM`.
        seq_len: tokens read at a time: the gradient stays within them.
        config: settings that differ from `awd_lstm_clas_config`.
        backwards: start from weights of a model that reads backwards.
        pretrained: start from weights trained on Wikipedia, which are downloaded. To start from your own language model write False, and
            `learn.load_encoder`.
        drop_mult: factor of the dropouts of `config`.
        n_out: number of outputs; None: what `dls` says.
        lin_ftrs: sizes of the hidden layers of the head; None: [50].
        ps: dropout after each of them; None: 0.1.
        max_len: the outputs of this many tokens at the end of a text are pooled; a line says how many texts are longer. None: of all.
        y_range: (low, high) of numbers to predict.
        pretrained_fnames: start from your own: names of weights and vocabulary in `path/model_dir`, see `load_pretrained`.
        alpha: weight of activation regularisation, see `RNNRegularizer`.
        beta: weight of temporal activation regularisation.
        loss_func: None: that of the data.
        opt_func, lr, splitter, cbs, metrics, path, model_dir, wd, wd_bn_bias, train_bn, moms, default_cbs: see `Learner`.

    Raises:
        TypeError: `dls` are no loaders of texts.
        ValueError: the number of outputs is not known, or `arch` is unknown.
        OSError: the pretrained weights cannot be had.
    """
    vocab, meta = text_vocab(dls), text_arch(arch)
    n_out = getattr(dls, "c", None) if n_out is None else n_out
    if not isinstance(n_out, int) or n_out < 1 or isinstance(dls.train, LMDataLoader):
        told = "the loaders are those of a language model" if isinstance(dls.train, LMDataLoader) else f"dls.c={n_out!r}"
        raise ValueError(f"text_classifier_learner cannot tell from the data how many outputs the model needs ({told}): pass n_out=, the "
                         "number of classes or of numbers to predict; for a language model write language_model_learner")
    pad_idx = vocab.index(PAD) if PAD in vocab else 1
    model = get_text_classifier(arch, len(vocab), n_out, seq_len, config, drop_mult, lin_ftrs, ps, pad_idx, max_len, y_range)
    learn = TextLearner(dls, model, alpha, beta, moms, loss_func=loss_func, splitter=meta.split_clas if splitter is None else splitter,
                        opt_func=opt_func, lr=lr, cbs=cbs, metrics=metrics, path=path, model_dir=model_dir, wd=wd, wd_bn_bias=wd_bn_bias,
                        train_bn=train_bn, default_cbs=default_cbs)
    learn.arch = arch
    _load(learn, pretrained, pretrained_fnames, backwards)
    _tell_of_long_texts(dls, max_len)
    return learn


def _tell_of_long_texts(dls, max_len):
    "Say how many texts the model does not pool all of, where their lengths are known."
    lengths = [int(n) for dl in dls for n in (() if getattr(dl, "res", None) is None else dl.res)]
    if max_len is not None and (longer := sum(n > max_len for n in lengths)):
        warn(f"{longer} of {plural(len(lengths), 'text')} are longer than max_len={max_len} tokens (the longest has {max(lengths)}): they "
             "are read whole, and the outputs of their last tokens alone are pooled. To pool all, write max_len=None", stacklevel=3)
