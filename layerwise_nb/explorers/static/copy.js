// A button that puts a text on the clipboard. A page that is not served safely has no clipboard: there it selects and copies.
export default {
  render({ model, el }) {
    const button = document.createElement("button");
    button.className = "jupyter-button widget-button";
    button.textContent = "copy code";
    button.onclick = async () => {
      const text = model.get("text");
      const written = navigator.clipboard?.writeText(text).then(() => true, () => false);
      const copied = (await written) || select(text);
      button.textContent = copied ? "copied" : "not allowed here: select the text";
      setTimeout(() => {
        button.textContent = "copy code";
      }, 2500);
    };
    el.appendChild(button);
  },
};

function select(text) {
  const area = document.createElement("textarea");
  area.value = text;
  document.body.appendChild(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}
