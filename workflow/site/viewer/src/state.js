// What is shown, as the address after '#': a link that others can open.

const number = (text) => (text !== null && text !== "" && Number.isFinite(Number(text)) ? Number(text) : null);
const short = (n) => String(Number(n.toPrecision(6)));

/** Lay what the hash says over a state; what it doesn't say stays. Values out of bounds are cut. */
export function readHash(hash, state, image) {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const clamp = (n, low, high) => Math.min(high, Math.max(low, n));
  for (const axis of ["z", "t"]) {
    const n = number(said.get(axis));
    if (n !== null) state[axis] = clamp(Math.round(n), 0, image.size[axis] - 1);
  }
  for (const [i, part] of (said.get("c") ?? "").split(",").entries()) {
    const found = part.match(/^([01]):(-?[\d.e+-]+):(-?[\d.e+-]+):([0-9a-f]{6})$/i);
    const channel = state.channels[i];
    if (!found || !channel) continue;
    channel.on = found[1] === "1";
    channel.start = Number(found[2]);
    channel.end = Number(found[3]);
    channel.color = found[4].toLowerCase();
    channel.guessed = false;
  }
  const view = ["x", "y", "s"].map((k) => number(said.get(k)));
  if (view.every((n) => n !== null) && view[2] > 0) state.view = { x: view[0], y: view[1], scale: view[2] };
  if (said.has("l")) state.labelsOn = new Set(said.get("l").split(",").filter(Boolean));
  if (said.get("v") === "3d") state.mode = "volume";
  return state;
}

export function writeHash(state, image) {
  const parts = [];
  for (const axis of ["z", "t"]) if (image.size[axis] > 1) parts.push(`${axis}=${state[axis]}`);
  parts.push(
    "c=" + state.channels.map((c) => `${c.on ? 1 : 0}:${short(c.start)}:${short(c.end)}:${c.color}`).join(","),
  );
  const { x, y, scale } = state.view;
  parts.push(`x=${short(x)}`, `y=${short(y)}`, `s=${short(scale)}`);
  parts.push("l=" + [...state.labelsOn].map(encodeURIComponent).join(","));
  if (state.mode === "volume") parts.push("v=3d");
  return "#" + parts.join("&");
}
