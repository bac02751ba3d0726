"""Methods named after the events of fastai v1, fastai v2 before its release, Lightning and Keras."""
import pytest

from minifast.callbacks.base import EVENTS, Callback
from minifast.callbacks.foreign_events import instead_of

FASTAI_1 = """on_train_begin on_epoch_begin on_batch_begin on_loss_begin on_backward_begin on_backward_end on_step_end on_batch_end
    on_epoch_end on_train_end jump_to_epoch"""
FASTAI_2_BEFORE = "begin_fit begin_epoch begin_train begin_batch begin_validate"
LIGHTNING = """on_fit_start on_fit_end on_sanity_check_start on_sanity_check_end on_train_batch_start on_train_batch_end
    on_train_epoch_start on_train_epoch_end on_validation_epoch_start on_validation_epoch_end
    on_test_epoch_start on_test_epoch_end on_predict_epoch_start
    on_predict_epoch_end on_validation_batch_start on_validation_batch_end on_test_batch_start on_test_batch_end on_predict_batch_start
    on_predict_batch_end on_train_start on_train_end on_validation_start on_validation_end on_test_start on_test_end on_predict_start
    on_predict_end on_exception on_save_checkpoint on_load_checkpoint on_before_backward on_after_backward on_before_optimizer_step
    on_before_zero_grad on_epoch_start on_batch_start training_step validation_step test_step predict_step configure_optimizers
    training_epoch_end validation_epoch_end optimizer_step lr_scheduler_step configure_gradient_clipping"""
KERAS = """on_epoch_begin on_epoch_end on_batch_begin on_batch_end on_train_batch_begin on_train_batch_end on_test_batch_begin
    on_test_batch_end on_predict_batch_begin on_predict_batch_end on_train_begin on_train_end on_test_begin on_test_end on_predict_begin
    on_predict_end train_step test_step predict_step"""
SENTENCES = ("nothing: ", "state_dict", "load_state_dict")


def a_class(*names):
    return type("Mine", (Callback,), {name: lambda self, *args: None for name in names})


@pytest.mark.parametrize("name", sorted(set(" ".join((FASTAI_1, FASTAI_2_BEFORE, LIGHTNING, KERAS)).split())))
def test_refused_when_the_class_is_made_with_the_name_of_today(name):
    with pytest.raises(TypeError, match=rf"Mine\.{name} is an event of another library, or of an older fastai, .*: write ") as e:
        a_class("before_fit", name)
    advice = str(e.value).split(": write ")[1]
    assert advice.split()[0].strip(",;") in EVENTS or advice.startswith(SENTENCES)
    with pytest.raises(TypeError, match=rf"{name} is an event of another library"):
        Callback(**{name: lambda: None})


@pytest.mark.parametrize("name, event", [("begin_fit", "before_fit"), ("begin_batch", "before_batch"), ("on_epoch_end", "after_epoch"),
                                         ("on_train_begin", "before_fit"), ("on_train_end", "after_fit"), ("on_batch_end", "after_batch"),
                                         ("on_backward_end", "after_backward"), ("on_loss_begin", "after_pred")])
def test_the_event_of_today(name, event):
    assert instead_of(name, print) == event


def test_lightnings_setup_takes_a_trainer_ones_own_does_not():
    with pytest.raises(TypeError, match="setup is an event of another library.*write before_fit"):
        type("Mine", (Callback,), {"setup": lambda self, trainer, pl_module, stage: None})
    assert a_class("setup", "teardown")


def test_methods_of_other_names_are_ones_own():
    assert a_class("on_my_signal", "begin", "helper", "training", "log_epoch", "on_epoch", "start_fit", "step", "begin_plot", "set_model")
    assert type("Mine", (Callback,), {"on_epoch_end": 3}).on_epoch_end == 3             # a value is no method


def test_no_event_of_ours_is_refused():
    assert a_class(*EVENTS) and not any(instead_of(event, print) for event in EVENTS)
