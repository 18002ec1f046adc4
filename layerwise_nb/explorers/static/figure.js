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
  return () => {
    sizes.disconnect();
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
