"use strict";
// The page of an animation: an Animation of figures/animation, drawn on canvases; the sound is the clock.

const data = JSON.parse(document.getElementById("data").textContent), $ = id => document.getElementById(id);
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const floats = text => new Float32Array(bytes(text).buffer);
const values = floats(data.values), overTime = floats(data.over_time), colors = bytes(data.scale.colors);
const wave = new Int8Array(bytes(data.wave).buffer), n = data.times.length, L = data.names.length, R = data.rows.length;
const audio = $("audio"), upwards = data.view !== "matrix", spectrogram = new Image();
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let box = {}, now = {}, hovered = -1;  // places in the panels, in pixels; the layer under the pointer

function frameAt(time) {  // the frame whose center is nearest
  let low = 0, high = n - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (time < data.edges[middle + 1]) high = middle; else low = middle + 1;
  }
  return low;
}
const labelAt = time => data.labels.find(([start, end]) => start <= time && time < end);
const rowOf = (k, count) => upwards ? count - 1 - k : k;  // k-th from the top, or from the bottom

function color(value) {
  if (Number.isNaN(value)) return data.missing;
  const part = (value - data.scale.low) / (data.scale.high - data.scale.low);
  const k = 3 * Math.max(0, Math.min(255, Math.floor(256 * part)));
  return `rgb(${colors[k]},${colors[k + 1]},${colors[k + 2]})`;
}
function prepare(canvas, width, height) {  // sharp on every screen
  const ratio = window.devicePixelRatio || 1, c = canvas.getContext("2d");
  canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
  canvas.style.width = width + "px"; canvas.style.height = height + "px";
  c.setTransform(ratio, 0, 0, ratio, 0, 0); c.font = "12px system-ui, sans-serif"; c.textBaseline = "middle";
  return c;
}
function write(c, text, x, y, {align = "left", color = "--soft", turn = 0, size = 12} = {}) {
  c.save(); c.translate(x, y); c.rotate(turn); c.font = `${size}px system-ui, sans-serif`; c.textAlign = align;
  c.fillStyle = css(color); c.fillText(text, 0, 0); c.restore();
}
function cell(c, x, y, right, bottom) {  // filled to whole pixels of the screen, so that neighbors meet without a seam
  const ratio = window.devicePixelRatio || 1, snap = v => Math.round(v * ratio) / ratio;
  c.fillRect(snap(x), snap(y), snap(right) - snap(x), snap(bottom) - snap(y));
}
function widest(c, names) { return Math.ceil(Math.max(...names.map(([, short]) => c.measureText(short).width))); }
const minus = text => text.replace("-", "−"), every = step => Math.max(1, Math.ceil(11 / step));  // which names can be written
function ticks(low, high, count) {  // round numbers, about so many
  const raw = (high - low) / count, ten = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(k => k * ten).find(s => s >= raw), digits = Math.max(0, -Math.floor(Math.log10(step)));
  const first = Math.ceil(low / step - 1e-6), number_ = Math.floor(high / step + 1e-6) - first + 1;
  return Array.from({length: number_}, (_, k) => [(first + k) * step, minus(((first + k) * step).toFixed(digits))]);
}
function drawStill() {
  const narrow = matchMedia("(max-width: 800px)").matches, width = $("time").clientWidth;
  const rest = innerHeight - $("top").offsetHeight - $("controls").offsetHeight - 30;
  const height = narrow ? 260 + Math.max(120, 16 * R) : Math.max(430, rest);
  const c = prepare($("still"), width, height), left = Math.max(40, widest(c, data.rows) + 10), right = width - 62;
  const words = data.labels.length ? 22 : 6, spec = Math.round(Math.min(130, 0.2 * height)), top = 60 + words + spec + 30;
  box = {left, right, width, height, wave: [0, 56], words: [58, 56 + words], spec: [60 + words, 60 + words + spec],
    rows: [top, height - 36]};
  drawWave(c); drawWords(c); drawSpectrogram(c); drawRows(c); drawColorBar(c);
  drawTicks(c, ticks(0, data.duration, (right - left) / 50));
}
const xOf = time => box.left + time / data.duration * (box.right - box.left);
const timeOf = x => Math.max(0, Math.min(1, (x - box.left) / (box.right - box.left))) * data.duration;

