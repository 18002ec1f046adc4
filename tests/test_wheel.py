"""What a user installs: the wheel has everything in it, outside of the clone."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from test_project import AT_LEAST_MODULES, PACKAGE, ROOT

USE = """
import numpy as np, tempfile
from pathlib import Path
import layerwise_nb as lw
from layerwise_nb.figures.render import activity_animation
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
def wheel(tmp_path_factory) -> Path:
    """Built from a copy of what git tracks, so that nothing else of the clone can get into it."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("nbs/", "tests/")):
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, folder / "source"]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_all_files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith(f"{PACKAGE}/")}
    listed = subprocess.run(["git", "ls-files", PACKAGE], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert names == set(listed.split()) and len(names) > AT_LEAST_MODULES
    assert any(re.search(r"static/.*\.js$", name) for name in names)


def test_it_works_outside_the_clone(wheel, tmp_path):
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site, wheel]
    subprocess.run(install, check=True, capture_output=True)
    env = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", USE], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    place, *_, explorer = run.stdout.splitlines()
    assert Path(place).is_relative_to(site) and explorer == "LayerExplorer", run.stdout
