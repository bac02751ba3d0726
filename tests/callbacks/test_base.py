"""Events, and callbacks that listen to them."""
import pytest

from minifast.callbacks.base import (
    BATCH_EVENTS,
    EVENTS,
    STATE,
    Callback,
    CancelBatchException,
    CancelException,
    Order,
    collect_handlers,
    sort_callbacks,
)
from minifast.learner.loop import run_handlers


class FakeLearner:
    "Just enough of a learner to attach a callback to."

    def __init__(self, **state):
        self.collected = 0
        self.__dict__.update(state)

    def collect_handlers(self):
        self.collected += 1


def attached(cb, **state):
    cb.learn = cb.held = FakeLearner(**state)           # a callback itself does not hold its learner
    return cb


def named(name, **attributes):
    return type(name, (Callback,), attributes)()


# -- the list of events ---------------------------------------------------------------------------------------------------------
def test_events_are_the_documented_methods():
    assert EVENTS[0] == "after_create" and EVENTS[-1] == "cleanup_fit" and len(set(EVENTS)) == len(EVENTS) == 25
    assert all(getattr(Callback, e).__doc__ for e in EVENTS)
    assert {f"after_cancel_{e}" for e in ("fit", "epoch", "train", "validate", "batch", "backward", "step")} <= set(EVENTS)
    assert BATCH_EVENTS[0] == "before_batch" and BATCH_EVENTS[-1] == "after_batch" and "after_cancel_batch" in BATCH_EVENTS
    assert not {"before_train", "after_train", "before_fit"} & set(BATCH_EVENTS)


def test_a_misspelt_event_fails_when_the_class_is_created():
    with pytest.raises(TypeError, match=r"^Bad\.after_bach is not a training event; did you mean 'after_batch'\?$"):
        named("Bad", after_bach=lambda self: None)
    with pytest.raises(TypeError, match=r"^Bad\.before_qqqqqqqqqqqqqqqq is not a training event\. Events: after_create, before_fit"):
        named("Bad", before_qqqqqqqqqqqqqqqq=lambda self: None)


def test_a_misspelt_event_of_a_plain_function():
    with pytest.raises(TypeError, match=r"^before_bach is not a training event; did you mean 'before_batch'\?$"):
        Callback(before_bach=lambda: None)
    with pytest.raises(TypeError, match=r"^xyzzy is not a training event\. Events: "):
        Callback(xyzzy=lambda: None)


def test_values_and_other_methods_are_no_events():
    assert named("Fine", after_hours=3, helper=lambda self: 1).helper() == 1


# -- plain functions ------------------------------------------------------------------------------------------------------------
def test_plain_functions_of_nothing_or_of_the_callback():
    called = []
    cb = attached(Callback(before_fit=lambda: called.append("nothing"), after_fit=lambda cb: called.append(cb.epoch),
                           before_epoch=lambda n=3: called.append(n)), epoch=7)
    table = collect_handlers([cb], True)
    for event in ("before_fit", "after_fit", "before_epoch"):
        run_handlers(table[event], event)
    assert called == ["nothing", 7, 3]
    assert all(h.__self__ is cb for event in EVENTS for h in table[event])


def test_plain_functions_are_checked_when_given():
    with pytest.raises(TypeError, match=r"Callback\(before_fit=\.\.\.\) takes a function; received int 3"):
        Callback(before_fit=3)
    with pytest.raises(TypeError, match=r"without arguments, or with the callback \(read state as `cb\.learn`\); it asks for \(x, y\)"):
        Callback(before_fit=lambda x, y: None)


# -- state ----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", STATE)
def test_state_is_read_from_the_learner_and_never_assigned(name):
    cb = attached(Callback(), **{name: "value"})
    assert getattr(cb, name) == "value"
    with pytest.raises(AttributeError, match=rf"^Callback sets `self\.{name}`, which would not reach the learner: "
                                             rf"write `self\.learn\.{name} = \.\.\.`$"):
        setattr(cb, name, 1)


@pytest.mark.parametrize("name", ["pred", "lr"])
def test_state_before_there_is_a_learner(name):
    with pytest.raises(AttributeError, match=rf"^Callback is not attached to a learner, so it has no `{name}` yet: use "
                                             r"`learn\.add_cb\(\.\.\.\)` or `cbs=\[\.\.\.\]`$"):
        getattr(Callback(), name)


def test_an_error_while_reading_state_is_not_disguised():
    class Broken(FakeLearner):
        @property
        def pct_train(self):
            return self.dls.nonsense

    cb, learn = Callback(), Broken(dls="no loaders")
    cb.learn = learn
    with pytest.raises(AttributeError, match="'str' object has no attribute 'nonsense'"):
        _ = cb.pct_train


def test_other_attributes_of_the_learner():
    cb = attached(Callback(), loss_func="the loss", freezer=1)
    assert cb.loss_func == "the loss"
    with pytest.raises(AttributeError, match=r"^Callback has no `freezer`; training state lives on the learner: write "
                                             r"`self\.learn\.freezer`$"):
        _ = cb.freezer
    with pytest.raises(AttributeError, match=r"^Callback has no attribute 'epok'; did you mean 'epoch'\?$"):
        _ = cb.epok


