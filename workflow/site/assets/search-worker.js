// The search itself, off the page's thread: static files in, numbers and results out. The index's
// form is told in slidebox/catalogue/search.py and words.py.
"use strict";

const FACETS = ["organism", "method", "dimensions", "modality", "annotated", "licence", "year"];
const OWN = ["dimensions", "modality", "annotated"]; // of each image; the others are the study's
const CHUNK = 100; // images a file, as slidebox.catalogue.search.CHUNK
const CARDS = 32; // studies a file, as slidebox.catalogue.search.CARDS
const REMEMBERED = 12; // words a segment that need not be looked up again while others are typed
const CACHED = 96e6; // bytes of blocks that are kept
const WHOLE = 131072; // bytes of a segment's words that are read at once
const ROUND = 6; // files that a browser asks a host for at once
const decoder = new TextDecoder();

let root;
let ready;
let latest = 0;

onmessage = async ({ data }) => {
  if (data.root) {
    root = new URL(data.root);
    ready = open();
    ready.catch(() => {});
    return;
  }
  latest = data.turn;
  const told = (error) => postMessage({ turn: data.turn, error: error.message });
  try {
    await answer(data);
  } catch (error) {
    if (!(error instanceof Renewed)) return told(error);
    ready = open(); // the archive has changed since its index was read
    await answer(data).catch(told);
  }
};

class Renewed extends Error {
  message = "the index is being renewed; load the page again";
}

async function answer(data) {
  for await (const part of search(await ready, data)) {
    if (data.turn !== latest) return; // the reader has typed on
    postMessage({ turn: data.turn, ...part });
  }
}

async function get(path, options) {
  const response = await fetch(new URL(path, root), options);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response;
}

/** Everything that every query needs: facets of all studies, runs of images alike. */
async function open() {
  const index = await (await get("catalogue/search/index.json", { cache: "no-cache" })).json();
  const parts = await Promise.all(index.segments.map(async (segment) => {
    const base = `catalogue/search/${segment.name}/`;
    const facets = await (await get(`${base}facets.json?${segment.state}`)).json();
    const { blocks, beginnings } = facets;
    return { ...segment, base, facets, blocks, beginnings, cache: new Map(), found: new Map() };
  }));
  const names = FACETS.map(() => new Map());
  const values = FACETS.map(() => []); // values[facet][study] -> numbers of values
  const classOf = new Map();
  const classes = []; // numbers of values, in the order of OWN
  const accessions = [];
  const imageStart = [0];
  const runStart = [0];
  const runs = [];
  const number = (facet, value) => {
    const known = names[facet];
    if (!known.has(value)) known.set(value, known.size);
    return known.get(value);
  };
  for (const part of parts) {
    part.first = accessions.length;
    part.firstImage = imageStart.at(-1);
    const mapped = FACETS.map((facet, f) => part.facets.values[facet].map((v) => number(f, v)));
    FACETS.forEach((facet, f) => {
      for (const own of part.facets.studies[facet]) values[f].push(own.map((v) => mapped[f][v]));
    });
    const mine = part.facets.classes.map((kind) => {
      const own = kind.map((v, k) => mapped[FACETS.indexOf(OWN[k])][v]);
      const key = own.join();
      if (!classOf.has(key)) {
        classOf.set(key, classes.length);
        classes.push(own);
      }
      return classOf.get(key);
    });
    part.facets.images.forEach((own, i) => {
      let images = 0;
      for (let k = 0; k < own.length; k += 2) {
        runs.push(own[k], mine[own[k + 1]]);
        images += own[k];
      }
      accessions.push(part.facets.accessions[i]);
      imageStart.push(imageStart.at(-1) + images);
      runStart.push(runs.length);
    });
    part.images = imageStart.at(-1) - part.firstImage;
    delete part.facets;
  }
  return {
    parts, accessions, classes, values,
    names: names.map((known) => [...known.keys()]),
    imageStart: Uint32Array.from(imageStart),
    runStart: Uint32Array.from(runStart),
    runs: Uint32Array.from(runs),
  };
}

