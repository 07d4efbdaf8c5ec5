// Loads tiles (inner chunks) of a pyramid: a queue that drops what is no longer looked at, and a
// cache bounded in bytes. A tile is one chunk of one level, cut to the plane that is shown.

const PARALLEL = 10;

export class Tiles {
  constructor({ bytes = 384e6, arrived, released }) {
    this.limit = bytes;
    this.arrived = arrived;
    this.released = released;
    this.cache = new Map(); // key -> tile; insertion order is age
    this.used = 0;
    this.wanted = new Map(); // key -> request, in the order of wish
    this.running = new Map();
    this.failed = new Map();
  }

  get busy() {
    return this.wanted.size + this.running.size;
  }

  /** The tile if it is here, and as young again. */
  get(key) {
    const tile = this.cache.get(key);
    if (tile) {
      this.cache.delete(key);
      this.cache.set(key, tile);
    }
    return tile;
  }

  /** From now on these tiles are wished for and nothing else. */
  want(requests) {
    this.wanted = new Map();
    for (const request of requests) {
      if (!this.cache.has(request.key) && !this.running.has(request.key) && !this.failed.has(request.key)) {
        this.wanted.set(request.key, request);
      }
    }
    const keys = new Set(requests.map((r) => r.key));
    for (const [key, run] of this.running) if (!keys.has(key)) run.abort();
    this.#pump();
  }

  #pump() {
    for (const [key, request] of this.wanted) {
      if (this.running.size >= PARALLEL) return;
      this.wanted.delete(key);
      const abort = new AbortController();
      this.running.set(key, abort);
      loadTile(request, abort.signal)
        .then(
          (tile) => this.#keep(key, tile),
          (error) => {
            if (!abort.signal.aborted) this.failed.set(key, error);
          },
        )
        .finally(() => {
          this.running.delete(key);
          this.#pump();
          this.arrived();
        });
    }
  }

  #keep(key, tile) {
    this.cache.set(key, tile);
    this.used += tile.data.byteLength;
    for (const [old, gone] of this.cache) {
      if (this.used <= this.limit || old === key) break;
      this.cache.delete(old);
      this.used -= gone.data.byteLength;
      this.released(gone);
    }
  }
}

/** Request for the tile that holds row `ty`, column `tx` of a level's plane at `at` ({t, c, z}). */
export function tileRequest(layer, levelIndex, at, ty, tx) {
  const level = layer.levels[levelIndex];
  const chunk = [];
  const inside = [];
  for (const [axis, { name }] of layer.axes.entries()) {
    const size = level.chunks[axis];
    let place;
    if (name === "y") place = ty * size;
    else if (name === "x") place = tx * size;
    else {
      // A level may have fewer planes than the full image.
      place = Math.min(level.shape[axis] - 1, Math.floor((at[name] ?? 0) / level.factor[axis]));
    }
    chunk.push(Math.floor(place / size));
    inside.push(name === "y" || name === "x" ? 0 : place % size);
  }
  const key = `${layer.id}/${levelIndex}/${chunk.join(".")}/${inside.join(".")}`;
  return { key, layer, level, chunk, inside, ty, tx };
}

async function loadTile({ layer, level, chunk, inside, ty, tx }, signal) {
  const { data, shape, stride } = await level.array.getChunk(chunk, { signal });
  const { y, x } = layer.index;
  const [height, width] = [shape[y], shape[x]];
  const offset = inside.reduce((sum, place, axis) => sum + place * stride[axis], 0);
  const plain = stride[x] === 1 && stride[y] === width;
  let plane = plain ? data.subarray?.(offset, offset + height * width) : null;
  if (!plane) {
    plane = new (data.constructor === Array ? Float32Array : data.constructor)(height * width);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const at = offset + row * stride[y] + column * stride[x];
        plane[row * width + column] = data.get ? data.get(at) : data[at];
      }
    }
  }
  return {
    data: layer.isLabels ? asLabels(plane) : asNumbers(plane),
    width,
    height,
    // Chunks at the edge are padded; only this part is picture.
    validWidth: Math.min(width, level.shape[x] - tx * width),
    validHeight: Math.min(height, level.shape[y] - ty * height),
    texture: null,
  };
}

function asNumbers(plane) {
  if (plane instanceof Uint8Array || plane instanceof Uint8ClampedArray) return plane;
  if (plane instanceof Float32Array) return plane;
  const numbers = new Float32Array(plane.length);
  for (let i = 0; i < plane.length; i++) numbers[i] = Number(plane[i]);
  return numbers;
}

function asLabels(plane) {
  const ids = new Uint32Array(plane.length);
  if (typeof plane[0] === "bigint") {
    for (let i = 0; i < plane.length; i++) ids[i] = Number(BigInt.asUintN(32, plane[i]));
  } else {
    ids.set(plane);
  }
  return ids;
}
