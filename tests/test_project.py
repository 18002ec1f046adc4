"""Rules of the project that no single notebook can show: import order, requirements, commands, README, no leaks."""

import ast
import importlib
import json
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from execnb.nbio import mk_cell, new_nb, read_nb
from IPython.core.inputtransformer2 import TransformerManager
from nbdev.config import get_config
from packaging.requirements import Requirement
from test_notebooks import NBS, NOTEBOOKS, ROOT

PACKAGE = "layerwise_nb"
# Guards look at every module; one that finds fewer than there were has looked in the wrong place.
AT_LEAST_MODULES = 120
# name: "module:function"
COMMANDS = dict(script.split("=") for script in get_config(path=ROOT).console_scripts.split())


def imported(tree: ast.AST) -> set[str]:
    """Dotted names that a piece of code imports, wherever in it: `from a.b import c` gives a.b and a.b.c."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


# ---- A folder imports only from folders above it ----

FOLDERS = sorted(p.name for p in NBS.iterdir() if re.match(r"\d\d_", p.name))  # 00_core, 01_features, ...
MODULE_NOTEBOOKS = [p for p in NOTEBOOKS if p.parent.name in FOLDERS]


def default_exp(nb) -> str | None:
    """The module that a notebook is exported to: features.store, or extract."""
    return next((m[1] for c in nb.cells if (m := re.search(r"^#\s*\|\s*default_exp\s+(\S+)", c.source, re.M))), None)


def python(cell) -> ast.Module:
    """The code of a cell, magics and shell lines included, parsed."""
    return ast.parse(TransformerManager().transform_cell(cell.source))


def imports_of(nb, home: dict, exported: bool = False) -> set[str]:
    """The keys (folder/stem) of the notebooks whose modules a notebook imports, itself apart."""
    cells = [c for c in nb.cells if c.cell_type == "code" and (not exported or re.match(r"#\s*\|\s*export", c.source))]
    names = set().union(*(imported(python(c)) for c in cells))
    return {home[n] for name in names if (n := name.removeprefix(f"{PACKAGE}.")) != name and n in home}


def order_violations(notebooks: dict) -> list[str]:
    """Imports, in exported and test cells, from a folder that does not come before; `notebooks` by "NN_folder/stem"."""
    home = {default_exp(nb): key for key, nb in notebooks.items()}
    found = []
    for key, nb in notebooks.items():
        # Its own module is allowed: worker processes can only be given functions from a module.
        for source in sorted(imports_of(nb, home) - {key}):
            if source.split("/")[0] > key.split("/")[0]:
                found.append(f"{key} imports {source}, whose folder comes after: move one of them")
    graph = {key: imports_of(nb, home, exported=True) - {key} for key, nb in notebooks.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        found.append("these import each other in a circle: " + " -> ".join(error.args[1]))
    return found


def read_modules() -> dict:
    return {f"{p.parent.name}/{p.stem}": read_nb(p) for p in MODULE_NOTEBOOKS}


def test_notebooks_lie_in_numbered_folders():
    # index, tutorials/, how_to/ and explanations/ make no module and may import all of them.
    made = {p for p in NOTEBOOKS if default_exp(read_nb(p))}
    assert made == set(MODULE_NOTEBOOKS)
    assert len(FOLDERS) == 20 and len(made) >= AT_LEAST_MODULES


def test_modules_lie_where_their_notebooks_do():
    for key, nb in read_modules().items():
        folder, stem = key.split("/")
        expected = stem if folder == FOLDERS[-1] else f"{folder[3:]}.{stem}"
        assert default_exp(nb) == expected, key


def test_import_order():
    assert order_violations(read_modules()) == []


@pytest.mark.parametrize(
    "line, allowed",
    [
        ("from layerwise_nb.early.first import f", True),
        ("import layerwise_nb.early.first", True),
        ("from layerwise_nb.middle.other import f", True),
        ("from layerwise_nb.late.last import f", False),
        ("from layerwise_nb.late import last", False),
        ("import layerwise_nb.late.last as late", False),
        ("from layerwise_nb import run", False),
        ("%time 1 + 1\ndef g():\n    from layerwise_nb.late.last import f", False),
        ("#| export\nfrom layerwise_nb.middle.circle import f", False),
    ],
)
def test_import_order_checker(line, allowed):
    made_up = {
        "01_early/first": "early.first", "02_middle/this": "middle.this", "02_middle/other": "middle.other",
        "02_middle/circle": "middle.circle", "10_late/last": "late.last", "19_commands/run": "run",
    }  # fmt: skip
    notebooks = {key: new_nb([mk_cell(f"#| default_exp {module}")]) for key, module in made_up.items()}
    notebooks["02_middle/this"].cells.append(mk_cell(line))
    notebooks["02_middle/circle"].cells.append(mk_cell("#| export\nfrom layerwise_nb.middle.this import g"))
    assert (order_violations(notebooks) == []) is allowed


# ---- The shape of a notebook ----


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_shape(path):
    cells = read_nb(path).cells
    assert len(cells) <= 60, f"{len(cells)} cells: split the notebook, 60 is the most"
    head = cells[0]
    assert head.cell_type == "markdown" and re.fullmatch(r"# [^\n]+\n\n> [^\n]+(\n\n.*)?", head.source, re.S), (
        "the first cell must be '# Title', an empty line, then a blockquote of one line (it becomes the docstring)"
    )


# What CONTRIBUTING.md says of exported cells. Lower these when you can; they are never raised.
MAX_LINES, AIM, MAX_OVER_AIM, MAX_MODULE_LINES = 110, 25, 160, 400
# Notebooks with more than two exported cells in a row without an example, and those that show no output: these only fall too.
MAX_LONG_ROWS, MAX_WITHOUT_OUTPUT = 0, 0


def exported_lengths() -> dict[str, int]:
    """The lines of every exported cell that is more than imports, by notebook and number."""
    found = {}
    for path in MODULE_NOTEBOOKS:
        for i, cell in enumerate(read_nb(path).cells):
            if cell.cell_type == "code" and re.match(r"#\s*\|\s*export", cell.source):
                if not all(isinstance(n, (ast.Import, ast.ImportFrom, ast.Try)) for n in python(cell).body):
                    found[f"{path.parent.name}/{path.stem}:{i}"] = len(cell.source.splitlines()) - 1
    return found


def test_length_of_exported_cells():
    lengths = exported_lengths()
    assert len(lengths) > 800
    assert {name: n for name, n in lengths.items() if n > MAX_LINES} == {}
    assert sum(n > AIM for n in lengths.values()) <= MAX_OVER_AIM, "split the cells that you added, or others"


def rhythm(cells) -> tuple[int, bool]:
    """The longest row of exported definitions without an example between them, and whether any cell shows an output."""
    row, longest, shows = 0, 0, False
    for cell in cells:
        if cell.cell_type != "code" or re.match(r"#\s*\|\s*default_exp", cell.source):
            continue
        exported, kinds = re.match(r"#\s*\|\s*export", cell.source), {type(node) for node in python(cell).body}
        if kinds <= {ast.Import, ast.ImportFrom} or (exported and not kinds & {ast.FunctionDef, ast.ClassDef}):
            continue  # imports, and what is only named
        row = row + 1 if exported else 0
        longest, shows = max(longest, row), shows or bool(cell.get("outputs"))
    return longest, shows


def test_rhythm_of_notebooks():
    found = {path: rhythm(read_nb(path).cells) for path in MODULE_NOTEBOOKS}
    assert len(found) >= AT_LEAST_MODULES
    assert sum(longest > 2 for longest, _ in found.values()) <= MAX_LONG_ROWS, "show an example between exported cells"
    assert sum(not shows for _, shows in found.values()) <= MAX_WITHOUT_OUTPUT, "show what the module makes"


def test_rhythm_checker():
    export, example = mk_cell("#| export\ndef f(): return 1"), mk_cell("f()")
    between = mk_cell("## Text", "markdown")
    assert rhythm([mk_cell("#| default_exp a"), mk_cell("import os"), export, between, export]) == (2, False)
    example.outputs = [{"output_type": "stream", "text": "1"}]
    assert rhythm([export, example, export, export, export]) == (3, True)


def prints(node: ast.AST) -> bool:
    """Whether code prints while a cell runs: not in a function that it defines, nor into a file."""
    if isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
        return False
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
        return not any(keyword.arg == "file" for keyword in node.keywords)
    return any(map(prints, ast.iter_child_nodes(node)))


def unshown(cells) -> list[int]:
    """Cells that print and show nothing: what they print is missing from the documentation."""
    hidden = re.compile(r"^#\s*\|\s*(hide|export|slow|gpu|eval: *false)", re.M)
    codes = [(i, cell) for i, cell in enumerate(cells) if cell.cell_type == "code" and not hidden.search(cell.source)]
    return [i for i, cell in codes if not cell.get("outputs") and prints(python(cell))]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_what_is_printed_is_shown(path):
    assert unshown(read_nb(path).cells) == [], "run these cells (counted from 0), or hide them"


def test_what_is_printed_is_shown_checker():
    bad = ["print(1)", "with a:\n    print(1)", "f(print(1))"]
    good = ["#| hide\nprint(1)", "def f():\n    print(1)", "print(1, file=a)", "a.print(1)"]
    cells = [mk_cell(source) for source in bad + good]
    assert unshown(cells) == [0, 1, 2]
    cells[0].outputs = [{"output_type": "stream", "text": "1"}]
    assert unshown(cells) == [1, 2]


def test_length_of_modules():
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in module_files().items()}
    assert {name: n for name, n in lengths.items() if n > MAX_MODULE_LINES} == {}


# Names of modules in strings, which no import order sees: only code that is made for the user or for another process, folders of
# static files, and the functions of a figure that was kept as data.
NAMED_IN_CODE = {
    "benchmarks.content", "core.files", "explorers.server", "figures.drawing", "figures.specification", "report.study_notebook",
}  # fmt: skip


def test_modules_are_not_named_in_strings():
    found = set()
    for name, path in module_files().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = [n for n in ast.walk(tree) if isinstance(n, (ast.Module, ast.ClassDef, ast.FunctionDef)) and n.body]
        docstrings = {id(n.body[0].value) for n in documented if isinstance(n.body[0], ast.Expr)}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and id(node) not in docstrings else None
            if isinstance(text, str) and re.search(rf"\b{PACKAGE}\.[a-z]", text):
                found.add(name)
    assert found - NAMED_IN_CODE == set()


def mixed_cells(cells) -> list[int]:
    """Cells that import and do something else: nbdev runs every cell with an import when it makes the documentation."""
    return [
        i
        for i, cell in enumerate(cells)
        if cell.cell_type == "code" and not re.search(r"^#\s*\|\s*(export|eval: *false)", cell.source, re.M)
        if imported(python(cell)) and any(isinstance(n, (ast.Expr, ast.Assign)) for n in ast.walk(python(cell)))
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_imports_have_their_own_cells(path):
    assert mixed_cells(read_nb(path).cells) == [], "move the imports of these cells (counted from 0) to one before"


def test_imports_have_their_own_cells_checker():
    bad = ["import os\nx = 1", "from os import path\npath.join('a')"]
    good = ["#| export\ndef f():\n    import os\n    return os.name", "import os\nimport sys", "x = 1"]
    assert mixed_cells([mk_cell(source) for source in bad + good]) == [0, 1]


# ---- What the package needs and offers ----


# Written by hand: the front door, the table of moved names, and the doors of the folders.
BY_HAND = {"__init__", "_modidx", "_moved"}


def module_files() -> dict[str, Path]:
    """Every file of the package that comes from a notebook, by its dotted name."""
    files = {p.relative_to(ROOT / PACKAGE).with_suffix("") for p in (ROOT / PACKAGE).rglob("*.py")}
    return {".".join(p.parts): ROOT / PACKAGE / p.with_suffix(".py") for p in sorted(files) if p.name not in BY_HAND}


def test_every_module_has_its_notebook():
    made = {default_exp(nb) for nb in read_modules().values()}
    assert set(module_files()) == made and len(made) >= AT_LEAST_MODULES


def test_requirements_are_declared():
    config = get_config(path=ROOT)
    extras = [value for key, value in config.d.items() if re.fullmatch("(?!dev)[a-z]+_requirements", key)]
    listed = " ".join([config.requirements, *extras])  # what an extra brings is imported where it is used, with a remedy
    declared = {Requirement(r).name.lower() for r in listed.split()}
    modules = [p for p in (ROOT / PACKAGE).rglob("*.py") if p.name != "_modidx.py"]
    assert len(modules) >= AT_LEAST_MODULES
    top = {name.split(".")[0] for p in modules for name in imported(ast.parse(p.read_text(encoding="utf-8")))}
    distributions = packages_distributions()
    missing = {
        name
        for name in top - sys.stdlib_module_names - {PACKAGE}
        if not declared & {d.lower() for d in distributions.get(name, [name])}
    }
    assert missing == set(), "imported by the package, missing from the requirements in settings.ini"


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    module, function = COMMANDS[command].split(":")
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    slow = set(re.findall(r"\| +(torch|torchaudio|transformers|scipy|matplotlib)$", run.stderr, re.M))
    assert slow == set(), "--help must answer at once: import these inside the functions that need them"
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    (definition,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function)
    arguments = [a.arg for a in definition.args.args + definition.args.kwonlyargs]
    assert [a for a in arguments if not re.search(rf"(--|\s){a}\b", run.stdout)] == [], run.stdout


# Flags that do not say the same in all commands that have them, and why.
OWN_WORDS = {
    "--against": "verify: another run of the same; else another model", "--alignments": "extract: cuts; else the old --labels",
    "--audio_dir": "what kinds of files are looked for", "--dataset_split": "align: of a dataset only",
    "--device": "bench: cpu; similarity: of the sums", "--dtype": "extract: by --store; export: its own files",
    "--force": "what is forced", "--formats": "to_wav: of recordings; else of figures", "--manifest": "align: with what is said",
    "--model": "bench: several, and random by default", "--num_files": "bench: the first ones", "--output": "a file, or a folder",
    "--output_dir": "what is put there", "--quick": "bench: a small model", "--seed": "extract: of weights; else of samples",
    "--shard": "extract: needs no merge", "--tier": "extract: of --alignments; else the old --label_tier",
}  # fmt: skip


def test_a_flag_means_the_same_in_all_commands():
    from fastcore.script import anno_parser

    said: dict[str, set] = {}
    for target in COMMANDS.values():
        module, function = target.split(":")
        for action in anno_parser(getattr(importlib.import_module(module), function).__wrapped__)._actions:
            text = re.sub(r" \(default: .*\)$", "", action.help or "")
            said.setdefault(action.option_strings[0] if action.option_strings else "", set()).add((text, repr(action.default)))
    assert len(said) > 80
    assert {flag for flag, words in said.items() if flag and len(words) > 1} == set(OWN_WORDS)


# ---- .vscode/launch.json ----


def launch_configurations() -> list[dict]:
    text = (ROOT / ".vscode/launch.json").read_text(encoding="utf-8")
    return json.loads(re.sub(r"^\s*//.*", "", text, flags=re.M))["configurations"]


def test_every_command_can_be_debugged():
    assert {c.split(":")[0] for c in COMMANDS.values()} <= {c.get("module") for c in launch_configurations()}


def test_no_debug_server_on_every_interface():
    for configuration in launch_configurations():
        text = json.dumps(configuration)
        assert "0.0.0.0" not in text and '"::"' not in text
        for address in (configuration[k] for k in ("connect", "listen") if k in configuration):
            assert address["host"] == "127.0.0.1"


# ---- Files ----


def test_readme_is_made_from_index(tmp_path):
    command = f"nbconvert --to markdown --output-dir {tmp_path} --output README nbs/index.ipynb"
    subprocess.run([sys.executable, "-m", *command.split()], cwd=ROOT, check=True, capture_output=True)
    made = (tmp_path / "README.md").read_text(encoding="utf-8").replace("](images/", "](nbs/images/")
    assert (ROOT / "README.md").read_text(encoding="utf-8") == made, "run the README command in CONTRIBUTING.md"


# Absolute paths of one machine, and hosts of package registries, which a reader may not have or want.
# (Not after a letter: that is a URL. Not after + or /: that is the Base64 of a picture.)
LEAK = re.compile(r"(?<![\w.+/])/(?:home|root|Users|work|tmp)/|pypi\.org|pythonhosted\.org|deb\.debian\.org|npmjs\.org")


def find_leak(line: str) -> re.Match | None:
    return LEAK.search(line.replace(r"\n", " "))  # as in the JSON of a notebook, where a line break is no letter


def test_no_leaks():
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    leaks = []
    for path in (ROOT / name for name in listed.split("\0") if name):
        data = path.read_bytes() if path.is_file() else b""  # deleted, but still listed
        lines = [] if b"\0" in data else data.decode().splitlines()  # a NUL byte: not text
        leaks += [f"{path.relative_to(ROOT)}:{i}: {m[0]}" for i, line in enumerate(lines, 1) if (m := find_leak(line))]
    assert leaks == []


@pytest.mark.parametrize(
    "text, leaks",
    [
        ("saved to /tmp" + "/x", True),
        ('"/home' + '/me"', True),
        (r"done\n/root" + "/y", True),
        ("https://pypi" + ".org/simple", True),
        ("https://a.org/work/", False),
        ("features/tmp/", False),
    ],
)
def test_leak_checker(text, leaks):
    assert bool(find_leak(text)) is leaks