/** The words of a query, spelled as slidebox.catalogue.words.words_of does. */
function wordsOf(text) {
  const plain = text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/ß/g, "ss").replace(/ς/g, "σ");
  const words = plain.match(/[\p{L}\p{N}]+/gu) ?? [];
  // A single letter is a word that is being typed: nearly everything would fit it.
  if (words.length && /^[a-z0-9]$/.test(words.at(-1)) && /[\p{L}\p{N}]$/u.test(text)) words.pop();
  return words;
}

let cached = 0;

/** Bytes of a segment's words; a small segment is read whole, once. */
async function rangeOf(part, start, end) {
  if (part.bytes > WHOLE) return bytesOf(part, start, end);
  part.whole ??= bytesOf(part, 0, part.bytes);
  part.whole.catch(() => { part.whole = undefined; });
  return (await part.whole).subarray(start, end);
}

async function bytesOf(part, start, end) {
  if (start === end) return new Uint8Array();
  // Not by way of the browser's cache, which lets requests for one file wait for each other.
  const response = await get(`${part.base}words.bin?${part.state}`, { cache: "no-store", headers: { Range: `bytes=${start}-${end - 1}` } });
  let bytes = new Uint8Array(await response.arrayBuffer());
  const size = response.status === 200 ? bytes.length : Number(response.headers.get("Content-Range")?.split("/")[1] ?? part.bytes);
  if (response.status === 200) bytes = bytes.subarray(start, end); // the host knows no ranges
  if (size !== part.bytes || bytes.length !== end - start) throw new Renewed();
  return bytes;
}

/** The blocks of a segment that may hold words with this beginning: words, where their postings begin, bytes. */
async function blocksOf(part, word) {
  const { blocks } = part;
  const last = blocks.length - 1;
  let from = 0;
  for (let low = 0, high = last; low < high;) {
    const middle = (low + high) >> 1;
    if (blocks[middle][0] <= word) {
      from = middle;
      low = middle + 1;
    } else high = middle;
  }
  let to = from;
  while (to < last && (to === from || blocks[to][0].startsWith(word))) to++;
  const held = Array.from({ length: to - from }, (_, i) => part.cache.get(from + i));
  const wanted = [...held.keys()].filter((i) => !held[i]).map((i) => from + i);
  if (wanted.length) {
    const [a, z] = [wanted[0], wanted.at(-1) + 1];
    const start = blocks[a][1];
    const bytes = await rangeOf(part, start, blocks[z][1]);
    if (cached > CACHED) {
      for (const each of part.cache.keys()) part.cache.delete(each);
      cached = 0;
    }
    for (let b = a; b < z; b++) {
      held[b - from] = unpacked(bytes.subarray(blocks[b][1] - start, blocks[b + 1][1] - start));
      part.cache.set(b, held[b - from]);
    }
    cached += bytes.length;
  }
  return held;
}

function unpacked(bytes) {
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const { w: words, n: sizes } = JSON.parse(decoder.decode(bytes.subarray(4, 4 + size)));
  const starts = new Uint32Array(words.length + 1);
  starts[0] = 4 + size;
  sizes.forEach((n, i) => { starts[i + 1] = starts[i] + n; });
  return { words, starts, bytes };
}

/** Which studies and images of a segment have a word that begins so. */
function lookUp(opened, part, word) {
  let found = part.found.get(word);
  if (found) part.found.delete(word); // it becomes the newest again
  else {
    found = read(opened, part, word);
    found.catch(() => part.found.delete(word));
  }
  part.found.set(word, found);
  if (part.found.size > REMEMBERED) part.found.delete(part.found.keys().next().value);
  return found;
}