function drawWave(c) {
  const columns = wave.length / 2, [top, bottom] = box.wave, middle = (top + bottom) / 2, half = (bottom - top) / 2 - 1;
  c.fillStyle = css("--soft"); c.beginPath();
  const x = k => xOf((k + 0.5) / columns * data.duration);
  for (let k = 0; k < columns; k++) c.lineTo(x(k), middle - half * wave[2 * k + 1] / 127 - 0.4);
  for (let k = columns - 1; k >= 0; k--) c.lineTo(x(k), middle - half * wave[2 * k] / 127 + 0.4);
  c.fill();
}
function drawWords(c) {
  const [top, bottom] = box.words;
  for (const [start, end, label] of data.labels) {
    c.fillStyle = css("--line"); c.fillRect(xOf(start), top, 1, bottom - top); c.fillRect(xOf(end), top, 1, bottom - top);
    if (c.measureText(label).width < xOf(end) - xOf(start) - 3)
      write(c, label, (xOf(start) + xOf(end)) / 2, (top + bottom) / 2 + 1, {align: "center", color: "--text"});
  }
}
function drawSpectrogram(c) {
  const [top, bottom] = box.spec, ink = document.createElement("canvas");
  ink.width = spectrogram.width; ink.height = spectrogram.height;
  const i = ink.getContext("2d");
  i.drawImage(spectrogram, 0, 0); i.globalCompositeOperation = "source-in";
  i.fillStyle = css("--text"); i.fillRect(0, 0, ink.width, ink.height);
  c.drawImage(ink, box.left, top, box.right - box.left, bottom - top);
  c.strokeStyle = css("--line"); c.strokeRect(box.left, top, box.right - box.left, bottom - top);
  for (const [kHz, text] of ticks(0, data.kHz, 4)) {
    const y = bottom - kHz / data.kHz * (bottom - top);
    write(c, text, box.left - 6, Math.min(bottom - 6, Math.max(top + 6, y)), {align: "right"});
  }
  write(c, "kHz", box.right + 6, top + 7);
}
function drawTicks(c, times) {
  const y = box.rows[1];
  for (const [time, text] of times) {
    c.fillStyle = css("--line"); c.fillRect(xOf(time), y, 1, 4);
    write(c, text, xOf(time), y + 12, {align: "center"});
  }
  write(c, "time (s)", (box.left + box.right) / 2, y + 27, {align: "center"});
}
function drawRows(c) {
  const [top, bottom] = box.rows, step = (bottom - top) / R, first = xOf(data.edges[0]), last = xOf(data.edges[n]);
  write(c, data.row_title, box.left, top - 12);
  const pixels = Math.max(1, Math.round((last - first) * (window.devicePixelRatio || 1)));
  for (let row = 0; row < R; row++) {
    const k = rowOf(row, R), y = top + row * step;
    for (let p = 0, start = 0, before = -1; p <= pixels; p++) {  // runs of pixels of one frame
      const frame = p < pixels ? frameAt(timeOf(first + (p + 0.5) / pixels * (last - first))) : -1;
      if (frame === before) continue;
      if (before >= 0) {
        c.fillStyle = color(overTime[k * n + before]);
        cell(c, first + start / pixels * (last - first), y, first + p / pixels * (last - first), top + (row + 1) * step);
      }
      start = p; before = frame;
    }
    if (row % every(step) === 0)
      write(c, data.rows[k][1], box.left - 6, y + step / 2, {align: "right"});
  }
}
function drawColorBar(c) {
  const [top, bottom] = box.rows, x = box.right + 8, {low, high, label} = data.scale;
  for (let k = 0; k < bottom - top; k++) {
    c.fillStyle = color(low + (k + 0.5) / (bottom - top) * (high - low)); cell(c, x, bottom - k - 1, x + 10, bottom - k);
  }
  for (const [value, text] of ticks(low, high, 6))
    write(c, text, x + 14, bottom - (value - low) / (high - low) * (bottom - top), {size: 11});
  write(c, label, box.width - 6, (top + bottom) / 2, {align: "center", turn: -Math.PI / 2, size: 11});
}
function drawNow() {
  const width = $("now").clientWidth, side = Math.min(width + 30, box.height), c = prepare($("view"), width, side);
  const i = frameAt(audio.currentTime);
  write(c, data.now_title, 0, 10);
  ({matrix: drawMatrix, activity: drawActivity, trajectory: drawTrajectory})[data.view](c, i, width, side);
}
function names(c, left, top, step) {
  for (let row = 0; row < L; row += every(step))
    write(c, data.names[rowOf(row, L)][1], left - 6, top + (row + 0.5) * step, {align: "right"});
}
function drawMatrix(c, i, width, side) {
  const left = widest(c, data.names) + 8, top = 24, step = Math.min((width - left) / L, (side - top - left) / L);
  now = {left, top, step, frame: i};
  for (let a = 0; a < L; a++) for (let b = 0; b < L; b++) {
    c.fillStyle = color(values[(i * L + a) * L + b]);
    cell(c, left + b * step, top + a * step, left + (b + 1) * step, top + (a + 1) * step);
  }
  names(c, left, top, step);
  const upright = {align: "right", turn: -Math.PI / 2};
  for (let b = 0; b < L; b += every(step)) write(c, data.names[b][1], left + (b + 0.5) * step, top + L * step + 6, upright);
}
function drawActivity(c, i, width, side) {
  const left = widest(c, data.names) + 8, top = 24, step = (side - top - 36) / L, {low, high, label} = data.scale;
  const x = value => left + (Math.max(low, Math.min(high, value)) - low) / (high - low) * (width - left - 12);
  now = {left, top, step, frame: i};
  for (let row = 0; row < L; row++) {
    const value = values[i * L + rowOf(row, L)];
    if (Number.isNaN(value)) continue;
    c.fillStyle = color(value); c.strokeStyle = css("--soft"); c.beginPath();
    c.rect(x(0), top + (row + 0.12) * step, x(value) - x(0), 0.76 * step); c.fill(); c.stroke();
  }
  names(c, left, top, step);
  c.fillStyle = css("--line"); c.fillRect(x(0), top, 1, L * step); c.fillRect(left, top + L * step, x(high) - left, 1);
  for (const [value, text] of ticks(low, high, 6)) write(c, text, x(value), top + L * step + 11, {align: "center"});
  write(c, label, (left + x(high)) / 2, top + L * step + 28, {align: "center"});
}
const limits = [0, 1].map(axis => {
  let low = Infinity, high = -Infinity;
  for (let k = axis; k < values.length; k += 2) { low = Math.min(low, values[k]); high = Math.max(high, values[k]); }
  return [low, high];
});
const dark = matchMedia("(prefers-color-scheme: dark)");
const lighter = () => dark.matches ? "55%" : "0%";  // of white, so that purple is seen on black
function drawTrajectory(c, i, width, side) {
  const legend = widest(c, data.names) + 24, left = 44, top = 24, right = width - legend, bottom = side - 40;
  const line = Math.min(18, (bottom - top) / L);  // of the legend
  const spans = limits.map(([low, high]) => high - low || 1);
  const unit = Math.min((right - left - 16) / spans[0], (bottom - top - 16) / spans[1]);  // pixels; the same on both axes
  const middle = limits.map(([low, high]) => (low + high) / 2), center = [(left + right) / 2, (top + bottom) / 2];
  const x = v => center[0] + (v - middle[0]) * unit, y = v => center[1] - (v - middle[1]) * unit;
  const at = (frame, layer) => { const k = 2 * (frame * L + layer); return [x(values[k]), y(values[k + 1])]; };
  const shade = data.layer_colors.map((hex, k) => `color-mix(in srgb, ${hex}, white calc(${lighter()} * ${1 - k / L}))`);
  now = {frame: i, at, left: right, top: center[1] - L * line / 2, step: line};
  c.lineJoin = c.lineCap = "round";
  for (let layer = 0; layer < L; layer++) {
    const quiet = hovered >= 0 && hovered !== layer ? 0.15 : 1;
    c.strokeStyle = c.fillStyle = shade[layer]; c.lineWidth = 0.6;
    c.globalAlpha = (hovered === layer ? 0.5 : 0.15) * quiet;
    c.beginPath(); for (let frame = 0; frame < n; frame++) c.lineTo(...at(frame, layer)); c.stroke();
    c.lineWidth = 2.5;
    for (let frame = i; frame > 0 && data.times[frame - 1] >= data.times[i] - data.trail; frame--) {
      c.globalAlpha = quiet * (1 - (data.times[i] - data.times[frame]) / data.trail);
      c.beginPath(); c.moveTo(...at(frame - 1, layer)); c.lineTo(...at(frame, layer)); c.stroke();
    }
    c.globalAlpha = quiet; c.beginPath(); c.arc(...at(i, layer), 5, 0, 7); c.fill();
    c.strokeStyle = css("--page"); c.lineWidth = 1.2; c.stroke();
    const level = now.top + (rowOf(layer, L) + 0.5) * line;
    c.fillStyle = shade[layer]; c.beginPath(); c.arc(right + 12, level, 4, 0, 7); c.fill();
    if (layer % every(line) === 0) write(c, data.names[layer][1], right + 20, level, {color: "--text"});
  }
  c.globalAlpha = 1; c.fillStyle = css("--line");
  c.fillRect(left, top, 1, bottom - top); c.fillRect(left, bottom, right - left, 1);
  const reach = (pixels, k) => middle[k] + pixels / unit;
  for (const [value, text] of ticks(reach(left - center[0], 0), reach(right - center[0], 0), 6))
    write(c, text, x(value), bottom + 11, {align: "center"});
  for (const [value, text] of ticks(reach(center[1] - bottom, 1), reach(center[1] - top, 1), 6))
    write(c, text, left - 6, y(value), {align: "right"});
  write(c, data.axes[0], (left + right) / 2, bottom + 28, {align: "center"});
  write(c, data.axes[1], 8, (top + bottom) / 2, {align: "center", turn: -Math.PI / 2});
}
let shown = -1;
function drawMoving(whole = false) {  // the cursor; the moving picture only if its frame is another, or all is drawn anew
  const time = Math.min(audio.currentTime, data.duration), c = prepare($("cursor"), box.width, box.height);
  const i = frameAt(time), label = labelAt(time), x = xOf(time);
  c.fillStyle = css("--now"); c.globalAlpha = 0.22;
  if (data.window) for (const [top, bottom] of [box.wave, box.spec]) {
    const start = xOf(Math.max(0, data.times[i] - data.window / 2));
    const end = xOf(Math.min(data.duration, data.times[i] + data.window / 2));
    c.fillRect(start, top, end - start, bottom - top);
  }
  if (label) c.fillRect(xOf(label[0]), box.words[0], xOf(label[1]) - xOf(label[0]), box.words[1] - box.words[0]);
  c.globalAlpha = 1;
  for (const [top, bottom] of [box.wave, box.spec, box.rows]) {
    c.fillStyle = "#fff"; c.fillRect(x - 2, top, 4, bottom - top);
    c.fillStyle = "#000"; c.fillRect(x - 0.75, top, 1.5, bottom - top);
  }
  $("clock").textContent = `${time.toFixed(2)} / ${data.duration.toFixed(2)} s`;
  $("label").textContent = label ? label[2] : "";
  $("slider").value = time; $("slider").setAttribute("aria-valuetext", `${time.toFixed(2)} seconds`);
  if (whole || i !== shown) { shown = i; drawNow(); }
}
function drawAll() { drawStill(); drawMoving(true); }
function seek(time) { audio.currentTime = Math.max(0, Math.min(data.duration, time)); drawMoving(); }
function follow() { drawMoving(); if (!audio.paused) requestAnimationFrame(follow); }
const toggle = () => audio.paused ? audio.play().catch(report) : audio.pause();
function report(error) {
  $("problem").hidden = false; $("problem").textContent = `The sound cannot be played here: ${error.message}`;
}

