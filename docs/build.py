"""Builds the documentation site from the notebooks, offline: python docs/build.py [folder, by default _docs]

Nothing is executed. What a notebook shows is what was committed: its prose, its visible cells and their outputs. Every
exported function, class and constant becomes an entry of the API, read from its source: signature, docments, docstring.
The pages for Sphinx are written to a temporary folder; `conf.py` beside this file holds Sphinx' settings.
"""

import ast
import inspect
import io
import json
import re
import shutil
import sys
import tokenize
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from fastcore.script import anno_parser
from nbdev.config import get_config
from sphinx.cmd.build import main as sphinx_build

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NBS = ROOT / "nbs"
PACKAGE = "layerwise_nb"
CONFIG = get_config(path=ROOT)
GITHUB = f"{CONFIG.git_url}/blob/{CONFIG.branch}"
COMMANDS = dict(script.split("=") for script in CONFIG.console_scripts.split())  # name -> "module:function"

# The order of the navigation. A page of these folders that is not named follows in alphabetical order.
SECTIONS = {
    "tutorials": ("Tutorials", ["quickstart", "which_layer", "study"]),
    "how_to": (
        "How to",
        ["audio", "sources", "compare_models", "disk", "several_gpus", "several_machines", "slurm", "resume", "train_a_probe",
         "colab", "debug_remotely", "original_pipeline"],
    ),
    "explanations": (
        "Background",
        ["architecture", "mathematics", "hidden_states", "content", "pitfalls", "faults", "benchmarks"],
    ),
}


# ---- Notebooks ----


@dataclass
class Notebook:
    path: Path
    cells: list  # as in the JSON, each source one string

    @classmethod
    def read(cls, path: Path) -> "Notebook":
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return cls(path, [cell | {"source": "".join(cell["source"])} for cell in cells])

    @property
    def folder(self) -> str:
        "00_core, 01_features and so on."
        return self.path.parent.name

    @property
    def module(self) -> str:
        return next(m[1] for c in self.cells if (m := re.search(r"^#\| *default_exp +([\w.]+)", c["source"], re.M)))

    @property
    def summary(self) -> str:
        return re.match(r"# .+\n\n> (.+)", self.cells[0]["source"])[1]

    @property
    def exported(self) -> list[str]:
        return [c["source"] for c in self.cells if directives(c) & {"export", "exports"}]

    @property
    def page(self) -> str:
        "Where the site has it, without a suffix: measures/moments, or extract."
        return self.module.replace(".", "/")

    @property
    def imports(self) -> list[str]:
        "The modules of the package that this one imports, wherever in it."
        nodes = [node for source in self.exported for node in ast.walk(ast.parse(source))]
        froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
        names = [name for node in froms for name in [node.module, *(f"{node.module}.{a.name}" for a in node.names)]]
        names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        return sorted({n for name in names if (n := name.removeprefix(f"{PACKAGE}.")) != name and n in module_names()})


def directives(cell: dict) -> set[str]:
    "`#| export` and the like, without their arguments."
    return set(re.findall(r"^#\| *(\w+)", cell["source"], re.M)) if cell["cell_type"] == "code" else set()


@cache
def module_names() -> dict[str, Notebook]:
    "The notebooks that make the package, by module, in the order of their folders and names."
    notebooks = [Notebook.read(path) for path in sorted(NBS.glob("[0-9][0-9]_*/*.ipynb"))]
    return {notebook.module: notebook for notebook in notebooks}


@cache
def modules() -> dict[str, Notebook]:
    "The same, and in a folder each after those that it imports."
    found = module_names()
    imports = {module: sorted(set(notebook.imports) - {module}) for module, notebook in found.items()}
    order = list(TopologicalSorter(imports).static_order())
    return {module: found[module] for module in sorted(found, key=lambda m: (found[m].folder, order.index(m)))}


# ---- The API, from the source of the exported cells ----


def public(name: str) -> bool:
    return not name.startswith("_")


def is_function(node: ast.AST) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))


