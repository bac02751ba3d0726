# Datasets, transforms of one's own, Siamese pairs, after the tutorial of the mid-level API
from fastai.vision.all import *
set_seed(42, True)

source = untar_data(URLs.PETS)/"images"
items = get_image_files(source).sorted()[::2]
print("items:", len(items))

def resized_image(fn, sz=64):
    x = Image.open(fn).convert('RGB').resize((sz, sz))
    return tensor(array(x)).permute(2, 0, 1).float()/255.

class TitledImage(fastuple):
    def show(self, ctx=None, **kwargs): show_titled_image(self, ctx=ctx, **kwargs)

TitledImage(resized_image(items[0]), 'test').show()

class PetTfm(Transform):
    def __init__(self, vocab, o2i, lblr): self.vocab, self.o2i, self.lblr = vocab, o2i, lblr
    def encodes(self, o): return [resized_image(o), self.o2i[self.lblr(o)]]
    def decodes(self, x): return TitledImage(x[0], self.vocab[x[1]])

labeller = using_attr(RegexLabeller(pat=r'^(.*)_\d+.jpg$'), 'name')
vals = list(map(labeller, items))
vocab, o2i = uniqueify(vals, sort=True, bidir=True)
pets = PetTfm(vocab, o2i, labeller)
x, y = pets(items[0])
print("transform:", tuple(x.shape), y, len(vocab))
dec = pets.decode([x, y])
print("decoded:", type(dec).__name__, dec[1])

class OpenAndResize(Transform):
    def encodes(self, o): return resized_image(o)

class Labels(Transform):
    def setups(self, items): self.vocab, self.o2i = uniqueify(map(labeller, items), sort=True, bidir=True)
    def encodes(self, o): return self.o2i[labeller(o)]
    def decodes(self, x): return TitledStr(self.vocab[x])

splits = RandomSplitter(seed=42)(items)
tls = TfmdLists(items, Labels(), splits=splits)
print("list:", len(tls.train), len(tls.valid), type(tls.decode(tls[0])).__name__, len(tls.vocab))
dsets = Datasets(items, [[PILImage.create], [labeller, Categorize]], splits=splits)
t = dsets[0]
print("dataset:", type(t[0]).__name__, int(t[1]), tuple(type(o).__name__ for o in dsets.decode(t)))
dls = dsets.dataloaders(bs=16, after_item=[Resize(64), ToTensor()], after_batch=[IntToFloatTensor(), *aug_transforms(size=48)], num_workers=0)
b = dls.one_batch()
print("batch:", tuple(b[0].shape), b[0].dtype, float(b[0].max()) <= 1.01, len(dls.vocab))
dls.show_batch(max_n=4)
test = dls.test_dl(items[:5])
print("test:", len(test.dataset), len(list(test)[0]))

class SiameseImage(fastuple):
    def show(self, ctx=None, **kwargs):
        if len(self) > 2: img1, img2, similarity = self
        else: img1, img2 = self; similarity = 'Undetermined'
        if not isinstance(img1, Tensor):
            if img2.size != img1.size: img2 = img2.resize(img1.size)
            t1, t2 = tensor(img1), tensor(img2)
            t1, t2 = t1.permute(2, 0, 1), t2.permute(2, 0, 1)
        else: t1, t2 = img1, img2
        line = t1.new_zeros(t1.shape[0], t1.shape[1], 10)
        return show_image(torch.cat([t1, line, t2], dim=2), title=similarity, ctx=ctx, **kwargs)

class SiameseTransform(Transform):
    def __init__(self, files, label_func, splits):
        self.labels = files.map(label_func).unique()
        self.lbl2files = {l: L(f for f in files if label_func(f) == l) for l in self.labels}
        self.label_func = label_func
        self.valid = {f: self._draw(f) for f in files[splits[1]]}
    def encodes(self, f):
        f2, t = self.valid.get(f, self._draw(f))
        img1, img2 = PILImage.create(f), PILImage.create(f2)
        return SiameseImage(img1, img2, t)
    def _draw(self, f):
        same = random.random() < 0.5
        cls = self.label_func(f)
        if not same: cls = random.choice(L(l for l in self.labels if l != cls))
        return random.choice(self.lbl2files[cls]), same

tfm = SiameseTransform(items, labeller, splits)
tls = TfmdLists(items, tfm, splits=splits)
print("pair:", type(tls[0]).__name__, len(tls[0]), isinstance(tls[0][2], bool))
tls[0].show()
show_at(tls.valid, 0)
dls = tls.dataloaders(after_item=[Resize(64), ToTensor], after_batch=[IntToFloatTensor, Normalize.from_stats(*imagenet_stats)], bs=16, num_workers=0)
xa, xb, y = dls.one_batch()
print("pairs:", tuple(xa.shape), tuple(xb.shape), tuple(y.shape), y.dtype, xa.dtype)

class SiameseModel(Module):
    def __init__(self, encoder, head): self.encoder, self.head = encoder, head
    def forward(self, x1, x2): return self.head(torch.cat([self.encoder(x1), self.encoder(x2)], dim=1))

encoder = create_body(squeezenet1_1(weights=None), cut=-1)
head = create_head(512*2, 2, ps=0.5)
def loss_func(out, targ): return CrossEntropyLossFlat()(out, targ.long())
def siamese_splitter(model): return [params(model.encoder), params(model.head)]
learn = Learner(dls, SiameseModel(encoder, head), loss_func=loss_func, splitter=siamese_splitter, metrics=accuracy)
learn.freeze()
learn.fit_one_cycle(1, 1e-3)
learn.unfreeze()
learn.fit_one_cycle(1, slice(1e-6, 1e-4))
preds, targs = learn.get_preds()
print("accuracy is of the predictions:", abs(learn.recorder.values[-1][2] - accuracy(preds, targs).item()) < 1e-4)
