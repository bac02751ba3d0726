# boxes around things: the data of a detector
from fastai.vision.all import *

path = Path('../input/coco_tiny')
images = get_image_files(path/'images'/'train').sorted()

def boxes_of(f):
    label = path/'labels_yolo'/'train'/f'{f.stem}.txt'
    w, h = Image.open(f).size
    boxes, classes = [], []
    for line in (label.read_text().splitlines() if label.exists() else []):
        c, x, y, bw, bh = [float(v) for v in line.split()]
        boxes.append([(x - bw/2)*w, (y - bh/2)*h, (x + bw/2)*w, (y + bh/2)*h]); classes.append(f'c{int(c)}')
    return boxes, classes

img2bbox = {f.name: boxes_of(f) for f in images}
images = images.filter(lambda f: len(img2bbox[f.name][0]) > 0)[:24]
print("images:", len(images))
getters = [noop, lambda o: img2bbox[o.name][0], lambda o: img2bbox[o.name][1]]
item_tfms = [Resize(128, method='pad')]
batch_tfms = [Flip(), Dihedral(p=0.), Normalize.from_stats(*imagenet_stats)]
coco = DataBlock(blocks=(ImageBlock, BBoxBlock, BBoxLblBlock(add_na=True)), get_items=lambda p: images, splitter=RandomSplitter(seed=1),
                 getters=getters, item_tfms=item_tfms, batch_tfms=batch_tfms, n_inp=1)
dls = coco.dataloaders(path, bs=4, num_workers=0)
dls.show_batch(max_n=2)
x, boxes, labels = dls.one_batch()
print("batch:", tuple(x.shape), boxes.ndim, boxes.shape[-1], boxes.shape[:2] == labels.shape, labels.dtype)
print("background:", dls.vocab[0], "scaled:", float(boxes.min()) >= -1.001, float(boxes.max()) <= 1.001)
n = (labels != 0).sum(1)
print("padding:", bool((to_np(boxes)[to_np(labels) == 0] == 0).all()), int(n.max()) == labels.shape[1])
im = PILImage.create(images[0])
print("item:", type(TensorBBox.create([[1, 2, 3, 4]])).__name__, im.shape == im.size[::-1])
