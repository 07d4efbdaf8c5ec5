// Search as you type over studies and images, with facets: the page's part. search-worker.js searches.
"use strict";
(() => {
  const root = document.body.dataset.root;
  const input = document.getElementById("q");
  const facetsBox = document.getElementById("facets");
  const browse = document.getElementById("studies");
  const list = document.getElementById("slides");
  const count = document.getElementById("result-count");
  const heading = document.getElementById("studies-h");
  if (!input || !list || location.protocol === "file:") return;

  const TITLES = { organism: "Organism", method: "Imaging method", dimensions: "Dimensions", modality: "Channels", annotated: "Annotated", licence: "Licence", year: "Year" };
  const STEP = { studies: 24, images: 48 };
  const MOST_VALUES = 12;
  const PAUSE = 150; // ms without a key, after which pictures are loaded
  const original = { html: [...list.children], count: count.textContent, heading: heading.textContent };
  const pages = browse.querySelector(".pages");
  const chosen = new Map(); // facet -> Set of values
  let kind = "studies";
  let shown = STEP[kind];
  let turn = 0;
  let total = 0;

  const worker = new Worker(new URL(`${root}assets/search-worker.js`, location.href));
  worker.postMessage({ root: new URL(root || "./", location.href).href });

  const el = (tag, className, ...children) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children);
    return element;
  };
  const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const plural = (n, word, words) => `${grouped(n)} ${n === 1 ? word : words}`;
  const address = (accession, path) => `${root}${encodeURIComponent(accession)}/${path.split("/").map(encodeURIComponent).join("/")}`;
  const picture = (src) => {
    const img = el("img");
    img.dataset.src = src;
    img.alt = "";
    img.loading = "lazy";
    img.decoding = "async";
    return img;
  };

  function studyCard([accession, title, year, images, facts, pictures]) {
    const link = el("a");
    link.href = address(accession, "index.html");
    const glass = el("span", "slide-glass");
    glass.setAttribute("aria-hidden", "true");
    glass.append(...pictures.slice(0, 4).map((p) => picture(address(accession, p))));
    if (!pictures.length) glass.append(el("span", "no-thumb", "no picture"));
    link.append(
      el("span", "slide-label", el("span", "slide-acc", accession), el("span", "slide-count", plural(images, "image", "images")), el("span", "slide-year", year)),
      glass,
      el("span", "slide-text", el("span", "slide-title", title), el("span", "slide-facts", facts)),
    );
    const item = el("li", "slide", link);
    item.dataset.accession = accession;
    return item;
  }

  function imageCard([accession, id, label, facts, thumbnail]) {
    const link = el("a");
    link.href = address(accession, `image/${id}.html`);
    const thumb = el("span", "thumb", thumbnail ? picture(address(accession, thumbnail)) : el("span", "no-thumb", "no picture"));
    link.append(thumb, el("span", "image-name", label), el("span", "image-facts", `${accession} · ${facts}`));
    return el("li", "image-card", link);
  }

  // Not while keys follow each other: pictures of passing results would hold up the search.
  let pause;
  const loadPictures = () => {
    clearTimeout(pause);
    pause = setTimeout(() => {
      for (const img of list.querySelectorAll("img[data-src]")) {
        img.src = img.dataset.src;
        delete img.dataset.src;
      }
    }, PAUSE);
  };

  /** A result's element; the one that is on the page already, with its pictures, when there is one. */
  function cardsOf(results) {
    const held = new Map([...list.children].map((item) => [item.dataset.result, item]));
    return results.map((row) => {
      const result = kind === "images" ? `${row[0]}/${row[1]}` : row[0];
      const item = held.get(result) ?? (kind === "images" ? imageCard(row) : studyCard(row));
      item.dataset.result = result;
      return item;
    });
  }

  // Folded on a phone, where the results would be far below.
  const filters = el("div", "facet-groups");
  const fold = el("details", "", el("summary", "", "Filters"), filters);
  const wide = matchMedia("(min-width: 60rem)");
  const unfold = () => { fold.open = wide.matches; };
  wide.addEventListener("change", unfold);
  unfold();
  facetsBox.append(fold);

  const kinds = el("div", "kinds");
  kinds.setAttribute("role", "group");
  kinds.setAttribute("aria-label", "Show");
  const buttons = {};
  for (const [name, title] of [["studies", "Studies"], ["images", "Images"]]) {
    const button = el("button", "", title, " ", el("span", "n"));
    button.type = "button";
    button.addEventListener("click", () => {
      kind = name;
      ask();
    });
    buttons[name] = button;
    kinds.append(button);
  }
  heading.after(kinds);
  heading.classList.add("sr");

  function drawFacets(facets) {
    const held = document.activeElement?.dataset?.facet ? [document.activeElement.dataset.facet, document.activeElement.value] : null;
    const boxes = [];
    for (const [facet, counted] of facets) {
      const picked = chosen.get(facet) ?? new Set();
      counted.sort(facet === "year" ? (a, b) => b[0].localeCompare(a[0]) : (a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
      const values = counted.filter(([value, n]) => n || picked.has(value)).filter(([value], i) => i < MOST_VALUES || picked.has(value));
      if (!values.length) continue;
      const box = el("fieldset", "", el("legend", "", TITLES[facet]));
      for (const [value, n] of values) {
        const check = el("input");
        check.type = "checkbox";
        check.value = value;
        check.checked = picked.has(value);
        check.dataset.facet = facet;
        check.addEventListener("change", () => {
          if (check.checked) picked.add(value);
          else picked.delete(value);
          chosen.set(facet, picked);
          ask();
        });
        box.append(el("label", "", check, el("bdi", "", value), el("span", "n", grouped(n))));
      }
      boxes.push(box);
    }
    filters.replaceChildren(...boxes);
    if (held) {
      for (const check of filters.querySelectorAll("input")) if (check.dataset.facet === held[0] && check.value === held[1]) check.focus();
    }
    facetsBox.hidden = !boxes.length;
    browse.classList.toggle("with-facets", !facetsBox.hidden);
  }

  const more = el("button", "button quiet-button more", "Show more");
  more.type = "button";
  more.hidden = true;
  more.addEventListener("click", () => {
    shown += 2 * STEP[kind];
    ask(true);
  });
  list.after(more);

  function ask(further = false) {
    if (!further) shown = STEP[kind];
    clearTimeout(pause);
    const facets = Object.fromEntries([...chosen].map(([facet, values]) => [facet, [...values]]));
    worker.postMessage({ turn: ++turn, query: input.value, chosen: facets, kind, shown });
    const here = new URL(location.href);
    const set = (name, values) => {
      here.searchParams.delete(name);
      for (const value of values) here.searchParams.append(name, value);
    };
    set("q", input.value ? [input.value] : []);
    set("show", kind === "images" ? [kind] : []);
    for (const facet of Object.keys(TITLES)) set(facet, chosen.get(facet) ?? []);
    if (here.href !== location.href) history.replaceState(null, "", here);
  }

  worker.onmessage = ({ data }) => {
    if (data.turn !== turn) return; // the reader has typed on
    if (data.error) {
      count.textContent = `Search can't be used: ${data.error}`;
      return;
    }
    if (data.further) {
      list.append(...cardsOf(data.further));
      more.hidden = list.children.length >= total;
      loadPictures();
      return;
    }
    total = data.total;
    drawFacets(data.facets);
    for (const name of ["studies", "images"]) {
      buttons[name].querySelector(".n").textContent = grouped(data[name]);
      buttons[name].setAttribute("aria-pressed", String(name === kind));
    }
    const untouched = kind === "studies" && !data.words && ![...chosen.values()].some((values) => values.size);
    list.className = kind === "images" ? "image-grid" : "slides";
    if (pages) pages.hidden = !untouched;
    more.hidden = untouched || !data.whole || data.results.length >= total;
    if (untouched) {
      list.replaceChildren(...original.html);
      count.textContent = original.count;
      heading.textContent = original.heading;
    } else {
      list.replaceChildren(...cardsOf(data.results));
      loadPictures();
      if (!data.results.length) list.append(el("li", "empty", "Nothing fits. Try fewer words or filters."));
      count.textContent = kind === "images" ? `${plural(data.images, "image", "images")} found` : `${plural(data.studies, "study", "studies")} found`;
      heading.textContent = kind === "images" ? "Images" : "Studies";
    }
    list.dataset.turn = data.turn;
  };
  worker.onerror = () => { count.textContent = "Search can't be used: its script did not load."; };

  input.addEventListener("input", () => ask());
  document.getElementById("search").addEventListener("submit", (e) => e.preventDefault());
  const asked = new URLSearchParams(location.search);
  input.value = asked.get("q") ?? "";
  if (asked.get("show") === "images") kind = "images";
  for (const facet of Object.keys(TITLES)) if (asked.has(facet)) chosen.set(facet, new Set(asked.getAll(facet)));
  ask();
})();
