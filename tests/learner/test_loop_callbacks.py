"""`TrainingLoop`: attaching, detaching and calling callbacks."""
import pytest

from minifast.callbacks.base import Callback, CancelFitException, Order
from minifast.callbacks.progress import ProgressCallback
from minifast.callbacks.recorder import Recorder
from minifast.learner.loop import PassLock, TrainingLoop, listed


class Host(TrainingLoop):
    "The least that can hold callbacks."

    def __init__(self, *cbs):
        self.logger, self.cbs, self.metrics, self.pass_lock = print, [], [], PassLock()
        self.add_cbs(cbs)


class Hears(Callback):
    def __init__(self, log=None):
        self.log = [] if log is None else log

    def before_fit(self):
        self.log.append(repr(self))


class Later(Hears):
    order = Order.DISPLAY


class ValidOnly(Callback):
    run_train = False

    def after_batch(self):
        pass


def test_listed():
    cb = Hears()
    assert listed(None) == [] and listed(cb) == [cb] and listed((cb, cb)) == [cb, cb]


def test_attach_call_detach():
    log = []
    host, cb = Host(), Hears(log)
    assert host.add_cb(cb) is host and cb.learn is host and host.cbs == [cb] and host.hears is cb
    host("before_fit")
    host("after_fit")                                               # nobody hears it
    assert log == ["Hears"]
    assert host.remove_cb(cb) is host and cb.learn is None and host.cbs == []
    host("before_fit")
    assert log == ["Hears"]
    with pytest.raises(AttributeError, match="a Host has no attribute 'hears'"):
        _ = host.hears


def test_a_host_without_callbacks_can_be_called():
    class Bare(TrainingLoop):
        def __init__(self):
            self.cbs = []

    bare = Bare()
    bare("after_create")
    assert bare.cbs == []


def test_classes_are_instantiated_and_removed_by_class():
    host = Host(Hears, Later)
    assert [type(cb) for cb in host.cbs] == [Hears, Later]
    host.remove_cb(Hears)                                           # a Later is a Hears
    assert host.cbs == []


def test_order_of_running():
    log = []
    host = Host(Later(log), Hears(log))
    host("before_fit")
    assert log == ["Hears", "Later"]
    assert [repr(cb) for cb in host.ordered_cbs("before_fit")] == ["Hears", "Later"]
    assert [repr(cb) for cb in Host(ValidOnly()).ordered_cbs("after_batch")] == []


def test_refusals():
    host = Host()
    with pytest.raises(TypeError, match=r"a callback must be a minifast Callback; received .*`Callback\(after_batch=f\)`"):
        host.add_cb(print)
    cb = Hears()
    host.add_cb(cb)
    with pytest.raises(ValueError, match="Hears is already attached to this learner"):
        host.add_cb(cb)
    with pytest.raises(ValueError, match="Hears is already attached to another learner: give each learner, and each fit, a callback"):
        Host().add_cb(cb)


def test_a_circle_leaves_the_host_as_it_was():
    class A(Callback):
        run_before = "B"

    class B(Callback):
        run_before = A

    host, b = Host(A()), B()
    with pytest.raises(ValueError, match="each ask to run before the other"):
        host.add_cb(b)
    assert b.learn is None and [type(cb) for cb in host.cbs] == [A]
    Host().add_cb(b)


def test_switching_a_callback_off():
    log = []
    cb = Hears(log)
    host = Host(cb)
    cb.run = False
    host("before_fit")
    assert log == []


def test_validation_has_its_own_table():
    host = Host(cb := ValidOnly())
    heard = []
    cb.after_batch = lambda: heard.append(1)
    host.collect_handlers()
    host.training = True
    host("after_batch")
    assert heard == []
    host.training = False
    host("after_batch")
    assert heard == [1]


def test_added_cbs_only_within_the_block():
    host = Host(own := Hears())
    extra = Later()
    with pytest.raises(KeyError), host.added_cbs([extra]) as inside:
        assert inside is host and host.cbs == [own, extra]
        raise KeyError
    assert host.cbs == [own] and extra.learn is None


def test_added_cbs_takes_back_what_it_added_before_a_refusal():
    host, extra = Host(), Hears()
    with pytest.raises(TypeError, match="a callback must be a minifast Callback; received str 'mixup'"), host.added_cbs([extra, "mixup"]):
        pass
    assert host.cbs == [] and extra.learn is None


def test_removed_cbs_come_back_to_their_places():
    a, b, c = Hears(), ValidOnly(), Hears()
    host = Host(a, b, c)
    with host.removed_cbs(Hears):
        assert host.cbs == [b]
        host.add_cb(new := ValidOnly())
    assert host.cbs == [a, b, c, new] and a.learn is host


def test_names_find_callbacks_and_misspelt_ones_get_a_hint():
    host = Host(Recorder())
    assert host.recorder is host.cbs[0]
    with pytest.raises(AttributeError, match=r"a Host has no attribute 'reccorder'; did you mean 'recorder'\?"):
        _ = host.reccorder
    host.remove_cb(Recorder)
    assert host.recorder is None


def test_no_bar_and_no_logging():
    rows = []
    host = Host(ProgressCallback())
    host.logger = rows.append
    with host.no_bar():
        assert host.cbs == []
    assert len(host.cbs) == 1
    with host.no_logging():
        assert host.logging_off
        host.logger([0, 1.0])
    assert rows == [] and not host.logging_off and host.logger == rows.append


def test_temporary_recorder():
    own = Recorder()
    host = Host(own)
    with host.temporary_recorder():
        assert host.recorder is not own and len(host.cbs) == 1
    assert host.recorder is own
    with Host().temporary_recorder() as bare:
        assert bare.recorder is None


def test_cancellations_come_through():
    def stop():
        raise CancelFitException

    with pytest.raises(CancelFitException):
        Host(Callback(before_fit=stop))("before_fit")
