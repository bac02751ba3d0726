# train, export, and the app that is built on the file: app.py of a Hugging Face space
from pathlib import Path
from fastai.vision.all import *
set_seed(42, True)

def train():
    path = untar_data(URLs.MNIST_TINY)
    dblock = DataBlock(blocks=(ImageBlock, CategoryBlock), get_items=get_image_files, get_y=parent_label,
                       splitter=GrandparentSplitter(valid_name='valid'), item_tfms=Resize(32), batch_tfms=aug_transforms(do_flip=False, size=28))
    dls = dblock.dataloaders(path, bs=32, num_workers=0)
    learn = vision_learner(dls, squeezenet1_1, metrics=error_rate)
    learn.fine_tune(2)
    learn.path = Path('.')
    learn.export('model.pkl')
    return path, learn

path, trained = train()
files = get_image_files(path/'valid').sorted()[::70]
wanted = [trained.predict(f) for f in files]
print("size of the file:", 1e6 < Path('model.pkl').stat().st_size < 30e6)

learn = load_learner('model.pkl')
labels = learn.dls.vocab
print("labels:", list(labels))

def predict(img):
    img = PILImage.create(img)
    pred, pred_idx, probs = learn.predict(img)
    return {labels[i]: float(probs[i]) for i in range(len(labels))}

title = "3 or 7"
examples = [str(f) for f in files[:2]]
# gr.Interface(fn=predict, inputs=gr.Image(), outputs=gr.Label(num_top_classes=2), title=title, examples=examples).launch()
answers = [predict(f) for f in files]
print("answer:", sorted(answers[0]), round(sum(answers[0].values()), 3))
print("same as before export:", all(abs(a[labels[1]] - float(w[2][1])) < 1e-4 for a, w in zip(answers, wanted)))
print("right:", sum(max(a, key=a.get) == f.parent.name for a, f in zip(answers, files)), "of", len(files))

arr = np.array(Image.open(files[0]).convert('RGB'))
import io
buffer = io.BytesIO(); Image.open(files[0]).save(buffer, 'png')
same = [predict(x) for x in (arr, files[0].read_bytes(), io.BytesIO(buffer.getvalue()), str(files[0]))]
print("any input:", all(abs(s['7'] - answers[0]['7']) < 1e-4 for s in same))

categories = ('three', 'seven')
def classify_image(img):
    pred, idx, probs = learn.predict(img)
    return dict(zip(categories, map(float, probs)))
print("classify:", list(classify_image(files[0])))
dl = learn.dls.test_dl(files)
preds, _ = learn.get_preds(dl=dl)
print("batch:", tuple(preds.shape), bool(torch.allclose(preds[0], wanted[0][2], atol=1e-4)))
with learn.no_bar():
    print("no bar:", learn.predict(files[0])[0] == wanted[0][0])
print("cpu:", next(learn.model.parameters()).device)
