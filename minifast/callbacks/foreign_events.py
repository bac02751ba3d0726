"""Names of events in other libraries, and what to write here.

Those of fastai v1, of fastai v2 before its release, of Lightning (callbacks, and the hooks of its modules) and of Keras. A method of such a
name would never be called, and the class would do nothing, without a word.
"""
import inspect
from collections.abc import Callable

_TRAINING, _VALIDATION = ", with `run_valid = False` in the class", ", with `run_train = False` in the class"
_PREDICTION = "before_validate, which `get_preds` calls too"

_THEIRS = {
    "before_fit": "begin_fit on_train_begin on_train_start on_fit_start setup on_init_start on_init_end on_pretrain_routine_start "
                  "on_pretrain_routine_end on_sanity_check_start on_sanity_check_end",
    "before_epoch": "begin_epoch on_epoch_begin on_epoch_start",
    "before_train": "begin_train on_train_epoch_start",
    "before_batch": "begin_batch on_batch_begin on_batch_start on_before_batch_transfer on_after_batch_transfer transfer_batch_to_device",
    "before_batch" + _TRAINING: "on_train_batch_begin on_train_batch_start",
    "before_batch" + _VALIDATION: "on_validation_batch_start on_test_batch_begin on_test_batch_start on_predict_batch_begin "
                                  "on_predict_batch_start",
    "after_pred": "on_loss_begin",
    "before_backward": "on_backward_begin on_before_backward",
    "after_backward": "on_backward_end on_after_backward configure_gradient_clipping",
    "before_step": "on_before_optimizer_step",
    "after_step": "on_step_end on_before_zero_grad optimizer_zero_grad",
    "before_step or after_step": "optimizer_step",
    "after_batch": "on_batch_end",
    "after_batch" + _TRAINING: "on_train_batch_end",
    "after_batch" + _VALIDATION: "on_validation_batch_end on_test_batch_end on_predict_batch_end",
    "after_train": "on_train_epoch_end training_epoch_end",
    "before_validate": "begin_validate on_validation_start on_validation_epoch_start on_validation_model_eval",
    "after_validate": "on_validation_end on_validation_epoch_end validation_epoch_end on_validation_model_train",
    _PREDICTION: "on_test_begin on_test_start on_test_epoch_start on_predict_begin on_predict_start on_predict_epoch_start",
    _PREDICTION.replace("before", "after"): "on_test_end on_test_epoch_end test_epoch_end on_predict_end on_predict_epoch_end",
    "after_epoch": "on_epoch_end",
    "after_fit": "on_train_end on_fit_end",
    "cleanup_fit, which also runs after an error and Ctrl-C": "teardown on_exception on_keyboard_interrupt",
    "after_pred or after_loss; the loop itself calls the model, and `Learner(loss_func=...)`":
        "training_step validation_step test_step predict_step train_step training_step_end validation_step_end test_step_end",
    "nothing: give the optimizer to the learner, `Learner(opt_func=...)`": "configure_optimizers",
    "nothing: a scheduler of torch is given to the learner, `cbs=TorchScheduler(...)`": "lr_scheduler_step",
    "state_dict, which returns plain values and tensors": "on_save_checkpoint",
    "load_state_dict, which takes them back": "on_load_checkpoint",
    "nothing: `learn.fit(n_epoch, start_epoch=k)` starts at epoch k": "jump_to_epoch",
}
_INSTEAD = {name: ours for ours, names in _THEIRS.items() for name in names.split()}


def instead_of(name: str, method: Callable) -> str | None:
    """What to write instead of a method that another library would call; None for any other name.

    `setup` and `teardown` are also good names of one's own: they count as Lightning's where they take a `trainer`.
    """
    if name in ("setup", "teardown") and "trainer" not in inspect.signature(method).parameters:
        return None
    return _INSTEAD.get(name)