audio.onplay = () => { $("play").textContent = "Pause"; follow(); };
audio.onpause = audio.onended = () => { $("play").textContent = "Play"; drawMoving(); };
audio.onseeked = () => drawMoving();
audio.onerror = () => report(audio.error);
$("play").onclick = toggle;
$("slider").oninput = event => seek(+event.target.value);
$("speed").onchange = event => { audio.playbackRate = +event.target.value; };
document.onkeydown = event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.id === "speed") return;
  const time = audio.currentTime, step = event.shiftKey ? 1 : 0.1;
  const act = {" ": toggle, ArrowLeft: () => seek(time - step), ArrowRight: () => seek(time + step), Home: () => seek(0),
    End: () => seek(data.duration)}[event.key];
  if (act) { event.preventDefault(); act(); }
};
document.onkeyup = event => { if (event.key === " " && event.target.id === "play") event.preventDefault(); };
const number = value => Number.isNaN(value) ? "no value" : minus(value.toFixed(3));
function place(event) {
  const panel = event.currentTarget.getBoundingClientRect();
  return [event.clientX - panel.left, event.clientY - panel.top];
}
const inside = (y, [top, bottom]) => top <= y && y < bottom;
function tip(event, text) {
  $("tip").hidden = !text; $("tip").textContent = text;
  const {offsetWidth: width, offsetHeight: height} = $("tip");
  $("tip").style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 4)) + "px";
  const below = event.clientY + 18;
  $("tip").style.top = (below + height > innerHeight ? event.clientY - height - 8 : below) + "px";
}
$("time").onpointermove = event => {
  const [x, y] = place(event), time = timeOf(x), frame = frameAt(time);
  if (event.buttons & 1) seek(time);
  const [top, bottom] = box.rows, k = rowOf(Math.floor((y - top) / (bottom - top) * R), R);
  const said = labelAt(time), value = data.edges[0] <= time && time <= data.edges[n] ? overTime[k * n + frame] : NaN;
  const kHz = (box.spec[1] - y) / (box.spec[1] - box.spec[0]) * data.kHz, at = `${time.toFixed(2)} s`;
  tip(event, x < box.left || x > box.right ? ""
    : inside(y, box.rows) ? `${data.rows[k][0]} · ${at} · ${number(value)}`
    : inside(y, box.spec) ? `${at} · ${kHz.toFixed(2)} kHz`
    : said ? `${at} · ${said[2]}` : at);
};
$("time").onpointerdown = event => {
  if (event.button !== 0) return;
  event.currentTarget.setPointerCapture(event.pointerId); seek(timeOf(place(event)[0]));
};
$("now").onpointermove = event => {
  const [x, y] = place(event), row = Math.floor((y - now.top) / now.step), column = Math.floor((x - now.left) / now.step);
  const k = 0 <= row && row < L ? rowOf(row, L) : -1, i = now.frame;
  if (data.view === "matrix") {
    const value = number(values[(i * L + k) * L + column]);
    return tip(event, k < 0 || column < 0 || column >= L ? "" : `${data.names[k][0]} – ${data.names[column][0]}: ${value}`);
  }
  if (data.view === "activity") return tip(event, k < 0 ? "" : `${data.names[k][0]}: ${number(values[i * L + k])}`);
  const away = data.names.map((_, layer) => { const [px, py] = now.at(i, layer); return Math.hypot(px - x, py - y); });
  const nearest = away.indexOf(Math.min(...away)), found = x > now.left ? k : away[nearest] < 14 ? nearest : -1;
  if (found !== hovered) { hovered = found; drawNow(); }
  tip(event, found < 0 ? "" : data.names[found][0]);
};
$("time").onpointerleave = $("now").onpointerleave = event => {
  tip(event, "");
  if (hovered >= 0) { hovered = -1; drawNow(); }
};
new ResizeObserver(drawAll).observe(document.body);
dark.onchange = drawAll;
spectrogram.onload = drawAll; spectrogram.src = data.spectrogram;
