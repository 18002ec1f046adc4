"""The documentation: it builds, its commands exist, and in a browser every page works without the network."""

import ast
import os
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse
from urllib.request import urlopen

import pytest
from execnb.nbio import read_nb
from fastcore.script import anno_parser
from filelock import FileLock
from playwright.sync_api import sync_playwright
from test_project import AT_LEAST_MODULES, COMMANDS, PACKAGE, ROOT, module_files

from layerwise_nb.benchmarks.explorers import BROWSER_OPTIONS, BROWSERS

NBS = ROOT / "nbs"
PAGES = sorted(p for folder in ("how_to", "explanations", "tutorials") for p in (NBS / folder).glob("*.md"))
NOTEBOOK_PAGES = [NBS / "index.ipynb", *sorted(NBS.glob("[a-z]*/*.ipynb"))]
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
OFFLINE = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]  # quicker than to decide each request here
LAPTOP, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The site as `python docs/build.py` makes it, once for all pytest workers; any warning is an error."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    folder, log = shared / "site", shared / "site.log"
    with FileLock(shared / "site.lock"):
        if not log.exists():
            command = [sys.executable, "docs/build.py", folder]
            run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
            log.write_text(f"{run.returncode}\n{run.stdout}{run.stderr}", encoding="utf-8")
    status, text = log.read_text(encoding="utf-8").split("\n", 1)
    if status != "0":
        pytest.fail(text, pytrace=False)
    return folder


def test_only_a_site_is_replaced(tmp_path):
    (tmp_path / "thesis.tex").touch()
    run = subprocess.run([sys.executable, "docs/build.py", tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, [p.name for p in tmp_path.iterdir()]) == (2, ["thesis.tex"])
    assert "holds other files: choose another" in run.stderr


# ---- What the pages say ----


# layerwise_extract ..., or -m layerwise_nb.extract ..., up to the end of the line or of the inline code.
CALL = re.compile(rf"(?<![\w.])(?:layerwise_(?!nb\b)|-m {PACKAGE}\.)(\w+)([^\n`#]*)")


def known_flags(command: str) -> set[str]:
    module, name = COMMANDS[command].split(":")
    function = getattr(import_module(module), name)
    return set(anno_parser(getattr(function, "__wrapped__", function), command)._option_string_actions)


def wrong_calls(text: str) -> list[str]:
    """Commands and flags that do not exist."""
    wrong = []
    for name, rest in CALL.findall(text.replace("\\\n", " ")):
        command = f"layerwise_{name}"
        if command not in COMMANDS:
            wrong.append(command)
        else:
            wrong += [f"{command} {flag}" for flag in re.findall(r"--\w+", rest) if flag not in known_flags(command)]
    return wrong


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOK_PAGES], ids=lambda p: str(p.relative_to(NBS)))
def test_commands_exist(path):
    if path.suffix == ".md":
        text = path.read_text(encoding="utf-8")
    else:
        text = "\n\n".join(cell.source for cell in read_nb(path).cells if cell.cell_type == "markdown")
    assert wrong_calls(text) == [], "named here, but there is no such command or flag"


def test_commands_exist_checker():
    text = "`layerwise_extract --audio A` `layerwise_nothing DIR` `layerwise_status features` `layerwise_nb.features.store`\n"
    text += "```bash\naccelerate launch -m layerwise_nb.extract \\\n    --save_dir S --savedir S  # --x\n```\n"
    assert sorted(wrong_calls(text)) == [
        "layerwise_extract --audio",
        "layerwise_extract --savedir",
        "layerwise_nothing",
    ]


def test_diagram_names_modules():
    text = (NBS / "explanations/architecture.md").read_text(encoding="utf-8")
    named = {name for names in re.findall(r"<i>(.+?)</i>", text) for name in names.split(", ")}
    files = module_files()
    assert named and named - set(files) - {name.split(".")[0] for name in files} == set()


