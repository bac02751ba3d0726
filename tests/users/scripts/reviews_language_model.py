# sentiment of film reviews by way of a language model, after chapter 10 of the book
from fastai.text.all import *

set_seed(42, reproducible=True)
source = untar_data(URLs.IMDB_SAMPLE)
df = pd.read_csv(source/'texts.csv')
df = pd.concat([df[~df.is_valid][:120], df[df.is_valid][:40]])
df['text'] = df.text.str[:700]
path = Path('reviews')
for i, row in df.reset_index().iterrows():
    folder = path/('test' if row.is_valid else 'train')/('pos' if row.label == 'positive' else 'neg')
    folder.mkdir(parents=True, exist_ok=True)
    (folder/f'{i}.txt').write_text(row.text, encoding='utf8')

# word tokenization
files = get_text_files(path, folders=['train', 'test'])
print("files:", len(files))
txt = files[0].open(encoding='utf8').read()
spacy = WordTokenizer()
toks = first(spacy([txt]))
print("first tokens:", len(toks) > 20, coll_repr(toks, 30).startswith('(#'))
print("dollar:", list(first(spacy(['The U.S. dollar $1 is $1.00.']))))
tkn = Tokenizer(spacy)
print("with rules:", list(tkn("It's GREAT!!!!! He said <br />yes yes yes yes")))
print("html:", fix_html('Really&nbsp;good &amp; cheap<br />#36;5'))
print("defaults:", [o.__name__ for o in defaults.text_proc_rules])
print("special:", defaults.text_spec_tok)

# numericalization
toks200 = L(o.open(encoding='utf8').read() for o in files[:60]).map(tkn)
num = Numericalize()
num.setup(toks200)
print("vocab:", num.vocab[:9], len(num.vocab) % 8)
nums = num(toks200[0])[:20]
print("ids:", type(nums).__name__, nums.dtype, tuple(nums.shape))
print("round trip:", ' '.join(num.vocab[o] for o in nums)[:5])

# batches for a language model
nums200 = toks200.map(num)
dl = LMDataLoader(nums200)
x, y = first(dl)
print("lm batch:", x.shape, y.shape)
print("shifted:", bool((x[0][1:] == y[0][:-1]).all()))

get_reviews = partial(get_text_files, folders=['train', 'test'])
dls_lm = DataBlock(
    blocks=TextBlock.from_folder(path, is_lm=True),
    get_items=get_reviews, splitter=RandomSplitter(0.1, seed=42)
).dataloaders(path, path=path, bs=16, seq_len=40)
dls_lm.show_batch(max_n=2)
x, y = dls_lm.one_batch()
print("dls_lm:", tuple(x.shape), tuple(y.shape), len(dls_lm.vocab) > 500)

config = {**awd_lstm_lm_config, 'emb_sz': 48, 'n_hid': 64, 'n_layers': 2}
learn = language_model_learner(
    dls_lm, AWD_LSTM, config=config, drop_mult=0.3, pretrained=False,
    metrics=[accuracy, Perplexity()]).to_fp16()
learn.fit_one_cycle(2, 2e-2)
print("lm columns:", list(learn.recorder.metric_names))
print("perplexity:", learn.recorder.values[-1][3])
learn.save('1epoch')
learn = learn.load('1epoch')
learn.unfreeze()
learn.fit_one_cycle(1, 2e-3)
learn.save_encoder('finetuned')

TEXT = "I liked this movie because"
preds = [learn.predict(TEXT, 12, temperature=0.75) for _ in range(2)]
print("generated:", len(preds), all(isinstance(o, str) and o.lower().startswith('i liked this movie') for o in preds))

# the classifier
dls_clas = DataBlock(
    blocks=(TextBlock.from_folder(path, vocab=dls_lm.vocab), CategoryBlock),
    get_y=parent_label,
    get_items=partial(get_text_files, folders=['train', 'test']),
    splitter=GrandparentSplitter(valid_name='test')
).dataloaders(path, path=path, bs=16, seq_len=72)
dls_clas.show_batch(max_n=3)
print("same words:", list(dls_clas.vocab[0]) == list(dls_lm.vocab), list(dls_clas.vocab[1]))
x, y = dls_clas.one_batch()
print("classifier batch:", x.ndim, len(x), len(y))

config = {**awd_lstm_clas_config, 'emb_sz': 48, 'n_hid': 64, 'n_layers': 2}
learn = text_classifier_learner(dls_clas, AWD_LSTM, config=config, drop_mult=0.5, pretrained=False, metrics=accuracy).to_fp16()
learn = learn.load_encoder('finetuned')
learn.fit_one_cycle(1, 2e-2)
learn.freeze_to(-2)
learn.fit_one_cycle(1, slice(1e-2/(2.6**4), 1e-2))
learn.freeze_to(-3)
learn.fit_one_cycle(1, slice(5e-3/(2.6**4), 5e-3))
learn.unfreeze()
learn.fit_one_cycle(2, slice(1e-3/(2.6**4), 1e-3))
acc = learn.recorder.values[-1][2]
print("accuracy:", acc)
label, index, probs = learn.predict("I really liked that movie!")
print("predict:", label in ('pos', 'neg'), int(index) in (0, 1), tuple(probs.shape))
preds, targs = learn.get_preds()
print("preds:", tuple(preds.shape), tuple(targs.shape))
print("agree:", abs(float(accuracy(preds, targs)) - acc) < 1e-5)
interp = ClassificationInterpretation.from_learner(learn)
print("confusion:", int(interp.confusion_matrix().sum()))
