"""What a user installs: the wheel has everything in it, outside of the clone."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml
from nbdev.config import get_config
from packaging.requirements import Requirement
from test_project import AT_LEAST_MODULES, PACKAGE, ROOT

USE = """
import numpy as np, tempfile
from pathlib import Path
import layerwise_nb as lw
from layerwise_nb.animations.render import activity_animation
from layerwise_nb.audio.synthetic import made_up_features

print(lw.__file__)
rng = np.random.default_rng(0)
page = Path("animation.html")
times_s, sound = np.arange(50) / 50 + 0.01, 0.1 * rng.standard_normal(16000)
activity_animation(sound, 16000, times_s, rng.random((50, 3)), list("abc")).save(page)
text = page.read_text(encoding="utf-8")
assert "<script" in text and "<style" in text and "<audio" in text, text[:500]
with tempfile.TemporaryDirectory() as folder:
    done = lw.extract_features("synthetic", folder, model="random:tiny", num_files=1, device="cpu")
    explorer = lw.LayerExplorer(done["features_dir"])
    print(type(explorer).__name__)
    explorer.close()
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> dict[str, Path]:
    """The sdist, built from a copy of what git tracks so that nothing else gets into it, and the wheel, built from the sdist."""
    folder = tmp_path_factory.mktemp("packages")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("nbs/", "tests/")):
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, folder / "source"]
    subprocess.run(command, check=True, capture_output=True)
    return {"wheel": next(folder.glob("*.whl")), "sdist": next(folder.glob("*.tar.gz"))}


@pytest.fixture(scope="module")
def wheel(packages) -> Path:
    return packages["wheel"]


def test_the_wheel_holds_all_files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith(f"{PACKAGE}/")}
    listed = subprocess.run(["git", "ls-files", PACKAGE], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert names == set(listed.split()) and len(names) > AT_LEAST_MODULES
    assert any(re.search(r"static/.*\.js$", name) for name in names)


def install(package: Path, site: Path) -> None:
    """Into an empty folder, of the package alone; CI installs it with all it needs."""
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation", "--target", site]
    subprocess.run([*pip, package], check=True, capture_output=True)


def test_a_registry_would_take_them(packages):
    run = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *packages.values()], capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.count("PASSED") == 2, run.stdout + run.stderr


def test_the_sdist_installs_what_the_wheel_does(packages, tmp_path):
    files = {}
    for kind, package in packages.items():
        install(package, tmp_path / kind)
        listed = (p.relative_to(tmp_path / kind) for p in (tmp_path / kind).rglob("*") if p.is_file())
        files[kind] = {p.as_posix() for p in listed if p.suffix != ".pyc" and p.name not in ("direct_url.json", "RECORD")}
    assert files["wheel"] == files["sdist"] and f"{PACKAGE}/export.py" in files["wheel"]
    for command, target in (script.split("=") for script in get_config(path=ROOT).console_scripts.split()):
        text = (tmp_path / "sdist/bin" / command).read_text(encoding="utf-8")
        assert "from {} import {}".format(*target.split(":")) in text


def test_extras(wheel):
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
    metadata = Parser().parsestr(text)
    assert set(metadata.get_all("Provides-Extra")) == {"align", "datasets", "dev", "export", "hub"}
    needed = {extra: set() for extra in [None, *metadata.get_all("Provides-Extra")]}
    for line in metadata.get_all("Requires-Dist"):
        one = Requirement(line)
        needed[next((e for e in needed if e and one.marker and one.marker.evaluate({"extra": e})), None)].add(one.name)
    assert {"jupyterlab", "ipywidgets", "plotly"} <= needed[None]  # the plain install opens the explorers
    assert needed["export"] >= {"pyarrow", "zarr"} and not needed["export"] & needed[None]


def test_it_works_outside_the_clone(wheel, tmp_path):
    site = tmp_path / "site"
    install(wheel, site)
    env = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", USE], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    place, *_, explorer = run.stdout.splitlines()
    assert Path(place).is_relative_to(site) and explorer == "LayerExplorer", run.stdout


# ---- The conda recipe ----

# What is called otherwise on conda-forge.
CONDA_NAMES = {"torch": "pytorch", "soundfile": "pysoundfile", "isal": "python-isal", "matplotlib": "matplotlib-base"}


def conda(requirement: str) -> str:
    one = Requirement(requirement)
    limits = ",".join(sorted(map(str, one.specifier), reverse=True))
    return f"{CONDA_NAMES.get(one.name, one.name)} {limits}"


def test_the_conda_recipe_agrees_with_the_settings():
    recipe = yaml.safe_load((ROOT / ".github/conda/meta.yaml").read_text(encoding="utf-8"))
    settings = get_config(path=ROOT)
    assert recipe["package"] == {"name": PACKAGE, "version": settings.version}
    python = f"python >={settings.min_python}"
    assert recipe["requirements"]["run"] == [python, *map(conda, settings.requirements.split())]
    assert recipe["requirements"]["host"][0] == python
    scripts = [script.replace("=", " = ") for script in settings.console_scripts.split()]
    assert recipe["build"]["entry_points"] == scripts
    assert recipe["test"]["commands"] == [f"{script.split()[0]} --help" for script in scripts]
