// Opens an OME-Zarr image (0.4 or 0.5) and says what is in it; knows nothing of drawing.
import * as zarr from "zarrita";
import "./codecs.js";

// Some servers ignore Range and send the whole file: cut out what was asked for, so that the
// picture is right even where it is slow.
async function fetchRange(request) {
  const response = await fetch(request);
  const range = request.headers.get("range");
  if (!range || response.status !== 200) return response;
  const [, first, last] = range.match(/^bytes=(\d*)-(\d*)$/);
  const bytes = await response.arrayBuffer();
  const part = first === "" ? bytes.slice(-Number(last)) : bytes.slice(Number(first), Number(last) + 1);
  return new Response(part, { status: 206 });
}

export const storeOf = (url) => new zarr.FetchStore(url, { fetch: fetchRange, useSuffixRequest: true });

// Zarr v3 first, so that no request goes astray on what this archive writes.
export const openNode = (location, kind) =>
  zarr.open.v3(location, { kind }).catch((error) => {
    if (zarr.isZarritaError(error, "NotFoundError")) return zarr.open.v2(location, { kind });
    throw error;
  });

async function openPyramid(location) {
  const group = await openNode(location, "group");
  const ome = group.attrs.ome ?? group.attrs;
  const multiscale = ome.multiscales?.[0];
  if (!multiscale) throw new Error("there is no multiscales metadata at this address");
  const axes = multiscale.axes.map((a) => (typeof a === "string" ? { name: a } : a));
  const index = Object.fromEntries(axes.map((a, i) => [a.name, i]));
  const levels = await Promise.all(
    multiscale.datasets.map(async (dataset) => {
      const array = await openNode(location.resolve(dataset.path), "array");
      const transforms = dataset.coordinateTransformations ?? [];
      const scale = transforms.find((t) => t.type === "scale")?.scale ?? axes.map(() => 1);
      return { path: dataset.path, array, scale, shape: array.shape, chunks: array.chunks };
    }),
  );
  const base = levels[0].scale;
  for (const level of levels) level.factor = level.scale.map((s, i) => s / base[i]);
  return { group, ome, axes, index, levels };
}

const toMicrometer = { nanometer: 1e-3, micrometer: 1, millimeter: 1e3, centimeter: 1e4, meter: 1e6, angstrom: 1e-4 };

function rangeOf(dtype) {
  if (dtype === "bool") return [0, 1];
  const bits = dtype.match(/^(u?)int(\d+)$/);
  if (!bits) return [0, 1];
  const n = Math.min(32, Number(bits[2]));
  return bits[1] ? [0, 2 ** n - 1] : [-(2 ** (n - 1)), 2 ** (n - 1) - 1];
}

const CYCLE = ["ffffff", "00ff00", "ff00ff", "00ffff", "ffff00", "ff6000", "5080ff"];

/** Everything the viewer needs to know of the image at `url`. */
export async function openImage(url, { rgb = false } = {}) {
  const root = zarr.root(storeOf(url));
  const pyramid = await openPyramid(root);
  const { axes, index, levels, ome } = pyramid;
  const at = (name) => (name in index ? levels[0].shape[index[name]] : 1);
  const size = { t: at("t"), c: at("c"), z: at("z"), y: at("y"), x: at("x") };
  const step = (name) => {
    if (!(name in index)) return null;
    const unit = toMicrometer[axes[index[name]].unit];
    return unit ? levels[0].scale[index[name]] * unit : null;
  };
  const dtype = levels[0].array.dtype;
  const [low, high] = rangeOf(dtype);
  const omero = ome.omero ?? {};
  const channels = Array.from({ length: size.c }, (_, i) => {
    const given = omero.channels?.[i] ?? {};
    const window = given.window ?? {};
    const fallback = size.c === 1 ? "ffffff" : CYCLE[i % CYCLE.length];
    return {
      name: given.label || (size.c === 1 ? "Image" : `Channel ${i + 1}`),
      color: /^[0-9a-f]{6}/i.test(given.color ?? "") ? given.color.slice(0, 6).toLowerCase() : fallback,
      on: given.active ?? i < 4,
      start: window.start ?? low,
      end: window.end ?? high,
      min: window.min ?? low,
      max: window.max ?? high,
      guessed: window.start === undefined,
    };
  });
  const primaries = channels.length === 3 && channels.map((c) => c.color).join() === "ff0000,00ff00,0000ff";
  return {
    url,
    ...pyramid,
    root,
    size,
    dtype,
    channels,
    isRgb: rgb && primaries,
    pixel: { x: step("x"), y: step("y"), z: step("z") },
    time: "t" in index ? { step: levels[0].scale[index.t], unit: axes[index.t].unit } : null,
    start: { z: omero.rdefs?.defaultZ ?? Math.floor((size.z - 1) / 2), t: omero.rdefs?.defaultT ?? 0 },
  };
}

/**
 * The label images that lie in the image's own labels group; [] when there is none. `names` are
 * those that the page knows of; without them the group is asked.
 */
export async function openLabels(image, names) {
  if (!names) try {
    const group = await zarr.open.v3(image.root.resolve("labels"), { kind: "group" });
    names = (group.attrs.ome ?? group.attrs).labels ?? [];
  } catch {
    return [];
  }
  const opened = names.map(async (name) => {
    const pyramid = await openPyramid(image.root.resolve(`labels/${name}`));
    const colors = new Map();
    for (const entry of pyramid.ome["image-label"]?.colors ?? []) {
      if (entry.rgba) colors.set(Number(entry["label-value"]), entry.rgba);
    }
    return { name, ...pyramid, colors };
  });
  const settled = await Promise.allSettled(opened);
  return settled.filter((s) => s.status === "fulfilled").map((s) => s.value);
}
