# Titanic with k folds and a submission file
import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold
from fastai.tabular.all import *

INPUT = Path('../input/titanic')
train = pd.read_csv(INPUT/'train.csv')
test = pd.read_csv(INPUT/'test.csv')

def add_features(df):
    df['LogFare'] = np.log1p(df['Fare'])
    df['Deck'] = df.Cabin.str[0].map(dict(A="ABC", B="ABC", C="ABC", D="DE", E="DE", F="FG", G="FG"))
    df['Family'] = df.SibSp + df.Parch
    df['Alone'] = df.Family == 0
    df['Title'] = df.Name.str.split(', ', expand=True)[1].str.split('.', expand=True)[0]
    df['Title'] = df.Title.map(dict(Mr="Mr", Miss="Miss", Mrs="Mrs", Master="Master"))

add_features(train); add_features(test)
cat_names = ["Sex", "Pclass", "Embarked", "Deck", "Title", "Alone"]
cont_names = ['Age', 'SibSp', 'Parch', 'LogFare', 'Family']
procs = [Categorify, FillMissing, Normalize]

skf = StratifiedKFold(n_splits=3, shuffle=True, random_state=1)
test['Fare'] = test.Fare.fillna(0)
test['LogFare'] = np.log1p(test['Fare'])
scores, test_preds, oof = [], [], np.zeros(len(train))
for fold, (trn_idx, val_idx) in enumerate(skf.split(train, train['Survived'])):
    set_seed(fold)
    to = TabularPandas(train, procs=procs, cat_names=cat_names, cont_names=cont_names, y_names='Survived',
                       y_block=CategoryBlock(), splits=(list(trn_idx), list(val_idx)))
    dls = to.dataloaders(bs=64, path='.')
    learn = tabular_learner(dls, layers=[20, 10], metrics=accuracy)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(6, 2e-2)
    preds, targs = learn.get_preds()
    oof[val_idx] = preds[:, 1].numpy()
    scores.append(float(accuracy(preds, targs)))
    dl = learn.dls.test_dl(test)
    p, _ = learn.get_preds(dl=dl)
    test_preds.append(p)
print("fold sizes:", len(trn_idx), len(val_idx), "preds:", tuple(p.shape))
print("accuracy:", np.mean(scores))
print("oof:", ((oof > 0.5) == train.Survived).mean())
row, clas, probs = learn.predict(train.iloc[0])
print("predict:", int(clas), tuple(probs.shape), round(float(probs.sum()), 3))
sub = pd.DataFrame({'PassengerId': test['PassengerId'], 'Survived': torch.stack(test_preds).mean(0).argmax(1).numpy()})
sub.to_csv('submission.csv', index=False)
print("submission:", open('submission.csv').readline().strip(), len(sub), int(sub.Survived.isna().sum()))
print("women saved more:", sub.Survived[test.Sex == 'female'].mean() > sub.Survived[test.Sex == 'male'].mean() + .3)
