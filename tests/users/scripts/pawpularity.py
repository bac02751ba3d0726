# a number from a picture, in the way of a Kaggle notebook: how bright is this pet's fur
import gc
import numpy as np
import pandas as pd
from PIL import Image
from fastai.vision.all import *

seed = 999
set_seed(seed, reproducible=True)
torch.backends.cudnn.benchmark = True

dataset_path = Path('../input/pets_sample')
train_df = pd.DataFrame({'Id': [f.stem for f in sorted(get_image_files(dataset_path/'images'))[::3]]})
train_df['path'] = train_df['Id'].map(lambda x: str(dataset_path/'images'/x) + '.jpg')
train_df['score'] = train_df['path'].map(lambda f: np.asarray(Image.open(f).convert('L').resize((32, 32))).mean())
train_df = train_df.drop(columns=['Id']).sample(frac=1, random_state=seed).reset_index(drop=True)
train_df['norm_score'] = train_df['score']/255
print("mean score:", round(train_df.norm_score.mean(), 2), "rows:", len(train_df))

dls = ImageDataLoaders.from_df(train_df, path='.', valid_pct=0.2, seed=seed, fn_col='path', label_col='norm_score',
                               y_block=RegressionBlock, bs=16, num_workers=0,
                               item_tfms=Resize(64),
                               batch_tfms=setup_aug_tfms([Brightness(max_lighting=.05), Contrast(max_lighting=.05), Hue(), Saturation()]))
dls.show_batch(max_n=3)
print("targets:", dls.one_batch()[1].dtype, dls.c)

def petfinder_rmse(input, target):
    return 100*torch.sqrt(F.mse_loss(F.sigmoid(input.flatten()), target))

learn = vision_learner(dls, squeezenet1_1, loss_func=BCEWithLogitsLossFlat(), metrics=petfinder_rmse, n_out=1).to_fp16()
lrs = learn.lr_find(end_lr=3e-2, num_it=20, show_plot=False)
print("suggestion:", lrs._fields, 0 < lrs.valley < 1)
learn.fit_one_cycle(4, 5e-3, cbs=[SaveModelCallback(monitor='petfinder_rmse', comp=np.less), MixUp(0.2)])
print("rmse:", learn.validate()[1])
learn = learn.to_fp32()

test_df = train_df[['path']].head(10)
test_dl = dls.test_dl(test_df)
preds, _ = learn.get_preds(dl=test_dl)
tta_preds, _ = learn.tta(dl=test_dl, n=2)
print("preds:", tuple(preds.shape), tuple(tta_preds.shape), bool((preds > 0).all()), bool((preds < 1).all()))
sample_df = pd.DataFrame({'Id': test_df.path.map(lambda f: Path(f).stem), 'Pawpularity': preds.float().numpy().ravel()*100})
sample_df.to_csv('submission.csv', index=False)
print("submission:", list(pd.read_csv('submission.csv').columns), len(sample_df))
del learn; gc.collect()
