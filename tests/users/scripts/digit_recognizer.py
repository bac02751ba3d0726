# Kaggle's digit recognizer: pixels in a table, grey images, learning from a data frame
import numpy as np, pandas as pd
from fastai.vision.all import *
from fastai.vision.models.xresnet import *
set_seed(42, True)

root = untar_data(URLs.MNIST_TINY)
files = get_image_files(root/'train').sorted()[::3]
pixels = np.stack([np.array(Image.open(f).convert('L')).ravel() for f in files])
df = pd.DataFrame(pixels, columns=[f'pixel{i}' for i in range(784)])
df.insert(0, 'label', [int(f.parent.name) for f in files])
print("table:", df.shape)

def get_x(row): return PILImageBW.create(row[1:].to_numpy(dtype=np.uint8).reshape(28, 28))
def get_y(row): return row['label']
block = DataBlock(blocks=(ImageBlock(cls=PILImageBW), CategoryBlock), get_x=get_x, get_y=get_y, splitter=RandomSplitter(0.2, seed=2),
                  batch_tfms=[*aug_transforms(mult=1.0, do_flip=False, max_rotate=5.0, max_zoom=1.1, max_warp=0.05), Normalize.from_stats(0.13, 0.31)])
dls = block.dataloaders(df, bs=32, num_workers=0)
dls.show_batch(max_n=4, cmap='gray')
x, y = dls.one_batch()
print("batch:", tuple(x.shape), x.dtype, tuple(y.shape), [int(v) for v in dls.vocab])

learn = Learner(dls, xresnet18(n_out=dls.c, c_in=1), metrics=[error_rate, accuracy], opt_func=ranger)
learn.fit_flat_cos(2, 2e-3)
print("xresnet:", len(learn.recorder.values))

learn = vision_learner(dls, resnet18, pretrained=False, n_in=1, metrics=accuracy)
print("first layer:", learn.model[0][0].in_channels)
learn.fit_one_cycle(4, 3e-3)
print("resnet:", learn.recorder.values[-1][2])

test = df.drop(columns='label')[::12]
test.insert(0, 'label', 0)
tst_dl = dls.test_dl(test)
preds, _, decoded = learn.get_preds(dl=tst_dl, with_decoded=True)
labels = [dls.vocab[i] for i in decoded]
sub = pd.DataFrame({'ImageId': range(1, len(labels) + 1), 'Label': labels})
sub.to_csv('submission.csv', index=False)
print("submission:", sub.shape, (sub.Label == df.label[::12].to_numpy()).mean())
interp = Interpretation.from_learner(learn)
interp.plot_top_losses(4)
