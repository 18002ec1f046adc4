// What an explorer needs of the page: plotly, loaded once for all figures. PLOTLY is the name that it has there.
export default {
  initialize({ model }) {
    const code = new Blob([model.get("plotly_js")], { type: "text/javascript" });
    globalThis.PLOTLY ??= import(URL.createObjectURL(code)); // not waited for: anywidget gives up after two seconds
  },
};
