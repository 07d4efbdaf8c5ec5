// One viewer on one element: state, drawing, pointer and keys.
import { el } from "./dom.js";
import { Painter } from "./draw.js";
import { openImage, openLabels } from "./image.js";
import { makePanel } from "./panel.js";
import { levelFor, pieces, valueAt, visible } from "./plane.js";
import { scaleBar } from "./scalebar.js";
import { readHash, writeHash } from "./state.js";
import { Tiles } from "./tiles.js";
import { VolumeView } from "./volume.js";

const HELP = "Arrow keys move, plus and minus zoom, 0 fits the whole image, comma and full stop step through z, square brackets through time.";

export async function startViewer(host) {
  const url = new URL(host.dataset.zarr, location.href);
  url.pathname = url.pathname.replace(/\/?$/, "/");
  const image = await openImage(url.href, { rgb: Boolean(host.dataset.rgb) });
  image.id = "image";
  const known = host.dataset.labels ? JSON.parse(host.dataset.labels) : null;
  const labels = (await openLabels(image, known)).map((layer, i) => ({ ...layer, id: `labels${i}`, isLabels: true }));
  await guessContrast(image, image.channels.filter((c) => c.guessed));

  const state = {
    z: image.start.z,
    t: image.start.t,
    channels: image.channels.map((c) => ({ ...c })),
    labelsOn: new Set(),
    opacity: 0.5,
    outline: false,
    view: null,
    mode: "plane",
  };
  readHash(location.hash, state, image);

  const canvas = el("canvas", { tabIndex: 0, role: "img", "aria-label": `${host.dataset.title}. ${HELP}` });
  const bar = el("div", { className: "scale-bar", hidden: true }, el("span"), el("i"));
  const readout = el("div", { className: "readout", role: "status", "aria-live": "off" });
  const busy = el("div", { className: "busy" });
  const button = (text, label, onclick) => el("button", { type: "button", textContent: text, title: label, onclick, ...(/[a-z0-9]/i.test(text) ? {} : { "aria-label": label }) });
  const tools = el("div", { className: "stage-tools" });
  const stage = el("div", { className: "stage" }, canvas, readout, bar, busy, tools);
  const painter = new Painter(canvas);
  const aspect = image.pixel.x && image.pixel.y ? image.pixel.y / image.pixel.x : 1;
  let frame = 0;
  let hashTimer = 0;
  let pointer = null;

  const tiles = new Tiles({ arrived: redraw, released: (tile) => painter.release(tile) });
  const panel = makePanel({ image, labels, state, changed: touched, auto: autoContrast });
  const layerOf = (name) => labels.find((l) => l.name === name);

  const volume = image.size.z > 1 ? new VolumeView({ image, state, stage, changed: touched }) : null;
  tools.append(
    button("+", "Zoom in", () => zoomAt(1.5)),
    button("−", "Zoom out", () => zoomAt(1 / 1.5)),
    button("Fit", "Show the whole image", fit),
    button("1:1", "One image pixel on one screen pixel", () => { state.view.scale = 1; touched(); }),
    button("Full screen", "Fill the screen with the viewer", () => (document.fullscreenElement ? document.exitFullscreen() : host.requestFullscreen())),
    button("Save view", "Save this view as a PNG picture", saveView),
  );
  if (volume) {
    const toggle = button("3D", "Maximum intensity of the whole volume", () => {
      state.mode = state.mode === "volume" ? "plane" : "volume";
      touched();
    });
    toggle.dataset.mode = "volume";
    tools.append(toggle);
  }

  host.replaceChildren(stage, panel.element);
  host.classList.add("ready");
  if (!state.view) fit();
  new ResizeObserver(redraw).observe(stage);

  function size() {
    return { width: stage.clientWidth || 1, height: stage.clientHeight || 1 };
  }

  function fit() {
    const { width, height } = size();
    const scale = Math.min(width / image.size.x, height / (image.size.y * aspect)) * 0.98;
    state.view = { x: image.size.x / 2, y: image.size.y / 2, scale };
    touched();
  }

  function zoomAt(factor, cx = size().width / 2, cy = size().height / 2) {
    const view = state.view;
    const { width, height } = size();
    const least = Math.min(width / image.size.x, height / image.size.y) / 8;
    const scale = Math.min(64, Math.max(least, view.scale * factor));
    // What lies under the pointer stays there.
    view.x += (cx - width / 2) * (1 / view.scale - 1 / scale);
    view.y += (cy - height / 2) * (1 / view.scale - 1 / scale) / aspect;
    view.scale = scale;
    touched();
  }

  function pan(dx, dy) {
    const view = state.view;
    view.x = Math.min(image.size.x, Math.max(0, view.x - dx / view.scale));
    view.y = Math.min(image.size.y, Math.max(0, view.y - dy / view.scale / aspect));
    touched();
  }

  function touched() {
    redraw();
    clearTimeout(hashTimer);
    hashTimer = setTimeout(() => history.replaceState(null, "", writeHash(state, image)), 250);
  }

  function redraw() {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      draw();
    });
  }

  function draw() {
    if (!state.view) return;
    const flat = state.mode !== "volume";
    canvas.hidden = !flat;
    for (const toggle of tools.querySelectorAll("[data-mode]")) toggle.setAttribute("aria-pressed", String(!flat));
    volume?.show(!flat);
    panel.show(flat);
    if (!flat) {
      readout.textContent = volume.describe();
      drawScale(volume.micrometersPerPixel());
      return;
    }
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = size();
    const { x, y, scale } = state.view;
    const box = {
      x0: x - width / 2 / scale,
      x1: x + width / 2 / scale,
      y0: y - height / 2 / scale / aspect,
      y1: y + height / 2 / scale / aspect,
    };
    painter.begin(Math.round(width * ratio), Math.round(height * ratio));
    const toScreen = (found) =>
      found.map((piece) => {
        const [px, py, pw, ph] = piece.box;
        return {
          ...piece,
          place: [(px - box.x0) * scale * ratio, (py - box.y0) * scale * aspect * ratio, pw * scale * ratio, ph * scale * aspect * ratio],
        };
      });
    const wishes = [];
    const level = levelFor(image, scale * ratio);
    const coarsest = image.levels.length - 1;
    for (const [c, channel] of state.channels.entries()) {
      if (!channel.on) continue;
      const at = { z: state.z, t: state.t, c };
      // The coarsest level first: something to see at once, and what stands in while moving.
      if (level !== coarsest) wishes.push(...visible(image, coarsest, at, box, image).map((w) => ({ ...w, far: -1 })));
      wishes.push(...visible(image, level, at, box, image));
      painter.addChannel(toScreen(pieces(image, level, at, box, image, tiles)), channel.color, channel.start, channel.end);
    }
    for (const name of state.labelsOn) {
      const layer = layerOf(name);
      if (!layer) continue;
      const at = { z: state.z, t: state.t, c: 0 };
      const own = levelFor(layer, scale * ratio);
      wishes.push(...visible(layer, own, at, box, image));
      painter.addLabels(toScreen(pieces(layer, own, at, box, image, tiles)), layer, state.opacity, state.outline);
    }
    wishes.sort((a, b) => a.far - b.far);
    tiles.want(wishes);
    busy.classList.toggle("on", tiles.busy > 0);
    host.dataset.state = tiles.busy ? "loading" : tiles.failed.size ? "failed" : "done";
    drawScale(image.pixel.x ? image.pixel.x / scale : null);
    readout.textContent = tiles.failed.size
      ? `${tiles.failed.size} parts could not be read: ${[...tiles.failed.values()][0].message}`
      : describePointer(level);
  }

  function drawScale(size) {
    bar.hidden = !size;
    if (!size) return;
    const { text, pixels } = scaleBar(size);
    bar.firstChild.textContent = text;
    bar.lastChild.style.width = `${pixels}px`;
  }

  function describePointer(level) {
    const zoom = `${Number((state.view.scale * 100).toPrecision(3))} %`;
    if (!pointer) return zoom;
    const { width, height } = size();
    const px = Math.floor(state.view.x + (pointer.x - width / 2) / state.view.scale);
    const py = Math.floor(state.view.y + (pointer.y - height / 2) / state.view.scale / aspect);
    if (px < 0 || py < 0 || px >= image.size.x || py >= image.size.y) return zoom;
    const values = [];
    for (const [c, channel] of state.channels.entries()) {
      if (!channel.on) continue;
      const value = valueAt(image, level, { z: state.z, t: state.t, c }, px, py, image, tiles);
      if (value !== null) values.push(`${channel.name} ${Number(value.toPrecision(6))}`);
    }
    for (const name of state.labelsOn) {
      const layer = layerOf(name);
      const value = layer && valueAt(layer, 0, { z: state.z, t: state.t, c: 0 }, px, py, image, tiles);
      if (value) values.push(`${name} #${value}`);
    }
    return `${zoom}  x ${px}  y ${py}\n${values.join("  ")}`;
  }

  async function autoContrast() {
    const last = image.levels.length - 1;
    for (const [c, channel] of state.channels.entries()) {
      const span = await percentiles(image, last, { z: state.z, t: state.t, c });
      if (span) [channel.start, channel.end] = span;
    }
    panel.refresh();
    touched();
  }

  function saveView() {
    draw(); // the buffer is only sure to be there in the task that drew it
    const source = state.mode === "volume" ? volume.canvas : canvas;
    if (state.mode === "volume") volume.draw();
    source.toBlob((blob) => {
      const link = el("a", { href: URL.createObjectURL(blob), download: "view.png" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }

  const held = new Map();
  canvas.addEventListener("pointerdown", (e) => {
    canvas.setPointerCapture(e.pointerId);
    held.set(e.pointerId, { x: e.offsetX, y: e.offsetY });
  });
  canvas.addEventListener("pointermove", (e) => {
    pointer = { x: e.offsetX, y: e.offsetY };
    const before = held.get(e.pointerId);
    if (!before) return redraw();
    if (held.size === 2) {
      const [other] = [...held].filter(([id]) => id !== e.pointerId).map(([, p]) => p);
      const was = Math.hypot(before.x - other.x, before.y - other.y);
      const is = Math.hypot(e.offsetX - other.x, e.offsetY - other.y);
      if (was > 4) zoomAt(is / was, (e.offsetX + other.x) / 2, (e.offsetY + other.y) / 2);
    } else {
      pan(e.offsetX - before.x, e.offsetY - before.y);
    }
    held.set(e.pointerId, { x: e.offsetX, y: e.offsetY });
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (e) => held.delete(e.pointerId));
  canvas.addEventListener("pointerleave", () => { pointer = null; redraw(); });
  canvas.addEventListener("wheel", (e) => {
    e.preventDefault();
    const lines = e.deltaMode === 1 ? 18 : 1;
    zoomAt(2 ** (-e.deltaY * lines / 300), e.offsetX, e.offsetY);
  }, { passive: false });
  canvas.addEventListener("dblclick", (e) => zoomAt(2, e.offsetX, e.offsetY));
  stage.addEventListener("keydown", (e) => {
    if (e.target.tagName !== "CANVAS" || e.ctrlKey || e.metaKey || e.altKey) return;
    const step = (axis, by) => {
      state[axis] = Math.min(image.size[axis] - 1, Math.max(0, state[axis] + by));
      panel.refresh();
      touched();
    };
    const keys = {
      ArrowLeft: () => pan(60, 0),
      ArrowRight: () => pan(-60, 0),
      ArrowUp: () => pan(0, 60),
      ArrowDown: () => pan(0, -60),
      "+": () => zoomAt(1.5),
      "=": () => zoomAt(1.5),
      "-": () => zoomAt(1 / 1.5),
      0: fit,
      ",": () => step("z", -1),
      ".": () => step("z", 1),
      "[": () => step("t", -1),
      "]": () => step("t", 1),
    };
    if (keys[e.key] && !(state.mode === "volume" && e.target !== canvas)) {
      e.preventDefault();
      keys[e.key]();
    }
  });
  window.addEventListener("hashchange", () => {
    readHash(location.hash, state, image);
    panel.refresh();
    redraw();
  });
  touched();
  return { image, state };
}

/** Contrast for channels whose window nobody gave, from the smallest level. */
async function guessContrast(image, channels) {
  const last = image.levels.length - 1;
  for (const channel of channels) {
    const c = image.channels.indexOf(channel);
    const span = await percentiles(image, last, { z: image.start.z, t: image.start.t, c }).catch(() => null);
    if (span) [channel.start, channel.end] = span;
  }
}

/** The 0.5 and 99.8 percentile of a plane of a level (of one tile, when it has several). */
async function percentiles(image, levelIndex, at) {
  const everything = { x0: 0, y0: 0, x1: image.size.x - 1e-6, y1: image.size.y - 1e-6 };
  const [request] = visible(image, levelIndex, at, everything, image);
  if (!request) return null;
  const { data, shape } = await request.level.array.getChunk(request.chunk);
  const plane = shape[image.index.y] * shape[image.index.x];
  const rows = Math.min(shape[image.index.y], request.level.shape[image.index.y] - request.ty * shape[image.index.y]);
  const columns = Math.min(shape[image.index.x], request.level.shape[image.index.x] - request.tx * shape[image.index.x]);
  const values = [];
  const every = Math.max(1, Math.floor(Math.sqrt((rows * columns) / 50000)));
  for (let r = 0; r < rows; r += every) {
    for (let c = 0; c < columns; c += every) {
      const v = Number(data[(r * shape[image.index.x] + c) % plane]);
      if (Number.isFinite(v)) values.push(v);
    }
  }
  values.sort((a, b) => a - b);
  const low = values[Math.floor(values.length * 0.005)];
  const high = values[Math.min(values.length - 1, Math.floor(values.length * 0.998))];
  return high > low ? [low, high] : null;
}
