# progressive resizing with mixup, label smoothing and an xresnet, after chapter 7 of the book
from fastai.vision.all import *
from fastai.callback.fp16 import *
from fastai.callback.mixup import *
from fastai.optimizer import *

path = Path('../input/flowers')
files = L(path.ls().filter(lambda p: p.is_dir()).sorted().map(lambda p: p.ls().sorted()[:40])).concat()
print("files:", len(files))
dblock = DataBlock(blocks=(ImageBlock(), CategoryBlock()),
                   get_items=lambda p: files,
                   splitter=RandomSplitter(0.2, seed=1),
                   get_y=parent_label,
                   item_tfms=Resize(80),
                   batch_tfms=aug_transforms(size=64, min_scale=0.75))

def get_dls(bs, size):
    dblock = DataBlock(blocks=(ImageBlock, CategoryBlock),
                       get_items=lambda p: files,
                       splitter=RandomSplitter(0.2, seed=1),
                       get_y=parent_label,
                       item_tfms=Resize(80),
                       batch_tfms=[*aug_transforms(size=size, min_scale=0.75), Normalize.from_stats(*imagenet_stats)])
    return dblock.dataloaders(path, bs=bs, num_workers=0)

dls = get_dls(32, 32)
x, y = dls.one_batch()
print("mean and deviation:", x.mean(dim=[0, 2, 3]).abs().max().item() < 1.5, tuple(x.shape))
set_seed(5)
model = xresnet18(n_out=dls.c)
print("parameters:", sum(p.numel() for p in model.parameters()))
learn = Learner(dls, model, loss_func=LabelSmoothingCrossEntropy(), metrics=accuracy, cbs=MixUp(0.4), opt_func=partial(Adam, eps=1e-4)).to_fp16()
learn.fit_one_cycle(2, 3e-3)
small = learn.recorder.values[-1]

learn.dls = get_dls(16, 48)
learn.fine_tune(1, 1e-3)
print("shape now:", tuple(learn.dls.one_batch()[0].shape), "bs", learn.dls.bs)
print("accuracy:", learn.recorder.values[-1][2], len(small))
preds, targs = learn.tta(n=2)
print("tta:", accuracy(preds, targs).item(), tuple(preds.shape))
print("callbacks:", 'mix_up' in [cb.name for cb in learn.cbs], [cb.name for cb in learn.cbs if 'ixed' in cb.name])
learn.remove_cb(MixUp)
print("without mixup:", hasattr(learn, 'mix_up'))
learn.to_fp32()
print("dtype:", next(learn.model.parameters()).dtype)
