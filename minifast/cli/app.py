"""`minifast app`: a web page for any exported model. The inputs of the page are made of what the file says of the model's data.

Gradio makes the page (`pip install "minifast[apps]"`). Predictions run one at a time; nothing is stored.
"""
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from ..core.types import PathLike
from ..learner.export import load_learner
from ..metrics.classes import classes_of
from ..tabular.dataloader import TabDataLoader
from ..text.showing import TextLoader
from ..timeseries.forecasting.learner import ForecastLearner
from ..timeseries.loader import SeriesDL

if TYPE_CHECKING:
    from ..learner.learner import Learner

MOST_CHOICES = 1000             #: of a list to choose from; longer ones are typed


def make_app(learn: "Learner", title: str = "minifast") -> Any:
    """A page that predicts with a learner: `make_app(load_learner("model.pkl")).launch()`.

    It has the endpoint `/predict`. Images are uploaded, texts typed, rows of a table filled in as a form, series given as CSV.

    Args:
        learn: of `load_learner`.
        title: above the page.

    Returns:
        A `gradio.Interface`.

    Raises:
        ImportError: gradio is not installed.
        ValueError: there is no page for what the model reads.
    """
    try:
        import gradio as gr
    except ImportError:
        raise ImportError('the page needs gradio, which is not installed: pip install "minifast[apps]"') from None
    loader = learn.dls.train
    make = next((make for kind, make in _PAGES if kind(learn, loader)), None)
    if make is None:
        raise ValueError(f"there is no page for the inputs of this model, which come from {type(loader).__name__}; there are pages for one "
                         "image, rows of a table, texts and series. Write your own: see examples/gradio_app.py")
    function, inputs, outputs, told = make(gr, learn)

    def predict(*values: Any) -> Any:
        try:
            with torch.inference_mode(), learn.no_bar():
                return function(*values)
        except (ValueError, TypeError, KeyError, OSError) as e:          # what the visitor gave cannot be used: say so on the page
            raise gr.Error(str(e)) from e

    return gr.Interface(predict, inputs, outputs, title=title, description=told, api_name="predict", flagging_mode="never",
                        analytics_enabled=False)


def serve(file: PathLike, host: str = "127.0.0.1", port: int | None = None) -> None:
    """Open the page of an exported model, until Ctrl-C.

    Args:
        file: what `learn.export` wrote.
        host: address to listen at.
        port: of the page; None: the first that is free.
    """
    app = make_app(load_learner(file), Path(file).name)
    app.queue(default_concurrency_limit=1).launch(server_name=host, server_port=port)


# -- outputs ----------------------------------------------------------------------------------------------------------------------
def _output(gr: Any, learn: "Learner") -> tuple[Any, Callable[[tuple], Any]]:
    "The component that shows a prediction, and the function of what `learn.predict` says that fills it."
    classes = classes_of(learn)

    def as_label(said: tuple) -> dict[str, float]:
        probs = torch.as_tensor(said[2]).flatten().tolist()
        probs = [1 - probs[0], *probs] if len(probs) == 1 and len(classes or ()) == 2 else probs
        return {str(name): float(p) for name, p in zip(classes or (), probs, strict=True)}

    if classes:
        return gr.Label(num_top_classes=5, label="prediction"), as_label
    return gr.Textbox(label="prediction"), lambda said: ", ".join(f"{v:.6g}" for v in torch.as_tensor(said[1]).flatten().tolist())


# -- images -----------------------------------------------------------------------------------------------------------------------
def _first_kind(loader: Any, i: int = 0) -> str:
    "The name of the class of element `i` of a batch, such as 'TensorImage'; '' where it has none."
    kinds = loader.kinds
    kind = kinds[i] if isinstance(kinds, tuple) and i < len(kinds) else None
    names = [c.__name__ for c in getattr(getattr(kind, "cls", None), "__mro__", ())]
    return next((n for n in ("TensorImage", "TensorMask", "TensorPoint", "TensorBBox") if n in names), "")


def _reads_an_image(learn: "Learner", loader: Any) -> bool:
    return _first_kind(loader) == "TensorImage" and loader.n_inp == 1


