# several labels per photo, from a table, after chapter 6 of the book
from fastai.vision.all import *
import warnings
set_seed(42, True)
warnings.filterwarnings('ignore')

path = Path('../input/coco_tiny')
df = pd.read_csv(path/'labels.csv')
df['labels'] = df['labels'].fillna('')
top = pd.Series(' '.join(df.labels.str.replace(' ', '_').str.replace(';', ' ')).split()).value_counts().index[:8].tolist()
df['tags'] = df.labels.apply(lambda s: ' '.join(t for t in s.replace(' ', '_').split(';') if t in top))
print("rows:", len(df), "tags:", len(top), "first:", top[0])

def get_x(r): return path/'images'/r['fname']
def get_y(r): return r['tags'].split(' ') if r['tags'] else []
def splitter(df):
    train = df.index[~df['is_valid']].tolist()
    valid = df.index[df['is_valid']].tolist()
    return train, valid

dsets = DataBlock(blocks=(ImageBlock, MultiCategoryBlock), splitter=splitter, get_x=get_x, get_y=get_y).datasets(df)
print("datasets:", len(dsets.train), len(dsets.valid), type(dsets.train[0][0]).__name__, tuple(dsets.train[0][1].shape))
idxs = torch.where(dsets.train[0][1] == 1.)[0]
print("labels of the first:", list(dsets.train.vocab[idxs]), "=", sorted(get_y(df[~df.is_valid].iloc[0])))

dblock = DataBlock(blocks=(ImageBlock, MultiCategoryBlock), splitter=splitter, get_x=get_x, get_y=get_y,
                   item_tfms=RandomResizedCrop(96, min_scale=0.35))
dls = dblock.dataloaders(df, bs=32, num_workers=0)
dls.show_batch(nrows=1, ncols=3)

learn = vision_learner(dls, squeezenet1_1, metrics=partial(accuracy_multi, thresh=0.2))
x, y = to_cpu(dls.train.one_batch())
activs = learn.model(x)
print("activations:", tuple(activs.shape), "targets:", tuple(y.shape), y.dtype)
loss_func = BCEWithLogitsLossFlat()
loss = loss_func(activs, y)
print("loss by hand:", round(loss.item(), 1) < 3, "loss of learner:", type(learn.loss_func).__name__)

learn.fine_tune(2, base_lr=3e-3, freeze_epochs=2)
learn.metrics = partial(accuracy_multi, thresh=0.1)
first = learn.validate()
learn.metrics = partial(accuracy_multi, thresh=0.9)
second = learn.validate()
print("same loss, other accuracy:", abs(first[0] - second[0]) < 1e-5, first[1] != second[1])

preds, targs = learn.get_preds()
print("preds:", tuple(preds.shape), float(preds.min()) >= 0, float(preds.max()) <= 1)
xs = torch.linspace(0.05, 0.95, 29)
accs = [accuracy_multi(preds, targs, thresh=i, sigmoid=False) for i in xs]
plt.plot(xs, accs)
print("best accuracy:", float(max(accs)))

learn.metrics = [F1ScoreMulti(thresh=0.3, average='samples'), RocAucMulti()]
loss, f1, auc = learn.validate()
print("f1:", f1)
print("auc:", auc)
dec, mask, probs = learn.predict(path/'images'/df.fname[3])
print("predict:", mask.dtype, tuple(probs.shape), all(d in dls.vocab for d in dec))
