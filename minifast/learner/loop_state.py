"""`LoopState`: where a learner is in its training loop, which callbacks read and may change."""


class LoopState:
    "The part of a learner that changes from batch to batch."

    dl = None                        #: the loader of the current pass; None outside the loop
    training = False                 #: whether this pass trains
    epoch = 0
    n_epoch = 1
    start_epoch = 0
    iter = 0                         #: index of the current batch in its pass
    n_iter = 0                       #: number of batches of the pass
    n_inp: int | None = None         #: how many elements of a batch are inputs; None: all but the last
    batches_done = 0                 #: training batches finished in this epoch
    xb: tuple = ()                   #: inputs of the batch, by position
    kw: dict = {}                    #: inputs of the batch, by keyword (dict and dataclass batches)
    yb: tuple = ()                   #: targets of the batch
    pred = None                      #: output of the model
    loss = None                      #: loss of the batch, a 0-d tensor

    def loop_state(self):
        "Everything that a pass over a loader changes, as a dict."
        return {name: getattr(self, name) for name, value in vars(LoopState).items()
                if not name.startswith("_") and not callable(value) and not isinstance(value, property)}

    @property
    def x(self):
        "The input of this batch: alone if there is one, else the tuple."
        return self.xb[0] if len(self.xb) == 1 else self.xb or self.kw

    @property
    def y(self):
        "The target of this batch: alone if there is one, else the tuple."
        return self.yb[0] if len(self.yb) == 1 else self.yb

    @property
    def train_iter(self):
        "Number of training batches finished in this fit."
        per_epoch = len(self.dls.train)
        return (self.epoch - self.start_epoch) * per_epoch + self.batches_done

    @property
    def pct_train(self):
        "Progress of this fit, from 0 before its first batch to 1."
        return (self.epoch + min(1.0, self.batches_done / len(self.dls.train))) / self.n_epoch

    @property
    def loss_grad(self):
        "fastai's name for the loss that is propagated back: the same as `loss`."
        return self.loss

    @loss_grad.setter
    def loss_grad(self, value):
        self.loss = value

    @property
    def smooth_loss(self):
        "The smoothed training loss (reads it from the device: not for every batch)."
        return None if self.recorder is None else self.recorder.smooth_loss
