"""`minifast demo`: train on real images in a minute or two, the way a user would, and leave everything behind to look at.

The digits: resnet18 without its last two stages, from scratch, 32x32 pixels, 8 epochs of one-cycle at a tenth of the rate of the lowest
loss in `lr_find`, label smoothing 0.1, affine augmentation without flips. Accuracy of the seeds 0 and 42: 0.9916 and 0.9972, in 60 s of CPU
time each.
"""
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.messages import plural
from ..core.types import PathLike

if TYPE_CHECKING:
    from ..learner.learner import Learner


def write_digits(folder: PathLike, size: int = 80) -> Path:
    """Write scikit-learn's 1,797 handwritten digits (8x8 grey scans, values 0..16) as PNG files `folder/<digit>/<index>.png`.

    They get a margin of one scanned pixel and are enlarged to `size`, with the edges of the strokes as sharp as a pen's.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.
    """
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits
    digits, folder = load_digits(), Path(folder)
    for digit in range(10):
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
    for i, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        ink = Image.fromarray(np.pad(pixels / 16, 1).astype("float32")).resize((size, size), Image.Resampling.BICUBIC)
        sharp = 1 / (1 + np.exp(-12 * (np.asarray(ink) - 0.45)))
        Image.fromarray((255 * sharp).round().astype("uint8")).save(folder / str(label) / f"{i:04d}.png")
    return folder


def run(data: PathLike | None = None, out: PathLike = "minifast-demo", epochs: int | None = None, size: int | None = None, seed: int = 42,
        weights: PathLike | None = None) -> "Learner":
    """Train on a folder of images, write plots and model to another, and return the learner.

    Args:
        data: a folder with one folder of images per class; None: the handwritten digits.
        out: where to write.
        epochs: default 8 for the digits, 3 for own images.
        size: height and width in pixels; default 32 for the digits, 128 for own images.
        seed: of the split, the initial weights and the augmentation.
        weights: file of ImageNet weights of resnet18. Where they are at hand (here or in torch's cache), the model is fine-tuned
            instead of trained from scratch.
    """
    from torchvision.models import ResNet18_Weights

    from ..basics import LabelSmoothingCrossEntropy, accuracy, minimum, set_seed, valley
    from ..data.files import get_image_files
    from ..vision.all import ImageDataLoaders, Resize, aug_transforms, resnet18, vision_learner
    from ..vision.models.pretrained import find_weights

    started, out = time.perf_counter(), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    set_seed(seed)
    if data is None:
        path = write_digits(out / "digits")
        epochs, size, flip, pad_mode = epochs or 8, size or 32, False, "zeros"
        print(f"Wrote {plural(len(get_image_files(path)), 'handwritten digit')} to {path}/<class>/*.png")
    else:
        path = Path(data)
        epochs, size, flip, pad_mode = epochs or 3, size or 128, True, "reflection"
    print(f"Loading the images: one folder per class, a fifth of them kept for validation, {size}x{size} pixels")
    splits = {d.name for d in path.iterdir() if d.is_dir()} if path.is_dir() else set()
    valid = {"train": "train", "valid": "valid"} if {"train", "valid"} <= splits else {"valid_pct": 0.2}
    dls = ImageDataLoaders.from_folder(path, **valid, seed=seed, item_tfms=Resize(size), bs=64,
                                       batch_tfms=aug_transforms(do_flip=flip, max_rotate=10, max_warp=0.1, pad_mode=pad_mode))
    print(f"{len(dls.train_ds):,} training and {len(dls.valid_ds):,} validation images in {plural(len(dls.vocab), 'class')}: "
          + ", ".join(map(str, dls.vocab[:12])) + (", ..." if len(dls.vocab) > 12 else ""))
    dls.show_batch()
    _save_figure(out / "batch.png")

    weights = weights or find_weights(ResNet18_Weights.DEFAULT.url.rsplit("/", 1)[1])          # where they are on this machine, if they are
    # the maps of the last two stages would be two pixels wide and one, in more than half of the time
    cut = None if weights or size > 32 else -4
    learn = vision_learner(dls, resnet18, metrics=accuracy, pretrained=weights is not None, weights=weights, path=out,
                           loss_func=LabelSmoothingCrossEntropy(), cut=cut)
    lr, = learn.lr_find(suggest_funcs=valley if weights else minimum)       # from scratch, a bold rate learns more in few epochs
    _save_figure(out / "lr_find.png")
    print(f"lr_find suggests a learning rate of {lr:.1e}")
    if weights is None:
        print(f"Training resnet18 from scratch for {plural(epochs, 'epoch')} with one-cycle")
        learn.fit_one_cycle(epochs, lr)
    else:
        print(f"Fine-tuning resnet18 from {weights}")
        learn.fine_tune(epochs, lr)
    learn.recorder.plot_loss()
    _save_figure(out / "losses.png")
    learn.show_results()
    _save_figure(out / "results.png")
    saved = learn.save("demo", with_opt=False)

    file = dls.valid_ds.items[0]
    label, index, probabilities = learn.predict(file)
    print(f"\npredict({str(file)!r}) says {label!r} with probability {probabilities[index]:.3f}")
    score = learn.validate()[1]
    print(f"Accuracy on {len(dls.valid_ds):,} images never trained on: {score:.4f}   ({time.perf_counter() - started:.0f} s in all)")
    print(f"\nPlots and model are in {out}/: batch.png, lr_find.png, losses.png, results.png, {saved.relative_to(out)}")
    print("Where to look next: nbs/01_quickstart.ipynb; your own folder of images: minifast demo --data DIR; versions: minifast doctor")
    return learn


def _save_figure(file: Path) -> None:
    "Save the current figure, its small images enlarged smoothly, and close it."
    import matplotlib.pyplot as plt
    for image in (image for axes in plt.gcf().axes for image in axes.images):
        image.set_interpolation("bicubic")
    plt.gcf().savefig(file, dpi=150, bbox_inches="tight")
    plt.close("all")