async function read({ imageStart }, part, word) {
  const scores = new Uint8Array(part.studies);
  const whole = new Uint8Array(part.studies); // all images of the study have it
  let bits = null;
  const take = (block, at, end, times) => {
    const next = () => {
      let value = 0;
      for (let shift = 0; ; shift += 7) {
        const byte = block[at++];
        value += (byte & 127) * 2 ** shift;
        if (byte < 128) return value;
      }
    };
    for (let study = 0; at < end;) {
      study += next();
      const kind = next();
      const score = (kind >> 1) * times;
      if (scores[study] < score) scores[study] = score;
      if (kind & 1) {
        bits ??= new Uint8Array(part.images);
        let image = imageStart[part.first + study] - part.firstImage;
        for (let runs = next(); runs > 0; runs--) {
          image += next();
          const count = next();
          bits.fill(1, image, image + count);
          image += count;
        }
      } else whole[study] = 1;
    }
  };
  if (Object.hasOwn(part.beginnings, word)) {
    const [start, size] = part.beginnings[word];
    take(await rangeOf(part, start, start + size), 0, size, 1);
    return { scores, whole, bits };
  }
  for (const { words, starts, bytes } of await blocksOf(part, word)) {
    let low = 0; // the first word that isn't before it
    for (let high = words.length; low < high;) {
      const middle = (low + high) >> 1;
      if (words[middle] < word) low = middle + 1;
      else high = middle;
    }
    for (let i = low; i < words.length && words[i].startsWith(word); i++) take(bytes, starts[i], starts[i + 1], words[i] === word ? 2 : 1);
  }
  return { scores, whole, bits };
}

/** The answer with its first results, then the further results. */
async function* search(opened, { turn, query, chosen, kind, shown }) {
  const { parts, accessions, imageStart, runStart, runs, classes, names, values } = opened;
  const words = wordsOf(query);
  const found = await Promise.all(parts.map((part) => Promise.all(words.map((word) => lookUp(opened, part, word)))));
  if (turn !== latest) return;
  const scores = new Uint16Array(accessions.length).fill(words.length ? 0 : 1);
  const counts = new Uint32Array(runs.length / 2); // images that fit, a run
  const masks = []; // of a segment's images, null when whole studies fit
  parts.forEach((part, p) => {
    const some = found[p].some((f) => f.bits);
    const mask = some ? new Uint8Array(part.images).fill(1) : null;
    masks.push(mask);
    for (let s = 0; s < part.studies; s++) {
      const study = part.first + s;
      let fits = true;
      let score = words.length ? 0 : 1;
      for (const f of found[p]) {
        if (!f.scores[s]) fits = false;
        score += f.scores[s];
      }
      const [a, z] = [imageStart[study] - part.firstImage, imageStart[study + 1] - part.firstImage];
      if (!fits) {
        mask?.fill(0, a, z);
        continue;
      }
      scores[study] = score;
      let own = false;
      for (const f of found[p]) {
        if (f.whole[s] || !f.bits) continue;
        own = true;
        for (let i = a; i < z; i++) mask[i] &= f.bits[i];
      }
      let image = a;
      for (let r = runStart[study]; r < runStart[study + 1]; r += 2) {
        const end = image + runs[r];
        let n = runs[r];
        if (own) {
          n = 0;
          for (let i = image; i < end; i++) n += mask[i];
        }
        counts[r / 2] = n;
        image = end;
      }
    }
  });

  // A study (or a class of images) fails at the facets of which it has no chosen value: it counts
  // for all facets when it fails nowhere, and for one when it fails there alone.
  const picked = FACETS.map((facet, f) => {
    const wanted = new Set(chosen[facet] ?? []);
    return wanted.size ? new Set(names[f].map((value, i) => (wanted.has(value) ? i : -1)).filter((i) => i >= 0)) : null;
  });
  const ofImages = kind === "images";
  const own = OWN.map((facet) => FACETS.indexOf(facet));
  const inherited = FACETS.map((_, f) => f).filter((f) => !own.includes(f));
  const classFails = classes.map((kinds) => {
    let fails = 0;
    own.forEach((f, k) => { if (picked[f] && !picked[f].has(kinds[k])) fails |= 1 << f; });
    return fails;
  });
  const tally = names.map((known) => new Uint32Array(known.length));
  const passed = [];
  let studies = 0;
  let images = 0;
  for (let study = accessions.length - 1; study >= 0; study--) { // the newest first
    if (!scores[study]) continue;
    let fails = 0;
    let ownFails = 0;
    for (const f of inherited) if (picked[f] && !values[f][study].some((v) => picked[f].has(v))) fails |= 1 << f;
    for (const f of own) if (picked[f] && !values[f][study].some((v) => picked[f].has(v))) ownFails |= 1 << f;
    const all = fails | ownFails;
    if (!all) studies++;
    if (!ofImages) {
      if (!all) passed.push(study);
      if (!(all & (all - 1))) for (let f = 0; f < FACETS.length; f++) if (!all || all === 1 << f) for (const v of values[f][study]) tally[f][v]++;
    }
    let some = 0;
    for (let r = runStart[study]; r < runStart[study + 1]; r += 2) {
      const n = counts[r / 2];
      if (!n) continue;
      const kinds = classes[runs[r + 1]];
      const failing = fails | classFails[runs[r + 1]];
      if (!failing) some += n;
      if (!ofImages || failing & (failing - 1)) continue;
      for (const f of inherited) if (!failing || failing === 1 << f) for (const v of values[f][study]) tally[f][v] += n;
      own.forEach((f, k) => { if (!failing || failing === 1 << f) tally[f][kinds[k]] += n; });
    }
    images += some;
    if (ofImages && some) passed.push(study);
  }
  if (words.length) passed.sort((a, b) => scores[b] - scores[a] || b - a);

  const asked = words.length > 0 || picked.some(Boolean); // else the page shows its own studies
  let wanted = [];
  if (ofImages) wanted = imagesOf(opened, masks, passed, classFails, shown);
  else if (asked) wanted = passed.slice(0, shown).map((study) => cardOf(opened, study));
  const facets = FACETS.map((facet, f) => [facet, names[f].map((value, v) => [value, tally[f][v]])]);
  // First what one round of requests brings: the rest may lie in as many files as there are results.
  const missing = new Set();
  const late = wanted.findIndex(([, path]) => (files.has(path) ? missing : missing.add(path)).size > ROUND);
  const first = late < 0 ? wanted.length : late;
  yield {
    words: words.length, studies, images, facets, total: ofImages ? images : studies,
    results: await rowsOf(wanted.slice(0, first)), whole: late < 0,
  };
  if (late < 0 || turn !== latest) return;
  yield { further: await rowsOf(wanted.slice(first)), whole: true };
}

