# callbacks of one's own: a scheduler, gradient statistics, early end, batch transforms
from fastai.vision.all import *
from fastai.callback.core import Callback
from fastai.callback.tracker import TrackerCallback
set_seed(42, True)

path = untar_data(URLs.MNIST_TINY)
files = get_image_files(path).sorted()[::3]
dls = ImageDataLoaders.from_path_func(path, files, lambda f: f.parent.name, bs=32, num_workers=0, item_tfms=Resize(16), seed=42)

class StepLR(Callback):
    "lr goes down by `gamma` after each epoch"
    def __init__(self, gamma=0.5): self.gamma, self.lrs = gamma, []
    def before_fit(self): self.lr0 = self.opt.hypers[-1]['lr']
    def before_epoch(self): self.opt.set_hyper('lr', self.lr0 * self.gamma**self.epoch)
    def after_batch(self):
        if self.training: self.lrs.append(self.opt.hypers[-1]['lr'])

class WarmUp(Callback):
    run_valid = False
    def __init__(self, steps): store_attr()
    def before_batch(self):
        for h in self.opt.hypers: h['lr'] = self.learn.lr * min(1, (self.train_iter + 1)/self.steps)

class GradNorm(Callback):
    order = 60
    def before_fit(self): self.norms = []
    def before_step(self):
        self.norms.append(torch.stack([p.grad.norm() for p in self.model.parameters() if p.grad is not None]).norm().item())

class StopAfter(Callback):
    def __init__(self, n): self.n = n
    def after_batch(self):
        if self.training and self.train_iter >= self.n: raise CancelFitException()
    def after_cancel_fit(self): print("cancelled at:", self.train_iter)

class Noise(Callback):
    def before_batch(self):
        if self.training: self.learn.xb = (self.x + 0.1*torch.randn_like(self.x),)

class AllEvents(Callback):
    def __init__(self): self.seen = []
    def before_fit(self): self.seen.append('before_fit')
    def before_train(self): self.seen.append('before_train')
    def after_pred(self): self.seen.append('after_pred')
    def after_loss(self): self.seen.append('after_loss')
    def before_validate(self): self.seen.append('before_validate')
    def after_epoch(self): self.seen.append('after_epoch')
    def after_fit(self): self.seen.append('after_fit')

class BestEpoch(TrackerCallback):
    def before_fit(self):
        super().before_fit()
        self.history = []
    def after_epoch(self):
        super().after_epoch()
        self.history.append(self.new_best)

def model():
    set_seed(3)
    return nn.Sequential(ConvLayer(3, 8, stride=2), ConvLayer(8, 16, stride=2), nn.AdaptiveAvgPool2d(1), Flatten(), nn.Linear(16, dls.c))

learn = Learner(dls, model(), metrics=accuracy, cbs=[StepLR(), GradNorm()])
learn.fit(3, 1e-2)
print("lrs:", sorted({round(float(lr), 5) for lr in learn.step_lr.lrs}, reverse=True), len(learn.step_lr.lrs) == 3*len(dls.train))
print("norms:", len(learn.grad_norm.norms) == 3*len(dls.train), all(n > 0 for n in learn.grad_norm.norms))
print("accuracy:", learn.recorder.values[-1][2])
print("recorded lrs:", round(float(learn.recorder.lrs[0]), 5), round(float(learn.recorder.lrs[-1]), 5))

learn = Learner(dls, model(), metrics=accuracy, cbs=WarmUp(8))
learn.fit(2, 1e-2, cbs=[Noise()])
print("warm up:", [round(float(lr), 5) for lr in learn.recorder.lrs[:3]], round(float(learn.recorder.lrs[-1]), 5))
print("callbacks of the fit have gone:", 'noise' not in [cb.name for cb in learn.cbs], hasattr(learn, 'warm_up'))

learn = Learner(dls, model(), metrics=accuracy)
learn.fit(3, 1e-2, cbs=StopAfter(5))
print("epochs recorded:", len(learn.recorder.values))

events = AllEvents()
learn.fit(1, 1e-3, cbs=events)
n = len(dls.train) + len(dls.valid)
print("events:", events.seen.count('after_pred') == n, events.seen.count('after_loss') == n, events.seen[:2], events.seen[-2:])
print("validate:", events.seen.index('before_validate') > events.seen.index('before_train'))

best = BestEpoch(monitor='accuracy')
learn.fit(3, 1e-3, cbs=best)
print("tracker:", best.history[0], len(best.history))

with learn.added_cbs(GradNorm()):
    learn.fit(1, 1e-3)
print("added for a while:", hasattr(learn, 'grad_norm'))
learn.add_cb(ShortEpochCallback(pct=0.3))
learn.fit(1, 1e-3)
print("short epoch:", learn.train_iter < len(dls.train))
learn.remove_cb(ShortEpochCallback)
