"""Make docs/images/checks: for each code of docs/checks.md what a report says of a broken set-up, as in a notebook, and a figure of it.

    python docs/make_check_pictures.py                 # all; takes a few minutes, and needs chromium
    python docs/make_check_pictures.py MF107 MF802     # some

The set-ups are those of tests/checks that the checks are tested on; the figures are in check_drawings.py. Where a finding has nothing to
draw, its line in the report is the picture.
"""
import base64
import inspect
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from make_checks import ROOT, zoo
from PIL import Image, ImageChops

FOLDER = ROOT / "docs" / "images" / "checks"
WIDTH, SCALE = 720, 1.5                     #: of a picture in CSS pixels, and device pixels for each
STYLE = """body {margin: 4px; width: 704px; font: 13px/1.35 system-ui, sans-serif; background: white; color: #222}
table {border-collapse: collapse; width: 100%} td, th {padding: 5px 8px; border-bottom: 1px solid #ddd} small {color: #555; font-size: 11px}
td:nth-child(4) {min-width: 250px} td:last-child {min-width: 130px} small {display: block; max-width: 190px; overflow-wrap: anywhere}
img {max-width: 700px; margin: 6px 0 0 6px}"""


def check(animal, folder):
    "The set-up, and the check that its code names."
    from minifast.checks.check_learner import check_learner
    from minifast.checks.check_loaders import check_loaders
    from minifast.core.seeds import set_seed
    set_seed(0)
    subject = animal.make(folder) if inspect.signature(animal.make).parameters else animal.make()
    report = (check_learner if hasattr(subject, "model") else check_loaders)(subject, **animal.kwargs)
    return subject, report[animal.code]


def figure(subject, found):
    "What there is to draw, as an image in HTML."
    import check_drawings_data  # noqa: F401  adds to them
    from check_drawings import DRAW
    plt.close("all")
    if found.draw is not None:
        found.draw()
    elif found.code in DRAW:
        DRAW[found.code](subject, found)
    if not plt.get_fignums():
        return ""
    file = io.BytesIO()
    plt.savefig(file, dpi=72 * SCALE * 1.4, bbox_inches="tight")
    width = Image.open(file).width / SCALE / 1.15
    return f'<img width="{width:.0f}" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


def render(html, file, colours=96):
    "A screenshot of a piece of HTML, as an image with few colours."
    browser = shutil.which("chromium") or shutil.which("google-chrome") or sys.exit("needs chromium")
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder, "page.html"), Path(folder, "shot.png")
        page.write_text(f"<!doctype html><meta charset='utf-8'><style>{STYLE}</style><body>{html}", encoding="utf-8")
        subprocess.run([browser, "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu", f"--force-device-scale-factor={SCALE}",
                        f"--window-size={WIDTH},900", f"--user-data-dir={folder}/profile", f"--screenshot={shot}", page.as_uri()],
                       check=True, capture_output=True)
        image = Image.open(shot).convert("RGB")
    box = ImageChops.difference(image, Image.new("RGB", image.size, "white")).getbbox()
    image = image.crop((0, 0, image.width, box[3] + 8))
    image.quantize(colours, kmeans=2, dither=Image.Dither.NONE).save(file, optimize=True)


def main(codes):
    from minifast.checks.codes import CODES
    from minifast.checks.report import Report
    plt.rcParams.update({"font.size": 9, "axes.labelsize": 9, "axes.titlesize": 9})
    FOLDER.mkdir(parents=True, exist_ok=True)
    for code in codes or CODES:
        animal = next(a for a in zoo()[0] if a.code == code)
        with tempfile.TemporaryDirectory() as folder:
            subject, found = check(animal, Path(folder))
            line = Report([found]).html().partition("</p>")[2]
            file = FOLDER / f"{code.lower()}.png"
            render(line.replace(folder, "data") + figure(subject, found), file, 256 if code.startswith("MF80") else 96)
        print(code, file.stat().st_size, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
