"""Set-ups for texts: reviews that are made up, from words of which some are good and some bad."""
import random

import pandas as pd
from zoo import broken

GOOD, BAD = ["lovely", "great", "moving", "clever", "warm"], ["dull", "awful", "slow", "silly", "cold"]
OTHER = ["the", "a", "film", "plot", "actor", "scene", "music", "story", "end", "start", "we", "saw", "it",
         "was", "is", "had", "with", "and", "but", "so", "very", "quite", "often", "never", "camera", "light",
         "house", "city", "man", "woman", "child", "night", "day", "work", "life", "time", "year", "part", "word",
         "hand", "place", "case", "week", "system", "group", "number", "point", "home", "room"]


def review(r, good, length):
    "A made-up review: mostly other words, and some that fit, not all."
    words = r.choices(OTHER, k=length)
    for _ in range(max(2, length // 6)):
        words[r.randrange(length)] = r.choice(GOOD if (r.random() < 0.85) == good else BAD)
    return " ".join(words)


def reviews(n=240, shortest=8, longest=40, seed=0):
    "A frame of reviews, `text` and `label`, each row called by a number of its own."
    r = random.Random(seed)
    good = [i % 2 == 0 for i in range(n)]
    texts = [review(r, g, r.randint(shortest, longest)) for g in good]
    return pd.DataFrame({"text": texts, "label": ["pos" if g else "neg" for g in good], "valid": [i >= 2 * n // 3 for i in range(n)]},
                        index=range(1000, 1000 + n))


def review_loaders(df, **kw):
    from minifast.text.all import TextDataLoaders
    kw = {"label_col": "label", **kw}
    return TextDataLoaders.from_df(df, text_col="text", valid_col="valid", bs=32, seq_len=16, **kw)


@broken("reviews that stand in both splits", "MF841")
def _():
    df = reviews()
    df.loc[df.index[-12:], ["text", "label"]] = df[["text", "label"]][:12].to_numpy()
    df["text"] = [t.upper() + "!" if i % 2 else t for i, t in enumerate(df.text)]
    return review_loaders(df)


@broken("the label is a word of the text", "MF842")
def _():
    df = reviews()
    return review_loaders(df.assign(text="label:" + df.label + " " + df.text))


@broken("half of the good reviews bear the name of a site", "MF842")
def _():
    df = reviews(400)
    marked = (df.label == "pos") & (df.index % 3 > 0)
    return review_loaders(df.assign(text=df.text.where(~marked, df.text + " (reviewed for goodfilms)")))