def constants(node: ast.AST) -> list[str]:
    "The public constants, type aliases and other names to which a statement gives a value."
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return [name for name in names if public(name)]


class Source:
    "The definitions in one piece of source code, as text for the Python domain of Sphinx."

    def __init__(self, code: str):
        self.body = ast.parse(code).body
        self.tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
        self.lines = code.splitlines()
        comments = {t.start[0]: t.string.lstrip("# ") for t in self.tokens if t.type == tokenize.COMMENT}
        self.comments = {
            line: re.sub(r"(# *)?(fmt: |noqa|type: ignore|ruff: ).*", "", c).strip() for line, c in comments.items()
        }

    def comment(self, line: int) -> str:
        "The comment behind a line of code, with the lines of nothing but comment that continue it."
        parts = [self.comments.get(line, "")]
        while parts[0] and self.lines[line : line + 1] and self.lines[line].lstrip().startswith("#"):
            line += 1
            parts.append(self.comments[line])
        return markdown(" ".join(parts))

    def header_end(self, node: ast.AST) -> int:
        "The line of the colon that ends `def ...:`."
        depth = 0
        for token in self.tokens:
            if token.start < (node.lineno, node.col_offset) or token.type != tokenize.OP:
                continue
            depth += (token.string in "([{") - (token.string in ")]}")
            if token.string == ":" and not depth:
                return token.start[0]

    def function(self, node: ast.FunctionDef, method: bool = False) -> tuple[str, list[str]]:
        "Signature and field list."
        arguments, end = node.args, self.header_end(node)
        if method and not decorated(node, "staticmethod"):
            (arguments.posonlyargs or arguments.args).pop(0)
        listed = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
        fields = []
        defaults = {d.lineno: d.end_lineno for d in [*arguments.defaults, *arguments.kw_defaults] if d}
        for argument in filter(None, listed):
            line = defaults.get(argument.end_lineno, argument.end_lineno)
            if line < end and self.comment(line):
                fields.append(f":param {argument.arg}: {self.comment(line)}")
        if self.comment(end):
            fields.append(f":returns: {self.comment(end)}")
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return f"({ast.unparse(arguments)}){returns}", fields

    def fields(self, node: ast.ClassDef) -> tuple[str, list[str]]:
        "Signature and field list of a dataclass."
        found = [item for item in node.body if isinstance(item, ast.AnnAssign) and public(item.target.id)]
        listed = [(item.target.id, self.comment(item.end_lineno)) for item in found]
        return f"({', '.join(map(ast.unparse, found))})", [f":param {name}: {text}" for name, text in listed if text]

    def entry(self, node: ast.AST, module: str) -> str:
        "A function, class or constant."
        if names := constants(node):
            value, comment = ast.unparse(node.value), self.comment(node.end_lineno)
            options = [f":value: {json.dumps(value)}"] if len(value) <= 70 and len(names) == 1 else []
            return "\n\n".join(directive("data", name, options, [comment], module) for name in names)
        docstring = [docstring_of(ast.get_docstring(node))]
        if owner := patched(node):
            return self.method(node, owner, module)
        if is_function(node):
            signature, fields = self.function(node)
            return directive("function", node.name + signature, [], [*docstring, "\n".join(fields)], module)
        methods = {item.name: item for item in node.body if is_function(item)}
        signature, fields = "", []
        if decorated(node, "dataclass"):
            signature, fields = self.fields(node)
        elif "__init__" in methods:
            signature, fields = self.function(methods["__init__"], method=True)
        entries = [self.method(m) for m in methods.values() if public(m.name) and ast.get_docstring(m)]
        return directive("class", node.name + signature, [], [*docstring, "\n".join(fields), *entries], module)

    def method(self, node: ast.FunctionDef, owner: str = "", module: str | None = None) -> str:
        "A method in its class, or one that fastcore's `patch` adds to the class `owner`."
        name = f"{owner}.{node.name}" if owner else node.name
        docstring, (signature, fields) = docstring_of(ast.get_docstring(node)), self.function(node, method=True)
        body, marks = [docstring, "\n".join(fields)], " ".join(map(ast.unparse, node.decorator_list))
        if re.search(r"property|as_prop=True", marks):
            options = [f":type: {ast.unparse(node.returns)}"] if node.returns else []
            return directive("property", name, options, body, module)
        kinds = [
            f":{kind}:"
            for kind in ("classmethod", "staticmethod")
            if kind in marks.replace("cls_method", "classmethod")
        ]
        return directive("method", name + signature, kinds, body, module)

    def entries(self, module: str) -> str:
        shown = [n for n in self.body if constants(n) or (hasattr(n, "name") and public(n.name))]
        return "\n\n".join(self.entry(node, module) for node in shown)


