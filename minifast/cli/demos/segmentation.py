"""`minifast demo segmentation`: which class each pixel belongs to. Real handwritten digits on real photos, put together here."""
from typing import TYPE_CHECKING, Any

from ...core.messages import plural
from .digits import scatter_digits
from .shared import Asked

if TYPE_CHECKING:
    from pathlib import Path

    from ...learner.learner import Learner

SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")


def pairs_of(folder: "Path") -> "dict[Path, Path]":
    """The images of `folder/images` and their masks of the same name in `folder/masks`.

    Args:
        folder: the folder.

    Raises:
        ValueError: where there are none, or images without a mask; says which.
    """
    from ...data.files import get_image_files
    missing = [f"{folder / part}" for part in ("images", "masks") if not (folder / part).is_dir()]
    if missing:
        raise ValueError(f"--data {folder}: there is no folder {' nor '.join(missing)}; put the images into images/ and the mask of each, "
                         "an image of class numbers with the same name, into masks/")
    masks = {f.stem: f for f in sorted((folder / "masks").iterdir()) if f.suffix.lower() in SUFFIXES}
    images = sorted(get_image_files(folder / "images"))
    without = [f.name for f in images if f.stem not in masks]
    if without or len(images) < 5:
        raise ValueError(f"--data {folder}: {len(without):,} of {plural(len(images), 'image')} have no mask of the same name in masks/ "
                         f"({', '.join(SUFFIXES)}): {', '.join(without[:5])}" if without else
                         f"--data {folder}: {plural(len(images), 'image')} in images/ are too few: at least 5 are needed")
    return {f: masks[f.stem] for f in images}


def codes_of(folder: "Path", masks: "list[Path]") -> list[str]:
    "The names of the classes, of `codes.txt` or numbers as far as they occur. folder: with the file; masks: the files that are read."
    import numpy as np
    from PIL import Image
    if (folder / "codes.txt").is_file():
        return (folder / "codes.txt").read_text(encoding="utf-8").split("\n")[:-1]
    highest = max(int(np.asarray(Image.open(f)).max()) for f in masks)
    if highest > 200:
        raise ValueError(f"--data {folder}: the masks have values up to {highest}, so these seem to be colours: a mask has the number of "
                         "the class of each pixel, 0, 1, 2 ...; their names may stand in codes.txt, one a line")
    return [f"class {i}" for i in range(highest + 1)]


def run(asked: Asked) -> "Learner":
    "Train a U-Net from scratch. asked: see `Asked`."
    from ...interpret import SegmentationInterpretation
    from ...vision.all import (
        DataBlock,
        DiceMulti,
        FuncSplitter,
        ImageBlock,
        JaccardCoeffMulti,
        MaskBlock,
        RandomSplitter,
        Resize,
        aug_transforms,
        resnet18,
        set_seed,
        unet_learner,
    )
    set_seed(asked.seed)
    own = asked.data
    folder = own or scatter_digits(asked.out / "digits_on_photos", size=asked.size or 64)
    pairs = pairs_of(folder)
    codes = codes_of(folder, list(pairs.values()))
    epochs, size = asked.epochs or (3 if own else 8), asked.size or (128 if own else 64)
    if own is None:
        print(f"Wrote {len(pairs):,} pictures to {folder}/images: real handwritten digits scattered over real photos. They were put\n"
              "together here, so the mask of each is exact; validation has digits and parts of the photos that training has not.")
    splitter = RandomSplitter(seed=asked.seed) if own else FuncSplitter(lambda f: f.name.startswith("valid"))
    block = DataBlock((ImageBlock, MaskBlock(codes)), get_y=pairs.__getitem__, splitter=splitter, item_tfms=Resize(size, "squish"),
                      batch_tfms=aug_transforms(do_flip=own is not None, max_rotate=10, max_warp=0, pad_mode="reflection"))
    dls = block.dataloaders(list(pairs), bs=8, path=asked.out)
    print(f"{len(dls.train_ds):,} training and {len(dls.valid_ds):,} validation images, {plural(len(codes), 'class')}: "
          f"{', '.join(codes[:12])}")
    dls.show_batch(max_n=6, ncols=3)
    asked.save_figure("batch.png")
    # for small images from scratch, details that cost more than they tell are left out
    small: dict[str, Any] = {"cut": -5, "last_cross": False} if size <= 64 and asked.weights is None else {}
    learn = unet_learner(dls, resnet18, pretrained=asked.weights is not None, weights=asked.weights, **small,
                         metrics=[JaccardCoeffMulti(), DiceMulti()], path=asked.out)
    print(f"Training a U-Net on resnet18 for {plural(epochs, 'epoch')}")
    learn.fit_one_cycle(epochs, 1e-2)
    learn.recorder.plot_metrics()
    asked.save_figure("metrics.png")
    learn.show_results(max_n=4)
    asked.save_figure("results.png")
    interp = SegmentationInterpretation.from_learner(learn)
    print(f"\n{interp.per_class().round(3).to_string(max_rows=12)}\n")
    return asked.finish(learn, f"Mean intersection over union on {len(dls.valid_ds):,} images never trained on: {learn.validate()[1]:.3f}",
                        "nbs/06_vision_segmentation.ipynb", "FOLDER (with images/ and masks/)")
