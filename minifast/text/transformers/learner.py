"""`transformers_learner`: a `Learner` with a pretrained transformer and the head that the data need."""
from collections.abc import Callable
from os import PathLike
from typing import Any

from torch import nn

from ...core.arguments import check_choice
from ...core.messages import describe, listing
from ...data.loaders import DataLoaders
from ...learner.learner import Learner
from ...nn.loss_traits import kind_of, loss_name
from ...nn.losses import CrossEntropyLossFlat
from ...optim.optimizers import Adam
from .loader import encoder_in
from .lora import add_lora
from .model import TransformersModel, checkpoint_layers, inner_model, sees_ahead, set_pad_id
from .own_loss import ModelLoss
from .pretrained import fit_embeddings, load_model, model_positions
from .splitter import transformers_splitter
from .tokenizer import check_same_tokens


def transformers_learner(dls: DataLoaders, model: Any, n_out: int | None = None, pretrained: bool = True, loss_func: Any = None,
                         opt_func: Callable[..., Any] = Adam, lr: float | slice = 5e-5, splitter: Any = transformers_splitter,
                         cbs: Any = None, metrics: Any = None, path: str | PathLike | None = None, model_dir: str = "models",
                         wd: float | None = None, wd_bn_bias: bool = False, train_bn: bool = True,
                         moms: tuple[float, float, float] | None = (0.95, 0.85, 0.95), gradient_checkpointing: bool = False,
                         lora: Any = None, **settings: Any) -> Learner:
    """Make a `Learner` with a pretrained transformer and the head that the data need. All of it trains; `learn.freeze()` leaves the head.

    One line says which model, head and loss these are, and which weights are new.

    Args:
        dls: the data: of `TransformersDataLoaders`, or of a `DataBlock` with a `TransformersBlock`.
        model: the folder or name of the model, as for the data; or a model of `transformers` with a head, which is taken as it is.
        n_out: number of outputs; None: what `dls` says.
        pretrained: with its weights; False: with random ones.
        loss_func: None: that of the data (minifast's own); 'model': the model's own; or a function, see `Learner`.
        opt_func: see `Learner`.
        lr: see `Learner`.
        splitter: see `Learner`; default: embeddings, one group per layer, head.
        cbs: see `Learner`.
        metrics: see `Learner`.
        path: see `Learner`.
        model_dir: see `Learner`.
        wd: see `Learner`.
        wd_bn_bias: see `Learner`.
        train_bn: see `Learner`.
        moms: see `Learner`.
        gradient_checkpointing: compute activations anew in the backward pass: less memory, about a third more time.
        lora: train adapters of `peft` and the head instead of the whole model: True, the rank, or a `peft.LoraConfig`; see `add_lora`.
        **settings: of the configuration of the model, such as `hidden_dropout_prob=0.2`.
    """
    encode = encoder_in(dls)
    if encode is None:
        raise TypeError("transformers_learner takes loaders whose texts a tokenizer of transformers encodes: make them with "
                        "TransformersDataLoaders.from_df(df, model, text_col, label_col), or a DataBlock with a "
                        f"TransformersBlock(model); received {describe(dls)}")
    task = encode.task
    found: Any = n_out if n_out is not None or task in ("mlm", "clm") else dls.c
    if task not in ("mlm", "clm") and not isinstance(found, int):
        raise ValueError(f"transformers_learner needs the number of outputs, and the data say {found!r}: pass n_out=, the number of "
                         "classes or of numbers to predict")
    n_out, new = found, []
    if isinstance(model, nn.Module):
        if settings:
            raise TypeError(f"settings ({', '.join(settings)}) are for a model that is loaded here; this one is there already, "
                            f"{type(model).__name__}")
        body = model
        _check_head(body, n_out)
    else:
        vocab = dls.vocab
        body, new = load_model(model, task, n_out, vocab if isinstance(n_out, int) and vocab is not None else None, pretrained, **settings)
    said = [] if new or not pretrained or isinstance(model, nn.Module) else ["no new weights"]
    if new:
        said.append(f"new weights, to be trained: {listing(new, 6)}")
    if (grown := fit_embeddings(inner_model(body), encode.tokenizer)) is not None:
        said.append(grown)
    if pretrained and not isinstance(model, nn.Module):
        check_same_tokens(encode.tokenizer, model)
    set_pad_id(inner_model(body), encode.pad_id)
    _check_length(inner_model(body), encode)
    if task == "clm" and sees_ahead(inner_model(body)):
        raise ValueError(f"{type(inner_model(body)).__name__} sees the tokens that it is to predict, and would learn to copy them: write "
                         "transformers_learner(dls, model, is_decoder=True), or make the data with task='mlm'")
    if gradient_checkpointing:
        checkpoint_layers(inner_model(body))
    if lora is not None and lora is not False:
        body, sentence = add_lora(body, task, lora, new)
        said.append(sentence)
    whole = TransformersModel(body, task)
    ours = CrossEntropyLossFlat() if task in ("mlm", "clm") else dls.loss_func
    loss = ours if loss_func is None else loss_func
    if isinstance(loss_func, str):
        check_choice("transformers_learner", "loss_func", loss_func, ("model",))
        loss = ModelLoss(inner_model(body), task, kind_of(ours) or "class logits")
        said.insert(0, "the model's own loss")
    learn = Learner(dls, whole, loss, opt_func=opt_func, lr=lr, splitter=splitter, cbs=cbs, metrics=metrics, path=path,
                    model_dir=model_dir, wd=wd, wd_bn_bias=wd_bn_bias, train_bn=train_bn, moms=moms)
    outputs = "" if n_out is None else f", n_out={n_out}"
    learn.logger("; ".join([f"{type(inner_model(body)).__name__}{outputs}, loss {loss_name(learn.loss_func)}", *said]))
    return learn


def _check_head(model, n_out):
    labels = getattr(inner_model(model).config, "num_labels", None) if hasattr(inner_model(model), "config") else None
    if labels is None:
        raise TypeError(f"transformers_learner takes a model of transformers, or its folder or name; received {describe(model)}. For a "
                        "module of your own write Learner(dls, model)")
    if n_out is not None and labels != n_out:
        raise ValueError(f"the model has {labels} outputs (num_labels), and the data need {n_out}: load it with num_labels={n_out}, or "
                         "give its folder or name here")


def _check_length(model, encode):
    n = model_positions(model)
    if n is not None and (encode.max_len is None or encode.max_len > n):
        raise ValueError(f"texts of the data have up to {encode.max_len or 'any number of'} tokens, and the model takes {n}: write "
                         f"max_len={n}, in TransformersBlock or TransformersDataLoaders.from_df")
