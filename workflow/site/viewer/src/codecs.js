// Decoders for compressed chunks in plain JavaScript: the usual WebAssembly builds make functions
// from strings, which the pages' content security policy forbids, and weigh twenty times as much.
// Blosc 1 format: c-blosc README_CHUNK_FORMAT; bitshuffle: bit b of element e is bit e % 8 of byte
// e / 8 in row b.
import { decompress as unzstd } from "fzstd";
import * as zarr from "zarrita";

const BLOSC = { blosclz: 0, lz4: 1, snappy: 2, zlib: 3, zstd: 4 };
const NAMES = Object.fromEntries(Object.entries(BLOSC).map(([name, id]) => [id, name]));

/** Decode one LZ4 block into `out`, which has exactly the right size. */
export function unlz4(bytes, out) {
  let i = 0;
  let o = 0;
  while (i < bytes.length) {
    const token = bytes[i++];
    let literals = token >> 4;
    if (literals === 15) {
      let more;
      do {
        more = bytes[i++];
        literals += more;
      } while (more === 255);
    }
    if (i + literals > bytes.length || o + literals > out.length) throw new Error("damaged LZ4 block");
    out.set(bytes.subarray(i, i + literals), o);
    i += literals;
    o += literals;
    if (i >= bytes.length) break; // the last sequence has no match
    const back = bytes[i] | (bytes[i + 1] << 8);
    i += 2;
    let match = (token & 15) + 4;
    if ((token & 15) === 15) {
      let more;
      do {
        more = bytes[i++];
        match += more;
      } while (more === 255);
    }
    if (back === 0 || back > o || o + match > out.length) throw new Error("damaged LZ4 block");
    if (back >= match) {
      out.copyWithin(o, o - back, o - back + match);
      o += match;
    } else {
      // Source and target overlap: bytes repeat.
      for (let end = o + match; o < end; o++) out[o] = out[o - back];
    }
  }
  if (o !== out.length) throw new Error("damaged LZ4 block");
  return out;
}

function unshuffle(from, to, size) {
  const count = Math.floor(from.length / size);
  for (let k = 0; k < size; k++) {
    const row = k * count;
    for (let i = 0, o = k; i < count; i++, o += size) to[o] = from[row + i];
  }
  to.set(from.subarray(count * size), count * size);
}

function unbitshuffle(from, to, size) {
  const count = Math.floor(from.length / size);
  if (count % 8) {
    to.set(from); // format 2 leaves such blocks alone
    return;
  }
  const row = count / 8;
  for (let k = 0; k < size; k++) {
    const base = k * 8 * row;
    for (let g = 0; g < row; g++) {
      // Eight bytes, one of each bit's row, are an 8 x 8 matrix of bits to transpose
      // (Warren, Hacker's Delight, 7-3).
      let p = base + g;
      let lo = from[p];
      lo |= from[(p += row)] << 8;
      lo |= from[(p += row)] << 16;
      lo |= from[(p += row)] << 24;
      let hi = from[(p += row)];
      hi |= from[(p += row)] << 8;
      hi |= from[(p += row)] << 16;
      hi |= from[(p += row)] << 24;
      let t = (lo ^ (lo >>> 7)) & 0x00aa00aa;
      lo ^= t ^ (t << 7);
      t = (hi ^ (hi >>> 7)) & 0x00aa00aa;
      hi ^= t ^ (t << 7);
      t = (lo ^ (lo >>> 14)) & 0x0000cccc;
      lo ^= t ^ (t << 14);
      t = (hi ^ (hi >>> 14)) & 0x0000cccc;
      hi ^= t ^ (t << 14);
      t = (hi & 0x0f0f0f0f) << 4;
      const high = (hi & 0xf0f0f0f0) | ((lo >>> 4) & 0x0f0f0f0f);
      const low = (lo & 0x0f0f0f0f) | t;
      let o = g * 8 * size + k;
      to[o] = low;
      to[(o += size)] = low >>> 8;
      to[(o += size)] = low >>> 16;
      to[(o += size)] = low >>> 24;
      to[(o += size)] = high;
      to[(o += size)] = high >>> 8;
      to[(o += size)] = high >>> 16;
      to[(o += size)] = high >>> 24;
    }
  }
  to.set(from.subarray(count * size), count * size);
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function plain(codec, bytes, out) {
  if (codec === BLOSC.zstd) unzstd(bytes, out);
  else if (codec === BLOSC.lz4) unlz4(bytes, out);
  else if (codec === BLOSC.zlib) out.set(await inflate(bytes));
  else throw new Error(`this viewer can't decode ${NAMES[codec] ?? `codec ${codec}`} inside Blosc`);
}

/** Decode one Blosc 1 chunk. */
export async function unblosc(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const flags = bytes[2];
  const size = bytes[3] || 1;
  const total = view.getUint32(4, true);
  const blockSize = view.getUint32(8, true);
  const out = new Uint8Array(total);
  if (flags & 2) {
    out.set(bytes.subarray(16, 16 + total));
    return out;
  }
  const codec = flags >> 5;
  const blocks = Math.ceil(total / blockSize);
  const shuffled = (flags & 1 && size > 1) || flags & 4 ? new Uint8Array(blockSize) : null;
  for (let b = 0; b < blocks; b++) {
    const from = b * blockSize;
    const length = Math.min(blockSize, total - from);
    const target = out.subarray(from, from + length);
    const block = shuffled ? shuffled.subarray(0, length) : target;
    const leftover = length !== blockSize;
    const splits = !(flags & 16) && !leftover ? size : 1;
    const part = Math.floor(length / splits);
    let place = view.getUint32(16 + 4 * b, true);
    for (let s = 0; s < splits; s++) {
      const packed = view.getInt32(place, true);
      place += 4;
      const piece = bytes.subarray(place, place + packed);
      const into = block.subarray(s * part, (s + 1) * part);
      if (packed === part) into.set(piece);
      else await plain(codec, piece, into);
      place += packed;
    }
    if (shuffled) (flags & 4 ? unbitshuffle : unshuffle)(block, target, size);
  }
  return out;
}

const codec = (decode) => ({
  fromConfig: () => ({
    kind: "bytes_to_bytes",
    decode,
    encode() {
      throw new Error("the viewer only reads");
    },
  }),
});

for (const prefix of ["", "numcodecs."]) {
  zarr.registry.set(`${prefix}blosc`, async () => codec(unblosc));
  zarr.registry.set(`${prefix}zstd`, async () => codec((bytes) => unzstd(bytes)));
  zarr.registry.set(`${prefix}lz4`, async () =>
    codec((bytes) => {
      const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
      return unlz4(bytes.subarray(4), new Uint8Array(size));
    }),
  );
}
