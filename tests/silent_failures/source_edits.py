"""Edits of the package's source that are addressed by name and meaning: what `guards.py` takes guards out with.

A target is the end of a dotted name: `"Learner.fit"`, `"splitters.RandomSplitter.__call__"`, a constant, a class or a whole module. It
must fit exactly one thing in the package. So a guard survives a move into another file; after a rename `Package.find` raises.

In the Python that an edit puts in, these names stand for the original: `it` (the expression that is replaced), `of` (the object whose
method is called), `arg0`, `arg1` (the arguments of the call). Everything else must be a parameter of the function, a name of its module or
a builtin.
"""
import ast
import builtins
import copy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ast.FunctionDef, ast.AsyncFunctionDef


class Package:
    "Every named thing of the package: modules, classes, functions, methods, constants and class attributes."

    def __init__(self, root=ROOT, name="minifast"):
        self.places = {}                                # dotted name -> (file, the part of it behind the name of the module)
        for file in sorted((root / name).rglob("*.py")):
            module = ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            for inner in ("", *names_in(ast.parse(file.read_text(encoding="utf-8")))):
                self.places.setdefault(module + inner, (file, inner.split(".")[1:]))

    def find(self, target):
        "The one thing whose dotted name ends in `target`: its file, and the names that lead to it inside the module."
        found = [dotted for dotted in self.places if f".{dotted}".endswith(f".{target}")]
        if len(found) != 1:
            last = target.rpartition(".")[2]
            near = found or [dotted for dotted in self.places if dotted.endswith(f".{last}")]
            raise LookupError(f"{target!r} fits {len(found)} names of the package, not one" + (f": {', '.join(near[:8])}" if near else ""))
        return self.places[found[0]]


def names_in(node, prefix=""):
    "`.name` or `.Class.name` of all that `node`, a module or class, defines."
    for child in definitions(node.body):
        for name in bound_by(child):
            yield f"{prefix}.{name}"
        if isinstance(child, ast.ClassDef):
            yield from names_in(child, f"{prefix}.{child.name}")


def definitions(body):
    "The classes, functions and assignments of a body, those under `if`, `try` and `with` included."
    for node in body:
        if isinstance(node, (ast.ClassDef, *FUNCTIONS, ast.Assign, ast.AnnAssign)):
            yield node
        for part in ("body", "orelse", "handlers", "finalbody"):
            if isinstance(node, (ast.If, ast.Try, ast.With, ast.ExceptHandler)):
                yield from definitions(getattr(node, part, []))


def bound_by(node):
    if isinstance(node, (ast.ClassDef, *FUNCTIONS)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]


class Edit:
    "One edit of the thing called `target`; `change` takes its node, and the name of what `target` ends in."

    def __init__(self, target, change, inserted=""):
        self.target, self.change, self.inserted = target, change, inserted

    def apply(self, package, changed):
        "The `(file, text)` with this edit, on top of `changed`, `{file: text}`; `LookupError` where what it is about is not there."
        file, names = package.find(self.target)
        tree = ast.parse(changed.get(file) or file.read_text(encoding="utf-8"))
        node = tree
        for name in names:
            node = next(child for child in definitions(node.body) if name in bound_by(child))
        self.check_names(tree, node)
        self.change(node)
        text = ast.unparse(ast.fix_missing_locations(tree))
        compile(text, str(file), "exec")
        return file, text

    def check_names(self, tree, node):
        "Refuse Python that uses names which mean nothing there: the row's test would fail for this reason alone."
        inserted = ast.parse(self.inserted)
        stored = {n.id for n in ast.walk(inserted) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
        imported = {a.asname or a.name for t in (tree, inserted) for n in ast.walk(t) if isinstance(n, (ast.Import, ast.ImportFrom))
                    for a in n.names}
        module = {name for child in definitions(tree.body) for name in bound_by(child)}
        parameters = {a.arg for a in ast.walk(node) if isinstance(a, ast.arg)} | {"it", "of", "arg0", "arg1"}
        used = {n.id for n in ast.walk(inserted) if isinstance(n, ast.Name)}
        unknown = used - stored - imported - module - parameters - set(dir(builtins))
        if unknown:
            raise LookupError(f"{self.target}: {', '.join(sorted(unknown))} in {self.inserted!r} is neither a parameter there nor a name "
                              "of the module")


# -- the kinds of edits ---------------------------------------------------------------------------------------------------------------
def body(target, source):
    "Let the function do this and nothing else."
    def change(node):
        node.body = ast.parse(source).body
    return Edit(target, change, source)


def first(target, source):
    "Let the function do this before all else."
    def change(node):
        node.body = ast.parse(source).body + node.body
    return Edit(target, change, source)


def default(target, **defaults):
    "Give parameters of the function other defaults."
    def change(node):
        args = node.args.posonlyargs + node.args.args
        for name, source in defaults.items():
            value = ast.parse(source, mode="eval").body
            at = [a.arg for a in args].index(name) if name in [a.arg for a in args] else None
            if at is not None:
                node.args.defaults[at - len(args)] = value
            else:
                node.args.kw_defaults[[a.arg for a in node.args.kwonlyargs].index(name)] = value
    return Edit(target, change, " ; ".join(defaults.values()))


def assign(target, source):
    "Give the constant or class attribute this value."
    def change(node):
        node.value = ast.parse(source, mode="eval").body
    return Edit(target, change, source)


def remove(target, setter_only=False):
    "Take the function, property or constant out of its class or module; `setter_only`: leave it, but so that it cannot be set."
    owner, _, name = target.rpartition(".")

    def change(node):
        gone = [n for n in definitions(node.body) if name in bound_by(n) and (not setter_only or _is_setter(n, name))]
        if not gone:
            raise LookupError(f"{owner} has no {'setter of ' * setter_only}{name}")
        node.body = [n for n in node.body if n not in gone] or [ast.Pass()]
    return Edit(owner, change)


def _is_setter(node, name):
    return any(ast.unparse(d) == f"{name}.setter" for d in getattr(node, "decorator_list", ()))


def drop(target, words):
    "Leave out the one statement of the target, none that has a body of its own, in which these words occur."
    class Without(ast.NodeTransformer):
        count = 0

        def visit(self, node):
            if isinstance(node, ast.stmt) and not hasattr(node, "body") and words in ast.unparse(node):
                self.count += 1
                return ast.copy_location(ast.Pass(), node)
            return self.generic_visit(node)

    def change(node):
        done = Without()
        done.generic_visit(node)
        if done.count != 1:
            raise LookupError(f"{target}: {words!r} is in {done.count} of its statements, not in one")
    return Edit(target, change)


def swap(target, expression, source):
    "Put `source` in place of an expression of the target, wherever it stands."
    wanted = ast.dump(ast.parse(expression, mode="eval").body)

    def replaced(node):
        same = isinstance(node, ast.expr) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load) and ast.dump(node) == wanted
        return filled(source, {"it": node}) if same else None
    return replacing(target, expression, replaced, "")


