// The controls beside the picture: native inputs with labels, so keyboard and readers just work.
import { el } from "./dom.js";

let serial = 0;

function slider({ label, min, max, step, value, text, changed }) {
  const id = `sb-${++serial}`;
  const output = el("output", { htmlFor: id, textContent: text(value) });
  const input = el("input", { type: "range", id, min, max, step, value });
  input.setAttribute("aria-valuetext", text(value));
  input.addEventListener("input", () => {
    output.textContent = text(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
    changed(Number(input.value));
  });
  const row = el("div", { className: "row" }, el("label", { for: id, textContent: label }), output);
  const set = (n) => {
    input.value = n;
    output.textContent = text(n);
    input.setAttribute("aria-valuetext", output.textContent);
  };
  return { element: el("div", {}, row, input), input, set };
}

function group(name, ...children) {
  return el("fieldset", {}, el("legend", { textContent: name }), el("div", {}, ...children));
}

// Never 1.659e+4: people read counts of a camera.
const compact = (n) => String(Math.abs(n) >= 1000 && Math.abs(n) < 1e15 ? Math.round(n) : Number.isInteger(n) ? n : Number(n.toPrecision(4)));

/** Build the panel; `changed()` is called after a change of `state`. Returns {element, refresh, show}. */
export function makePanel({ image, labels, state, changed, auto }) {
  const parts = [];
  const refreshers = [];
  const flatOnly = []; // what means nothing in the view of the whole volume

  const planes = [];
  if (image.size.z > 1) {
    const depth = image.pixel.z;
    const text = (n) => `${n + 1} / ${image.size.z}${depth ? `, ${compact(Number((n * depth).toPrecision(4)))} µm` : ""}`;
    const z = slider({ label: "z", min: 0, max: image.size.z - 1, step: 1, value: state.z, text, changed: (n) => { state.z = n; changed(); } });
    z.input.dataset.axis = "z";
    refreshers.push(() => z.set(state.z));
    flatOnly.push(z.input);
    planes.push(z.element);
  }
  if (image.size.t > 1) {
    const { step, unit } = image.time;
    const text = (n) => `${n + 1} / ${image.size.t}${unit ? `, ${compact(Number((n * step).toPrecision(4)))} ${unit === "second" ? "s" : unit}` : ""}`;
    const t = slider({ label: "Time", min: 0, max: image.size.t - 1, step: 1, value: state.t, text, changed: (n) => { state.t = n; changed(); } });
    t.input.dataset.axis = "t";
    refreshers.push(() => t.set(state.t));
    let timer = null;
    const play = el("button", { type: "button", textContent: "Play", "aria-pressed": "false" });
    play.addEventListener("click", () => {
      if (timer) {
        clearInterval(timer);
        timer = null;
      } else {
        timer = setInterval(() => { state.t = (state.t + 1) % image.size.t; t.set(state.t); changed(); }, 250);
      }
      play.textContent = timer ? "Stop" : "Play";
      play.setAttribute("aria-pressed", String(Boolean(timer)));
    });
    planes.push(t.element, play);
  }
  if (planes.length) parts.push(group("Plane", ...planes));

  const channelBoxes = image.isRgb ? [brightness(state, image, changed, refreshers)] : state.channels.map((channel, i) => {
    const id = `sb-${++serial}`;
    const box = el("input", { type: "checkbox", id, checked: channel.on });
    box.addEventListener("change", () => { channel.on = box.checked; changed(); });
    const color = el("input", { type: "color", value: `#${channel.color}`, "aria-label": `Colour of ${channel.name}` });
    color.addEventListener("input", () => { channel.color = color.value.slice(1); changed(); });
    const [low, high] = [Math.min(channel.min, channel.start), Math.max(channel.max, channel.end)];
    const whole = /int/.test(image.dtype);
    // The slider spans what the picture uses; the full range of the type would make it useless.
    const reach = Math.min(high, channel.end + 2 * (channel.end - channel.start));
    const step = whole ? 1 : (reach - low) / 1000 || 0.001;
    const start = slider({ label: "from", min: low, max: reach, step, value: channel.start, text: compact, changed: (n) => { channel.start = Math.min(n, channel.end); changed(); } });
    const end = slider({ label: "to", min: low, max: reach, step, value: channel.end, text: compact, changed: (n) => { channel.end = Math.max(n, channel.start); changed(); } });
    start.input.setAttribute("aria-label", `${channel.name}: darkest value`);
    end.input.setAttribute("aria-label", `${channel.name}: brightest value`);
    refreshers.push(() => {
      box.checked = channel.on;
      color.value = `#${channel.color}`;
      for (const s of [start, end]) {
        s.input.min = Math.min(low, channel.start);
        s.input.max = Math.max(reach, channel.end);
      }
      start.set(channel.start);
      end.set(channel.end);
    });
    return el("div", { className: "channel" },
      el("div", { className: "row" }, box, el("label", { for: id, textContent: channel.name }), color),
      el("div", { className: "window" }, start.element, end.element));
  });
  const tools = image.isRgb ? [] : [el("button", { type: "button", textContent: "Auto contrast", onclick: auto })];
  parts.push(group(image.isRgb ? "Colour" : "Channels", ...channelBoxes, ...tools));

  if (labels.length) {
    const boxes = labels.map((layer) => {
      const id = `sb-${++serial}`;
      const box = el("input", { type: "checkbox", id, checked: state.labelsOn.has(layer.name) });
      box.dataset.labels = layer.name;
      box.addEventListener("change", () => {
        if (box.checked) state.labelsOn.add(layer.name);
        else state.labelsOn.delete(layer.name);
        changed();
      });
      refreshers.push(() => { box.checked = state.labelsOn.has(layer.name); });
      return el("div", { className: "row channel" }, box, el("label", { for: id, textContent: layer.name }));
    });
    const opacity = slider({ label: "Opacity", min: 0, max: 100, step: 1, value: state.opacity * 100, text: (n) => `${Math.round(n)} %`, changed: (n) => { state.opacity = n / 100; changed(); } });
    const id = `sb-${++serial}`;
    const outline = el("input", { type: "checkbox", id, checked: state.outline });
    outline.addEventListener("change", () => { state.outline = outline.checked; changed(); });
    const annotations = group("Annotations", ...boxes, opacity.element, el("div", { className: "row" }, outline, el("label", { for: id, textContent: "Outlines only" })));
    flatOnly.push(annotations);
    parts.push(annotations);
  }

  const element = el("div", { className: "panel" }, ...parts);
  const show = (flat) => {
    for (const control of flatOnly) {
      control.disabled = !flat;
      control.title = flat ? "" : "Shown in single planes, not in 3D";
    }
  };
  return { element, refresh: () => refreshers.forEach((f) => f()), show };
}

function brightness(state, image, changed, refreshers) {
  const [first] = state.channels;
  const top = first.max;
  const set = (n) => { for (const c of state.channels) c.end = n; changed(); };
  const s = slider({ label: "White at", min: Math.max(1, top / 100), max: top, step: top > 10 ? 1 : top / 255, value: first.end, text: compact, changed: set });
  refreshers.push(() => s.set(first.end));
  return s.element;
}
