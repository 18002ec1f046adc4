"""The explorers in a real browser: opened behind a token, moved, heard, and without a request to any other machine."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
from playwright.sync_api import sync_playwright
from running import TIMEOUT_S, Command, extract, features_dir, free_port, noises, run

from layerwise_nb.benchmarks.explorers import BROWSER_OPTIONS, BROWSERS, find_browser
from layerwise_nb.explorers.views import Reader

needs_browser = pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no browser: apt-get install chromium")
PICTURE = "document.querySelectorAll('.js-plotly-plot')[1]"


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """`layerwise_explore` as a user starts it on a machine without a display: its address and its features."""
    folder = tmp_path_factory.mktemp("explore")
    audio = noises(folder / "audio", [1.0, 1.2, 1.1, 1.3, 1.0, 1.2])
    assert extract("--audio_dir", audio, "--save_dir", folder / "out", "--model", "random:tiny").status == 0
    features = features_dir(folder / "out")
    command = [sys.executable, "-m", "layerwise_nb.explore", features, "--port", str(free_port())]
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "BROWSER", "WAYLAND_DISPLAY")}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=env, start_new_session=True)
    said = [server.stdout.readline() for _ in range(4)]
    try:
        yield re.search(r"http://\S+", "".join(said))[0], features, "".join(said)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(TIMEOUT_S)


def wait_until_up(address: str) -> None:
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        try:
            urlopen(address, timeout=TIMEOUT_S)
        except HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"nothing answered at {address} for {TIMEOUT_S} s")


def test_refused_without_the_token(app):
    address, _, said = app
    assert "ssh -L" in said, "no display: the tunnel is printed"
    bare = address.split("?")[0]
    wait_until_up(bare)
    for url in (bare, f"{bare}?token=wrong"):
        with pytest.raises(HTTPError) as refused:
            urlopen(url, timeout=TIMEOUT_S)
        assert refused.value.code == 403


@needs_browser
def test_explorers(app):
    address, features, _ = app
    wait_until_up(address.split("?")[0])
    elsewhere, errors, reader = [], [], Reader(features)

    def local_only(route):
        if route.request.url.startswith(("http://127.0.0.1", "data:", "blob:")):
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    with sync_playwright() as p:
        args = [*BROWSER_OPTIONS, "--autoplay-policy=no-user-gesture-required"]
        browser = p.chromium.launch(executable_path=find_browser(), args=args)
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.route("**/*", local_only)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.set_default_timeout(1000 * TIMEOUT_S)
        page.wait_for_function(f"{PICTURE}?.data?.[1]?.x?.length > 3")
        handle = page.locator(".widget-slider .noUi-handle").first
        handle.click()
        handle.press("ArrowLeft")  # at once: nothing is lost while the page still loads
        layer = reader.layers[-2]
        page.wait_for_function(f"{PICTURE}.layout.title.text.startsWith({layer!r})")
        x = page.evaluate(f"Array.from({PICTURE}.data[1].x)")
        np.testing.assert_allclose(x, reader.view(reader.corpus.names[0], layer).points[:, 0], rtol=1e-4, atol=1e-6)
        page.evaluate("document.querySelector('audio').play()")
        page.wait_for_function(f"document.querySelector('audio').currentTime > 0.3 && {PICTURE}.layout.shapes[0].x0 > 0.2")
        damaged = Path(features, f"{reader.corpus.names[1]}.npz")
        damaged.write_bytes(damaged.read_bytes()[:2000])
        page.locator("select").first.select_option(index=1)
        page.wait_for_selector("[role=alert]:has-text('--resume')")
        browser.close()
    assert elsewhere == [] and errors == []


@needs_browser
def test_through_the_proxy_of_a_hub(app, tmp_path):
    """A Jupyter server below /user/ann/ with jupyter-server-proxy; `layerwise_explore` in a terminal of that server."""
    hub = f"http://127.0.0.1:{free_port()}"
    start = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--ip=127.0.0.1",
             f"--port={hub.rpartition(':')[2]}", "--ServerApp.base_url=/user/ann/", f"--ServerApp.root_dir={tmp_path}",
             "--IdentityProvider.token=of-the-hub", "--log-level=ERROR"]  # fmt: skip
    there = {"JUPYTERHUB_SERVICE_PREFIX": "/user/ann/", "JUPYTERHUB_PUBLIC_URL": f"{hub}/user/ann/"}
    hub_server = subprocess.Popen(start, start_new_session=True)
    explore = Command("explore", app[1], "--port", free_port(), prepare=without_display, **there)
    try:
        said = explore.wait_to_say("Ctrl-C ends the explorers", "out")
        assert "LayerExplorer(" in said and "ssh" not in said
        address, port = re.search(r"http://\S+", said)[0], re.search(r"/proxy/(\d+)/", said)[1]
        wait_until_up(f"http://127.0.0.1:{port}/")
        wait_until_up(f"{hub}/user/ann/api/contents")
        with sync_playwright() as p:
            browser = p.chromium.launch(executable_path=find_browser(), args=BROWSER_OPTIONS)
            page = browser.new_page(viewport={"width": 1366, "height": 768})
            page.set_default_timeout(1000 * TIMEOUT_S)
            page.goto(f"{hub}/user/ann/api/me?token=of-the-hub")
            page.goto(address)
            page.wait_for_function(f"{PICTURE}?.data?.[1]?.x?.length > 3")
            page.goto(f"{hub}/user/ann/api/contents")
            assert '"type"' in page.content(), "the hub still knows its user"
            browser.close()
    finally:
        explore.kill(signal.SIGTERM)
        os.killpg(hub_server.pid, signal.SIGTERM)
        assert explore.wait().status == 143
        hub_server.wait(TIMEOUT_S)


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_a_folder_without_features_is_said(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("explore", folder)
    assert result.status == 2 and "expected" in result.err


def without_display() -> None:
    """What to do before a command so that it finds a machine without a display, and its own folder for temporary files."""
    for name in ("DISPLAY", "BROWSER", "WAYLAND_DISPLAY"):
        os.environ.pop(name, None)
    tempfile.tempdir = None  # it is looked for again


def test_no_server_and_no_token_outlive_the_command(app, tmp_path):
    explore = Command("explore", app[1], "--port", free_port(), prepare=without_display, TMPDIR=str(tmp_path))
    address = re.search(r"http://[^?]+", explore.wait_to_say("Ctrl-C ends the explorers", "out"))[0]
    wait_until_up(address)
    assert list(tmp_path.glob("layerwise_explore_*/config"))
    explore.kill(signal.SIGTERM)
    assert explore.wait().status == 143
    assert list(tmp_path.glob("layerwise_explore_*")) == []
    with pytest.raises(OSError, match="refused"):
        urlopen(address, timeout=TIMEOUT_S)
