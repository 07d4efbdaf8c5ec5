// Search as you type and facets over static files (catalogue/search/; see docs/reference/site.md).
"use strict";
(() => {
  const root = document.body.dataset.root;
  const base = new URL(`${root}catalogue/search/`, location.href);
  const input = document.getElementById("q");
  const facetsBox = document.getElementById("facets");
  const browse = document.getElementById("studies");
  const list = document.getElementById("slides");
  const count = document.getElementById("result-count");
  if (!input || !list || location.protocol === "file:") return;

  const TITLES = { organism: "Organism", method: "Imaging method", dimensions: "Dimensions", modality: "Channels", annotated: "Annotated", licence: "Licence", year: "Year" };
  const SHOWN = 48;
  const MOST_VALUES = 12;
  const original = { html: [...list.children], count: count.textContent };
  const pages = browse.querySelector(".pages");
  let studies = null;
  let facets = {};
  const chosen = new Map(); // facet -> Set of values
  const shards = new Map();
  let shownSoFar = SHOWN;
  let turn = 0;

  const json = async (name) => {
    const response = await fetch(new URL(name, base));
    if (response.status === 404) return {};
    if (!response.ok) throw new Error(`${name}: ${response.status}`);
    return response.json();
  };
  // The same spelling as slidebox.catalogue.cards.words_of.
  const wordsOf = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  const shardOf = (word) => [...word].slice(0, 2).map((l) => l.codePointAt(0).toString(16)).join("-");

  const ready = Promise.all([json("studies.json"), json("facets.json")]).then(([s, f]) => {
    studies = Array.isArray(s) ? s : [];
    for (const [name, values] of Object.entries(f)) {
      facets[name] = new Map(Object.entries(values).map(([value, ids]) => [value, new Set(ids)]));
    }
  });

  /** number -> score of the studies that have every word, the last one as a beginning of a word. */
  async function matches(query) {
    const words = wordsOf(query);
    if (!words.length) return null;
    let found = null;
    for (const word of words) {
      const name = shardOf(word);
      if (!shards.has(name)) shards.set(name, json(`words/${name}.json`).catch(() => ({})));
      const shard = await shards.get(name);
      const here = new Map();
      for (const [candidate, postings] of Object.entries(shard)) {
        if (!candidate.startsWith(word)) continue;
        const whole = candidate === word ? 2 : 1;
        for (let i = 0; i < postings.length; i += 2) {
          here.set(postings[i], Math.max(here.get(postings[i]) ?? 0, postings[i + 1] * whole));
        }
      }
      if (found) {
        for (const [number, score] of found) {
          if (here.has(number)) found.set(number, score + here.get(number));
          else found.delete(number);
        }
      } else found = here;
    }
    return found;
  }

  function passes(number, except) {
    for (const [facet, values] of chosen) {
      if (facet === except || !values.size) continue;
      let some = false;
      for (const value of values) some ||= facets[facet]?.get(value)?.has(number);
      if (!some) return false;
    }
    return true;
  }

  const el = (tag, className, ...children) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children);
    return element;
  };

  function card(study) {
    const link = el("a");
    link.href = `${root}${encodeURIComponent(study.accession)}/index.html`;
    const images = `${study.images} image${study.images === 1 ? "" : "s"}`;
    const glass = el("span", "slide-glass");
    glass.setAttribute("aria-hidden", "true");
    for (const picture of study.pictures) {
      const img = el("img");
      img.src = `${root}${study.accession}/${picture.split("/").map(encodeURIComponent).join("/")}`;
      img.alt = "";
      img.loading = "lazy";
      glass.append(img);
    }
    if (!study.pictures.length) glass.append(el("span", "no-thumb", "no picture"));
    link.append(
      el("span", "slide-label", el("span", "slide-acc", study.accession), el("span", "slide-count", images), el("span", "slide-year", study.year)),
      glass,
      el("span", "slide-text", el("span", "slide-title", study.title), el("span", "slide-facts", study.facts)),
    );
    const item = el("li", "slide", link);
    item.dataset.accession = study.accession;
    return item;
  }

  // Folded on a phone, where the results would be far below.
  const filters = el("div", "facet-groups");
  const fold = el("details", "", el("summary", "", "Filters"), filters);
  const wide = matchMedia("(min-width: 60rem)");
  const unfold = () => { fold.open = wide.matches; };
  wide.addEventListener("change", unfold);
  unfold();
  facetsBox.append(fold);

  function drawFacets(candidates) {
    const focused = document.activeElement?.dataset?.facet ? [document.activeElement.dataset.facet, document.activeElement.value] : null;
    const boxes = [];
    for (const [facet, title] of Object.entries(TITLES)) {
      const values = facets[facet];
      if (!values) continue;
      const picked = chosen.get(facet) ?? new Set();
      // Over the ids of each value: all values together have a few a study, whatever their number.
      const open = new Set(candidates.filter((number) => passes(number, facet)));
      const counted = [...values].map(([value, ids]) => {
        let n = 0;
        for (const number of ids) if (open.has(number)) n++;
        return [value, n];
      });
      counted.sort(facet === "year" ? (a, b) => b[0].localeCompare(a[0]) : (a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
      const shown = counted.filter(([value, n], i) => picked.has(value) || (n && i < MOST_VALUES));
      if (!shown.length) continue;
      const box = el("fieldset", "", el("legend", "", title));
      for (const [value, n] of shown) {
        const check = el("input");
        check.type = "checkbox";
        check.value = value;
        check.checked = picked.has(value);
        check.dataset.facet = facet;
        check.addEventListener("change", () => {
          if (check.checked) picked.add(value);
          else picked.delete(value);
          chosen.set(facet, picked);
          shownSoFar = SHOWN;
          update();
        });
        box.append(el("label", "", check, el("span", "", value), el("span", "n", String(n))));
      }
      boxes.push(box);
    }
    filters.replaceChildren(...boxes);
    if (focused) {
      for (const check of facetsBox.querySelectorAll("input")) {
        if (check.dataset.facet === focused[0] && check.value === focused[1]) check.focus();
      }
    }
    facetsBox.hidden = !boxes.length;
    browse.classList.toggle("with-facets", !facetsBox.hidden);
  }

  async function update() {
    const mine = ++turn;
    await ready;
    const found = await matches(input.value);
    if (mine !== turn) return; // the reader has typed on
    const candidates = found ? [...found.keys()] : studies.map((_, i) => i);
    if (found) candidates.sort((a, b) => found.get(b) - found.get(a) || a - b);
    drawFacets(candidates);
    const results = candidates.filter((number) => passes(number));
    const filtered = [...chosen.values()].some((v) => v.size);
    const address = new URL(location.href);
    if (input.value) address.searchParams.set("q", input.value);
    else address.searchParams.delete("q");
    for (const facet of Object.keys(TITLES)) {
      address.searchParams.delete(facet);
      for (const value of chosen.get(facet) ?? []) address.searchParams.append(facet, value);
    }
    history.replaceState(null, "", address);
    if (!found && !filtered) {
      list.replaceChildren(...original.html);
      count.textContent = original.count;
      if (pages) pages.hidden = false;
      more.hidden = true;
      return;
    }
    if (pages) pages.hidden = true;
    count.textContent = results.length === 1 ? "1 study found" : `${results.length} studies found`;
    list.replaceChildren(...results.slice(0, shownSoFar).map((number) => card(studies[number])));
    if (!results.length) list.append(el("li", "empty", "Nothing fits. Try fewer words or filters."));
    more.hidden = results.length <= shownSoFar;
  }

  const more = el("button", "button quiet-button", "Show more");
  more.type = "button";
  more.hidden = true;
  more.addEventListener("click", () => {
    shownSoFar += SHOWN;
    update();
  });
  list.after(more);

  const failed = (error) => { count.textContent = `Search can't be used: ${error.message}`; };
  input.addEventListener("input", () => {
    shownSoFar = SHOWN;
    update().catch(failed);
  });
  document.getElementById("search").addEventListener("submit", (e) => e.preventDefault());
  const asked = new URLSearchParams(location.search);
  input.value = asked.get("q") ?? "";
  for (const facet of Object.keys(TITLES)) if (asked.has(facet)) chosen.set(facet, new Set(asked.getAll(facet)));
  update().catch(failed);
})();