def decorated(node: ast.AST, name: str) -> bool:
    return any(re.match(rf"(\w+\.)?{name}\b", ast.unparse(d)) for d in node.decorator_list)


def patched(node: ast.AST) -> str | None:
    "The class to which fastcore's `patch` adds a function."
    return (
        ast.unparse(node.args.args[0].annotation).strip("'\"")
        if is_function(node) and decorated(node, "patch")
        else None
    )


def directive(kind: str, argument: str, options: list[str], body: list[str], module: str | None = None) -> str:
    fence = {"class": "`````", "function": "````"}.get(kind, "```")
    options = [*options, f":module: {PACKAGE}.{module}"] if module else options
    return "\n".join([f"{fence}{{py:{kind}}} {argument}", *options, "", "\n\n".join(filter(None, body)), fence])


def docstring_of(text: str | None) -> str:
    "A docstring as Markdown; the example of a command, a last line `Example: ...`, becomes a block of code."
    text, _, example = inspect.cleandoc(text or "").partition("\n\nExample: ")
    return markdown(text) + (f"\n\n```bash\n{example}\n```" if example else "")


def markdown(text: str) -> str:
    "Plain text, with code in backticks, as Markdown."
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_$<\[\]{}#|~])", r"\\\1", part) for part in parts)


@cache
def api() -> dict[str, str]:
    "What prose can name in backticks: function, Class, Class.method -> its full name. Names of two modules are left out."
    found = {}
    for module, notebook in modules().items():
        for node in (node for source in notebook.exported for node in ast.parse(source).body):
            name = getattr(node, "name", "_")
            name = f"{owner}.{name}" if (owner := patched(node)) else name
            members = [f"{name}.{m.name}" for m in getattr(node, "body", []) if is_function(m) and public(m.name)]
            for each in [*constants(node), *([name, *members] if public(name) else [])]:
                found[each] = None if each in found else f"{PACKAGE}.{module}.{each}"
    return {name: full for name, full in found.items() if full and name not in COMMANDS}


@cache
def parsed(path: Path) -> ast.Module:
    "A module's syntax tree; many names of each are asked for."
    return ast.parse(path.read_text(encoding="utf-8"))


def source_url(module: str, name: str) -> str | None:
    "Where GitHub shows a function, class or method."
    path = ROOT / f"{module.replace('.', '/')}.py"
    nodes = parsed(path).body
    if any(f"{patched(node)}.{getattr(node, 'name', '')}" == name for node in nodes):
        name = name.split(".")[1]
    for part in name.split("."):
        node = next((n for n in nodes if part in [getattr(n, "name", ""), *constants(n)]), None)
        if node is None:
            return None
        nodes = getattr(node, "body", [])
    return f"{GITHUB}/{path.relative_to(ROOT).as_posix()}#L{node.lineno}"


# ---- Pages ----