def _image_page(gr: Any, learn: "Learner") -> tuple:
    from ..vision.images import PILImage
    target = _first_kind(learn.dls.train, 1)
    upload = gr.Image(type="pil", label="image")
    if target == "TensorMask":
        masks = gr.AnnotatedImage(label="prediction")
        return lambda image: _painted(image, learn, PILImage), upload, masks, "Which class each pixel belongs to."
    if target == "TensorPoint":
        return lambda image: _dotted(image, learn, PILImage), upload, gr.Image(label="points"), "Where the points of an image are."
    output, fill = _output(gr, learn)
    return lambda image: fill(learn.predict(PILImage.create(_given(image)))), upload, output, "What is on an image."


def _given(image: Any) -> Any:
    if image is None:
        raise ValueError("there is no image yet: drop one on the page")
    return image.convert("RGB")


def _seen(image: Any, learn: "Learner", opened: Any) -> tuple:
    "The image as the model sees it, cropped or resized, then what `learn.predict` says."
    x, *said = learn.predict(opened.create(_given(image)), with_input=True)
    pixels = torch.as_tensor(x).as_subclass(torch.Tensor)
    pixels = (pixels * 255 if pixels.is_floating_point() else pixels).round().clamp(0, 255).to(torch.uint8)
    return pixels[:3].expand(3, -1, -1).movedim(0, -1).numpy(), *said


def _painted(image: Any, learn: "Learner", opened: Any) -> tuple:
    "The image and, for each class that was found, where; without class 0 where there are others."
    seen, _, mask, _ = _seen(image, learn, opened)
    vocab = classes_of(learn) or ()
    found = [int(i) for i in mask.unique()]
    names = {i: str(vocab[i]) if i < len(vocab) else f"class {i}" for i in found}
    return seen, [((mask == i).numpy().astype(float), names[i]) for i in found if i or len(found) == 1]


