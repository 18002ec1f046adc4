// The moment: the place of an audio element, and of the pointer where it is dragged over a figure whose x axis is time.
export default {
  render({ model, el }) {
    const audio = document.createElement("audio");
    audio.controls = true;
    audio.style.width = "100%";
    audio.setAttribute("aria-label", "sound of the utterance");
    el.appendChild(audio);
    let mine = false;
    let sent = 0;
    let wanted = null;
    let plot = null;

    const load = () => {
      const wav = model.get("wav");
      if (audio.src) URL.revokeObjectURL(audio.src);
      audio.hidden = !wav.byteLength;
      audio.src = wav.byteLength ? URL.createObjectURL(new Blob([wav], { type: "audio/wav" })) : "";
      audio.currentTime = model.get("time_s");
      if (wav.byteLength && model.get("plays")) audio.play().catch(() => {}); // a page that nobody touched may not play
    };

    // Whether it is too early to send: Python has not drawn the last moment, or was told less than so long ago.
    const early = (ms) => {
      const behind = Math.abs(model.get("shown_s") - model.get("time_s")) > 1e-6;
      return performance.now() - sent < (behind ? 1000 : ms);
    };
    const send = (time_s) => {
      sent = performance.now();
      model.set("time_s", time_s);
      model.save_changes();
    };
    const tell = () => {
      if (early(100)) return;
      mine = true;
      send(audio.currentTime);
      mine = false;
    };
    const drag = () => {
      if (wanted === null) return;
      if (early(40)) {
        setTimeout(drag, 20);
        return;
      }
      send(wanted);
      wanted = null;
    };

    // Go to the moment under the pointer; false where the figure is not one in time.
    const point = (event) => {
      const axis = plot._fullLayout.xaxis;
      const x = event.clientX - plot.getBoundingClientRect().left - axis._offset;
      if (axis.title.text !== "time (s)" || x < 0 || x > axis._length) return false;
      const waiting = wanted !== null;
      wanted = Math.max(0, axis.p2d(x));
      if (!waiting) drag();
      return true;
    };
    const followPointer = (event) => {
      if (event.buttons) point(event);
      else removeEventListener("pointermove", followPointer);
    };
    const take = (event) => {
      const target = event.target.closest(".draglayer");
      if (event.button || !target || !el.closest(".layerwise-explorer")?.contains(target)) return;
      plot = target.closest(".js-plotly-plot");
      if (point(event)) addEventListener("pointermove", followPointer);
    };
    const follow = () => {
      if (audio.paused) return;
      tell();
      requestAnimationFrame(follow);
    };
    const jump = () => {
      const away = Math.abs(audio.currentTime - model.get("time_s")) > 0.3;
      if ((!mine && away) || audio.paused) audio.currentTime = model.get("time_s");
    };

    addEventListener("pointerdown", take);
    audio.addEventListener("play", follow);
    audio.addEventListener("pause", () => {
      sent = 0;
      tell();
    });
    model.on("change:wav", load);
    model.on("change:time_s", jump);
    load();
    return () => {
      removeEventListener("pointerdown", take);
      removeEventListener("pointermove", followPointer);
      audio.pause();
      if (audio.src) URL.revokeObjectURL(audio.src);
    };
  },
};