def defined_in(tree: ast.Module) -> set[str]:
    """The names that a module makes itself, by a definition or an assignment."""
    statements = [node for node in tree.body if not hasattr(node, "name")]
    stored = [n for s in statements for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return {n.id for n in stored} | {n.name for n in tree.body if hasattr(n, "name")}


def test_everything_exported_is_documented(site):
    """On the page of its module; a name that is given on, on the page of the module that makes it."""
    files = module_files()
    assert len(files) >= AT_LEAST_MODULES
    pages = {name: (site / name.replace(".", "/")).with_suffix(".html").read_text(encoding="utf-8") for name in files}
    own = {name: set(re.findall(rf'id="{PACKAGE}\.{name}\.([\w.]+)"', page)) for name, page in pages.items()}
    everywhere = set().union(*own.values())
    for name, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        (exported,) = [ast.literal_eval(n.value) for n in tree.body if ast.unparse(n).startswith("__all__ =")]
        made = defined_in(tree)
        assert [each for each in exported if each not in (own[name] if each in made else everywhere)] == [], name


# ---- The batch script ----

SLURM, ANALYZE = NBS / "how_to/extract.slurm", NBS / "how_to/analyze.slurm"


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck: apt-get install shellcheck")
def test_slurm_script_is_sound():
    subprocess.run(["shellcheck", SLURM, ANALYZE], check=True)


@pytest.mark.parametrize(
    "job, expected",
    [
        ({}, "--features_dir f"),
        ({"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "8"}, "--features_dir f --shard 2/8"),
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "1", "SHARDS": "8"}, "--features_dir f --shard 3/8"),
    ],
)
def test_slurm_array_of_an_analysis(tmp_path, job, expected):
    """With SLURM's command and ours replaced: a task does its shard, a job without an array does all."""
    for name, text in {"srun": 'shift; "$@"', "layerwise_similarity": 'echo "$@"'}.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"} | job
    run = subprocess.run(["bash", ANALYZE, "similarity", "--features_dir", "f"], env=env, capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip()) == (0, expected), run.stderr


def test_slurm_script_runs_on_two_nodes(tmp_path):
    """With SLURM's commands replaced: srun starts both nodes at once, here on one machine without GPUs."""
    stubs = {
        "scontrol": 'echo "127.0.0.1"',
        "srun": """shift
            for n in 0 1; do SLURM_NODEID=$n "$@" & jobs+=($!); done
            for job in "${jobs[@]}"; do wait "$job" || exit; done""",
    }
    for name, text in stubs.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    env = os.environ | {
        "PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "1",
        "SLURM_JOB_ID": str(os.getpid()), "ACCELERATE_USE_CPU": "true", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    flags = [
        "--audio_dir",
        "synthetic",
        "--model",
        "random:tiny",
        "--save_dir",
        tmp_path / "features",
        "--num_files",
        "4",
    ]
    run = subprocess.run(["bash", SLURM, *flags], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert "done         4 of 4 utterances" in run.stdout + run.stderr
    assert len(list((tmp_path / "features").rglob("*.npz"))) == 4


# ---- In a browser ----


@pytest.fixture
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*BROWSER_OPTIONS, *OFFLINE])
        yield browser
        browser.close()


def serve(folder: Path):
    """The address of a server of these files, on this machine only."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}/"


@pytest.fixture
def address(site):
    server, url = serve(site)
    yield url
    server.shutdown()


class Visitor:
    """A browser tab that writes down what goes wrong in it, and lets no request leave this machine."""

    def __init__(self, browser, base: str, color_scheme: str = "light"):
        self.base, self.problems = base, []
        self.tab = browser.new_context(viewport=LAPTOP, color_scheme=color_scheme).new_page()
        self.tab.on("console", lambda m: m.type == "error" and self.found(f"console: {m.text}"))
        self.tab.on("pageerror", lambda error: self.found(f"script: {error}"))
        self.tab.on("response", lambda r: r.status >= 400 and self.found(f"status {r.status}: {r.url}"))
        self.tab.on("request", self.requested)

    def found(self, problem: str):
        self.problems.append(f"{self.tab.url.removeprefix(self.base)}: {problem}")

    def requested(self, request):
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.found(f"request to {request.url}")

    def open(self, page: str):
        self.tab.goto(self.base + page)
        if self.tab.locator(".math").count():
            self.tab.wait_for_function(
                "[...document.querySelectorAll('.math')].every(e => e.querySelector('mjx-math'))"
            )
        if self.tab.locator(".plotly-figure").count():
            self.tab.wait_for_function(
                "[...document.querySelectorAll('.plotly-figure')].every(e => e.querySelector('.main-svg'))"
            )

    def look(self) -> tuple[set[str], list[str]]:
        """Write down what is wrong to see; the page's anchors and links."""
        for kind, selector in {"equation": "mjx-merror", "directive": ".problematic, .system-message"}.items():
            if count := self.tab.locator(selector).count():
                self.found(f"{count} x a bad {kind}")
        for size in (LAPTOP, PHONE):
            self.tab.set_viewport_size(size)
            wide = self.tab.evaluate("document.documentElement.scrollWidth")
            if wide > size["width"]:
                self.found(f"{wide} pixels wide on a screen of {size['width']}")
        self.tab.set_viewport_size(LAPTOP)
        anchors = self.tab.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        return set(anchors), self.tab.evaluate("[...document.querySelectorAll('a[href]')].map(e => e.href)")


def walk(browser, base: str, pages: list[str]) -> list[str]:
    """What is wrong with these pages and the links between them."""
    visitor, anchors, links = Visitor(browser, base), {}, {}
    for page in pages:
        visitor.open(page)
        anchors[page], links[page] = visitor.look()
    for page, targets in links.items():
        for target in sorted({t for t in targets if t.startswith(base)}):
            path, anchor = urldefrag(target.removeprefix(base))
            path = urlparse(path).path or "index.html"
            if path.startswith("_images/") and urlopen(base + path).status == 200:
                continue  # a picture at its full size
            if path not in anchors or (anchor and unquote(anchor) not in anchors[path]):
                visitor.problems.append(f"{page}: broken link to {path}#{anchor}")
    return visitor.problems


def test_every_page_works(site, address, browser):
    pages = sorted(str(p.relative_to(site)) for p in site.rglob("*.html") if "_static" not in p.parts)
    assert len(pages) > AT_LEAST_MODULES
    assert walk(browser, address, pages) == []


def test_walk_finds_faults(tmp_path, browser):
    (tmp_path / "index.html").write_text(
        "<link rel=icon href='data:,'><a href='gone.html'>a</a><a href='#gone'>a</a><a href='#here' id=here>a</a>"
        "<img src='https://example.org/x.png'><div style='width:500px'>wide</div><script>console.error('bad')</script>"
    )
    server, url = serve(tmp_path)
    problems = walk(browser, url, ["index.html"])
    server.shutdown()
    expected = [
        "console: bad",
        "request to https://example.org",
        "a screen of 390",
        "link to gone.html",
        "link to index.html#gone",
    ]
    for words in expected:
        assert any(words in problem for problem in problems), (words, problems)
    assert not any("#here" in problem for problem in problems)


def search(visitor: Visitor, words: str) -> list[str]:
    visitor.open(f"search.html?q={words}")
    visitor.tab.wait_for_selector("#search-results .search li a")
    return visitor.tab.evaluate("[...document.querySelectorAll('#search-results .search li > a')].map(e => e.href)")


def test_search_finds_a_function(address, browser):
    visitor = Visitor(browser, address)
    assert search(visitor, "linear_cka")[0] == f"{address}measures/linear.html#{PACKAGE}.measures.linear.linear_cka"
    assert f"{address}how_to/slurm.html" in [urldefrag(url)[0] for url in search(visitor, "slurm")]
    assert visitor.problems == []


def test_figure_answers_to_a_drag(site, address, browser):
    pages = (p for p in sorted(site.rglob("*.html")) if 'class="plotly-figure"' in p.read_text(encoding="utf-8"))
    page = str(next(pages).relative_to(site))
    visitor = Visitor(browser, address)
    visitor.open(page)
    figure = visitor.tab.locator(".plotly-figure").first
    figure.scroll_into_view_if_needed()
    before = figure.evaluate("e => e.layout.xaxis.range")
    box = figure.locator(".nsewdrag").first.bounding_box()
    visitor.tab.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    visitor.tab.mouse.down()
    visitor.tab.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.7, steps=5)
    visitor.tab.mouse.up()
    visitor.tab.wait_for_timeout(500)
    after = figure.evaluate("e => e.layout.xaxis.range")
    assert abs(after[1] - after[0]) < 0.6 * abs(before[1] - before[0]), "the drag should have zoomed in"
    assert visitor.problems == []


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_site_opens_from_the_disk(site, browser, color_scheme):
    visitor = Visitor(browser, f"{site.as_uri()}/", color_scheme)
    for page in ("index.html", "measures/matrix.html", "figures/heatmap.html", "how_to/disk.html"):
        visitor.open(page)
        visitor.look()
    assert search(visitor, "linear_cka")[0].endswith(f"measures/linear.html#{PACKAGE}.measures.linear.linear_cka")
    assert visitor.problems == []
    background = visitor.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 380) is (color_scheme == "light")
