# 37 pet breeds, after chapter 5 of the book
from fastai.vision.all import *

set_seed(42, reproducible=True)
path = untar_data(URLs.PETS)
Path.BASE_PATH = path
print("folders:", sorted(p.name for p in path.ls() if p.is_dir()))
print("images:", len((path/"images").ls(file_exts='.jpg')))

fname = (path/"images").ls().sorted()[0]
print("regex:", re.findall(r'(.+)_\d+.jpg$', fname.name))

pets = DataBlock(blocks=(ImageBlock, CategoryBlock),
                 get_items=get_image_files,
                 splitter=RandomSplitter(seed=42),
                 get_y=using_attr(RegexLabeller(r'(.+)_\d+.jpg$'), 'name'),
                 item_tfms=Resize(128),
                 batch_tfms=aug_transforms(size=64, min_scale=0.75))
dls = pets.dataloaders(path/"images", bs=32, num_workers=0)
dls.show_batch(nrows=1, ncols=3)
print("classes:", dls.c, len(dls.vocab), list(dls.vocab)[:3], "pug is", dls.vocab.o2i['pug'])
print("sizes:", len(dls.train_ds), len(dls.valid_ds))

x, y = dls.one_batch()
print("batch:", tuple(x.shape), tuple(y.shape), y.dtype)

learn = vision_learner(dls, squeezenet1_1, metrics=[error_rate, accuracy])
learn.fine_tune(2, freeze_epochs=1, base_lr=3e-3)
val_loss, err, acc = learn.validate()
print("error + accuracy:", round(err + acc, 4))
print("accuracy:", acc)

preds, targs = learn.get_preds()
print("preds:", tuple(preds.shape), tuple(targs.shape), "sums to one:", bool(torch.allclose(preds.sum(1), torch.ones(len(preds)), atol=1e-4)))

interp = ClassificationInterpretation.from_learner(learn)
interp.plot_confusion_matrix(figsize=(12, 12), dpi=60)
interp.plot_top_losses(5, nrows=1)
print("confusion matrix:", interp.confusion_matrix().shape, interp.confusion_matrix().sum())
confused = interp.most_confused(min_val=1)
print("most confused:", len(confused) > 0, confused[0][0] in dls.vocab)
losses, idxs = interp.top_losses(3)
print("top losses sorted:", bool(losses[0] >= losses[1] >= losses[2]), len(idxs))

pred, pred_idx, probs = learn.predict((path/"images").ls().sorted()[0])
print("predict:", pred in dls.vocab, pred == dls.vocab[pred_idx], tuple(probs.shape))
