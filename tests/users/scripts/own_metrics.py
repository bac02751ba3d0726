# metrics of one's own in all the ways that people write them
import sklearn.metrics as skm
from fastai.vision.all import *
from fastai.metrics import ActivationType
set_seed(42, True)

path = untar_data(URLs.MNIST_TINY)
dls = ImageDataLoaders.from_folder(path, bs=50, num_workers=0, item_tfms=Resize(16))

def acc_of_sevens(inp, targ):
    pred = inp.argmax(dim=-1)
    return (pred[targ == 1] == 1).float().mean()

def negatives(preds, targs): return ((preds.argmax(-1) == 0) & (targs == 1)).sum()

def kappa(preds, targs): return skm.cohen_kappa_score(targs, preds, weights='quadratic')
Kappa = AccumMetric(kappa, dim_argmax=-1, flatten=True, to_np=True, invert_arg=False)

def Gini(axis=-1):
    def _gini(y_true, y_score): return 2*skm.roc_auc_score(y_true, y_score) - 1
    return skm_to_fastai(_gini, axis=axis, activation=ActivationType.BinarySoftmax)

zero_one = skm_to_fastai(skm.zero_one_loss)

class Sensitivity(Metric):
    def reset(self): self.tp, self.pos = 0, 0
    def accumulate(self, learn):
        pred, targ = learn.pred.argmax(-1), learn.y
        self.tp += ((pred == 1) & (targ == 1)).sum().item()
        self.pos += (targ == 1).sum().item()
    @property
    def value(self): return self.tp/self.pos if self.pos else None
    @property
    def name(self): return 'sensitivity'

class Running(Callback):
    def before_validate(self): self.n, self.right = 0, 0
    def after_batch(self):
        if not self.training:
            self.right += (self.pred.argmax(-1) == self.y).sum().item(); self.n += len(self.y)
    def valid_acc(self): return self.right/self.n

running = Running()
set_seed(7)
model = nn.Sequential(ConvLayer(3, 8, stride=2), ConvLayer(8, 16, stride=2), nn.AdaptiveAvgPool2d(1), Flatten(), nn.Linear(16, dls.c))
learn = Learner(dls, model, loss_func=CrossEntropyLossFlat(), cbs=running,
                metrics=[accuracy, acc_of_sevens, AvgMetric(negatives), Kappa, Gini(), zero_one, Sensitivity(),
                         ValueMetric(running.valid_acc, 'valid_acc'), Precision(), Recall(), F1Score(), RocAucBinary(), MatthewsCorrCoef(),
                         mk_metric(error_rate)])
learn.fit_one_cycle(3, 1e-2)
print("columns:", list(learn.recorder.metric_names))
names = list(learn.recorder.metric_names)[3:-1]
values = dict(zip(names, learn.recorder.values[-1][2:]))
print("all numbers:", len(values), all(isinstance(float(v), float) for v in values.values()))
print("accuracy:", values['accuracy'])

preds, targs = learn.get_preds()
y, p = targs.numpy(), preds.argmax(1).numpy()
close = lambda a, b: bool(abs(float(a) - float(b)) < 1e-4)
print("kappa:", close(values['kappa'], skm.cohen_kappa_score(y, p, weights='quadratic')))
print("gini:", close(values['_gini'], 2*skm.roc_auc_score(y, preds[:, 1]) - 1))
print("zero one:", close(values['zero_one_loss'], (y != p).mean()), close(values['error_rate'], (y != p).mean()))
print("sensitivity:", close(values['sensitivity'], skm.recall_score(y, p)), close(values['recall_score'], skm.recall_score(y, p)))
print("value metric:", close(values['valid_acc'], values['accuracy']))
print("f1, mcc:", close(values['f1_score'], skm.f1_score(y, p)), close(values['matthews_corrcoef'], skm.matthews_corrcoef(y, p)))
print("auc:", close(values['roc_auc_score'], skm.roc_auc_score(y, preds[:, 1])), close(values['precision_score'], skm.precision_score(y, p)))
print("validate:", len(learn.validate()))
