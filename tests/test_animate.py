"""An animation's page in a real browser: play moves the cursor, the slider seeks, sound and pictures are in step, nothing is
asked of the network."""

import re
import shutil
from time import monotonic, sleep

import numpy as np
import pytest
from running import TIMEOUT_S

from layerwise_nb.animations.render import activity_animation, matrix_animation, trajectory_animation

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync --autoplay-policy=no-user-gesture-required"

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome: apt-get install -y chromium")

READING = "Multiple readback operations"  # a hint about speed that these tests cause, when they read pixels

RATE, WINDOWS, NAMES = 16_000, 30, ["conv_6", "transformer_input", "transformer_layer_0"]
TIMES = (np.arange(WINDOWS) + 0.5) / 10  # three seconds
rng = np.random.default_rng(0)
MATRICES = rng.uniform(0, 1, (WINDOWS, 3, 3))
MATRICES[:, 0, 1] = MATRICES[:, 1, 0] = np.linspace(0, 1, WINDOWS)  # so the color of a cell says which frame is shown
MATRICES[3, 2, 0] = np.nan
SOUND = {
    "waveform": 0.3 * np.sin(2 * np.pi * 220 * np.arange(3 * RATE) / RATE),
    "sample_rate": RATE,
    "times_s": TIMES,
    "labels": [(0.5, 1.0, "AA"), (1.0, 2.5, "<S>")],
    "context": "random:tiny (weights: random, seed 0) · a test",
}
ANIMATIONS = {
    "matrix": matrix_animation(matrices=MATRICES, names=NAMES, window_s=0.4, **SOUND),
    "trajectory": trajectory_animation(frames={name: rng.standard_normal((WINDOWS, 5)) for name in NAMES}, **SOUND),
    "activity": activity_animation(activity=rng.uniform(size=(WINDOWS, 3)), names=NAMES, **SOUND),
}


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS.split())
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, tmp_path):
    """Opens an animation's page; fails at the end if anything went to the console or to the network."""
    problems, contexts = [], []

    def abort(route):
        problems.append(f"asked for {route.request.url}")
        route.abort()

    def open_it(animation, **options):
        context = browser.new_context(**{"viewport": {"width": 1366, "height": 768}, **options})
        contexts.append(context)
        context.route(lambda url: not url.startswith(("file:", "data:", "about:")), abort)
        page = context.new_page()
        page.on("console", lambda message: READING in message.text or problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(animation.save(tmp_path / f"{animation.view}.html").as_uri())
        wait(page, "audio.readyState === 4 && shown >= 0")
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert problems == []


def wait(page, condition: str) -> None:
    """Until something is so; Playwright's own waiting uses eval, which the page forbids."""
    end = monotonic() + TIMEOUT_S
    while not page.evaluate(condition):
        assert monotonic() < end, f"it never came to be: {condition}"
        sleep(0.02)


def time(page) -> float:
    return page.evaluate("audio.currentTime")


def cursor_s(page) -> float:
    """Where the cursor is drawn, in seconds: the middle of its black pixels in the row through the heat map."""
    x = page.evaluate(
        """() => {
      const canvas = $("cursor"), ratio = canvas.width / box.width, y = Math.round((box.rows[0] + 5) * ratio);
      const row = canvas.getContext("2d").getImageData(0, y, canvas.width, 1).data, black = [];
      for (let k = 0; k < canvas.width; k++) if (row[4 * k + 3] > 200 && row[4 * k] < 100) black.push((k + 0.5) / ratio);
      return black.reduce((a, b) => a + b) / black.length;
    }"""
    )
    return page.evaluate("x => timeOf(x)", x)


def pixel(page, canvas: str, x: float, y: float) -> list[int]:
    """Red, green and blue of a canvas, at CSS pixels."""
    return page.evaluate(
        """([id, x, y]) => {
      const canvas = $(id), ratio = canvas.width / canvas.clientWidth;
      return [...canvas.getContext("2d").getImageData(x * ratio, y * ratio, 1, 1).data].slice(0, 3);
    }""",
        [canvas, x, y],
    )


def cell(page, row: int, column: int) -> list[int]:
    """The color of a cell of the similarity matrix."""
    left, top, step = page.evaluate("[now.left, now.top, now.step]")
    return pixel(page, "view", left + (column + 0.5) * step, top + (row + 0.5) * step)


def expected_color(value: float) -> list[int]:
    import matplotlib as mpl

    return (255 * np.array(mpl.colormaps["viridis"](int(min(255, 256 * value)))[:3])).round().astype(int).tolist()


@pytest.mark.parametrize("view", ANIMATIONS)
def test_play_moves_the_cursor(open_page, view):
    page = open_page(ANIMATIONS[view])
    assert page.evaluate("audio.duration") == pytest.approx(3.0, abs=0.001)
    assert page.title() == ANIMATIONS[view].title and ANIMATIONS[view].context in page.inner_text("header")
    page.click("#play")
    wait(page, "audio.currentTime > 0.6")
    assert page.inner_text("#play") == "Pause"
    # one moment: sound, cursor, clock and the picture shown
    playing, slider, clock, frame, expected = page.evaluate(
        """() => { drawMoving(); const t = audio.currentTime;
          return [t, +$("slider").value, parseFloat($("clock").textContent), shown, frameAt(t)]; }"""
    )
    assert slider == pytest.approx(playing, abs=0.04) and clock == pytest.approx(playing, abs=0.04)
    assert abs(frame - expected) <= 1
    page.click("#play")
    wait(page, "audio.paused && $('play').textContent === 'Play'")  # the button hears of it a moment later
    assert cursor_s(page) == pytest.approx(time(page), abs=0.02)
    assert page.inner_text("#label") in ("AA", "<S>")


def test_playing_keeps_time(open_page):
    page = open_page(ANIMATIONS["matrix"])
    for _ in range(5):  # where the machine has no time for the page, once more
        pairs = page.evaluate(
            """async () => {
          const pairs = []; seek(0); await audio.play();
          while (audio.currentTime < 1.2) { await new Promise(requestAnimationFrame); pairs.push([audio.currentTime, shown]); }
          audio.pause(); return pairs;
        }"""
        )
        late = [abs(ANIMATIONS["matrix"].frame_at(at) - shown) for at, shown in pairs]
        # it moves, it does not jump; a screen refresh late, at the border of two frames
        if len(pairs) > 15 and max(late) <= 1 and np.mean(late) < 0.3:
            return
    pytest.fail(f"{len(pairs)} pictures in 1.2 s, {late} frames late")


def test_ends_and_starts_again(open_page):
    page = open_page(ANIMATIONS["activity"])
    page.evaluate("seek(2.9)")
    page.click("#play")
    wait(page, "audio.ended")
    assert page.inner_text("#play") == "Play" and time(page) == pytest.approx(3, abs=0.01)
    page.click("#play")
    wait(page, "!audio.paused && audio.currentTime > 0.05 && audio.currentTime < 2")


@pytest.mark.parametrize("seconds", [0.0, 0.72, 1.77, 2.99])
def test_slider_seeks(open_page, seconds):
    page = open_page(ANIMATIONS["matrix"])
    page.locator("#slider").fill(str(seconds))
    assert time(page) == pytest.approx(seconds, abs=0.001)
    assert cursor_s(page) == pytest.approx(seconds, abs=0.01)
    wait(page, "!audio.seeking")  # what is heard, not only what was asked for
    assert time(page) == pytest.approx(seconds, abs=0.001)
    shown = MATRICES[ANIMATIONS["matrix"].frame_at(seconds)]
    for row, column in ((0, 1), (2, 2), (1, 2), (2, 1)):  # the picture is that of this moment
        np.testing.assert_allclose(cell(page, row, column), expected_color(shown[row, column]), atol=2)


def test_click_and_drag_seek(open_page):
    page = open_page(ANIMATIONS["trajectory"])
    place = page.locator("#time").bounding_box()

    def at(seconds):
        return place["x"] + page.evaluate("t => xOf(t)", seconds), place["y"] + 30

    page.mouse.click(*at(1.5))
    assert time(page) == pytest.approx(1.5, abs=0.01)
    page.mouse.down()
    page.mouse.move(*at(2.2))
    page.mouse.up()
    assert time(page) == pytest.approx(2.2, abs=0.01) and cursor_s(page) == pytest.approx(2.2, abs=0.02)
    page.mouse.move(*at(0.3))  # the button is up
    assert time(page) == pytest.approx(2.2, abs=0.01)


def test_keyboard(open_page):
    page = open_page(ANIMATIONS["matrix"])
    for focus in ("body", "#slider", "#play"):
        page.evaluate("seek(0); document.activeElement.blur()")
        page.locator(focus).focus()
        for key, seconds in (
            ("ArrowRight", 0.1),
            ("Shift+ArrowRight", 1.1),
            ("ArrowLeft", 1.0),
            ("End", 3),
            ("Home", 0),
        ):
            page.keyboard.press(key)
            assert time(page) == pytest.approx(seconds, abs=0.001), (focus, key)
        page.keyboard.press(" ")
        wait(page, "!audio.paused && audio.currentTime > 0.1")
        page.keyboard.press(" ")
        assert page.evaluate("audio.paused"), focus


def test_speed(open_page):
    page = open_page(ANIMATIONS["matrix"])
    page.select_option("#speed", "0.5")
    assert page.evaluate("audio.playbackRate") == 0.5


def hover(page, panel: str, x: float, y: float) -> str:
    place = page.locator(panel).bounding_box()
    page.mouse.move(place["x"] + x, place["y"] + y)
    return page.inner_text("#tip")


def test_values_under_the_pointer(open_page):
    page = open_page(ANIMATIONS["matrix"])
    page.evaluate("seek(0.35)")  # frame 3
    left, top, step = page.evaluate("[now.left, now.top, now.step]")
    for row, column, value in ((1, 2, f"{MATRICES[3, 1, 2]:.3f}"), (2, 0, "no value")):
        text = hover(page, "#now", left + (column + 0.5) * step, top + (row + 0.5) * step)
        assert text == f"{NAMES[row]} – {NAMES[column]}: {value}"
    x, (top, bottom) = page.evaluate("[xOf(2.05), box.rows]")
    assert hover(page, "#time", x, top + 3) == f"conv 6 – T in · 2.05 s · {MATRICES[20, 0, 1]:.3f}"
    assert hover(page, "#time", x, 20) == "2.05 s · <S>"

    page = open_page(ANIMATIONS["activity"])
    x, (top, bottom) = page.evaluate("[xOf(2.05), box.rows]")
    assert hover(page, "#time", x, bottom - 3).startswith("conv_6 · 2.05 s · ")  # the lowest layer is at the bottom

    page = open_page(ANIMATIONS["trajectory"])
    page.evaluate("seek(1.05)")
    assert hover(page, "#now", *page.evaluate("now.at(10, 2)")) == NAMES[2]


@pytest.mark.parametrize("view", ANIMATIONS)
@pytest.mark.parametrize("width, height", [(1366, 768), (1920, 1080), (400, 800)])
def test_fits_the_screen(open_page, view, width, height):
    page = open_page(ANIMATIONS[view], viewport={"width": width, "height": height})
    wide, tall = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert wide == width  # nothing to scroll sideways
    assert tall == height or width < 800  # nor, on a laptop, downwards
    play = page.locator("#play").bounding_box()
    assert play["y"] + play["height"] <= height  # always in reach


def test_light_and_dark(open_page):
    page = open_page(ANIMATIONS["matrix"], color_scheme="light")
    corner = "() => getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(corner) == "rgb(255, 255, 255)"
    x, y = page.evaluate("[box.left + 10, (box.wave[0] + box.wave[1]) / 2 + 3]")
    light = pixel(page, "still", x, y)
    page.emulate_media(color_scheme="dark")
    wait(page, "getComputedStyle(document.body).backgroundColor !== 'rgb(255, 255, 255)'")
    end = monotonic() + TIMEOUT_S
    while sum(pixel(page, "still", x, y)) <= sum(light):  # until the waveform is drawn anew, lighter
        assert monotonic() < end, "the waveform stayed as dark as on a light page"
        sleep(0.02)


def test_shows_itself_in_a_notebook(open_page, browser):
    """The page inside a frame of another page, as JupyterLab puts it there."""
    page = browser.new_page()
    page.set_content(f"<!doctype html><p>a notebook</p>{ANIMATIONS['matrix']._repr_html_()}")
    frame = page.frames[1]
    wait(frame, "audio.readyState === 4 && shown >= 0")
    frame.click("#play")
    wait(frame, "audio.currentTime > 0.1")
    page.close()


def test_still_where_frames_and_scripts_are_taken_away(browser):
    """An untrusted notebook, or GitHub: the still and the line of text; where the page is shown, they are gone."""
    html = ANIMATIONS["matrix"]._repr_html_()
    page = browser.new_page()
    page.set_content(f"<!doctype html>{html}")
    assert page.locator("img").count() == 0 and page.locator("iframe").count() == 1
    page.set_content("<!doctype html>" + re.sub(r"<(iframe|script).*?</\1>", "", html, flags=re.S))
    assert page.locator("img").evaluate("image => image.naturalWidth") == 768
    assert "3 layers, 3.00 s): trust the notebook" in page.inner_text("p")
    page.close()


@pytest.mark.parametrize("view", ["matrix", "activity", "trajectory"])
def test_every_written_name_can_be_read(open_page, view):
    """59 layers, and names and labels that are markup or mathematics: letter by letter, none over another."""
    n, odd = 59, {**SOUND, "labels": [(0.5, 1.0, "$5-$10"), (1.0, 2.5, "<b>")], "context": "price_$5_$6 <i>"}
    names = ["<b>$x_$</b>", *(f"encoder.layers.{i}.norm" for i in range(1, n))]
    random = np.random.default_rng(1)
    made = {
        "matrix": lambda: matrix_animation(matrices=random.uniform(0, 1, (WINDOWS, n, n)), names=names, **odd),
        "activity": lambda: activity_animation(activity=random.uniform(size=(WINDOWS, n)), names=names, **odd),
        "trajectory": lambda: trajectory_animation(
            frames={name: random.standard_normal((WINDOWS, 4)) for name in names}, **odd
        ),
    }[view]()
    page = open_page(made)
    assert "price_$5_$6 <i>" in page.inner_text("header")
    page.evaluate("seek(1.5)")
    assert page.inner_text("#label") == "<b>"
    written = page.evaluate(  # every text that is drawn beside the rows at the cursor, and where
        """() => { const found = [], draw = CanvasRenderingContext2D.prototype.fillText;
          CanvasRenderingContext2D.prototype.fillText = function (text, ...xy) {
            found.push([text, this.getTransform().f / (window.devicePixelRatio || 1)]); return draw.call(this, text, ...xy);
          };
          drawNow(); CanvasRenderingContext2D.prototype.fillText = draw; return found; }"""
    )
    short = {label for _, label in page.evaluate("data.names")}
    assert len(short) == n
    heights = sorted(y for text, y in written if text in short)
    heights = sorted(set(heights))[:-1] if view == "matrix" else heights  # the names below the matrix stand in one line
    assert len(heights) > 15 and np.diff(heights).min() >= 10
