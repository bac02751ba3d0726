"""`minifast port`: rewrite the imports of code written for fastai, and name what is different or absent, line by line.

The code is parsed, not searched: a name counts where it is used and not defined in the file itself. Nothing of it is run.
"""
import ast
import builtins
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .fastai_names import DIFFERENT, MODULES, instead_of
from .modules import names_here

SUFFIXES = (".py", ".ipynb")
_MAGIC = re.compile(r"^\s*[%!?]|^\s*\w+\s*=\s*[!%]|^[^#'\"]*\?{1,2}\s*$")        # of IPython
_OTHER_PACKAGES = {
    "fastbook": "leave `setup_book()` out, and import `from minifast.vision.all import *`",
    "fastai2": "the name of fastai before its release: write `from minifast.vision.all import *`",
    "fast_ai": "write `from minifast.vision.all import *`",
}
#: name -> whether a call of it is one that works differently; where the name is used otherwise, nothing is said.
_DIFFERENT_CALLS: dict[str, Callable[[ast.Call], bool]] = {
    "AccumMetric": lambda call: False,                      # what is refused says so itself, as do callbacks and images
    "Callback": lambda call: False,
    "Image": lambda call: False,
    "PILImage": lambda call: False,
    "Path": lambda call: False,
    "Normalize": lambda call: not call.args and not call.keywords,
    "RandomSplitter": lambda call: len(call.args) < 2 and all(k.arg not in (None, "seed") for k in call.keywords),
    "SaveModelCallback": lambda call: False,                # the file is read by `load`, whatever is in it
    "vision_learner": lambda call: False,                   # loaders that are made from those passed normalise as well
}
#: Names with a point that are different where a program uses them in a certain way, see `_of_method`.
_DIFFERENT_METHODS = {"dls.train", "learn.get_preds", "learn.model", "learn.predict", "t.pca", "to.classes", "to.decode"}
_TORCH_LOSSES = {"BCEWithLogitsLoss", "CrossEntropyLoss", "binary_cross_entropy_with_logits", "cross_entropy"}
_NORMALISING = {"cnn_learner", "unet_learner", "vision_learner"}


@dataclass(frozen=True)
class Finding:
    """What `minifast port` says of a line.

    Attributes:
        line: its number in the file, from 1; in a notebook in the cell.
        name: what it is about.
        text: what to write, or how it differs.
        absent: whether the code cannot run without a change; False: it runs, and differs.
        cell: the number of the cell of a notebook, from 1; 0 in a script.
    """

    line: int
    name: str
    text: str
    absent: bool
    cell: int = 0

    def __str__(self) -> str:
        place = f"cell {self.cell}, line {self.line}" if self.cell else f"line {self.line}"
        return f"{place}: {self.name} is {'absent' if self.absent else 'different'}: {self.text}"


def _is_fastai(module: str | None) -> bool:
    return module is not None and module.split(".")[0] == "fastai"


class _Names(ast.NodeVisitor):
    "What one piece of code imports from fastai, uses and defines."

    def __init__(self) -> None:
        self.imports: list[ast.Import | ast.ImportFrom] = []
        self.mentions: list[ast.Name] = []          # of the module `fastai` itself
        self.used: dict[str, int] = {}
        self.attributes: dict[str, int] = {}
        self.defined: set[str] = set()
        self.calls: dict[str, list[ast.Call]] = {}
        self.methods: set[ast.stmt] = set()
        self.uses: list[ast.Call | ast.Attribute] = []
        self.words: set[str] = set()                # names and attributes; those that are called as methods also as `name()`
        self.modules: set[str] = set()              # other names of fastai's modules: `import fastai.vision.all as fv`

    def visit_Import(self, node: ast.Import) -> None:
        if any(_is_fastai(a.name) or a.name.split(".")[0] in _OTHER_PACKAGES for a in node.names):
            self.imports.append(node)
        self.defined.update((a.asname or a.name).split(".")[0] for a in node.names)
        self.modules.update(a.asname for a in node.names if a.asname and _is_fastai(a.name))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if _is_fastai(node.module) or (node.module or "").split(".")[0] in _OTHER_PACKAGES:
            self.imports.append(node)
        else:
            self.defined.update(a.asname or a.name for a in node.names)

    def visit_Name(self, node: ast.Name) -> None:
        self.words.add(node.id)
        if not isinstance(node.ctx, ast.Load):
            self.defined.add(node.id)
        elif node.id == "fastai":
            self.mentions.append(node)
        else:
            self.used.setdefault(node.id, node.lineno)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name):
            self.calls.setdefault(node.func.id, []).append(node)
        elif isinstance(node.func, ast.Attribute):
            self.words.add(f"{node.func.attr}()")
        self.uses.append(node)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.words.add(node.attr)
        self.uses.append(node)
        if isinstance(node.value, ast.Name):
            self.attributes.setdefault(f"{node.value.id}.{node.attr}", node.lineno)
        self.generic_visit(node)

    def _visit_definition(self, node: Any) -> None:
        if node.name is not None and node not in self.methods:
            self.defined.add(node.name)
        if isinstance(node, ast.ClassDef):
            self.methods.update(node.body)                  # their names are those of attributes
        self.generic_visit(node)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_ExceptHandler = visit_MatchAs = visit_MatchStar = _visit_definition

    def visit_arg(self, node: ast.arg) -> None:
        self.defined.add(node.arg)
        self.generic_visit(node)


