"""Words of fastai, of its version 1 and of tsai that a `Learner` does not have, and what to write instead."""
from typing import Any

_NO_LOOP = "the loop is one method here: write a Callback, or see learn.show_training_loop()"
_OWN_PRECISION = "mixed precision is torch's: write learn.to_fp16() or learn.to_bf16(), and learn.to_fp32() to end it"
_ONE_DEVICE = "a process trains on one device: start one for each GPU, with the script as it is: write `minifast launch train.py`"

#: Advice by name.
ELSEWHERE = {
    "all_batches": _NO_LOOP,
    "one_batch": "a batch of the data is learn.dls.one_batch(); " + _NO_LOOP,
    "create_mbar": "write `with learn.no_bar():`",
    "no_mbar": "write `with learn.no_bar():`",
    "loss_not_reduced": "the losses of single items are the last element of learn.get_preds(with_loss=True)",
    "validation_context": "write `with learn.no_logging(), learn.added_cbs(cbs):`",
    "train_eval": "the loop itself sets the mode of the model and counts: leave it out, or write learn.model.train()",
    "cast_to_tensor": "the model gets plain tensors, so nothing has to be cast: leave learn.cast_to_tensor out",
    "default_cbs": "learn.cbs has all callbacks; the default ones are left out by Learner(default_cbs=False)",
    "scaler": "write learn.mixed_precision.scaler",
    "n_out": "write learn.dls.c",
    "normalize": "the normalisation that belongs to the model is in learn.batch_tfms",
    "pretrained": "it is an argument of vision_learner, which keeps learn.arch alone",
    "to_non_native_fp16": _OWN_PRECISION,
    "to_non_native_fp32": _OWN_PRECISION,
    "to_parallel": _ONE_DEVICE,
    # fastai v1
    "data": "write learn.dls",
    "callbacks": "write learn.cbs",
    "callback_fns": "write learn.cbs",
    "pred_batch": "write learn.get_preds(dl=[batch])",
    "lr_range": "write spread(slice(lo, hi), n) of minifast.optim",
    "layer_groups": "write learn.splitter(learn.model); learn.opt.param_groups has them too",
    "split": "write Learner(splitter=...)",
    "model_path": "write learn.path/learn.model_dir",
    "purge": "write `del learn`, then gc.collect() and torch.cuda.empty_cache()",
    # tsai
    "get_X_preds": "write learn.get_preds(dl=learn.dls.test_dl(X))",
    "get_X_dl": "write learn.dls.test_dl(X)",
    "save_all": "write learn.export(file), and load_learner(file)",
    "remove_all_cbs": "write learn.remove_cbs(list(learn.cbs))",
    "plot_confusion_matrix": "write ClassificationInterpretation.from_learner(learn).plot_confusion_matrix()",
    "top_losses": "write Interpretation.from_learner(learn).top_losses()",
    "plot_metrics": "write learn.recorder.plot_metrics()",
    "show_probas": "the probabilities are learn.get_preds()[0]; write ClassificationInterpretation.from_learner(learn).plot_calibration()",
    "destroy": "write `del learn`, then gc.collect() and torch.cuda.empty_cache()",
}


def advice_for(name: str, parts: dict[str, Any]) -> str:
    """What to write instead of `learn.<name>`, as the end of a sentence; empty where nothing is known.

    Args:
        name: the attribute.
        parts: parts of the learner by name, whose attributes fastai also finds on the learner.
    """
    if name in ELSEWHERE:
        return f": {ELSEWHERE[name]}"
    owner = None if name.startswith("_") else next((part for part, o in parts.items() if hasattr(o, name)), None)
    return "" if owner is None else f": write learn.{owner}.{name}"
