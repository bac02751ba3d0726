"""`ParamScheduler`: hyper-parameters as functions of training progress."""
from ..callback import Callback, Order
from ..groups import hyper_setter, layer_group_count
from ..messages import describe


class ParamScheduler(Callback):
    """Before each training batch set every hyper-parameter named in `scheds` to its schedule's value at that moment.

    scheds: `{'lr': f, 'mom': g, ...}`; each is a function of progress, from 0 at the first batch to 1 at the end of training (the
    last batch sees 1 - 1/number of batches), that returns a number or one number per layer group. What it changes is put back
    after the fit. Source: L. Smith, "A disciplined approach to neural network hyper-parameters", 2018 (one-cycle).
    """

    order = Order.SCHEDULE
    run_valid = False

    def __init__(self, scheds):
        wrong = {k: v for k, v in scheds.items() if not callable(v)}
        if wrong:
            raise TypeError("a schedule is a function of progress (0 to 1), such as SchedCos(1e-2, 1e-5); received "
                            + ", ".join(f"{k}={describe(v)}" for k, v in wrong.items()))
        self.scheds = dict(scheds)

    def before_fit(self):
        self._setters = [(name, f, hyper_setter(self.learn.opt, name)) for name, f in self.scheds.items()]
        self._groups = layer_group_count(self.learn.opt)

    def before_train(self):
        self._hps = self.learn.recorder.last.hps if self.learn.recorder is not None else {}
        for name in self.scheds:
            self._hps.setdefault(name, [])

    def before_batch(self):
        progress = self.learn.pct_train
        for name, schedule, set_value in self._setters:
            value = schedule(progress)
            value = list(value) if hasattr(value, "__len__") else [value] * self._groups
            set_value(value)
            self._hps[name].append(value[-1])
