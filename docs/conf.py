"""Sphinx' settings for the pages that build.py writes."""

import sys
from pathlib import Path

import plotly
from sphinx import addnodes

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from build import CONFIG, source_url  # noqa: E402

project, author, release = CONFIG.lib_name, CONFIG.author, CONFIG.version
copyright = CONFIG.copyright
html_title = CONFIG.lib_name
html_baseurl = f"{CONFIG.doc_host}{CONFIG.doc_baseurl}/"

extensions = ["myst_nb", "sphinx-mathjax-offline", "sphinx.ext.mathjax", "sphinx.ext.linkcode"]
myst_enable_extensions = ["amsmath", "attrs_block", "dollarmath", "fieldlist"]
myst_heading_anchors = 4
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # by default a CDN
suppress_warnings = ["myst.header"]  # a page may go from ## to ####
add_module_names = False
maximum_signature_line_length = 80
python_use_unqualified_type_names = True

html_theme = "furo"
html_static_path = [str(HERE / "static"), str(Path(plotly.__file__).parent / "package_data" / "plotly.min.js")]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_favicon = str(HERE / "static" / "icon.svg")
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"source_repository": CONFIG.git_url, "top_of_page_buttons": []}


def linkcode_resolve(domain, info):
    return source_url(info["module"], info["fullname"])


def keep_titles(app, env):
    """What the navigation shows of a page without pages below it."""
    app.titles = dict(env.tocs)
    for page, contents in env.tocs.items():
        if not any(contents.findall(addnodes.toctree)):
            app.titles[page] = titles = contents.deepcopy()
            for title in titles:
                del title[1:]


def navigate_by_titles(app, page, template, context, doctree):
    """To copy the whole contents of all pages into the navigation of each would take as long as all else."""
    whole, navigation = app.env.tocs, context["toctree"]

    def toctree(**options):
        app.env.tocs = app.titles
        try:
            return navigation(**options)
        finally:
            app.env.tocs = whole

    context["toctree"] = toctree


def setup(app):
    app.connect("env-updated", keep_titles)
    app.connect("html-page-context", navigate_by_titles, priority=400)  # before the theme's
