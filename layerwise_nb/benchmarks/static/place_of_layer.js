// Where in the window the point of a layer is, in the curve of the content explorer.
(layer) => {
  const plot = [...document.querySelectorAll(".js-plotly-plot")].filter((one) => one.offsetParent)[0];
  const box = plot.getBoundingClientRect();
  const { xaxis, yaxis } = plot._fullLayout;
  const { x, y } = plot.data.at(-1);
  return [box.left + xaxis._offset + xaxis.d2p(x[layer % x.length]), box.top + yaxis._offset + yaxis.d2p(y[layer % y.length])];
}