def _rewritten(source: str, names: _Names) -> str:
    "`source` with `minifast` for `fastai` in its imports and where the module is named."
    lines = source.splitlines(keepends=True)
    for node in names.imports:
        for i in range(node.lineno - 1, node.end_lineno or node.lineno):
            lines[i] = re.sub(r"\bfastai\b", "minifast", lines[i])
    for name in sorted(names.mentions, key=lambda n: (n.lineno, n.col_offset), reverse=True):
        line = lines[name.lineno - 1].encode()          # columns of the parser count bytes
        lines[name.lineno - 1] = (line[:name.col_offset] + b"minifast" + line[name.end_col_offset:]).decode()
    return "".join(lines)


def _findings(names: _Names, defined: set[str], star: bool, tables: bool) -> Iterator[Finding]:
    """What is to be said of `names`.

    Args:
        names: of one piece of code.
        defined: names that the whole program defines.
        star: whether fastai's names are there by a star import.
        tables: whether the program is about tables.
    """
    here = names_here()
    for node in names.imports:
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        for module in modules:
            top, _, path = module.partition(".")
            if top in _OTHER_PACKAGES:
                yield Finding(node.lineno, top, _OTHER_PACKAGES[top], True)
            elif path and path not in MODULES:
                yield Finding(node.lineno, module, "fastai 2.8 has no such module; write `from minifast.vision.all import *`", True)
        if isinstance(node, ast.ImportFrom) and _is_fastai(node.module):
            for alias in node.names:
                if alias.name not in _DIFFERENT_CALLS:
                    yield from _of_name(alias.name, node.lineno, here)
    if star:
        for name, line in names.used.items():
            if name not in defined and name not in _DIFFERENT_CALLS:
                yield from _of_name(name, line, here)
    for name, differs in _DIFFERENT_CALLS.items():
        if name not in defined and not (name == "Normalize" and tables):        # the proc of tables has the same name
            yield from (Finding(call.lineno, name, DIFFERENT[name], False) for call in names.calls.get(name, ()) if differs(call))
    for name, line in names.attributes.items():
        owner, _, attribute = name.partition(".")
        if name in DIFFERENT and name not in _DIFFERENT_METHODS:
            yield Finding(line, name, DIFFERENT[name], False)
        elif owner in names.modules and attribute not in _DIFFERENT_CALLS:
            yield from _of_name(attribute, line, here)


def _of_method(node: ast.Call | ast.Attribute, words: set[str]) -> str | None:
    """Which of `_DIFFERENT_METHODS` a call or attribute is.

    Args:
        node: the call or attribute.
        words: what the whole program mentions.
    """
    def method_of(o: Any) -> str:
        return o.func.attr if isinstance(o, ast.Call) and isinstance(o.func, ast.Attribute) else ""

    if isinstance(node, ast.Attribute):
        return "to.decode" if node.attr == "items" and method_of(node.value) == "decode" else None
    name, owner = method_of(node), ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
    if name == "model" and owner != "self" and words & _NORMALISING and ".dls" not in ast.unparse(node):
        return "learn.model"
    if name in ("get_preds", "tta") and words & _TORCH_LOSSES and not any(k.arg == "act" for k in node.keywords):
        return "learn.get_preds"
    if name == "predict" and owner.startswith("learn") and "tabular_learner" in words:
        return "learn.predict"
    if name == "pca" and "weight()" not in words and not owner.startswith("TensorBase("):       # `model.weight(...)` has it
        return "t.pca"
    if name == "set_categories" and "Categorify" in words:
        return "to.classes"
    counts = isinstance(node.func, ast.Name) and node.func.id == "len" and len(node.args) == 1
    return "dls.train" if counts and ast.unparse(node.args[0]).endswith("dls.train") else None


