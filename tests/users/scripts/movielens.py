# ratings of films, after chapter 8 of the book
from fastai.collab import *
from fastai.tabular.all import *

set_seed(42)
path = untar_data(URLs.ML_100k)
ratings = pd.read_csv(path/'u.data', delimiter='\t', header=None, names=['user', 'movie', 'rating', 'timestamp'])
movies = pd.read_csv(path/'u.item', delimiter='|', encoding='latin-1', usecols=(0, 1), names=('movie', 'title'), header=None)
ratings = ratings.merge(movies)
ratings = ratings[ratings.user < 150]
print("ratings:", len(ratings), ratings.user.nunique(), list(ratings.columns))

dls = CollabDataLoaders.from_df(ratings, item_name='title', bs=256, seed=42)
dls.show_batch()
x, y = dls.one_batch()
print("batch:", tuple(x.shape), x.dtype, len(y))
n_users = len(dls.classes['user'])
n_movies = len(dls.classes['title'])
print("classes:", n_users, dls.classes['user'][0], n_movies > 1000)

def create_params(size):
    return nn.Parameter(torch.zeros(*size).normal_(0, 0.01))

class DotProductBias(Module):
    def __init__(self, n_users, n_movies, n_factors, y_range=(0, 5.5)):
        self.user_factors = create_params([n_users, n_factors])
        self.user_bias = create_params([n_users])
        self.movie_factors = create_params([n_movies, n_factors])
        self.movie_bias = create_params([n_movies])
        self.y_range = y_range

    def forward(self, x):
        users = self.user_factors[x[:, 0]]
        movies = self.movie_factors[x[:, 1]]
        res = (users*movies).sum(dim=1)
        res += self.user_bias[x[:, 0]] + self.movie_bias[x[:, 1]]
        return sigmoid_range(res, *self.y_range)

model = DotProductBias(n_users, n_movies, 20)
learn = Learner(dls, model, loss_func=MSELossFlat())
learn.fit_one_cycle(4, 1e-2, wd=0.1)
print("own model:", learn.recorder.values[-1][1])
movie_bias = learn.model.movie_bias.squeeze()
idxs = movie_bias.argsort(descending=True)[:5]
print("best:", len([dls.classes['title'][i] for i in idxs]))

learn = collab_learner(dls, n_factors=20, y_range=(0, 5.5))
learn.fit_one_cycle(4, 1e-2, wd=0.1)
print("dot product:", learn.recorder.values[-1][1])
print("model:", [n for n, _ in learn.model.named_children()])

movie_bias = learn.model.i_bias.weight.squeeze()
idxs = movie_bias.argsort(descending=True)[:5]
top = [dls.classes['title'][i] for i in idxs]
g = ratings.groupby('title')['rating'].count()
top_movies = g.sort_values(ascending=False).index.values[:200]
top_idxs = tensor([learn.dls.classes['title'].o2i[m] for m in top_movies])
movie_w = learn.model.i_weight.weight[top_idxs].cpu().detach()
print("factors:", tuple(movie_w.shape))
movie_factors = learn.model.i_weight.weight
idx = dls.classes['title'].o2i['Silence of the Lambs, The (1991)']
distances = nn.CosineSimilarity(dim=1)(movie_factors, movie_factors[idx][None])
print("nearest is itself:", int(distances.argsort(descending=True)[0]) == idx)
print("bias:", tuple(learn.model.bias(top_movies[:3], is_item=True).shape), tuple(learn.model.weight(top_movies[:3], is_item=True).shape))

learn = collab_learner(dls, use_nn=True, y_range=(0, 5.5), layers=[50, 25])
learn.fit_one_cycle(1, 5e-3)
print("net:", learn.recorder.values[-1][1], type(learn.model).__name__)
preds, targs = learn.get_preds()
print("preds:", tuple(preds.shape), tuple(targs.shape), bool((preds > 0).all() and (preds < 5.5).all()))
dl = dls.test_dl(ratings.head(7))
print("test:", len(learn.get_preds(dl=dl)[0]))
