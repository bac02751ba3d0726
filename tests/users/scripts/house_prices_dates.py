# prices of houses by date of sale: add_datepart, TabularPandas, a forest beside a network (chapter 9 of the book)
from fastai.tabular.all import *
from sklearn.ensemble import RandomForestRegressor
set_seed(42, True)

path = Path('../input/ames_housing')
df = pd.read_csv(path/'AmesHousing.csv', low_memory=False)
df['saledate'] = pd.to_datetime(dict(year=df['Yr Sold'], month=df['Mo Sold'], day=1))
df = df.drop(columns=['Order', 'PID', 'Yr Sold', 'Mo Sold'])
dep_var = 'SalePrice'
df[dep_var] = np.log(df[dep_var])

df = add_datepart(df, 'saledate')
print("dates:", ' '.join(o for o in df.columns if o.startswith('sale')))
quality = ['Po', 'Fa', 'TA', 'Gd', 'Ex']
df['Exter Qual'] = df['Exter Qual'].astype('category')
df['Exter Qual'] = df['Exter Qual'].cat.set_categories(quality, ordered=True)

cond = (df.saleYear < 2009)
train_idx = np.where(cond)[0]
valid_idx = np.where(~cond)[0]
splits = (list(train_idx), list(valid_idx))
procs = [Categorify, FillMissing]
cont, cat = cont_cat_split(df, 1, dep_var=dep_var)
print("columns:", len(cont), len(cat))

to = TabularPandas(df, procs, cat, cont, y_names=dep_var, splits=splits)
print("table:", len(to.train), len(to.valid), type(to).__name__)
to.show(3)
print("classes:", list(to.classes['Exter Qual'])[-4:])

xs, y = to.train.xs, to.train.y
valid_xs, valid_y = to.valid.xs, to.valid.y
print("xs:", xs.shape[0] == len(y), int(xs.isna().sum().sum()))

def r_mse(pred, y): return round(math.sqrt(((pred - y)**2).mean()), 6)
def m_rmse(m, xs, y): return r_mse(m.predict(xs), y)

m = RandomForestRegressor(n_estimators=20, max_samples=1500, max_features=0.5, min_samples_leaf=5, random_state=0).fit(xs, y)
print("forest:", m_rmse(m, valid_xs, valid_y))
fi = pd.DataFrame({'cols': xs.columns, 'imp': m.feature_importances_}).sort_values('imp', ascending=False)
print("important:", 'Overall Qual' in fi.cols[:4].tolist())

cont_nn, cat_nn = cont_cat_split(df, max_card=9000, dep_var=dep_var)
to_nn = TabularPandas(df, [Categorify, FillMissing, Normalize], cat_nn, cont_nn, splits=splits, y_names=dep_var)
dls = to_nn.dataloaders(256)
y = to_nn.train.y
print("y:", round(float(y.min()), 1), round(float(y.max()), 1))
learn = tabular_learner(dls, y_range=(9, 14), layers=[200, 100], n_out=1, loss_func=F.mse_loss)
learn.lr_find(show_plot=False)
learn.fit_one_cycle(8, 1e-2)
preds, targs = learn.get_preds()
print("net:", r_mse(preds, targs), tuple(preds.shape))
ens = (to_np(preds.squeeze()) + m.predict(valid_xs))/2
print("ensemble:", r_mse(ens, valid_y))
