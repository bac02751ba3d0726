# street scenes, a U-Net from scratch on small pictures; metric that leaves out void pixels
from fastai.basics import *
from fastai.vision.all import *
from fastai.callback.all import *
set_seed(42, True)

path = Path('../input/camvid_half')
codes = np.loadtxt(path/'codes.txt', dtype=str)
fnames = sorted(get_image_files(path/'train'))[:40] + sorted(get_image_files(path/'val'))[:8]
print("files:", len(fnames), "codes:", len(codes), codes[-1])

get_msk = lambda o: Path(f'{o.parent}annot')/f'{o.stem}.png'
mask = PILMask.create(get_msk(fnames[0]))
mask.show(figsize=(3, 3), alpha=1)
print("mask:", mask.shape, mask.size)

name2id = {v: k for k, v in enumerate(codes)}
void_code = name2id['Void']

def acc_camvid(inp, targ):
    targ = targ.squeeze(1)
    mask = targ != void_code
    return (inp.argmax(dim=1)[mask] == targ[mask]).float().mean()

camvid = DataBlock(blocks=(ImageBlock, MaskBlock(codes)),
                   get_items=lambda p: fnames,
                   splitter=FuncSplitter(lambda o: o.parent.name == 'val'),
                   get_y=get_msk,
                   item_tfms=Resize((32, 48), method='squish'),
                   batch_tfms=[*aug_transforms(max_rotate=5, max_warp=0.), Normalize.from_stats(*imagenet_stats)])
dls = camvid.dataloaders(path, bs=8, num_workers=0)
dls.show_batch(max_n=2, vmin=0, vmax=11, figsize=(6, 3))
dls.vocab = codes
print("vocab:", len(dls.vocab), "batches:", len(dls.valid))
x, y = dls.one_batch()
print("batch:", tuple(x.shape), tuple(y.shape), y.dtype)

learn = unet_learner(dls, resnet18, pretrained=False, n_out=12, metrics=[acc_camvid, DiceMulti()], self_attention=False,
                     loss_func=CrossEntropyLossFlat(axis=1), path=Path('.'), wd=1e-2)
learn.fit_one_cycle(8, slice(4e-3))
learn.show_results(max_n=2, figsize=(4, 4), vmin=0, vmax=11)
print("accuracy:", learn.final_record[2], "columns:", list(learn.recorder.metric_names))
learn.save('stage-1')
learn.load('stage-1')
print("saved:", len({p.name.split('.')[0] for p in (learn.path/learn.model_dir).iterdir()}))

preds, targs = learn.get_preds()
print("preds:", tuple(preds.shape), tuple(targs.shape))
print("accuracy again:", abs(float(acc_camvid(preds, targs)) - learn.validate()[1]) < 0.05)
pred = learn.predict(fnames[-1])
print("predict:", tuple(pred[0].shape), tuple(pred[2].shape))

interp = SegmentationInterpretation.from_learner(learn)
interp.plot_top_losses(2)
sky = (preds.argmax(1)[targs == name2id['Sky']] == name2id['Sky']).float().mean()
print("sky:", float(sky), len(targs))