def _of_name(name: str, line: int, here: frozenset[str]) -> Iterator[Finding]:
    if name in DIFFERENT:
        yield Finding(line, name, DIFFERENT[name], False)
    elif name != "*" and name not in here and not hasattr(builtins, name):
        sentence = instead_of(name)
        if sentence is not None:
            yield Finding(line, name, sentence, True)


def _parsed(source: str) -> _Names:
    "The names in `source`, in which IPython's magic lines count for nothing."
    plain = "\n".join(re.sub(r"^(\s*).*", r"\1pass", line) if _MAGIC.search(line) else line for line in source.splitlines())
    names = _Names()
    names.visit(ast.parse(plain))
    return names


def _ported(pieces: list[str]) -> tuple[list[str], list[Finding]]:
    "The pieces of one program, rewritten, and what is to be said of them; a piece that cannot be parsed stays as it is."
    parsed: list[_Names | None] = []
    for source in pieces:
        try:
            parsed.append(_parsed(source))
        except SyntaxError:
            parsed.append(None)
    known = [names for names in parsed if names is not None]
    defined = set().union(*(names.defined for names in known))
    star = any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for names in known for node in names.imports)
    words = set().union(*(names.words for names in known))
    imports = any(names.imports for names in known)
    tables = any({"Categorify", "FillMissing", "TabularPandas"} & names.used.keys() for names in known)
    findings = []
    for number, (source, names) in enumerate(zip(pieces, parsed, strict=True), 1):
        cell = number if len(pieces) > 1 else 0
        if names is None:
            if "fastai" in source:
                what = "this cell" if cell else "this file"
                findings.append(Finding(1, what, "it is not Python that can be parsed: change its imports by hand", True, cell))
            continue
        of_methods = [(node.lineno, key) for node in names.uses if imports and (key := _of_method(node, words)) is not None]
        said = [*_findings(names, defined, star, tables), *(Finding(line, key, DIFFERENT[key], False) for line, key in of_methods)]
        findings += [Finding(f.line, f.name, f.text, f.absent, cell) for f in said]
    rewritten = [source if names is None else _rewritten(source, names) for source, names in zip(pieces, parsed, strict=True)]
    return rewritten, sorted(findings, key=lambda f: (f.cell, f.line))


def port_source(source: str) -> tuple[str, list[Finding]]:
    """Rewrite the imports of a script.

    Args:
        source: the text of a Python file.

    Returns:
        The text with `minifast` in the place of `fastai`; and what is different or absent, in the order of the lines.
    """
    (rewritten,), findings = _ported([source])
    return rewritten, findings


def port_notebook(text: str) -> tuple[str, list[Finding]]:
    """Rewrite the imports of a notebook; outputs and metadata stay.

    Args:
        text: the text of an .ipynb file.

    Returns:
        The text of the notebook with `minifast` in the place of `fastai`; and what is different or absent.
    """
    notebook = json.loads(text)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in cells]
    rewritten, findings = _ported(sources) if sources else ([], [])
    for cell, source in zip(cells, rewritten, strict=True):
        cell["source"] = source.splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", findings


def port_file(file: Path, check: bool = False) -> list[Finding]:
    """Rewrite the imports of a script or notebook in place.

    Args:
        file: a .py or .ipynb file.
        check: only report.

    Returns:
        What is different or absent.
    """
    text = file.read_text(encoding="utf-8")
    ported, findings = (port_notebook if file.suffix == ".ipynb" else port_source)(text)
    if not check and ported != text:
        file.write_text(ported, encoding="utf-8")
    return findings


def files_of(path: Path) -> list[Path]:
    "The scripts and notebooks below a folder, or the file itself; checkpoints of Jupyter are left out."
    if path.is_dir():
        return sorted(f for f in path.rglob("*") if f.suffix in SUFFIXES and ".ipynb_checkpoints" not in f.parts)
    return [path]
