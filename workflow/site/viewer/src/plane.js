// Which pieces of which tiles make up what is seen of one plane. Coordinates are pixels of level 0;
// y is stretched by `aspect` where pixels aren't square.

import { tileRequest } from "./tiles.js";

/** The coarsest level that still has a pixel for every device pixel. */
export function levelFor(layer, scale) {
  const { x } = layer.index;
  let best = 0;
  for (const [i, level] of layer.levels.entries()) {
    if (level.factor[x] * scale <= 1.0001) best = i;
  }
  return best;
}

function extent(layer, levelIndex, box, image) {
  const level = layer.levels[levelIndex];
  const { y, x } = layer.index;
  // A label image may have its own scale: compare sizes, not metadata.
  const fx = image.size.x / layer.levels[0].shape[x];
  const fy = image.size.y / layer.levels[0].shape[y];
  const width = level.chunks[x] * level.factor[x] * fx;
  const height = level.chunks[y] * level.factor[y] * fy;
  const columns = Math.ceil(level.shape[x] / level.chunks[x]);
  const rows = Math.ceil(level.shape[y] / level.chunks[y]);
  return {
    width,
    height,
    pixel: [level.factor[x] * fx, level.factor[y] * fy],
    x0: Math.max(0, Math.floor(box.x0 / width)),
    x1: Math.min(columns - 1, Math.floor(box.x1 / width)),
    y0: Math.max(0, Math.floor(box.y0 / height)),
    y1: Math.min(rows - 1, Math.floor(box.y1 / height)),
  };
}

/** Requests for the tiles of a level that lie in `box`, from its middle outwards. */
export function visible(layer, levelIndex, at, box, image) {
  const e = extent(layer, levelIndex, box, image);
  const requests = [];
  for (let ty = e.y0; ty <= e.y1; ty++) {
    for (let tx = e.x0; tx <= e.x1; tx++) {
      const far = Math.hypot(ty - (e.y0 + e.y1) / 2, tx - (e.x0 + e.x1) / 2);
      requests.push({ ...tileRequest(layer, levelIndex, at, ty, tx), far });
    }
  }
  return requests.sort((a, b) => a.far - b.far);
}

/**
 * What can be painted now: for each wished tile itself, or the part of a coarser one that covers
 * it. Returns [{tile, part, box}] with box in pixels of level 0.
 */
export function pieces(layer, levelIndex, at, box, image, tiles) {
  const e = extent(layer, levelIndex, box, image);
  const found = [];
  for (let ty = e.y0; ty <= e.y1; ty++) {
    for (let tx = e.x0; tx <= e.x1; tx++) {
      const tile = tiles.get(tileRequest(layer, levelIndex, at, ty, tx).key);
      const x = tx * e.width;
      const y = ty * e.height;
      if (tile) {
        found.push({
          tile,
          part: [0, 0, tile.validWidth / tile.width, tile.validHeight / tile.height],
          box: [x, y, tile.validWidth * e.pixel[0], tile.validHeight * e.pixel[1]],
        });
        continue;
      }
      const right = Math.min(x + e.width, image.size.x);
      const bottom = Math.min(y + e.height, image.size.y);
      const stand = coarser(layer, levelIndex, at, [x, y, right, bottom], image, tiles);
      found.push(...stand);
    }
  }
  return found;
}

function coarser(layer, levelIndex, at, [x, y, right, bottom], image, tiles) {
  for (let i = levelIndex + 1; i < layer.levels.length; i++) {
    const e = extent(layer, i, { x0: x, y0: y, x1: right - 1e-6, y1: bottom - 1e-6 }, image);
    const found = [];
    let whole = true;
    for (let ty = e.y0; ty <= e.y1; ty++) {
      for (let tx = e.x0; tx <= e.x1; tx++) {
        const tile = tiles.get(tileRequest(layer, i, at, ty, tx).key);
        if (!tile) {
          whole = false;
          continue;
        }
        const left = Math.max(x, tx * e.width);
        const top = Math.max(y, ty * e.height);
        const w = Math.min(right, (tx + 1) * e.width) - left;
        const h = Math.min(bottom, (ty + 1) * e.height) - top;
        if (w <= 0 || h <= 0) continue;
        found.push({
          tile,
          part: [(left - tx * e.width) / e.width, (top - ty * e.height) / e.height, w / e.width, h / e.height],
          box: [left, top, w, h],
        });
      }
    }
    if (whole && found.length) return found;
  }
  return [];
}

/** The value at a pixel of level 0, from the finest tile that is here; null when none is. */
export function valueAt(layer, levelIndex, at, px, py, image, tiles) {
  for (let i = levelIndex; i < layer.levels.length; i++) {
    const e = extent(layer, i, { x0: px, y0: py, x1: px, y1: py }, image);
    const tile = tiles.get(tileRequest(layer, i, at, e.y0, e.x0).key);
    if (!tile) continue;
    const column = Math.floor((px - e.x0 * e.width) / e.pixel[0]);
    const row = Math.floor((py - e.y0 * e.height) / e.pixel[1]);
    if (column < tile.validWidth && row < tile.validHeight) return tile.data[row * tile.width + column];
  }
  return null;
}
