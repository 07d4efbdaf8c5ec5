// A volume view: maximum intensity projection of a level that fits, from any side.
import * as zarr from "zarrita";
import { el } from "./dom.js";
import { compile, rgbOf } from "./draw.js";
import { openNode, storeOf } from "./image.js";

const VOXELS = 12e6; // what a laptop's graphics and a slow line bear, per channel
const MOST_CHANNELS = 4;

const VERTEX = `#version 300 es
in vec2 corner;
out vec2 at;
void main() { at = corner * 2.0 - 1.0; gl_Position = vec4(at, 0.0, 1.0); }`;

const FRAGMENT = `#version 300 es
precision highp float;
precision highp sampler3D;
in vec2 at;
uniform sampler3D volume[${MOST_CHANNELS}];
uniform vec3 color[${MOST_CHANNELS}];
uniform vec2 window[${MOST_CHANNELS}];
uniform int channels;
uniform mat3 turn;     // from screen to volume
uniform vec2 half_;    // half the screen in volume units
uniform vec3 box;      // half the volume's size, longest side 1
uniform vec3 voxels;   // along each axis
uniform int steps;     // at most
out vec4 result;
void main() {
  vec3 origin = turn * vec3(at * half_, -2.0);
  vec3 way = turn * vec3(0.0, 0.0, 1.0);
  vec3 near = (-box - origin) / way;
  vec3 far = (box - origin) / way;
  vec3 low = min(near, far);
  vec3 high = max(near, far);
  float from = max(max(low.x, low.y), low.z);
  float to = min(min(high.x, high.y), high.z);
  result = vec4(0.02, 0.025, 0.025, 1.0);
  if (to <= from) return;
  // A step a voxel that the ray crosses: a thin stack takes few.
  vec3 crossed = abs(way) * (to - from) / (2.0 * box) * voxels;
  int wanted = clamp(int(ceil(max(max(crossed.x, crossed.y), crossed.z))), 1, steps);
  vec4 most = vec4(0.0);
  for (int i = 0; i < wanted; i++) {
    vec3 place = origin + way * mix(from, to, (float(i) + 0.5) / float(wanted));
    vec3 cell = place / box * 0.5 + 0.5;
    most.x = max(most.x, texture(volume[0], cell).r);
    if (channels > 1) most.y = max(most.y, texture(volume[1], cell).r);
    if (channels > 2) most.z = max(most.z, texture(volume[2], cell).r);
    if (channels > 3) most.w = max(most.w, texture(volume[3], cell).r);
  }
  vec3 sum = vec3(0.0);
  for (int c = 0; c < ${MOST_CHANNELS}; c++) {
    if (c >= channels) break;
    sum += color[c] * clamp((most[c] - window[c].x) / max(window[c].y - window[c].x, 1e-6), 0.0, 1.0);
  }
  result.rgb = max(result.rgb, sum);
}`;

// A browser refuses hundreds of requests at once; this lets some go at a time.
function narrowQueue() {
  const waiting = [];
  let running = 0;
  let failure = null;
  let idle;
  const done = new Promise((resolve, reject) => { idle = { resolve, reject }; });
  const next = () => {
    if (failure) return idle.reject(failure);
    if (!running && !waiting.length) return idle.resolve();
    while (running < 64 && waiting.length) {
      running++;
      waiting.shift()().catch((error) => { failure = error; }).finally(() => { running--; next(); });
    }
  };
  return { add: (job) => waiting.push(job), onIdle: () => { next(); return done; } };
}

export class VolumeView {
  constructor({ image, state, stage, changed }) {
    Object.assign(this, { image, state, stage, changed });
    this.canvas = el("canvas", { tabIndex: 0, role: "img", hidden: true, "aria-label": "Volume view, maximum intensity. Arrow keys turn, plus and minus zoom, 0 resets." });
    this.loaded = new Map(); // channel -> {t, texture, low, high}
    this.loading = new Map();
    this.reset();
    this.#listen();
  }

  reset() {
    this.yaw = 0.6;
    this.pitch = 0.5;
    this.zoom = 1;
  }

  show(on) {
    if (this.canvas.hidden === !on && !on) return;
    if (on && !this.gl) this.#start();
    this.canvas.hidden = !on;
    if (on) {
      this.#load();
      this.draw();
    }
  }

