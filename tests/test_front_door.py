"""The names to start with, and the names of release 0.1, which go on."""

import ast
import re
import subprocess
import sys
from importlib import import_module

import pytest
from test_project import PACKAGE, ROOT, module_files

import layerwise_nb as lw
from layerwise_nb import _moved

OLD_NAMES = (ROOT / "tests/names_0_1.txt").read_text(encoding="utf-8").split()


@pytest.mark.parametrize("name", lw.__all__)
def test_a_name_of_the_front_door(name):
    module, _, renamed = lw._HOME[name].partition(":")
    assert getattr(lw, name) is getattr(import_module(f"{PACKAGE}.{module}"), renamed or name)
    assert name in dir(lw)


def test_front_door_serves_type_checkers():
    tree = ast.parse((ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    seen = {a.asname: f"{n.module}:{a.name}" for n in block.body for a in n.names}
    assert seen == {name: home if ":" in home else f"{home}:{name}" for name, home in lw._HOME.items()}


def test_no_name_is_a_module_too():
    tops = {name.split(".")[0] for name in module_files()}
    assert tops & set(lw.__all__) == set()
    assert 15 < len(lw.__all__) < 40


def test_a_wrong_name_says_what_there_is():
    with pytest.raises(AttributeError, match="no attribute 'liner_cka'; it has .*linear_cka"):
        lw.liner_cka  # noqa: B018


def test_a_measure_needs_no_sound_library():
    code = f"import sys; from {PACKAGE}.similarity import linear_cka; print('soundfile' in sys.modules, 'torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


# ---- Release 0.1 ----


def test_old_names_are_those_of_the_release():
    assert len(OLD_NAMES) == 458 and "store:FeatureStore" in OLD_NAMES and "similarity:linear_cka" in OLD_NAMES


@pytest.mark.parametrize("module", sorted({name.split(":")[0] for name in OLD_NAMES}))
def test_old_names_go_on(module):
    found = import_module(f"{PACKAGE}.{module}")
    names = [name.split(":")[1] for name in OLD_NAMES if name.startswith(f"{module}:") and name not in _moved.GONE]
    assert [name for name in names if not hasattr(found, name)] == []


@pytest.mark.parametrize("name", _moved.GONE)
def test_what_is_gone_says_what_serves_instead(name):
    module, old = name.split(":")
    with pytest.raises(AttributeError, match=re.escape(_moved.GONE[name])):
        getattr(import_module(f"{PACKAGE}.{module}"), old)


def test_a_module_that_never_was_is_missing():
    with pytest.raises(ModuleNotFoundError, match="layerwise_nb.nothing"):
        import_module(f"{PACKAGE}.nothing")
    with pytest.raises(AttributeError, match="has no attribute 'nothing': its contents are now in layerwise_nb.features"):
        import_module(f"{PACKAGE}.store").nothing  # noqa: B018


def test_an_old_command_still_runs():
    command = [sys.executable, "-m", f"{PACKAGE}.similarity_analysis", "--help"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0 and "--features_dir" in run.stdout, run.stderr