const partOf = (parts, study) => parts.findLast((part) => part.first <= study);

const files = new Map();

/** The rows of a file of what results show. */
function fileOf(path) {
  if (!files.has(path)) {
    if (files.size > 500) files.clear();
    const rows = get(path).then((r) => r.json());
    rows.catch(() => files.delete(path));
    files.set(path, rows);
  }
  return files.get(path);
}

/** What is shown of results, each given by its study, its file and its place in it. */
async function rowsOf(wanted) {
  const rows = await Promise.all(wanted.map(async ([accession, path, place]) => {
    const row = (await fileOf(path))[place];
    return row && [accession, ...row];
  }));
  return rows.filter(Boolean);
}

/** Where it is kept what is shown of a study. */
function cardOf({ parts, accessions }, study) {
  const part = partOf(parts, study);
  const place = study - part.first;
  const path = `${part.base}cards-${Math.floor(place / CARDS) + 1}.json?${part.state}`;
  return [accessions[study], path, place % CARDS];
}

/** Where it is kept what is shown of the first images that fit, in the order of their studies. */
function imagesOf({ parts, accessions, imageStart, runStart, runs }, masks, passed, classFails, shown) {
  const wanted = [];
  for (const study of passed) {
    if (wanted.length >= shown) break;
    const part = partOf(parts, study);
    const mask = masks[parts.indexOf(part)];
    const base = imageStart[study];
    let image = 0;
    for (let r = runStart[study]; r < runStart[study + 1] && wanted.length < shown; r += 2) {
      const end = image + runs[r];
      if (classFails[runs[r + 1]]) image = end;
      for (; image < end && wanted.length < shown; image++) {
        if (!mask || mask[base - part.firstImage + image]) {
          const path = `${accessions[study]}/search/images-${Math.floor(image / CHUNK) + 1}.json`;
          wanted.push([accessions[study], path, image % CHUNK]);
        }
      }
      image = end;
    }
  }
  return wanted;
}
