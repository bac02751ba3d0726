# salaries, after the tabular tutorial
from fastai.tabular.all import *
set_seed(42, True)

path = untar_data(URLs.ADULT_SAMPLE)
print("files:", sorted(p.name for p in path.ls(file_exts='.csv')))
df = pd.read_csv(path/'adult.csv', nrows=3000, skipinitialspace=True)
cat_names = ['workclass', 'education', 'marital-status', 'occupation', 'relationship', 'race']
cont_names = ['age', 'fnlwgt', 'education-num']
df.loc[::10, 'education-num'] = np.nan

dls = TabularDataLoaders.from_df(df, path='.', y_names="salary", cat_names=cat_names, cont_names=cont_names,
                                 procs=[Categorify, FillMissing, Normalize], valid_idx=list(range(2400, 3000)), bs=64)
dls.show_batch()
print("vocab:", list(dls.vocab), "missing column:", 'education-num_na' in dls.cat_names)

splits = RandomSplitter(valid_pct=0.2, seed=1)(range_of(df))
print("splits:", len(splits[0]), len(splits[1]))
to = TabularPandas(df, procs=[Categorify, FillMissing, Normalize], cat_names=cat_names, cont_names=cont_names,
                   y_names='salary', splits=splits)
print("xs:", to.xs.shape, "mean age of train:", abs(round(float(to.train.xs.age.mean()), 3)))
dls = to.dataloaders(bs=64, path=Path('.'))
cats, conts, y = dls.one_batch()
print("batch:", tuple(cats.shape), tuple(conts.shape), len(y), cats.dtype, conts.dtype)

learn = tabular_learner(dls, metrics=accuracy, emb_szs={'workclass': 4}, config=tabular_config(ps=0.1))
print("embeddings:", [tuple(e.weight.shape) for e in learn.model.embeds][:2], "layers:", type(learn.model).__name__)
learn.fit_one_cycle(2, 1e-2)
learn.show_results()
acc = learn.validate()[1]
print("accuracy:", acc)

row, clas, probs = learn.predict(df.iloc[0])
row.show()
print("predict:", dls.vocab[clas.item()], [round(float(p), 1) for p in probs.sum()[None]])

test_df = df.copy().head(100)
test_df.drop(['salary'], axis=1, inplace=True)
dl = learn.dls.test_dl(test_df)
preds = learn.get_preds(dl=dl)
print("test:", tuple(preds[0].shape), preds[1])
dl = learn.dls.test_dl(df.iloc[:100])
print("validate on a table with labels:", 0.5 < learn.validate(dl=dl)[1] <= 1)
