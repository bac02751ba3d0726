# a Dataset of one's own with PyTorch's DataLoader, and with fastai's
import torch, torch.nn as nn, torch.nn.functional as F
import pandas as pd
from torch.utils.data import Dataset, DataLoader as TorchDataLoader
from torchvision import transforms
from PIL import Image
from fastai.vision.all import *
set_seed(42, True)

class CifarDataset(Dataset):
    def __init__(self, df, tfms=None):
        self.df, self.tfms = df.reset_index(drop=True), tfms
    def __len__(self): return len(self.df)
    def __getitem__(self, idx):
        row = self.df.iloc[idx]
        img = Image.open(row.path).convert('RGB')
        if self.tfms is not None: img = self.tfms(img)
        return img, torch.tensor(row.target, dtype=torch.long)

root = Path('../input/cifar10_tiny')
classes = ['cat', 'frog', 'ship']
def table(part):
    return pd.DataFrame([(str(f), i) for i, c in enumerate(classes) for f in sorted((root/part/c).glob('*.*'))], columns=['path', 'target'])
train_df, valid_df = table('train'), table('test')
print("sizes:", len(train_df), len(valid_df))

train_tfms = transforms.Compose([transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize([.485, .456, .406], [.229, .224, .225])])
valid_tfms = transforms.Compose([transforms.ToTensor(), transforms.Normalize([.485, .456, .406], [.229, .224, .225])])
train_ds, valid_ds = CifarDataset(train_df, train_tfms), CifarDataset(valid_df, valid_tfms)

# 1. torch's loaders
set_seed(0)
train_dl = TorchDataLoader(train_ds, batch_size=32, shuffle=True, num_workers=0)
valid_dl = TorchDataLoader(valid_ds, batch_size=32)
dls = DataLoaders(train_dl, valid_dl)

class Net(nn.Module):
    def __init__(self, n_out):
        super().__init__()
        self.body = nn.Sequential(*[nn.Sequential(nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o), nn.ReLU()) for i, o in ((3, 16), (16, 32), (32, 64))])
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, n_out))
    def forward(self, x): return self.head(self.body(x))

def splitter(m): return [params(m.body), params(m.head)]
learn = Learner(dls, Net(3), loss_func=CrossEntropyLossFlat(), metrics=accuracy, splitter=splitter, opt_func=ranger)
learn.fit_flat_cos(4, 5e-3)
print("torch loaders:", learn.recorder.values[-1][2])
learn.freeze()
print("frozen:", sum(p.requires_grad for p in learn.model.parameters()), "of", len(list(learn.model.parameters())))
learn.unfreeze()
print("groups:", len(learn.opt.hypers))
preds, targs = learn.get_preds(dl=valid_dl)
print("preds:", tuple(preds.shape), tuple(targs.shape))
print("probabilities:", bool(torch.allclose(preds.sum(1), torch.ones(len(preds)), atol=1e-4)))

# 2. DataLoaders.from_dsets
dls = DataLoaders.from_dsets(train_ds, valid_ds, bs=32, num_workers=0, shuffle=True)
dls.c = 3
learn = Learner(dls, Net(3), loss_func=nn.CrossEntropyLoss(), metrics=[accuracy, partial(top_k_accuracy, k=2)])
learn.fit_one_cycle(4, slice(1e-3, 1e-2))
print("from_dsets:", learn.recorder.values[-1][2], learn.recorder.values[-1][3] >= learn.recorder.values[-1][2])
print("bs and n:", dls.train.bs, dls.train.n, len(dls.valid))

# 3. fastai's DataLoader
dls = DataLoaders(DataLoader(train_ds, bs=16, shuffle=True, num_workers=0, drop_last=True), DataLoader(valid_ds, bs=16))
xb, yb = dls.one_batch()
print("batch:", tuple(xb.shape), yb.dtype)
learn = Learner(dls, Net(3), loss_func=CrossEntropyLossFlat(), metrics=error_rate)
learn.fine_tune(2, 5e-3)
print("fine_tune:", learn.recorder.values[-1][2])

torch.save(learn.model.state_dict(), 'net.pth')
model = Net(3); model.load_state_dict(torch.load('net.pth')); model.eval()
with torch.no_grad(): out = model(next(iter(valid_dl))[0])
print("same model:", bool(torch.allclose(out.softmax(1), learn.get_preds(dl=valid_dl)[0][:len(out)], atol=1e-5)))
