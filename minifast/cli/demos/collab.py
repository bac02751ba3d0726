"""`minifast demo collab`: recommend films. The ratings are generated, so that what is learnt can be compared with the truth."""
from typing import TYPE_CHECKING, Any

from ...core.messages import plural
from .shared import Asked, read_table

if TYPE_CHECKING:
    import pandas as pd

    from ...learner.learner import Learner

GENRES = {"Chase": (1, 0.6), "War": (0.9, -0.8), "Comedy": (-0.5, 1), "Romance": (-1, 0.2), "Drama": (-0.6, -0.9)}


def make_ratings(n_users: int = 600, seed: int = 0) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Make ratings of 150 films by users whose taste has two dimensions, with noise: `(ratings, truth)`.

    `truth` has the rating that each user (rows) would give each film (columns) without the noise.

    Args:
        n_users: how many.
        seed: of everything random.
    """
    import numpy as np
    import pandas as pd
    rng = np.random.default_rng(seed)
    films = pd.DataFrame([(f"{g} {i}", g) for g in GENRES for i in range(1, 31)], columns=["title", "genre"])
    place = np.array([GENRES[g] for g in films.genre]) + rng.normal(0, 0.15, (len(films), 2))
    quality, taste, mood = rng.normal(0, 0.4, len(films)), rng.normal(0, 0.8, (n_users, 2)), rng.normal(0, 0.3, n_users)
    likes = 3.4 + taste @ place.T + quality + mood[:, None]
    fame = np.exp(1.5 * quality + rng.normal(0, 0.7, len(films)))
    user, film = np.array([(u, f) for u in range(n_users) for f in rng.choice(len(films), rng.integers(15, 50), replace=False,
                                                                              p=fame / fame.sum())]).T
    stars = np.clip(np.round(likes[user, film] + rng.normal(0, 0.5, len(user))), 1, 5)
    ratings = pd.DataFrame({"user": user + 1000, "title": films.title.to_numpy()[film], "rating": stars})
    return ratings, pd.DataFrame(likes.clip(1, 5), index=range(1000, 1000 + n_users), columns=films.title)


def run(asked: Asked) -> "Learner":
    "Train vectors of users and items, and recommend. asked: see `Asked`."
    import matplotlib.pyplot as plt
    import torch

    from ...basics import rmse, set_seed
    from ...collab import CollabDataLoaders, collab_learner, recommend, similar_items
    set_seed(asked.seed)
    file = asked.data or asked.out / "ratings.csv"
    if asked.data is None:
        made, truth = make_ratings()
        made.to_csv(file, index=False)
    ratings = read_table(file, "minifast demo collab")
    if ratings.shape[1] < 3:
        raise ValueError(f"--data {file}: the columns {', '.join(map(str, ratings.columns))} are too few: the first three are read as "
                         "user, item and rating")
    user, item, rating = ratings.columns[:3]
    if asked.data is None:
        print(f"Wrote {len(ratings):,} ratings of 150 films by 600 users to {file}. They are generated, from tastes in two\n"
              "dimensions with noise, so that what the model learns can be compared with the truth.")
    dls = CollabDataLoaders.from_df(ratings, seed=asked.seed, bs=256, path=asked.out)
    print(f"{len(ratings):,} ratings ({rating!r}) by {plural(ratings[user].nunique(), 'user')} ({user!r}) of "
          f"{plural(ratings[item].nunique(), 'item')} ({item!r}); a fifth is kept for validation")
    low, high = float(ratings[rating].min()), float(ratings[rating].max())
    learn = collab_learner(dls, n_factors=20, y_range=(low - 0.1 * (high - low), high + 0.1 * (high - low)), metrics=rmse, path=asked.out)
    learn.fit_one_cycle(asked.epochs or 8, 1e-2, wd=0.1)
    learn.recorder.plot_metrics()
    asked.save_figure("metrics.png")
    names = ratings[item].value_counts().index[:150]
    model: Any = learn.model
    vectors = model.weight(names)
    x, y = (vectors @ torch.pca_lowrank(vectors, q=2)[2]).T.numpy()
    plt.figure(figsize=(8, 6))
    groups = [str(name).split(" ")[0] for name in names] if asked.data is None else [""] * len(names)
    for group in dict.fromkeys(groups):
        chosen = [g == group for g in groups]
        plt.scatter(x[chosen], y[chosen], s=16, label=group)
    for i in range(0, len(names), 4):
        plt.annotate(str(names[i])[:24], (x[i], y[i]), fontsize=6, parse_math=False)
    if asked.data is None:
        plt.legend()
    plt.title("the items that were rated most, by the vectors learnt for them")
    asked.save_figure("items.png")
    someone, liked = ratings[user].iloc[0], names[0]
    print(f"\nFor {user} {someone}, who has not rated these:\n{recommend(learn, someone, k=5).to_string(index=False)}\n\n"
          f"Most similar to {str(liked)!r}:\n{similar_items(learn, liked, k=5).to_string(index=False)}\n")
    score = learn.validate()[1]
    kept = ratings.loc[dls.valid_ds.row_index]
    told = f"Error (rmse) on {len(kept):,} ratings never trained on: {score:.3f}; always the mean has {kept[rating].std():.3f}"
    if asked.data is None:
        errors = [row.rating - truth.at[row.user, row.title] for row in kept.itertuples()]
        told += f", the tastes themselves {sum(e * e for e in errors) ** 0.5 / len(errors) ** 0.5:.3f}"
    return asked.finish(learn, told, "nbs/08_collab.ipynb", "FILE.csv (columns user, item, rating)")
