// A figure that is drawn as Python has it when the page is ready, by the plotly that page.js loaded under the name PLOTLY.
export default {
  render({ model, el }) {
    const drawn = draw(model, el); // not waited for: some front ends answer no message until a view is there
    return () => drawn.then((leave) => leave());
  },
};

async function draw(model, el) {
  while (!globalThis.PLOTLY) await new Promise((done) => setTimeout(done, 20));
  const library = await globalThis.PLOTLY;
  await fresh(model);
  const figure = library.default(); // one for each view: its listeners go with it
  const quiet = withoutEcho(model);
  el.style.height = `${model.get("_widget_layout").height}px`; // a page without a kernel would forget it
  figure.initialize({ model: quiet });
  const leave = figure.render({ model: quiet, el });
  const sizes = new ResizeObserver(fit);
  sizes.observe(el.parentElement ?? el);
  el.addEventListener("mousedown", pressAgain, true);
  return () => {
    sizes.disconnect();
    el.removeEventListener("mousedown", pressAgain, true);
    leave();
  };
}

// Wait for the figure as it is now; without a kernel, take it as it was saved.
function fresh(model) {
  const told = new Promise((done) => {
    model.on("msg:custom", done);
    setTimeout(() => model.get("_widget_data").length && done(), 3000);
  });
  model.send({ ready: true });
  return told;
}

// The model, except that Python is not told what plotly filled in by itself: the next key would wait until it has read that.
function withoutEcho(model) {
  const told = (name, value) => /Deltas?$/.test(name) || model.set(name, value);
  return new Proxy(model, {
    get: (_, name) => (name === "set" ? told : model[name]?.bind?.(model) ?? model[name]),
  });
}

// One event for all figures: each of them hears it.
function fit() {
  clearTimeout(globalThis.layerwise_fit);
  globalThis.layerwise_fit = setTimeout(() => dispatchEvent(new Event("resize")), 80);
}

// Plotly forgets presses while it is busy, most of all one during which it draws the figure anew: press again, too fast for a drawing
// to come between. Where there is no point to click, nothing comes of that.
function pressAgain(down) {
  const plot = down.target.closest(".js-plotly-plot");
  if (!down.isTrusted || down.button || !plot?.on || !down.target.closest(".draglayer")) return;
  let clicked = false;
  const hear = () => (clicked = true);
  const retry = (more) => {
    if (clicked || !more) {
      plot.removeListener("plotly_click", hear);
      return;
    }
    press(down.clientX, down.clientY);
    setTimeout(retry, 40, more - 1);
  };
  const lift = (up) => {
    const still = Math.hypot(up.clientX - down.clientX, up.clientY - down.clientY) < 4;
    setTimeout(retry, 0, still ? 5 : 0);
  };
  plot.on("plotly_click", hear);
  addEventListener("mouseup", lift, { once: true, capture: true });
}

function press(clientX, clientY) {
  const target = document.elementFromPoint(clientX, clientY);
  for (const type of ["mousemove", "mousedown", "mouseup"]) {
    target?.dispatchEvent(new MouseEvent(type, { bubbles: true, cancelable: true, view: window, clientX, clientY, detail: 1 }));
  }
}
