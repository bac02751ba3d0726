# a Kaggle competition on short texts: classify, then write the submission
from fastai.text.all import *

path = Path('../input/ag_news')
names = ['text', 'topic']
train = pd.read_csv(path/'dev.tsv', sep='\t', header=None, names=names, quoting=3)[:1000]
test = pd.read_csv(path/'test.tsv', sep='\t', header=None, names=names, quoting=3)[:200].drop(columns='topic')
test.insert(0, 'id', range(5000, 5000 + len(test)))
print("rows:", train.shape, test.shape)

set_seed(5)
lm = pd.concat([train[['text']], test[['text']]], ignore_index=True)
dls_lm = TextDataLoaders.from_df(lm, text_col='text', is_lm=True, valid_pct=0.1, seed=1, seq_len=24, bs=16)
config = awd_lstm_lm_config.copy()
config.update(emb_sz=48, n_hid=64, n_layers=1)
learn = language_model_learner(dls_lm, AWD_LSTM, config=config, pretrained=False, drop_mult=0.2, metrics=[accuracy, Perplexity()])
learn.fit_one_cycle(1, 2e-2)
learn.save_encoder('enc')
print("lm:", learn.recorder.values[-1][1])

dls = TextDataLoaders.from_df(train, text_col='text', label_col='topic', valid_pct=0.2, seed=1, text_vocab=dls_lm.vocab, bs=16)
print("classes:", list(dls.vocab[1]), len(dls.train_ds), len(dls.valid_ds))
config = awd_lstm_clas_config.copy()
config.update(emb_sz=48, n_hid=64, n_layers=1)
learn = text_classifier_learner(dls, AWD_LSTM, config=config, pretrained=False, drop_mult=0.2, metrics=[accuracy, F1Score(average='macro')])
learn.load_encoder('enc')
learn.fit_one_cycle(4, 2e-2)
print("accuracy:", learn.recorder.values[-1][2])
print("f1:", learn.recorder.values[-1][3])

test_dl = dls.test_dl(test)
preds, _ = learn.get_preds(dl=test_dl)
print("preds:", tuple(preds.shape), abs(float(preds.sum(1).mean()) - 1) < 1e-4)
one = learn.predict(test.text[7])
print("order:", one[0] == dls.vocab[1][preds[7].argmax()], float((one[2] - preds[7]).abs().max()) < 1e-4)
submission = pd.DataFrame({'id': test.id, 'topic': [dls.vocab[1][i] for i in preds.argmax(1)]})
submission.to_csv('submission.csv', index=False)
print("submission:", submission.shape, len(pd.read_csv('submission.csv')))
learn.export('news.pkl')
again = load_learner('news.pkl')
print("loaded:", again.predict("Stocks fell on Wall Street as oil prices rose.")[0] in dls.vocab[1])
