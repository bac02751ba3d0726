"""One HTML file that needs nothing else and can be mailed: values, tables and pictures as HTML, and `page` around them.

Every value is escaped, and the page forbids what it does not have: scripts, and anything from elsewhere.
"""
import io
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

#: Colours of words that can be read on white and on the dark themes of notebooks.
RED, AMBER, GREEN, GREY = "#df3f3c", "#b26a00", "#3a8a3e", "#777777"
MOST_ROWS, MOST_COLUMNS, MOST_CHARACTERS = 40, 24, 400          #: of a table, and of one of its cells
MAX_PNG = 150_000                                               #: bytes, above which a picture becomes a JPEG

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --back: #fff; --line: #d0d7de; --faint: #59636e; --band: #f6f8fa; --link: #0969da }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --back: #0d1117; --line: #3d444d; --faint: #9198a1; --band: #151b23; --link: #4493f8 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 1100px; margin: 0 auto; padding: 16px }
h1 { font-size: 1.7em; margin: .4em 0 } h2 { font-size: 1.25em; border-bottom: 1px solid var(--line); margin: 2em 0 .6em }
h3 { font-size: 1em; margin: 1.4em 0 .3em } a { color: var(--link) } nav a { margin-right: 1em } .faint { color: var(--faint) }
.wide { overflow-x: auto; max-width: 100% } table { border-collapse: collapse; font-size: 13px; margin: .4em 0 }
th, td { border: 1px solid var(--line); padding: 3px 8px; text-align: left; vertical-align: top }
th, td { overflow-wrap: break-word; max-width: 40em }
th { background: var(--band) }
img { max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line); border-radius: 4px; margin: .4em 0 }
pre { font-size: 12px; background: var(--band); padding: 8px; overflow: auto; max-height: 40em } summary { cursor: pointer }
"""


def shortened(value: Any, most: int = MOST_CHARACTERS) -> str:
    "A value as text of at most `most` characters; numbers to four digits."
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= most else text[:most - 4].rstrip() + " ..."


def cell(value: Any, most: int = MOST_CHARACTERS) -> str:
    "A value as HTML, `shortened`."
    return escape(shortened(value, most))


def rows_html(rows: Iterable[Sequence[Any]], head: Sequence[Any] | None = None) -> str:
    """Rows of values as a table.

    Args:
        rows: of values; the first of each is its name where there is no `head`.
        head: names of the columns.
    """
    def row_html(row):
        cells = [f"<td>{cell(v)}</td>" for v in row]
        return f"<tr>{f'<th>{cell(row[0])}</th>' if head is None else cells[0]}{''.join(cells[1:])}</tr>"

    body = "".join(map(row_html, rows))
    top = "" if head is None else f"<thead><tr>{''.join(f'<th>{cell(h)}</th>' for h in head)}</tr></thead>"
    return f"<div class='wide'><table>{top}<tbody>{body}</tbody></table></div>"


def facts_html(facts: Mapping[str, Any]) -> str:
    "Names and values as a table of two columns."
    return rows_html(facts.items())


def frame_html(frame: "DataFrame", most: int = MOST_ROWS) -> str:
    """A DataFrame as a table, with its index unless that only counts.

    Args:
        frame: the DataFrame.
        most: rows that are shown; it says how many there are.
    """
    counts = type(frame.index).__name__ == "RangeIndex"
    shown = frame.iloc[:most, :MOST_COLUMNS]
    html = rows_html(shown.itertuples(index=not counts, name=None), [*([] if counts else [frame.index.name or ""]), *shown.columns])
    left_out = [f"{n - m:,} more {name}" for n, m, name in ((len(frame), most, "rows"), (frame.shape[1], MOST_COLUMNS, "columns")) if n > m]
    return html + (f"<p class='faint'>and {' and '.join(left_out)}</p>" if left_out else "")


def figure_html(figure: "Figure", name: str, dpi: int = 90) -> str:
    """A figure of matplotlib as an image within the page.

    Args:
        figure: the figure.
        name: what it shows, for those who cannot see it.
        dpi: dots per inch.
    """
    kind, data = "png", _saved(figure, "png", dpi)
    if len(data) > MAX_PNG:
        jpeg = _saved(figure, "jpeg", dpi, pil_kwargs={"quality": 85})
        kind, data = ("jpeg", jpeg) if len(jpeg) < len(data) else (kind, data)
    return f"<img alt='{cell(name)}' src='data:image/{kind};base64,{b64encode(data).decode()}'>"


def _saved(figure, kind, dpi, **kwargs):
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=dpi, bbox_inches="tight", **kwargs)
    return file.getvalue()


def drawn(draw: Callable[[], Any], name: str) -> str:
    """What `draw()` draws with matplotlib, or the DataFrame that it returns, as HTML. No figure of it stays open.

    Args:
        draw: a function such as `dls.show_batch`.
        name: what it shows.
    """
    import matplotlib.pyplot as plt
    import pandas as pd
    before = set(plt.get_fignums())
    try:
        with plt.ioff():
            made = draw()
        if isinstance(made, pd.DataFrame):
            return frame_html(made)
        return "".join(figure_html(plt.figure(n), name) for n in plt.get_fignums() if n not in before)
    finally:
        for n in set(plt.get_fignums()) - before:
            plt.close(n)


def page(title: str, sections: Mapping[str, str], lead: str = "") -> str:
    """A whole page.

    Args:
        title: its title.
        sections: HTML by heading.
        lead: HTML before the first of them.
    """
    links = "".join(f"<a href='#s{i}'>{cell(name)}</a>" for i, name in enumerate(sections))
    body = "".join(f"<h2 id='s{i}'>{cell(name)}</h2>{html}" for i, (name, html) in enumerate(sections.items()))
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{cell(title)}</title>'
            f"<style>{_STYLE}</style></head><body><h1>{cell(title)}</h1>{lead}<nav>{links}</nav>{body}</body></html>\n")
