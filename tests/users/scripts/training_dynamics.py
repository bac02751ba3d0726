# a convnet on digits watched while it trains, after chapters 13 and 16 of the book
from fastai.vision.all import *
from fastai.callback.hook import *
set_seed(42, True)

matplotlib.rc('image', cmap='Greys')
path = untar_data(URLs.MNIST_TINY)
Path.BASE_PATH = path
mnist = DataBlock((ImageBlock(cls=PILImageBW), CategoryBlock), get_items=lambda p: get_image_files(p).sorted()[::3],
                  splitter=GrandparentSplitter(valid_name='valid'), get_y=parent_label)
dls = mnist.dataloaders(path, bs=16, num_workers=0)
xb, yb = first(dls.valid)
print("batch:", xb.shape, to_cpu(yb)[:3].tolist(), float(xb.max()) <= 1)

def conv(ni, nf, ks=3, act=True):
    layers = [nn.Conv2d(ni, nf, stride=2, kernel_size=ks, padding=ks//2)]
    if act: layers.append(nn.ReLU())
    layers.append(nn.BatchNorm2d(nf))
    return nn.Sequential(*layers)

def simple_cnn():
    return sequential(conv(1, 8, ks=5), conv(8, 16), conv(16, 32), conv(32, 64), conv(64, 2, act=False), Flatten())

def fit(epochs=1, lr=0.06):
    learn = Learner(dls, simple_cnn(), loss_func=F.cross_entropy, metrics=accuracy, cbs=ActivationStats(with_hist=True))
    learn.fit(epochs, lr)
    return learn

learn = fit()
learn.activation_stats.plot_layer_stats(0)
print("stats:", len(learn.activation_stats.stats) == len(dls.train), len(learn.activation_stats.stats[0]), sorted(learn.activation_stats.stats[0][0]))
learn.activation_stats.color_dim(-2)
learn.activation_stats.plot_layer_stats(-2)

learn = Learner(dls, simple_cnn(), loss_func=F.cross_entropy, metrics=accuracy, cbs=[CSVLogger(), ShowGraphCallback()])
print(learn.summary())
learn.fit_one_cycle(3, 0.03)
learn.recorder.plot_sched()
learn.recorder.plot_loss()
learn.recorder.plot_loss(skip_start=2, with_valid=False)
print("recorder:", len(learn.recorder.losses) == len(learn.recorder.lrs) == 3*len(dls.train), len(learn.recorder.iters), sorted(learn.recorder.hps))
print("csv:", Path(learn.path/'history.csv').exists() and list(pd.read_csv(learn.path/'history.csv').columns) == list(learn.recorder.metric_names))
print("accuracy:", learn.recorder.values[-1][2])
r = learn.lr_find(suggest_funcs=(minimum, steep, valley, slide), show_plot=True)
print("lr_find:", r._fields, all(1e-8 < float(v) < 10.1 for v in r))

# an optimizer of one's own (chapter 16)
def sgd_cb(p, lr, **kwargs): p.data.add_(p.grad.data, alpha=-lr)
def average_grad(p, mom, grad_avg=None, **kwargs):
    if grad_avg is None: grad_avg = torch.zeros_like(p.grad.data)
    return {'grad_avg': grad_avg*mom + p.grad.data}
def momentum_step(p, lr, grad_avg, **kwargs): p.data.add_(grad_avg, alpha=-lr)

def get_learner(**kwargs):
    set_seed(1)
    return Learner(dls, simple_cnn(), loss_func=F.cross_entropy, metrics=accuracy, **kwargs)

learn = get_learner(opt_func=partial(Optimizer, cbs=[sgd_cb]))
learn.fit(2, 0.1)
print("own sgd:", learn.recorder.values[-1][2])
mine = [p.detach().clone() for p in learn.model.parameters()]
learn = get_learner(opt_func=partial(Optimizer, cbs=[average_grad, momentum_step], mom=0.9))
learn.fit_one_cycle(2, 0.03)
print("own momentum:", learn.recorder.values[-1][2], [bool(h['lr'] > 0) for h in learn.opt.hypers])
learn = get_learner(opt_func=SGD)
learn.fit(2, 0.1, wd=0)
print("sgd:", learn.recorder.values[-1][2])

class TerminateOnNaN(Callback):
    run_before = Recorder
    def after_batch(self):
        if torch.isinf(self.loss) or torch.isnan(self.loss): raise CancelFitException
learn = get_learner(cbs=TerminateOnNaN())
learn.fit(1, 1e-2)
with hook_outputs(learn.model, detach=True) as h:
    learn.model(xb)
    print([tuple(o.shape) for o in h.stored][:2])
with Hook(learn.model[0], lambda m, i, o: o.mean()) as hook:
    learn.model(xb)
    print(hook.stored.ndim)