def test_a_callback_may_have_its_own_lr():
    class Mine(Callback):
        def __init__(self):
            self.lr = 3

    assert attached(Mine(), lr=1).lr == 3


# -- names ----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("cls, name", [("SaveModelCallback", "save_model"), ("LRFinder", "lr_finder"), ("ProgressCallback", "progress"),
                                       ("Recorder", "recorder"), ("EMA", "ema"), ("CSVLogger", "csv_logger"), ("MixUp", "mix_up"),
                                       ("Callback", "callback"), ("ShowGraphCallback", "show_graph"), ("To16Bit", "to16_bit")])
def test_name(cls, name):
    assert type(cls, (Callback,), {})().name == name


# -- order ----------------------------------------------------------------------------------------------------------------------
def names(cbs):
    return [repr(cb) for cb in sort_callbacks(cbs)]


def test_roles_are_in_the_order_of_the_loop():
    roles = [Order.SETUP, Order.BATCH, Order.GRADS, Order.SCHEDULE, Order.RECORD, Order.DECIDE, Order.DISPLAY]
    assert roles == sorted(roles) == list(Order)
    cbs = [named(r.name.title(), order=r) for r in reversed(roles)]
    assert names(cbs) == [r.name.title() for r in roles]
    assert Callback.order == Order.BATCH


def test_ties_run_as_added_and_numbers_of_fastai_fit_between():
    a, b, sixty, early = named("A"), named("B"), named("Sixty", order=60), named("Early", order=-50)
    record, display = named("Record", order=Order.RECORD), named("Display", order=Order.DISPLAY)
    assert names([b, a]) == ["B", "A"] and names([a, b]) == ["A", "B"]
    assert names([display, sixty, record, a, early]) == ["Early", "A", "Record", "Sixty", "Display"]


def test_run_before_and_run_after():
    A, B = type("A", (Callback,), {}), type("B", (Callback,), {"order": 90})
    assert names([named("X", order=99, run_before=A), A()]) == ["X", "A"]
    assert names([named("X", order=-99, run_after=B), A(), B()]) == ["A", "B", "X"]
    assert names([named("X", order=99, run_before="A"), A()]) == ["X", "A"]              # by name, without importing the class
    assert names([A(), named("X", run_after=(A, B)), B()]) == ["A", "B", "X"]
    assert names([named("X", run_before=[B], order=95), type("SubB", (B,), {})()]) == ["X", "SubB"]   # a subclass counts
    assert names([named("X", run_after=B), A()]) == ["X", "A"]                           # no B here: no wish


def test_a_circle_is_refused():
    with pytest.raises(ValueError, match=r"the callbacks A, B each ask to run before the other: change their `run_before`/`run_after`"):
        sort_callbacks([named("A", run_before="B"), named("B", run_before="A"), named("Fine")])


# -- handlers -------------------------------------------------------------------------------------------------------------------
def test_only_overridden_events_cost_anything():
    assert all(h == [] for h in collect_handlers([Callback(), named("Idle")], True).values())
    cb = named("Hears", after_step=lambda self: None)
    assert [e for e, h in collect_handlers([cb], True).items() if h] == ["after_step"]


def test_run_train_and_run_valid_concern_batch_events():
    both = {"before_batch": lambda self: None, "before_fit": lambda self: None}
    cbs = [named("OnlyTrain", run_valid=False, **both), named("OnlyValid", run_train=False, **both)]
    assert [repr(h.__self__) for h in collect_handlers(cbs, True)["before_batch"]] == ["OnlyTrain"]
    assert [repr(h.__self__) for h in collect_handlers(cbs, False)["before_batch"]] == ["OnlyValid"]
    assert len(collect_handlers(cbs, False)["before_fit"]) == 2


def test_run_switches_a_callback_off_and_tells_the_learner():
    cb = attached(named("Once", after_batch=lambda self: None))
    cb.run = False
    assert collect_handlers([cb], True)["after_batch"] == [] and cb.learn.collected == 1 and not cb.run
    cb.run = False
    assert cb.learn.collected == 1                                  # nothing changed
    cb.run = True
    assert len(collect_handlers([cb], True)["after_batch"]) == 1 and cb.learn.collected == 2


def test_errors_name_the_callback_and_the_event():
    def fails(self):
        raise RuntimeError("boom")

    cb = named("Mine", after_loss=fails)
    with pytest.raises(RuntimeError) as e:
        run_handlers(collect_handlers([cb], True)["after_loss"], "after_loss")
    assert "in Mine.after_loss" in "".join(getattr(e.value, "__notes__", e.value.args))


def test_an_error_without_a_message_keeps_its_class():
    def fails(self):
        raise KeyError

    with pytest.raises(KeyError):
        run_handlers(collect_handlers([named("Mine", after_loss=fails)], True)["after_loss"], "after_loss")


def test_cancellations_pass_unmarked_and_skip_the_rest():
    called = []

    def cancel(self):
        raise CancelBatchException

    cbs = [named("First", after_pred=cancel), named("Second", after_pred=lambda self: called.append(1))]
    with pytest.raises(CancelException) as e:
        run_handlers(collect_handlers(cbs, True)["after_pred"], "after_pred")
    assert not getattr(e.value, "__notes__", []) and called == []