  #start() {
    this.stage.prepend(this.canvas);
    const gl = this.canvas.getContext("webgl2", { alpha: false, antialias: false, preserveDrawingBuffer: true });
    this.gl = gl;
    this.shader = compile(gl, VERTEX, FRAGMENT);
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    const { levels, index } = this.image;
    const largest = gl.getParameter(gl.MAX_3D_TEXTURE_SIZE);
    const sizes = levels.map((l) => ["x", "y", "z"].map((a) => l.shape[index[a]]));
    const fits = ([x, y, z]) => x * y * z <= VOXELS && Math.max(x, y, z) <= largest;
    const found = sizes.findIndex(fits);
    this.level = found < 0 ? null : found;
    this.size = found < 0 ? null : sizes[found];
  }

  /** Half the volume's physical size, the longest side scaled to 1. */
  #box() {
    const { pixel, size } = this.image;
    const sides = [size.x * (pixel.x ?? 1), size.y * (pixel.y ?? 1), size.z * (pixel.z ?? pixel.x ?? 1)];
    const longest = Math.max(...sides);
    this.unit = pixel.x ? longest / 2 : null;
    return sides.map((s) => s / longest);
  }

  #shown() {
    return this.state.channels.map((c, i) => [c, i]).filter(([c]) => c.on).slice(0, MOST_CHANNELS);
  }

  #load() {
    if (this.level === null) return;
    const { t } = this.state;
    for (const [, c] of this.#shown()) {
      if (this.loaded.get(c)?.t === t || this.loading.has(c)) continue;
      this.loading.set(c, t);
      this.#read(c, t)
        .then((texture) => {
          const old = this.loaded.get(c);
          if (old) this.gl.deleteTexture(old.texture);
          this.loaded.set(c, texture);
        }, (error) => { this.error = error; })
        .finally(() => {
          this.loading.delete(c);
          this.changed();
        });
    }
  }

  async #read(c, t) {
    const { axes, levels } = this.image;
    // A volume wants every chunk: neighbours in a shard come in one request.
    this.store ??= zarr.root(zarr.withRangeCoalescing(storeOf(this.image.url)));
    const array = await openNode(this.store.resolve(levels[this.level].path), "array");
    const place = { t, c };
    const chosen = axes.map(({ name }) => (name in place ? place[name] : null));
    const { data } = await zarr.get(array, chosen, { createQueue: narrowQueue });
    let low = Infinity;
    let high = -Infinity;
    const numbers = new Float32Array(data.length);
    for (let i = 0; i < data.length; i++) {
      const v = Number(data[i]);
      numbers[i] = v;
      if (!Number.isFinite(v)) continue;
      if (v < low) low = v;
      if (v > high) high = v;
    }
    if (low > high) [low, high] = [0, 1];
    const span = high - low || 1;
    // Bytes are drawn fastest. Where a few bright voxels stretch the range far beyond what is
    // shown, they would leave it too few shades: half floats then.
    const { start, end } = this.state.channels[c];
    const fine = end - start < span / 2;
    const cells = fine ? numbers : new Uint8Array(numbers.length);
    for (let i = 0; i < numbers.length; i++) {
      // Infinity is the brightest, what is no number the darkest.
      cells[i] = Math.min(1, Math.max(0, (numbers[i] - low) / span || 0)) * (fine ? 1 : 255);
    }
    const { gl } = this;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_3D, texture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texImage3D(gl.TEXTURE_3D, 0, fine ? gl.R16F : gl.R8, ...this.size, 0, gl.RED, fine ? gl.FLOAT : gl.UNSIGNED_BYTE, cells);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_3D, filter, gl.LINEAR);
    for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R]) gl.texParameteri(gl.TEXTURE_3D, wrap, gl.CLAMP_TO_EDGE);
    return { t, texture, low, high };
  }

  #turn() {
    const [cy, sy, cp, sp] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
    // Rows of the image run down, so y points down here too; column-major for WebGL.
    return [cy, sy * sp, -sy * cp, 0, -cp, -sp, sy, -cy * sp, cy * cp];
  }

  draw(quick = false) {
    const { gl, stage, canvas } = this;
    if (!gl || canvas.hidden) return;
    const ratio = quick ? 0.5 : 1;
    const width = Math.max(1, Math.round(stage.clientWidth * ratio));
    const height = Math.max(1, Math.round(stage.clientHeight * ratio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    gl.viewport(0, 0, width, height);
    gl.useProgram(this.shader.program);
    const at = this.shader.at;
    const box = this.#box();
    const shortest = Math.min(width, height);
    this.half = 1.35 / this.zoom;
    gl.uniform2f(at("half_"), (this.half * width) / shortest, (this.half * height) / shortest);
    gl.uniform3fv(at("box"), box);
    gl.uniformMatrix3fv(at("turn"), false, this.#turn());
    gl.uniform1i(at("steps"), quick ? 64 : 512);
    gl.uniform3fv(at("voxels"), this.size ?? [1, 1, 1]);
    const ready = this.#shown().filter(([, c]) => this.loaded.has(c));
    gl.uniform1i(at("channels"), ready.length);
    const colors = new Float32Array(3 * MOST_CHANNELS);
    const windows = new Float32Array(2 * MOST_CHANNELS);
    const units = new Int32Array(MOST_CHANNELS);
    for (let i = 0; i < MOST_CHANNELS; i++) {
      // Every sampler of the array needs a texture, also those that the loop doesn't read.
      const [channel, c] = ready[i] ?? ready[0] ?? [];
      units[i] = i;
      if (!channel) continue;
      const { texture, low, high } = this.loaded.get(c);
      gl.activeTexture(gl.TEXTURE0 + i);
      gl.bindTexture(gl.TEXTURE_3D, texture);
      colors.set(rgbOf(channel.color), 3 * i);
      windows.set([(channel.start - low) / (high - low || 1), (channel.end - low) / (high - low || 1)], 2 * i);
    }
    gl.uniform1iv(at("volume[0]"), units);
    gl.uniform3fv(at("color[0]"), colors);
    gl.uniform2fv(at("window[0]"), windows);
    if (!ready.length) {
      gl.clearColor(0, 0, 0, 1);
      gl.clear(gl.COLOR_BUFFER_BIT);
    } else {
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
    this.stage.parentElement.dataset.volume = this.loading.size ? "loading" : ready.length ? "done" : "empty";
  }

  describe() {
    if (this.level === null) return "No level of this image is small enough for the volume view.";
    if (this.error) return `The volume could not be read: ${this.error.message}`;
    if (this.loading.size) return "Reading the volume …";
    const hidden = this.state.channels.filter((c) => c.on).length - MOST_CHANNELS;
    return `maximum intensity, ${this.size.join(" × ")} voxels${hidden > 0 ? `, first ${MOST_CHANNELS} channels` : ""}`;
  }

  micrometersPerPixel() {
    if (!this.unit || !this.half) return null;
    return (2 * this.half * this.unit) / Math.min(this.stage.clientWidth, this.stage.clientHeight);
  }

  #listen() {
    const { canvas } = this;
    let held = null;
    let settle = 0;
    const moved = () => {
      this.draw(true);
      clearTimeout(settle);
      settle = setTimeout(() => this.changed(), 200);
    };
    const turn = (dx, dy) => {
      this.yaw += dx;
      this.pitch = Math.min(1.57, Math.max(-1.57, this.pitch + dy));
      moved();
    };
    const scale = (factor) => {
      this.zoom = Math.min(20, Math.max(0.2, this.zoom * factor));
      moved();
    };
    canvas.addEventListener("pointerdown", (e) => {
      canvas.setPointerCapture(e.pointerId);
      held = [e.offsetX, e.offsetY];
    });
    canvas.addEventListener("pointermove", (e) => {
      if (!held) return;
      turn((e.offsetX - held[0]) / 150, (e.offsetY - held[1]) / 150);
      held = [e.offsetX, e.offsetY];
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { held = null; });
    canvas.addEventListener("wheel", (e) => {
      e.preventDefault();
      scale(2 ** (-e.deltaY / 400));
    }, { passive: false });
    canvas.addEventListener("keydown", (e) => {
      const keys = {
        ArrowLeft: () => turn(-0.15, 0),
        ArrowRight: () => turn(0.15, 0),
        ArrowUp: () => turn(0, -0.15),
        ArrowDown: () => turn(0, 0.15),
        "+": () => scale(1.3),
        "=": () => scale(1.3),
        "-": () => scale(1 / 1.3),
        0: () => { this.reset(); moved(); },
      };
      if (!keys[e.key]) return;
      e.preventDefault();
      e.stopPropagation();
      keys[e.key]();
    });
  }
}