def linked(text: str) -> str:
    "Markdown whose names of commands, functions and notebooks lead to their pages."

    def link(match):
        name = match[1].removesuffix("()")
        module = name.removeprefix(f"{PACKAGE}.")
        if name != module and module in modules():
            return f"[`{name}`](/{modules()[module].page}.ipynb)"
        if name in COMMANDS:
            return f"[`{name}`](/commands.md#{name})"
        return f"{{py:obj}}`{match[1]} <{api()[name]}>`" if name in api() else match[0]

    parts = re.split(r"(^ *```.*?^ *```|^#.*?$|\[[^\]\n]*\]\([^)\n]*\))", text, flags=re.M | re.S)
    parts[::2] = [re.sub(r"(?<![`\w])`([\w.]+(?:\(\))?)`(?!`)", link, part) for part in parts[::2]]
    text = re.sub(r"\]\([./]*\d\d_(\w+/\w+\.ipynb)", r"](/\1", "".join(parts))
    return text.replace("](/commands/", "](/")


def shown_output(output: dict) -> dict:
    "An output as a page without a kernel can show it."
    data = output.get("data", {})
    if figure := data.get("application/vnd.plotly.v1+json"):
        figure = json.dumps(figure, separators=(",", ":")).replace("</", "<\\/")
        html = f'<div class="plotly-figure"><script type="application/json">{figure}</script></div>'
        return output | {"data": {"text/html": html}}
    if "application/vnd.jupyter.widget-view+json" in data:
        return output | {"data": {"text/markdown": "*A widget: open this notebook in JupyterLab to use it.*"}}
    return output


def shown_cells(notebook: Notebook) -> list[dict]:
    for cell in notebook.cells:
        found = directives(cell)
        if cell["cell_type"] == "markdown":
            yield cell | {"source": linked(cell["source"])}
        elif found & {"export", "exports"}:
            if entries := Source(cell["source"]).entries(notebook.module):
                yield markdown_cell(entries)
        elif not found & {"default_exp", "hide", "exporti", "include"}:
            source = re.sub(r"^#\|.*\n?", "", cell["source"], flags=re.M)
            outputs = [shown_output(output) for output in cell["outputs"]]
            if source.strip():
                yield cell | {"source": source, "outputs": outputs}


