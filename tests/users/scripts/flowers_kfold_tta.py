# flowers: k folds, test-time augmentation, submission file
import os, random, shutil
import pandas as pd, numpy as np
from sklearn.model_selection import StratifiedKFold
import fastai
from fastai.vision.all import *

class CFG:
    seed, size, bs, n_folds, epochs, lr = 42, 48, 32, 2, 2, 4e-3

def seed_everything(seed):
    random.seed(seed); os.environ['PYTHONHASHSEED'] = str(seed); np.random.seed(seed); torch.manual_seed(seed)
seed_everything(CFG.seed)

path = Path('../input/flowers')
files = L(f for c in sorted(path.ls()) if c.is_dir() for f in sorted(c.ls())[:50])
df = pd.DataFrame({'image_id': [str(f.relative_to(path)) for f in files], 'label': [f.parent.name for f in files]})
df = df.sample(frac=1, random_state=CFG.seed).reset_index(drop=True)
test_df, train_df = df[:50].reset_index(drop=True), df[50:].reset_index(drop=True)
train_df['fold'] = -1
skf = StratifiedKFold(n_splits=CFG.n_folds, shuffle=True, random_state=CFG.seed)
for i, (_, val_idx) in enumerate(skf.split(train_df.index, train_df.label)):
    train_df.loc[val_idx, 'fold'] = i
print("folds:", train_df.groupby('fold').size().tolist())

def get_data(fold):
    train_df_no_val = train_df.query(f'fold != {fold}')
    train_df_val = train_df.query(f'fold == {fold}')
    train_df_bal = pd.concat([train_df_no_val.assign(is_valid=False), train_df_val.assign(is_valid=True)])
    datablock = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=sorted(train_df.label.unique()))),
        get_x=ColReader('image_id', pref=path),
        get_y=ColReader('label'),
        splitter=ColSplitter('is_valid'),
        item_tfms=Resize(64),
        batch_tfms=aug_transforms(size=CFG.size, min_scale=0.8, flip_vert=False, max_lighting=.1, max_warp=0))
    return datablock.dataloaders(source=train_df_bal, bs=CFG.bs, num_workers=0)

all_preds, scores = [], []
for fold in range(CFG.n_folds):
    print("Training fold:", fold)
    dls = get_data(fold)
    learn = vision_learner(dls, squeezenet1_1, loss_func=LabelSmoothingCrossEntropy(), metrics=[accuracy, F1Score(average='macro')],
                           path='.', model_dir='models').to_fp16()
    learn.fine_tune(CFG.epochs, base_lr=CFG.lr, cbs=[SaveModelCallback(monitor='accuracy', fname=f'fold_{fold}')])
    scores.append(learn.validate()[1])
    learn.export(f'fold_{fold}.pkl')
    test_dl = learn.dls.test_dl([path/f for f in test_df.image_id])
    preds, _ = learn.tta(dl=test_dl, n=2, beta=0)
    all_preds.append(preds)
print("vocab:", list(dls.vocab))
print("mean accuracy:", np.mean(scores))
print("files:", sorted(p.name for p in Path('.').ls() if p.suffix == '.pkl'), len({p.name.split('.')[0] for p in Path('models').ls()}))

mean_preds = np.mean(np.stack([p.numpy() for p in all_preds]), axis=0)
sub = pd.DataFrame({'image_id': test_df.image_id, 'label': [dls.vocab[i] for i in mean_preds.argmax(1)]})
sub.to_csv('submission.csv', index=False)
sub = pd.read_csv('submission.csv')
print("submission:", sub.shape, list(sub.columns), set(sub.label) <= set(dls.vocab))
print("test accuracy:", (sub.label == test_df.label).mean())
print("probabilities:", mean_preds.shape, bool(np.allclose(mean_preds.sum(1), 1, atol=1e-3)))
