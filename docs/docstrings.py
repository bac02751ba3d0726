"""Docstrings, which are written to be read in the source, as the reStructuredText that Sphinx expects."""
import re

#: Of Google style, for napoleon. As parameters, else attributes of a class are listed twice.
SECTIONS = ["Source", ("Attributes", "params_style")]
_SPAN = re.compile(r"`([^`]+)`")
_SPECIAL = re.compile(r"([*|_\\])")


def _in_rst(text):
    "Part of a docstring, in which `code` and plain text is all there is, as reStructuredText."
    parts = _SPAN.split(text)           # text, code, text, code, ..., text
    for i in range(0, len(parts), 2):
        parts[i] = _SPECIAL.sub(r"\\\1", parts[i])
    out = parts[0]
    for code, plain in zip(parts[1::2], parts[2::2], strict=True):
        before, after = out and not out[-1].isspace(), plain and not plain[0].isspace()
        code = code.strip() or code
        out += (r"\ " if before else "") + f"``{code}``" + (r"\ " if after else "") + plain
    return out


def to_rst(what, lines):
    """Make code spans, and indented code, what Sphinx expects.

    The signatures have the types. Napoleon would take the text before the first colon of an attribute's docstring, or of `Returns:`, for a
    type; an empty comment before it prevents that.

    Args:
        what: 'module', 'class', 'function', 'attribute' ..., as Sphinx calls it.
        lines: of the docstring.

    Returns:
        Other lines.
    """
    lines = ["..", "", *lines] if what in ("attribute", "data", "property") else list(lines)
    for i, line in enumerate(lines[:-1]):
        if line.strip() in ("Returns:", "Yields:") and ":" in lines[i + 1]:
            indent = lines[i + 1][:len(lines[i + 1]) - len(lines[i + 1].lstrip())]
            lines[i + 1:i + 1] = [indent + "..", ""]
            break
    blocks = re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))
    new = []
    for block in blocks:
        if block.startswith("    "):
            new += ["::", "", *block.splitlines(), ""]
        elif ">>>" in block:
            new += [*block.splitlines(), ""]
        else:
            new += [*_in_rst(block).splitlines(), ""]
    return new
