# the text lines of the quick start: sentiment of film reviews in four lines
from fastai.text.all import *

source = untar_data(URLs.IMDB_SAMPLE)
df = pd.read_csv(source/'texts.csv')
path = Path('imdb')
for i, row in df[:48].iterrows():
    folder = path/('test' if i % 3 == 0 else 'train')/row.label[:3]
    folder.mkdir(parents=True, exist_ok=True)
    (folder/f'{i}.txt').write_text(row.text[:120], encoding='utf8')

dls = TextDataLoaders.from_folder(path, valid='test', bs=16)
dls.show_batch(max_n=2)
learn = text_classifier_learner(dls, AWD_LSTM, drop_mult=0.5, metrics=accuracy)
print("groups:", len(learn.splitter(learn.model)))
learn.fine_tune(1, 1e-2)
print("columns:", list(learn.recorder.metric_names))
print("accuracy:", learn.recorder.values[-1][2])
label, index, probs = learn.predict("I really liked that movie!")
print("label:", label in ('pos', 'neg'), abs(float(probs.sum()) - 1) < 1e-5, dls.vocab[1][index] == label)

dls = TextDataLoaders.from_df(df[:60], text_col='text', label_col='label', seed=1)
print("from a frame:", len(dls.train_ds) + len(dls.valid_ds), list(dls.vocab[1]))
