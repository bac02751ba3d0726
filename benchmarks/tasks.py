"""What models learn from real images, task by task, compared with the best constant answer; one JSON line each.

    python benchmarks/tasks.py --data FOLDER                 # all tasks
    python benchmarks/tasks.py --data FOLDER breeds boxes

The folder (default $MINIFAST_TEST_DATA, else ../shared/data) holds `pets_sample`, `coco_tiny`, `camvid_half`, and `weights` with ImageNet's
for mobilenet_v2. Pictures are small, trainings short and seeds fixed: this asks whether every task learns, not how good it can become.
Each row gives the metrics on validation images (`model`), those of the best constant answer (`constant`), and seconds.
"""
import argparse
import json
import os
import sys
import time
from pathlib import Path

from minifast.vision.all import (
    BBoxBlock,
    ColSplitter,
    DataBlock,
    Flatten,
    FuncSplitter,
    ImageBlock,
    ImageDataLoaders,
    MaskBlock,
    MSELossFlat,
    MultiCategoryBlock,
    PointBlock,
    RandomSplitter,
    Resize,
    SigmoidRange,
    accuracy,
    accuracy_multi,
    get_image_files_sorted,
    mobilenet_v2,
    nn,
    pd,
    set_seed,
    torch,
    unet_learner,
    vision_learner,
)

WEIGHTS = "weights/mobilenet_v2-from-qnnpack.pth"


def rounded(values):
    return {k: round(float(v), 4) for k, v in values.items()}


def trained(learn, epochs, lr):
    "The learner, trained without output."
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, lr)
    return learn


def learner(data, dls, **kwargs):
    "A frozen ImageNet body and a new head; nothing of the body moves, so nothing is computed for it backwards."
    set_seed(1)
    return vision_learner(dls, mobilenet_v2, weights=data / WEIGHTS, train_bn=False, **kwargs)


def places(data, size=128):
    "The box of the head in each image of pets_sample: loaders made with `block`, see `boxes` and `points`."
    table = pd.read_csv(data / "pets_sample/annotations_csv/bboxes.csv").set_index("image_name")
    files = [f for f in get_image_files_sorted(data / "pets_sample/images") if f.stem in table.index]
    corners = {name: tuple(map(float, row)) for name, row in zip(table.index, table[["xmin", "ymin", "xmax", "ymax"]].to_numpy(),
                                                                 strict=True)}

    def loaders(block, get_y):
        block = DataBlock((ImageBlock, block), get_y=lambda f: get_y(*corners[f.stem]), splitter=RandomSplitter(0.25, seed=1),
                          item_tfms=Resize(size, "squish"))
        return block.dataloaders(files, bs=16, val_bs=64, num_workers=0, cache="ram", device="cpu", seed=1)
    return loaders


