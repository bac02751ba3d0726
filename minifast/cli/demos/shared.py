"""What all demos share: what they are asked for, the pictures they leave, and how they end."""
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from ...learner.learner import Learner


@dataclass
class Asked:
    """What a demo is asked for, and what it has left so far.

    Args:
        application: its name.
        data: one's own folder or file; None: the data of the demo.
        out: the folder of all that is written.
        epochs: how long to train; None: as long as the demo needs.
        size: height and width of images; None: that of the demo.
        seed: of everything random.
        weights: file of pretrained weights.
        target: the column to predict, of one's own CSV file.
    """

    application: str
    data: Path | None
    out: Path
    epochs: int | None = None
    size: int | None = None
    seed: int = 42
    weights: Path | None = None
    target: str | None = None
    files: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def save_figure(self, name: str, smooth: bool = False) -> None:
        """Save the current figure of matplotlib into `out`, and close all.

        Args:
            name: of the file.
            smooth: enlarge small images smoothly.
        """
        import matplotlib.pyplot as plt
        for image in (image for axes in plt.gcf().axes for image in axes.images if smooth):
            image.set_interpolation("bicubic")
        plt.gcf().savefig(self.out / name, dpi=150, bbox_inches="tight")
        plt.close("all")
        self.files.append(name)

    def finish(self, learn: "Learner", score: str, notebook: str, own: str) -> "Learner":
        """Leave the model, saved and exported, and the report; say what was reached and what to do next.

        Args:
            learn: the trained learner.
            score: what was reached, one sentence.
            notebook: where to read on.
            own: what `--data` takes; '' where it takes nothing.
        """
        saved = learn.save("demo", with_opt=False)
        learn.export("model.pkl")
        learn.report("report.html", budget=8)
        print(f"{score}   ({time.perf_counter() - self.started:.0f} s in all)")
        files = ", ".join([*self.files, str(saved.relative_to(self.out)), "model.pkl", "report.html"])
        print(f"\nPlots, model and report are in {self.out}/: {files}")
        print(f"Where to look next: open {self.out}/report.html in a browser; try the model: minifast app {self.out}/model.pkl;\n"
              f"read {notebook}" + (f"; your own data: minifast demo {self.application} --data {own}" if own else ""))
        return learn


def read_table(file: Path, command: str) -> "pd.DataFrame":
    """Read one's own CSV file.

    Args:
        file: the file.
        command: the demo, for errors.
    """
    import pandas as pd
    if not file.is_file():
        raise FileNotFoundError(f"--data {file}: no such file; {command} takes a CSV file with a line of column names")
    try:
        frame = pd.read_csv(file)
    except (ValueError, UnicodeDecodeError) as e:       # pandas' ParserError and EmptyDataError are ValueErrors
        raise ValueError(f"--data {file}: not a CSV file that pandas can read: {e}") from None
    if len(frame) < 20 or frame.shape[1] < 2:
        raise ValueError(f"--data {file}: {len(frame)} rows and {frame.shape[1]} columns are too few; {command} takes at least 20 rows and "
                         "2 columns, separated by commas")
    return frame


def column_of(frame: "pd.DataFrame", asked: Asked, otherwise: str) -> str:
    """The column to predict: that of `--target`, or `otherwise`.

    Args:
        frame: the table.
        asked: with `target`.
        otherwise: the column that is predicted where none was named.
    """
    if asked.target is not None and asked.target not in frame:
        raise ValueError(f"--target {asked.target}: no such column; there are {', '.join(map(str, frame.columns[:30]))}")
    return asked.target if asked.target is not None else otherwise
