# Weights & Biases without a network
import os
os.environ['WANDB_MODE'] = 'offline'
os.environ['WANDB_SILENT'] = 'true'
import wandb
from fastai.vision.all import *
from fastai.callback.wandb import *
set_seed(42, True)

run = wandb.init(project='digits', config=dict(lr=1e-2, epochs=2, arch='simple'), dir='.')
config = wandb.config
path = untar_data(URLs.MNIST_TINY)
dls = ImageDataLoaders.from_folder(path, bs=64, num_workers=0, item_tfms=Resize(16))
model = nn.Sequential(ConvLayer(3, 8, stride=2), ConvLayer(8, 16, stride=2), nn.AdaptiveAvgPool2d(1), Flatten(), nn.Linear(16, dls.c))
learn = Learner(dls, model, metrics=accuracy, path=Path('.'), cbs=[WandbCallback(log_preds=False), SaveModelCallback(monitor='accuracy')])
learn.fit_one_cycle(config.epochs, config.lr)
print("accuracy:", learn.recorder.values[-1][2])
summary = dict(wandb.run.summary)
print("summary:", [k for k in ('accuracy', 'epoch', 'train_loss', 'valid_loss') if k in summary])
print("logged accuracy:", abs(summary['accuracy'] - learn.recorder.values[-1][2]) < 1e-6)
wandb.log({'final': learn.validate()[1]})
print("still open:", wandb.run is not None and wandb.run.id == run.id)
wandb.finish()
print("finished:", wandb.run is None)
