"""What pretrained weights are worth: the same photos, architecture and epochs, fine-tuned and from scratch.

    python benchmarks/transfer.py --images DIR --weights mobilenet_v2.pth [--pattern REGEX] [--epochs 3] [--size 128]

DIR holds photos whose names say the class (`--pattern`, default the part before the first dot or last underscore). Prints accuracy on
the same fifth of the photos, which neither model is trained on.
"""
import argparse
import time

from minifast.vision.all import (
    ImageDataLoaders,
    RandomResizedCrop,
    accuracy,
    aug_transforms,
    get_image_files,
    mobilenet_v2,
    set_seed,
    vision_learner,
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--pattern", default=r"^(.+?)(?:\.\d+|_\d+)\.jpg$")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--size", type=int, default=128)
    args = parser.parse_args()
    files = get_image_files(args.images)
    dls = ImageDataLoaders.from_name_re(args.images, files, args.pattern, item_tfms=RandomResizedCrop(args.size, min_scale=0.5),
                                        batch_tfms=aug_transforms(max_warp=0.0), bs=32)
    print(f"{len(files)} photos, {dls.c} classes, {len(dls.valid_ds)} of them for validation; mobilenet_v2 at {args.size} pixels")
    for weights in (args.weights, None):
        set_seed(0)
        started = time.perf_counter()
        learn = vision_learner(dls, mobilenet_v2, weights=weights, pretrained=False, metrics=accuracy)
        if weights is None:
            learn.fit_one_cycle(args.epochs + 1, 3e-3)
        else:
            learn.fine_tune(args.epochs)
        name = "from scratch" if weights is None else "fine-tuned"
        print(f"{name}: accuracy {learn.validate()[1]:.4f} after {args.epochs + 1} epochs, "
              f"{time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
