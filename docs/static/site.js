// Draws the Plotly figures of a page. plotly.min.js is large, so only a page that has figures loads it.
const figures = document.querySelectorAll(".plotly-figure");
if (figures.length) {
  const script = document.createElement("script");
  script.src = new URL("plotly.min.js", document.currentScript.src);
  script.onload = () => figures.forEach((figure) => {
    const { data, layout, frames, config } = JSON.parse(figure.querySelector("script").textContent);
    // As wide as it was made if there is room; where there is not, no narrower than can be read: the page scrolls it.
    if (layout.width) layout.width = Math.min(layout.width, Math.max(figure.clientWidth, 760));
    Plotly.newPlot(figure, { data, layout, frames, config: { responsive: true, displaylogo: false, ...config } });
  });
  document.head.append(script);
}

// Excerpts in the results of a search are fetched, which a browser forbids for files on the disk.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