def _dotted(image: Any, learn: "Learner", opened: Any) -> Any:
    "The image with its points, enlarged where it is small."
    from PIL import Image, ImageDraw
    seen, points, *_ = _seen(image, learn, opened)
    times = -(-320 // max(seen.shape[:2]))
    drawn = Image.fromarray(seen).resize((seen.shape[1] * times, seen.shape[0] * times))
    for x, y in (torch.as_tensor(points).as_subclass(torch.Tensor).reshape(-1, 2) * times).tolist():
        ImageDraw.Draw(drawn).ellipse((x - 5, y - 5, x + 5, y + 5), fill="red", outline="white")
    return drawn


# -- rows of a table ----------------------------------------------------------------------------------------------------------------
def _reads_rows(learn: "Learner", loader: Any) -> bool:
    return isinstance(loader, TabDataLoader)


def _row_page(gr: Any, learn: "Learner") -> tuple:
    table: Any = learn.dls.train.dataset
    means: Any = next((p.means for p in table.procs if hasattr(p, "means")), {})
    added = {f"{name}_na" for name in table.cont_names}             # by FillMissing
    choices = {name: {str(v): v for v in table.classes[name] if str(v) != "#na#"} for name in table.cat_names if name not in added}
    fields = []
    for name, named in choices.items():
        first = next(iter(named), None)
        fields.append(gr.Dropdown([*named], value=first, label=str(name)) if len(named) <= MOST_CHOICES
                      else gr.Textbox(first, label=str(name)))
    fields += [gr.Number(float(f"{float(means.get(name, 0)):.4g}"), label=str(name)) for name in table.cont_names]
    output, fill = _output(gr, learn)

    def predict(*values: Any) -> Any:
        words, numbers = values[:len(choices)], values[len(choices):]
        row = {name: named.get(str(v), v) for (name, named), v in zip(choices.items(), words, strict=True)}
        row |= {name: np.nan if v is None else v for name, v in zip(table.cont_names, numbers, strict=True)}
        return fill(learn.predict(pd.Series(row, dtype=object)))

    wanted = ", ".join(map(str, table.y_names))
    told = f"What {wanted} is, by the other columns of a row." + " Numbers may be left empty." * bool(table.cont_names)
    return predict, fields, output, told


# -- texts --------------------------------------------------------------------------------------------------------------------------
def _reads_a_text(learn: "Learner", loader: Any) -> bool:
    return hasattr(learn, "no_predictor") or (isinstance(loader, TextLoader) and loader.n_inp == 1)


def _text_page(gr: Any, learn: "Learner") -> tuple:
    text = gr.Textbox(lines=5, label="text")

    def given(value: str) -> str:
        if not (value or "").strip():
            raise ValueError("there is no text yet: write one")
        return value

    if hasattr(learn, "no_predictor"):
        writes: Any = learn
        return lambda value, n: writes.predict(given(value), int(n)), [text, gr.Slider(1, 100, 20, step=1, label="words")], gr.Textbox(
            label="continued"), "How a text goes on."
    output, fill = _output(gr, learn)
    return lambda value: fill(learn.predict(given(value))), text, output, "What a text is."


# -- series -------------------------------------------------------------------------------------------------------------------------
def _read_csv(text: str | None, file: Any) -> pd.DataFrame:
    "The table of a file, or of what was pasted."
    if file is None and not (text or "").strip():
        raise ValueError("there is no series yet: choose a CSV file or paste one, with a line of column names")
    try:
        return pd.read_csv(file if file is not None else io.StringIO(text))
    except (ValueError, UnicodeDecodeError) as e:
        raise ValueError(f"this is no CSV file that can be read: {e}") from None


def _forecasts(learn: "Learner", loader: Any) -> bool:
    return isinstance(learn, ForecastLearner)


def _forecast_page(gr: Any, learn: "Learner") -> tuple:
    from ..timeseries.forecasting.learner import windows_of
    windows, forecaster = windows_of(learn.dls), learn
    columns = [c for c in (windows.by, windows.time, *_listed(windows.target), *_listed(windows.past)) if isinstance(c, str)]
    columns = list(dict.fromkeys(columns))

    def predict(text: str | None, file: Any) -> pd.DataFrame:
        frame = _read_csv(text, file)
        if missing := [c for c in columns if c not in frame]:
            raise ValueError(f"the column {', '.join(missing)} is missing; there are {', '.join(map(str, frame.columns))}")
        if isinstance(windows.time, str):
            frame[windows.time] = pd.to_datetime(frame[windows.time])
        return forecaster.forecast(df=frame).astype(str)             # type: ignore[attr-defined]  # of ForecastLearner

    told = (f"The next {windows.horizon} steps. The table has the columns {', '.join(columns)} and at least {windows.window} rows of each "
            "series.")
    return predict, _csv_inputs(gr), gr.Dataframe(label="forecast"), told


def _listed(names: Any) -> list:
    return [] if names is None else list(names) if isinstance(names, (list, tuple)) else [names]


def _csv_inputs(gr: Any) -> list:
    return [gr.Textbox(lines=6, label="CSV, pasted"), gr.File(label="or a CSV file", type="filepath")]


def _reads_series(learn: "Learner", loader: Any) -> bool:
    return isinstance(loader, SeriesDL) and loader.n_inp == 1


def _series_page(gr: Any, learn: "Learner") -> tuple:
    output, fill = _output(gr, learn)

    def predict(text: str | None, file: Any) -> Any:
        frame = _read_csv(text, file)
        numbers = frame.select_dtypes("number")
        if numbers.shape[1] != frame.shape[1]:
            words = ", ".join(map(str, frame.columns.difference(numbers.columns)))
            raise ValueError(f"the columns {words} are no numbers; a series has one column for each channel and one row for each step")
        return fill(learn.predict(numbers.to_numpy(np.float32).T))

    return predict, _csv_inputs(gr), output, "What a series is. The table has one column for each channel and one row for each step."


#: Which page fits, the first that does.
_PAGES: tuple[tuple[Callable[[Any, Any], bool], Callable[[Any, Any], tuple]], ...] = (
    (_reads_rows, _row_page), (_forecasts, _forecast_page), (_reads_a_text, _text_page), (_reads_series, _series_page),
    (_reads_an_image, _image_page))
