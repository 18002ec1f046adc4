// Start a stopwatch: from a key or a press to the picture whose title is new. The times are in window.moves_ms.
(number) => {
  const plot = [...document.querySelectorAll(".js-plotly-plot")].filter((one) => one.offsetParent)[number];
  let pressed = 0;
  let title = plot.layout.title.text;
  const press = () => {
    pressed = performance.now();
  };
  window.moves_ms = [];
  document.addEventListener("keydown", press, true);
  document.addEventListener("pointerdown", press, true);
  plot.on("plotly_afterplot", () => {
    if (!pressed || plot.layout.title.text === title) return;
    title = plot.layout.title.text;
    window.moves_ms.push(performance.now() - pressed);
    pressed = 0;
  });
}