def markdown_cell(source: str) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def write_notebook(path: Path, cells: list[dict]):
    cells = [{k: v for k, v in cell.items() if k != "id"} for cell in cells]
    kernel = {"name": "python3", "display_name": "python3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    content = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}
    path.write_text(json.dumps(content), encoding="utf-8")


def toctree(pages: list[str], *options: str) -> str:
    return "\n".join(["```{toctree}", *options, "", *pages, "```"])


def navigation() -> str:
    trees = []
    for folder, (caption, order) in SECTIONS.items():
        found = sorted({p.stem for p in (NBS / folder).glob("*") if p.suffix in (".md", ".ipynb")})
        ordered = sorted(found, key=lambda stem: order.index(stem) if stem in order else len(order))
        if found:
            trees.append(toctree([f"{folder}/{stem}" for stem in ordered], ":hidden:", f":caption: {caption}"))
    return "\n\n".join([*trees, toctree(["commands", "api", "changelog"], ":hidden:", ":caption: Reference")])


def module_pages(folder: Path):
    for module, notebook in modules().items():
        head, *cells = shown_cells(notebook)
        source = notebook.path.relative_to(NBS).as_posix()
        title, rest = head["source"].split("\n", 1)
        place = f"`{PACKAGE}.{module}`, made by [{source}]({GITHUB}/nbs/{source})"
        head = head | {"source": f"{title}\n\n{{.module}}\n{place}\n{rest}"}
        (folder / notebook.page).parent.mkdir(exist_ok=True)
        write_notebook(folder / f"{notebook.page}.ipynb", [head, *cells])
    text = ["# API", "One page a notebook. A folder builds only on those before it."]
    for name, notebooks in by_folder().items():
        rows = [f"| [{n.module}]({n.page}.ipynb) | {linked(n.summary)} |" for n in notebooks]
        pages = [n.page for n in notebooks]
        text += [f"## {name[3:]}", "\n".join(["| module | |", "|---|---|", *rows]), toctree(pages, ":hidden:")]
    (folder / "api.md").write_text("\n\n".join(text), encoding="utf-8")


def by_folder() -> dict[str, list[Notebook]]:
    folders = sorted({notebook.folder for notebook in modules().values()})
    return {name: [n for n in modules().values() if n.folder == name] for name in folders}


def command_page() -> str:
    text = [
        "# Commands",
        "What `--help` says of each. Flags are spelled with underscores; those without a default are empty.",
    ]
    for command, place in COMMANDS.items():
        module, name = place.split(":")
        function = getattr(import_module(module), name)
        parser = anno_parser(getattr(function, "__wrapped__", function), command)
        rows = ["| | | default |", "|---|---|---|"]
        for action in parser._actions[1:]:  # the first is --help
            flag = " ".join(action.option_strings) or action.dest.upper()
            default = "" if action.default is None or action.default is False else f"`{action.default}`"
            meaning = re.sub(r" \(default: .*\)$", "", (action.help or "") % {"default": action.default})
            rows.append(f"| `{flag}` | {markdown(meaning)} | {default} |")
        also = linked(f"Also `python -m {module}`. From a notebook: `{module}`.")
        text += [f"## {command}", docstring_of(parser.description), "\n".join(rows), also]
    return "\n\n".join(text)


# ---- What the page about the architecture shows of the notebooks ----


def notebook_map() -> str:
    "A row for each folder, the last on top, with its modules."
    lines = []
    for name, notebooks in reversed(by_folder().items()):
        chips = [f'<a href="../{n.page}.html" title="{n.summary}">{n.path.stem}</a>' for n in notebooks]
        lines.append(f"<div><b>{name[3:]}</b>{''.join(chips)}</div>")
    return "\n".join(['<div class="notebook-map">', *lines, "</div>"])


def import_table() -> str:
    def link(module: str) -> str:
        return f"[{module}](../{modules()[module].page}.ipynb)"

    rows = [f"| {link(m)} | {', '.join(map(link, n.imports))} |" for m, n in modules().items()]
    return "\n".join(["| module | imports |", "|---|---|", *rows])


GENERATED = {"notebook map": notebook_map, "import table": import_table}


def text_page(text: str) -> str:
    "A Markdown page: links, and `<!-- generated: import table -->` replaced."
    return re.sub(r"<!-- generated: ([\w ]+) -->", lambda match: GENERATED[match[1]](), linked(text))


def write_pages(folder: Path):
    "Everything that Sphinx reads."
    home = [*shown_cells(Notebook.read(NBS / "index.ipynb")), markdown_cell(navigation())]
    write_notebook(folder / "index.ipynb", home)
    shutil.copytree(NBS / "images", folder / "images")
    for path in (p for section in SECTIONS for p in (NBS / section).rglob("*")):
        target = folder / path.relative_to(NBS)
        if ".ipynb_checkpoints" in path.parts or not path.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".ipynb":
            write_notebook(target, list(shown_cells(Notebook.read(path))))
        elif path.suffix == ".md":
            target.write_text(text_page(path.read_text(encoding="utf-8")), encoding="utf-8")
        else:
            shutil.copy(path, target)
    module_pages(folder)
    (folder / "commands.md").write_text(command_page(), encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (folder / "changelog.md").write_text(linked(changelog), encoding="utf-8")


def build(output: Path) -> int:
    "Make the site; a warning is an error."
    if output.is_dir() and any(output.iterdir()) and not (output / ".buildinfo").exists():
        expected = "expected a folder for the site, new or of an earlier build"
        print(f"{expected}; {output} holds other files: choose another", file=sys.stderr)
        return 2
    with TemporaryDirectory() as folder:
        pages, doctrees, site = Path(folder, "pages"), Path(folder, "doctrees"), Path(folder, "site")
        pages.mkdir()
        write_pages(pages)
        options = ["-b", "html", "-c", HERE, "-d", doctrees, "-q", "-W", "--keep-going"]
        if status := sphinx_build([*map(str, options), str(pages), str(site)]):
            return status
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(site, output)
    return 0


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else CONFIG.doc_path).resolve()
    status = build(folder)
    print(f"{'not ' if status else ''}built: {folder / 'index.html'}")
    sys.exit(status)
