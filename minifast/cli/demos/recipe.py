"""`minifast demo recipe`: what `learn.check()` says of a learner with three mistakes, one after the other, and of a healthy one."""
from typing import TYPE_CHECKING

from .digits import write_digits
from .shared import Asked

if TYPE_CHECKING:
    from ...learner.learner import Learner


def run(asked: Asked) -> "Learner":
    "Break a learner, read the report, mend what it names first, and train. asked: see `Asked`."
    from torch import nn

    from ...basics import AdaptiveAvgPool, ConvLayer, CrossEntropyLossFlat, Flatten, Learner, accuracy, set_seed
    from ...data.files import get_image_files
    from ...vision.all import ImageDataLoaders, Normalize, Resize
    set_seed(asked.seed)
    folder = write_digits(asked.out / "digits", size=32)
    files = [f for f in get_image_files(folder) if int(f.stem) % 2]         # half of them are enough for this
    dls = ImageDataLoaders.from_path_func(asked.out, sorted(files), lambda f: f.parent.name, valid_pct=0.2, seed=asked.seed, bs=32,
                                          item_tfms=Resize(32), batch_tfms=Normalize.from_stats([0.25] * 3, [0.35] * 3))

    class MixedItems(nn.Module):
        "Flattens (batch, channels, 1, 1) as if the batch came last."

        def forward(self, x):
            return x.permute(1, 2, 3, 0).reshape(x.shape[0], -1)

    def body():
        return [ConvLayer(3, 16, stride=2), ConvLayer(16, 32, stride=2), ConvLayer(32, 64, stride=2), AdaptiveAvgPool()]

    broken = {
        "A softmax before a loss that has one itself": nn.Sequential(*body(), Flatten(), nn.Linear(64, 10), nn.Softmax(1)),
        "A reshape that mixes the items of a batch": nn.Sequential(*body(), MixedItems(), nn.Linear(64, 10)),
        "A learning rate of 30": nn.Sequential(*body(), Flatten(), nn.Linear(64, 10)),
    }
    for i, (mistake, model) in enumerate(broken.items(), 1):
        learn = Learner(dls, model, CrossEntropyLossFlat(), metrics=accuracy, path=asked.out)
        learn.lr = 30.0 if "rate" in mistake else 1e-2
        report = learn.check(fast=True)
        print(f"\n== {i}. {mistake}. Nothing crashes; learn.check() names it first:\n{report.cause or 'nothing'}")
    print("\n== 4. All mended:")
    set_seed(asked.seed)
    learn = Learner(dls, nn.Sequential(*body(), Flatten(), nn.Linear(64, 10)), CrossEntropyLossFlat(), metrics=accuracy, path=asked.out)
    report = learn.check()
    print(str(report).splitlines()[0])
    learn.fit_one_cycle(asked.epochs or 6, 1e-2)
    learn.recorder.plot_metrics()
    asked.save_figure("metrics.png")
    learn.show_results()
    asked.save_figure("results.png", smooth=True)
    score = learn.validate()[1]
    print()
    return asked.finish(learn, f"Accuracy on {len(dls.valid_ds):,} digits never trained on: {score:.4f}",
                        "docs/checks.md and nbs/09_recipe.ipynb", "")