def place_head(n_features, size, n_out):
    "A head that keeps the position of a feature in the image, which pooling would discard. It starts in the middle of -1..1."
    last = nn.Linear(32 * (size // 32) ** 2, n_out)
    nn.init.zeros_(last.weight)
    return nn.Sequential(nn.Conv2d(n_features, 32, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), Flatten(), nn.Dropout(0.25), last,
                         SigmoidRange(-1, 1))


def box_iou(pred, targ):
    "The mean intersection over union of boxes x1, y1, x2, y2, one to one."
    pred, targ = pred.reshape(-1, 4), targ.reshape(-1, 4)
    inner = (torch.minimum(pred[:, 2:], targ[:, 2:]) - torch.maximum(pred[:, :2], targ[:, :2])).clamp(min=0).prod(1)
    area = [(o[:, 2:] - o[:, :2]).clamp(min=0).prod(1) for o in (pred, targ)]
    return (inner / (area[0] + area[1] - inner)).mean()


def breeds(data):
    "37 breeds of cats and dogs, 10 images each."
    files = get_image_files_sorted(data / "pets_sample/images")
    dls = ImageDataLoaders.from_name_re(data, files, r"^(.+)_\d+.jpg$", item_tfms=Resize(144), bs=32, val_bs=64, num_workers=0, cache="ram",
                                        device="cpu", seed=1)
    learn = trained(learner(data, dls, metrics=accuracy), 6, 5e-3)
    preds, targs = learn.get_preds()
    return {"accuracy": accuracy(preds, targs)}, {"accuracy": targs.bincount().max() / len(targs)}


def several_labels(data):
    "What can be seen on photos: the 12 most frequent things of COCO's."
    folder = data / "coco_tiny"
    table = pd.read_csv(folder / "labels.csv", keep_default_na=False)
    names = table.labels.str.split(";").explode().value_counts().drop("", errors="ignore").index[:12].tolist()
    block = DataBlock((ImageBlock, MultiCategoryBlock(vocab=names)), get_x=lambda r: folder / "images" / r.fname, splitter=ColSplitter(),
                      get_y=lambda r: [o for o in r.labels.split(";") if o in names], item_tfms=Resize(144, "squish"))
    dls = block.dataloaders(table, bs=16, val_bs=64, num_workers=0, cache="ram", device="cpu", seed=1)
    learn = trained(learner(data, dls, metrics=accuracy_multi), 8, 1e-2)
    preds, targs = learn.get_preds()
    from sklearn.metrics import average_precision_score, f1_score

    def scores(p):
        return {"accuracy_multi": ((p > 0.5) == targs.bool()).float().mean(), "f1_micro": f1_score(targs, p > 0.5, average="micro"),
                "average_precision": average_precision_score(targs, p, average="macro")}
    always = torch.zeros_like(targs)
    always[:, dls.vocab.index(names[0])] = 1
    return scores(preds), {**scores(torch.zeros_like(targs)), "f1_micro_of_always_" + names[0]: scores(always)["f1_micro"]}


def points(data, size=128):
    "The centre of the head of cats and dogs; mean distance in pixels of the 128x128 image."
    dls = places(data, size)(PointBlock, lambda x1, y1, x2, y2: [[(x1 + x2) / 2, (y1 + y2) / 2]])
    learn = trained(learner(data, dls, custom_head=place_head(1280, size, 2), init=None), 5, 2e-3)
    preds, targs = (o.reshape(-1, 2) for o in learn.get_preds())
    mean = torch.cat([y for _, y in dls.train]).reshape(-1, 2).mean(0)
    return tuple({"error_px": (p - targs).norm(dim=1).mean() * size / 2} for p in (preds, mean))


def boxes(data, size=128):
    "The box around the head of cats and dogs: with a head that keeps places, and with the standard one, which pools."
    dls = places(data, size)(BBoxBlock, lambda *box: [box])
    kept = learner(data, dls, n_out=4, loss_func=MSELossFlat(), custom_head=place_head(1280, size, 4), init=None)
    pooled = learner(data, dls, n_out=4, loss_func=MSELossFlat(), y_range=(-1, 1))
    preds, targs = trained(kept, 5, 2e-3).get_preds()
    mean = torch.cat([y for _, y in dls.train]).reshape(-1, 4).mean(0).expand(len(targs), 4)
    return ({"iou": box_iou(preds, targs), "iou_of_the_pooling_head": box_iou(trained(pooled, 5, 2e-3).get_preds()[0], targs)},
            {"iou": box_iou(mean, targs)})


def segmentation(data, size=(80, 112)):
    "Streets of CamVid, a class for every pixel; void pixels count nowhere."
    folder = data / "camvid_half"
    codes = [o for o in (folder / "codes.txt").read_text().split() if o != "Void"]
    files = [f for part, n in (("train", 120), ("val", 48)) for f in get_image_files_sorted(folder / part)[:n]]
    block = DataBlock((ImageBlock, MaskBlock(codes, ignore_index=len(codes))), splitter=FuncSplitter(lambda f: f.parent.name == "val"),
                      get_y=lambda f: folder / f"{f.parent.name}annot" / f"{f.stem}.png", item_tfms=Resize(size, "squish"))
    dls = block.dataloaders(files, bs=8, val_bs=16, num_workers=0, cache="ram", device="cpu", seed=1)
    set_seed(1)
    learn = unet_learner(dls, mobilenet_v2, weights=data / WEIGHTS, cut=lambda m: m.features[:14], train_bn=False)
    preds, targs = trained(learn, 4, 5e-3).get_preds()
    most_frequent = torch.cat([y for _, y in dls.train]).flatten().bincount()[:len(codes)].argmax()

    def scores(decided):
        counted = targs < len(codes)
        table = torch.bincount(targs[counted] * len(codes) + decided[counted], minlength=len(codes) ** 2).view(len(codes), -1).double()
        both, seen = table.diag(), table.sum(1) > 0
        either = table.sum(0) + table.sum(1)
        return {"pixel_accuracy": both.sum() / table.sum(), "miou": (both / (either - both).clamp(min=1))[seen].mean(),
                "dice": (2 * both / either.clamp(min=1))[seen].mean()}
    return scores(preds.argmax(1)), scores(torch.full_like(targs, most_frequent))


TASKS = {f.__name__: f for f in (breeds, several_labels, points, boxes, segmentation)}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", nargs="*", help=f"of {', '.join(TASKS)} (default: all)")
    parser.add_argument("--data", type=Path, help="folder of the data, see the top of this file",
                        default=os.environ.get("MINIFAST_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
    args = parser.parse_args(argv)
    if unknown := [o for o in args.tasks if o not in TASKS]:
        parser.error(f"no task {', '.join(unknown)}; there are {', '.join(TASKS)}")
    for name in args.tasks or TASKS:
        start = time.perf_counter()
        model, constant = TASKS[name](Path(args.data))
        print(json.dumps({"task": name, "model": rounded(model), "constant": rounded(constant),
                          "seconds": round(time.perf_counter() - start)}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