def never(target, words):
    "Of the `if`s in the target, never take the one in whose condition or direct consequence these words occur (the innermost such one)."
    def change(node):
        found = [n for n in ast.walk(node) if isinstance(n, ast.If) and words in said_by(n)]
        inner = [n for n in found if not any(other is not n and other in ast.walk(n) for other in found)]
        if len(inner) != 1:
            raise LookupError(f"{target}: {words!r} is in {len(inner)} of its ifs, not in one")
        inner[0].test = ast.Constant(False)
    return Edit(target, change)


def said_by(node):
    "The source of an `if` without its else, with pieces of text as they are spelt, not as Python escapes them."
    text = " ".join(ast.unparse(part) for part in (node.test, *node.body))
    return text + " ".join(n.value for part in (node.test, *node.body) for n in ast.walk(part)
                           if isinstance(n, ast.Constant) and isinstance(n.value, str))


def call(target, callee, source=None, **keywords):
    "Put `source` in place of the target's calls of `callee`, the end of a dotted name; or change keywords of these calls (None: drop)."
    def replaced(node):
        if not isinstance(node, ast.Call) or not f".{ast.unparse(node.func)}".endswith(f".{callee}"):
            return None
        if source is None:
            changed = copy.deepcopy(node)
            changed.keywords = [k for k in changed.keywords if k.arg not in keywords]
            changed.keywords += [ast.keyword(k, ast.parse(v, mode="eval").body) for k, v in keywords.items() if v is not None]
            return changed
        parts = {"it": node, **{f"arg{i}": a for i, a in enumerate(node.args)}}
        if isinstance(node.func, ast.Attribute):
            parts["of"] = node.func.value
        return filled(source, parts)
    return replacing(target, f"call of {callee}", replaced, source or " ; ".join(v for v in keywords.values() if v))


def reads(target, attribute, source):
    "Put `source` in place of `x.attribute` wherever the target reads it."
    def replaced(node):
        if isinstance(node, ast.Attribute) and node.attr == attribute and isinstance(node.ctx, ast.Load):
            return filled(source, {"it": node, "of": node.value})
        return None
    return replacing(target, f"use of .{attribute}", replaced, source)


def result(target, source):
    "Return `source` instead of what the function returns, which is `it`."
    def change(node):
        found = [n for n in ast.walk(node) if isinstance(n, ast.Return) and n.value is not None]
        if not found:
            raise LookupError(f"{target} returns nothing")
        for n in found:
            n.value = filled(source, {"it": n.value})
    return Edit(target, change, source)


def replacing(target, what, replaced, inserted):
    def change(node):
        done = Replace(replaced)
        done.generic_visit(node)
        if not done.count:
            raise LookupError(f"{target} has no {what}")
    return Edit(target, change, inserted)


class Replace(ast.NodeTransformer):
    "Puts `replaced(node)` in place of every node for which it is not None."

    def __init__(self, replaced):
        self.replaced, self.count = replaced, 0

    def visit(self, node):
        new = self.replaced(node)
        if new is None:
            return self.generic_visit(node)
        self.count += 1
        return new


def filled(source, parts):
    "The expression `source`, with these nodes in place of the names that stand for them."
    tree = ast.parse(source, mode="eval")
    return Replace(lambda n: copy.deepcopy(parts[n.id]) if isinstance(n, ast.Name) and n.id in parts else None).visit(tree).body
