# the mid-level API on texts, after chapter 11 of the book
from fastai.text.all import *

set_seed(7)
source = untar_data(URLs.IMDB_SAMPLE)
df = pd.read_csv(source/'texts.csv')[:120]
path = Path('stories')
for i, row in df.iterrows():
    folder = path/('valid' if i % 4 == 0 else 'train')/row.label
    folder.mkdir(parents=True, exist_ok=True)
    (folder/f'{i}.txt').write_text(row.text[:600], encoding='utf8')

files = get_text_files(path, folders=['train', 'valid'])
txts = L(o.open(encoding='utf8').read() for o in files[:100])
tok = Tokenizer.from_folder(path)
tok.setup(txts)
toks = txts.map(tok)
print("tokens:", toks[0][0], len(toks))
num = Numericalize()
num.setup(toks)
nums = toks.map(num)
print("numbers:", nums[0][:1].tolist(), nums[0].dtype)
nums_dec = num.decode(nums[0][:5])
print("decoded:", len(nums_dec), nums_dec[0])
print("text:", tok.decode(nums_dec)[:5])

def normalize_mean(x: float): return x - 1.0
f = Transform(normalize_mean)
print("transform:", f(3.0))

tfms = Pipeline([tok, num])
t = tfms(txts[0])
print("pipeline:", t[:1].tolist(), tfms.decode(t)[:5])

cut = int(len(files)*0.8)
splits = [list(range(cut)), list(range(cut, len(files)))]
tls = TfmdLists(files, [Tokenizer.from_folder(path), Numericalize], splits=splits)
t = tls[0]
print("tls:", type(t).__name__, t[0].item(), tls.decode(t)[:5])
print("valid:", len(tls.valid), tls.valid[0][0].item())

tls_y = TfmdLists(files, [parent_label, Categorize()])
print("label:", int(tls_y[0]) in (0, 1), list(tls_y.tfms[1].vocab))

x_tfms = [Tokenizer.from_folder(path), Numericalize]
y_tfms = [parent_label, Categorize()]
dsets = Datasets(files, [x_tfms, y_tfms], splits=splits)
x, y = dsets.valid[0]
print("sample:", type(x).__name__, int(y) in (0, 1), dsets.decode((x, y))[1] in ('positive', 'negative'))
dls = dsets.dataloaders(bs=16, before_batch=pad_input)
xb, yb = dls.one_batch()
print("padded:", len(xb), xb.ndim, tuple(yb.shape))
dls = dsets.dataloaders(bs=16, dl_type=SortedDL, before_batch=pad_input)
xb, yb = dls.one_batch()
print("sorted:", len(xb), bool((xb == 1).float().mean() < 0.9))
lengths = [int((o != 1).sum()) for b in dls.valid for o in b[0]]
print("longest first:", lengths[0] == max(lengths), len(lengths))

path2 = path
dls = DataBlock(
    blocks=(TextBlock.from_folder(path), CategoryBlock),
    get_y=parent_label, get_items=partial(get_text_files, folders=['train', 'valid']),
    splitter=GrandparentSplitter(valid_name='valid')
).dataloaders(path, bs=16)
print("block:", len(dls.train_ds), len(dls.valid_ds), list(dls.vocab[1]))
