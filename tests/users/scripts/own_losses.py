# losses of one's own: a function, a module with activation and decodes, class weights, focal, partial
from fastai.vision.all import *
import torch.nn.functional as F
set_seed(42, True)

path = untar_data(URLs.MNIST_TINY)
files = get_image_files(path).sorted()[::4]
dls = ImageDataLoaders.from_dblock(DataBlock((ImageBlock, CategoryBlock), get_y=parent_label, item_tfms=Resize(16),
                                             splitter=GrandparentSplitter(valid_name='valid')), files, bs=16, num_workers=0)

def model(n_out=2):
    set_seed(11)
    return nn.Sequential(ConvLayer(3, 8, stride=2), ConvLayer(8, 16, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, n_out))

class SoftBinary(Module):
    "two logits, sum of two binary losses"
    def __init__(self, scale=1.): self.scale = scale
    def forward(self, inp, targ): return self.scale*F.binary_cross_entropy_with_logits(inp, F.one_hot(targ, 2).float())
    def activation(self, out): return torch.sigmoid(out)
    def decodes(self, out): return (out > 0.5).long().argmax(-1)

class MyFocal(nn.Module):
    y_int = True
    def __init__(self, gamma=2., reduction='mean'):
        super().__init__()
        self.gamma, self.reduction = gamma, reduction
    def forward(self, inp, targ):
        ce = F.cross_entropy(inp, targ, reduction='none')
        loss = (1 - torch.exp(-ce))**self.gamma * ce
        return loss.mean() if self.reduction == 'mean' else loss

def my_loss(preds, target): return F.nll_loss(F.log_softmax(preds, dim=1), target)

class Combined:
    "callable, not a module"
    def __init__(self, a=0.5): self.a, self.ce, self.ls = a, CrossEntropyLossFlat(), LabelSmoothingCrossEntropy(eps=0.2)
    def __call__(self, pred, targ): return self.a*self.ce(pred, targ) + (1 - self.a)*self.ls(pred, targ)

counts = tensor([len([f for f in dls.train_ds.items if f.parent.name == c]) for c in dls.vocab]).float()
weights = counts.sum()/counts
print("weights:", [round(float(w)) for w in weights])
losses = dict(function=my_loss, module=SoftBinary(2.), focal=MyFocal(), combined=Combined(), weighted=CrossEntropyLossFlat(weight=weights),
              flat_focal=FocalLossFlat(gamma=1.5), torch_loss=nn.CrossEntropyLoss(label_smoothing=0.1), smooth=LabelSmoothingCrossEntropyFlat())
for name, loss_func in losses.items():
    learn = Learner(dls, model(), loss_func=loss_func, metrics=accuracy)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(2, 1e-2)
    print(f"{name}:", learn.recorder.values[-1][2])
    preds, targs = learn.get_preds()
    s = preds.sum(1)
    print(f"{name} preds:", tuple(preds.shape), "softmax:", bool(torch.allclose(s, torch.ones_like(s), atol=1e-4)), "between 0 and 1:", bool((preds >= 0).all() and (preds <= 1).all()))

learn = Learner(dls, model(), loss_func=SoftBinary(), metrics=accuracy)
learn.fit(1, 1e-2)
preds, targs, decoded = learn.get_preds(with_decoded=True)
print("decoded:", tuple(decoded.shape), set(decoded.tolist()) <= {0, 1})
learn = Learner(dls, model(), loss_func=MyFocal())
*_, each = learn.get_preds(with_loss=True)
print("loss of each:", tuple(each.shape))

class BCE(BaseLoss):
    def __init__(self, *args, axis=-1, floatify=True, **kwargs):
        super().__init__(nn.BCEWithLogitsLoss, *args, axis=axis, floatify=floatify, is_2d=False, **kwargs)
    def activation(self, x): return torch.sigmoid(x)
    def decodes(self, x): return x > 0.5

learn = Learner(dls, nn.Sequential(model(1), nn.Flatten(0)), loss_func=BCE())
learn.fit_one_cycle(2, 1e-2)
preds, targs = learn.get_preds()
print("one logit:", tuple(preds.shape), bool((preds <= 1).all()))
loss = CrossEntropyLossFlat()
out = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0)); t = torch.randint(0, 3, (4, 5), generator=torch.Generator().manual_seed(0))
print("flat:", bool(torch.isclose(loss(out, t), F.cross_entropy(out.view(-1, 3), t.view(-1)))), tuple(loss.activation(out).shape), tuple(loss.decodes(out).shape))
