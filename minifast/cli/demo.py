"""`minifast demo`: train in a minute or two, the way a user would, and leave everything behind to look at: pictures, the model, a report.

Each application is a file of `demos/`. This one knows what each takes.
"""
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.arguments import check_choice
from ..core.types import PathLike
from .demos.digits import write_digits
from .demos.shared import Asked

if TYPE_CHECKING:
    from ..learner.learner import Learner

__all__ = ["APPLICATIONS", "run", "write_digits"]

#: What each application takes besides `out` and `seed`.
APPLICATIONS: dict[str, tuple[str, ...]] = {
    "vision": ("data", "epochs", "size", "weights"),
    "segmentation": ("data", "epochs", "size", "weights"),
    "tabular": ("data", "epochs", "target"),
    "collab": ("data", "epochs"),
    "text": ("data", "epochs", "target"),
    "timeseries": ("data", "epochs", "target"),
    "recipe": ("epochs",),
}


def run(application: str = "vision", data: PathLike | None = None, out: PathLike | None = None, epochs: int | None = None,
        size: int | None = None, seed: int = 42, weights: PathLike | None = None, target: str | None = None) -> "Learner":
    """Train on real or honestly generated data, or on one's own, write pictures, model and report to a folder, and return the learner.

    Args:
        application: one of `APPLICATIONS`.
        data: one's own folder or CSV file; None: that of the demo.
        out: where to write; None: `minifast-demo`, of applications other than vision a folder in it.
        epochs: how long to train; None: as long as the data of the demo needs.
        size: height and width of images in pixels.
        seed: of the split, the initial weights and the augmentation.
        weights: file of ImageNet weights of resnet18. Where they are at hand (here or in torch's cache), vision fine-tunes the model
            instead of training it from scratch.
        target: of one's own CSV file the column to predict.

    Raises:
        ValueError: the application does not take what was given, or the data cannot be used; says what to write.
        FileNotFoundError: there is no such file or folder.
    """
    check_choice("minifast demo", "application", application, APPLICATIONS)
    given = {"data": data, "epochs": epochs, "size": size, "weights": weights, "target": target}
    wrong = [f"--{name}" for name, value in given.items() if value is not None and name not in APPLICATIONS[application]]
    if target is not None and data is None and not wrong:
        raise ValueError(f"--target {target}: the column of your own file: give that, too, --data FILE.csv")
    if wrong:
        takes = ", ".join(f"--{name}" for name in (*APPLICATIONS[application], "out", "seed"))
        raise ValueError(f"{' and '.join(wrong)}: the demo {application} does not take that; it takes {takes}")
    folder = Path(out) if out is not None else Path("minifast-demo", *([application] if application != "vision" else []))
    own = Path(data).expanduser() if data is not None else None
    if own is not None and not own.exists():
        raise FileNotFoundError(f"--data {data}: there is no such file or folder")
    folder.mkdir(parents=True, exist_ok=True)
    asked = Asked(application, own, folder, epochs, size, seed, Path(weights) if weights is not None else None, target)
    return import_module(f"..demos.{application}", __name__).run(asked)
