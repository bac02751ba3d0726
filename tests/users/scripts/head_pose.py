# the centre of the head in six photos: key points
from fastai.vision.all import *
set_seed(42, True)

path = Path('../input/biwi_sample_mini')
centers = pd.read_csv(path/'centers.csv').set_index('fname')
img_files = get_image_files(path/'images').sorted()
im = PILImage.create(img_files[0])
print("image:", im.shape, "files:", len(img_files))

def get_ctr(f):
    c = centers.loc[Path(f).name]
    return tensor([c.c0, c.c1])

print("centre:", [round(float(v), 1) for v in get_ctr(img_files[0])])

biwi = DataBlock(blocks=(ImageBlock, PointBlock),
                 get_items=get_image_files,
                 get_y=get_ctr,
                 splitter=FuncSplitter(lambda o: o.name in ('0.jpg', '1.jpg')),
                 item_tfms=Resize((96, 128), method='squish'),
                 batch_tfms=[*aug_transforms(do_flip=False, max_rotate=2, max_warp=0), Normalize.from_stats(*imagenet_stats)])
dls = biwi.dataloaders(path/'images', bs=2, num_workers=0)
dls.show_batch(max_n=2, figsize=(4, 3))
xb, yb = dls.one_batch()
print("batch:", tuple(xb.shape), tuple(yb.shape))
print("scaled:", bool((yb.abs() <= 1).all()))
yv = torch.cat([b[1] for b in dls.valid]).flatten()
print("valid points:", [round(float(v), 2) for v in yv])

learn = vision_learner(dls, squeezenet1_1, y_range=(-1, 1), concat_pool=True)
learn.fine_tune(16, 1e-2)
learn.show_results(ds_idx=1, max_n=2, figsize=(4, 4))
preds, targs = learn.get_preds()
print("preds:", preds.numel(), targs.numel(), "inside:", bool((preds.abs() <= 1).all()))
print("mse:", float(F.mse_loss(preds.view(-1), targs.view(-1))))
pt, raw, _ = learn.predict(img_files[0])
print("predict:", type(pt).__name__)
print("in pixels:", all(0 <= float(v) <= 160 for v in pt.view(-1)))
