// The file list of a study: find, choose, and take the choice as a ZIP, a manifest or a command.
"use strict";
(() => {
  const picker = document.getElementById("picker");
  if (!picker || location.protocol === "file:") return;
  const { top, accession } = picker.dataset;
  const table = document.querySelector("#file-table table");
  const body = table.tBodies[0];
  const pages = document.querySelector('nav[aria-label="Pages of files"]');
  const query = document.getElementById("file-q");
  const part = document.getElementById("file-part");
  const type = document.getElementById("file-type");
  const bar = document.getElementById("download-bar");
  const out = document.getElementById("pick-out");
  const SHOWN = 200;
  const study = new URL(top || "./", location.href);
  const page = new URL("./", location.href).href; // of an older version, its own list
  let rows = null;
  const picked = new Set();

  const unescape = (cell) => cell.replace(/\\[\\tnr]/g, (s) => ({ "\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r" })[s]);
  const encodePath = (path) => path.split("/").map(encodeURIComponent).join("/");
  const typeOf = (path) => (path.match(/(\.ome)?\.[^./]{1,12}$/i)?.[0] ?? "").toLowerCase();
  const bytes = (n) => {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let i = 0;
    while (n >= 1000 && i < units.length - 1) {
      n /= 1000;
      i++;
    }
    return `${i ? n.toPrecision(3) : n} ${units[i]}`;
  };

  async function load() {
    const response = await fetch(picker.dataset.table);
    if (!response.ok) throw new Error(`files.tsv: ${response.status}`);
    const lines = (await response.text()).split("\n");
    const names = lines[0].split("\t");
    rows = [];
    for (let i = 1; i < lines.length; i++) {
      if (!lines[i]) continue;
      const cells = lines[i].split("\t");
      const row = {};
      names.forEach((name, k) => { row[name] = unescape(cells[k] ?? ""); });
      row.size = Number(row.size);
      row.url = new URL(`files/v${row.version}/${encodePath(row.path)}`, study).href;
      rows.push(row);
    }
    const fill = (select, values) => {
      for (const value of [...new Set(values)].filter(Boolean).sort()) select.append(new Option(value, value));
    };
    fill(part, rows.map((r) => r.part));
    fill(type, rows.map((r) => typeOf(r.path)));
  }

  const cell = (tag, className, ...children) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children);
    return element;
  };

  const all = cell("input");
  all.type = "checkbox";
  all.setAttribute("aria-label", "Select all files found");

  function found() {
    const wanted = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    return rows.filter((r) => {
      const path = r.path.toLowerCase();
      return wanted.every((w) => path.includes(w)) && (!part.value || r.part === part.value) && (!type.value || typeOf(r.path) === type.value);
    });
  }

  let now = [];
  function draw() {
    now = found();
    let folder = "";
    const items = now.slice(0, SHOWN).flatMap((r) => {
      const check = cell("input");
      check.type = "checkbox";
      check.checked = picked.has(r);
      check.setAttribute("aria-label", `Select ${r.path}`);
      check.addEventListener("change", () => {
        if (check.checked) picked.add(r);
        else picked.delete(r);
        count();
      });
      const [above, name] = [r.path.slice(0, Math.max(0, r.path.lastIndexOf("/"))), r.path.slice(r.path.lastIndexOf("/") + 1)];
      const link = cell("a", "", name);
      link.href = r.url;
      link.download = "";
      const size = cell("td", "num", bytes(r.size));
      size.title = `${r.size} bytes`;
      const row = cell("tr", above && "inside", cell("td", "", check), cell("td", "path", link), size, cell("td", "", r.part), cell("td", "", cell("code", "hash", r.sha256)));
      if (above === folder) return row;
      folder = above;
      const head = cell("th", "", `${folder}/`);
      head.colSpan = 5;
      head.scope = "colgroup";
      return [cell("tr", "folder", head), row];
    });
    body.replaceChildren(...items);
    if (now.length > SHOWN) {
      const rest = cell("td", "quiet", `… and ${now.length - SHOWN} more. Narrow the search, or select them all with the box above.`);
      rest.colSpan = 5;
      body.append(cell("tr", "", rest));
    }
    if (!now.length) {
      const none = cell("td", "quiet", "No file fits.");
      none.colSpan = 5;
      body.append(cell("tr", "", none));
    }
    count();
  }

  function count() {
    let size = 0;
    for (const r of picked) size += r.size;
    bar.hidden = !picked.size;
    document.getElementById("pick-count").textContent = `${picked.size} ${picked.size === 1 ? "file" : "files"}`;
    document.getElementById("pick-bytes").textContent = bytes(size);
    all.checked = now.length > 0 && now.every((r) => picked.has(r));
    all.indeterminate = !all.checked && now.some((r) => picked.has(r));
    out.hidden = true;
  }

  function save(blob, name) {
    const link = cell("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  const chosen = () => rows.filter((r) => picked.has(r));
  const manifestLine = (r) => {
    const name = r.path.replace(/\\/g, "\\\\").replace(/\n/g, "\\n").replace(/\r/g, "\\r");
    return `${name === r.path ? "" : "\\"}${r.sha256}  ${name}\n`;
  };

  document.getElementById("pick-manifest").addEventListener("click", () => {
    save(new Blob(chosen().map(manifestLine), { type: "text/plain" }), `${accession}-manifest-sha256.txt`);
  });

  document.getElementById("pick-command").addEventListener("click", () => {
    const files = chosen();
    const quote = (s) => `'${s.replace(/'/g, "'\\''")}'`;
    const few = files.length <= 20;
    // With "=", so that a name that begins with "-" is no option.
    const select = few
      ? files.map((r) => `--select=${quote(r.path.replace(/[[*?]/g, "[$&]"))}`).join(" ")
      : `--manifest ${accession}-manifest-sha256.txt`;
    out.textContent = `${few ? "" : "# save the manifest first\n"}slidebox fetch ${quote(page)} ${quote(accession)} ${select}`;
    out.hidden = false;
    out.focus();
  });

  // ZIP without compression (images don't shrink), with ZIP64 so that size is no limit (APPNOTE
  // 6.3.10). A large one goes to the disk as it is made, or isn't made at all: never into memory.
  const HELD = 100e6; // bytes
  const zipButton = document.getElementById("pick-zip");
  zipButton.addEventListener("click", async () => {
    const files = chosen();
    const said = zipButton.textContent;
    const name = `${accession}.zip`;
    let sink;
    zipButton.disabled = true;
    try {
      sink = zipSize(files) > Number(picker.dataset.held ?? HELD) ? await toDisk(name, zipSize(files)) : toMemory(name);
      let done = 0;
      await writeZip(files, sink.write, () => { zipButton.textContent = `${++done} of ${files.length}`; });
      await sink.close();
      zipButton.textContent = said;
    } catch (error) {
      await Promise.resolve(sink?.abort(error)).catch(() => {});
      zipButton.textContent = error.name === "AbortError" ? said : `Failed: ${error.message}`;
      if (error.name === "NotSupportedError") {
        zipButton.textContent = said;
        document.getElementById("pick-command").click();
        out.textContent = `# ${error.message}\n${out.textContent}`;
      }
    } finally {
      zipButton.disabled = false;
    }
  });

  function toMemory(name) {
    const parts = [];
    return {
      write: async (data) => { parts.push(data); },
      close: () => save(new Blob(parts, { type: "application/zip" }), name),
      abort: () => { parts.length = 0; },
    };
  }

  async function toDisk(name, size) {
    if (window.showSaveFilePicker) {
      const handle = await window.showSaveFilePicker({ suggestedName: name });
      const file = await handle.createWritable();
      return { write: (data) => file.write(data), close: () => file.close(), abort: () => file.abort() };
    }
    try {
      return await toDownload(name, size);
    } catch (error) {
      throw new DOMException(`This browser can't put a ZIP of ${bytes(size)} together; this does the same:`, "NotSupportedError");
    }
  }

  /** The browser's own download, fed by zip-worker.js as fast as the disk takes it. */
  async function toDownload(name, size) {
    const assets = new URL(`${document.body.dataset.root}assets/`, location.href);
    const registered = await navigator.serviceWorker.register(new URL("zip-worker.js", assets));
    const worker = registered.installing ?? registered.waiting ?? registered.active;
    if (worker.state !== "activated") {
      await new Promise((done, failed) => {
        worker.addEventListener("statechange", () => {
          if (worker.state === "activated") done();
          else if (worker.state === "redundant") failed(new Error("the worker did not start"));
        });
      });
    }
    const { port1: port, port2 } = new MessageChannel();
    const id = crypto.randomUUID();
    let cancelled = null;
    let asked; // called when the browser wants more
    let more = new Promise((done) => { asked = done; });
    const ready = new Promise((done) => {
      port.onmessage = ({ data }) => {
        if (data === "ready") done();
        if (data === "cancelled") cancelled = new DOMException("The download was cancelled.", "AbortError");
        if (data !== "ready") asked();
      };
    });
    worker.postMessage({ id, name, size }, [port2]);
    await ready;
    const link = cell("a");
    link.href = new URL(`zip/${id}/${encodeURIComponent(name)}`, assets);
    link.click();
    await Promise.race([more, new Promise((_, failed) => setTimeout(failed, 30000))]);
    const awake = setInterval(() => worker.postMessage({ id }), 5000); // idle, it would be ended
    const give = async (data, ...transfer) => {
      await more;
      if (cancelled) throw cancelled;
      more = new Promise((done) => { asked = done; });
      port.postMessage(data, transfer);
    };
    return {
      write: (data) => give(data, data.buffer),
      close: () => give(null).finally(() => clearInterval(awake)),
      abort: (error) => {
        clearInterval(awake);
        if (!cancelled) port.postMessage({ error: error.message });
      },
    };
  }

  const CRC = new Uint32Array(256).map((_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
    return n;
  });

  const text = new TextEncoder();

  /** Bytes of the ZIP that writeZip writes. */
  const zipSize = (files) => files.reduce((sum, file) => sum + file.size + 2 * text.encode(file.path).length + 148, 98);

  async function writeZip(files, write, progress) {
    const entries = [];
    let offset = 0;
    const put = async (data) => {
      const size = data.byteLength; // before the piece is handed on
      await write(data);
      offset += size;
    };
    const record = (size, fill) => {
      const view = new DataView(new ArrayBuffer(size));
      let at = 0;
      const w = {
        u16: (n) => { view.setUint16(at, n, true); at += 2; },
        u32: (n) => { view.setUint32(at, n, true); at += 4; },
        u64: (n) => { view.setBigUint64(at, BigInt(n), true); at += 8; },
      };
      fill(w);
      return new Uint8Array(view.buffer);
    };
    for (const file of files) {
      const name = text.encode(file.path);
      const entry = { name, offset, crc: 0, size: 0 };
      // Flags: bit 3, sizes follow the data; bit 11, the name is UTF-8. A ZIP64 extra field
      // makes the sizes in the descriptor eight bytes long.
      await put(record(30, (w) => {
        w.u32(0x04034b50); w.u16(45); w.u16(0x0808); w.u16(0); w.u16(0); w.u16(0x21);
        w.u32(0); w.u32(0xffffffff); w.u32(0xffffffff); w.u16(name.length); w.u16(20);
      }));
      await put(name.slice());
      await put(record(20, (w) => { w.u16(1); w.u16(16); w.u64(0); w.u64(0); }));
      const response = await fetch(file.url);
      if (!response.ok) throw new Error(`${file.path}: ${response.status}`);
      const reader = response.body.getReader();
      let crc = -1;
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        for (let i = 0; i < value.length; i++) crc = CRC[(crc ^ value[i]) & 255] ^ (crc >>> 8);
        entry.size += value.length;
        if (entry.size > file.size) break; // told below; the ZIP's size is promised
        await put(value);
      }
      if (entry.size !== file.size) throw new Error(`${file.path} has ${entry.size} bytes instead of ${file.size}`);
      entry.crc = ~crc >>> 0;
      await put(record(24, (w) => { w.u32(0x08074b50); w.u32(entry.crc); w.u64(entry.size); w.u64(entry.size); }));
      entries.push(entry);
      progress();
    }
    const start = offset;
    for (const e of entries) {
      await put(record(46, (w) => {
        w.u32(0x02014b50); w.u16(45); w.u16(45); w.u16(0x0808); w.u16(0); w.u16(0); w.u16(0x21);
        w.u32(e.crc); w.u32(0xffffffff); w.u32(0xffffffff); w.u16(e.name.length); w.u16(28); w.u16(0);
        w.u16(0); w.u16(0); w.u32(0); w.u32(0xffffffff);
      }));
      await put(e.name);
      await put(record(28, (w) => { w.u16(1); w.u16(24); w.u64(e.size); w.u64(e.size); w.u64(e.offset); }));
    }
    const size = offset - start;
    const end64 = offset;
    await put(record(56, (w) => {
      w.u32(0x06064b50); w.u64(44); w.u16(45); w.u16(45); w.u32(0); w.u32(0);
      w.u64(entries.length); w.u64(entries.length); w.u64(size); w.u64(start);
    }));
    await put(record(20, (w) => { w.u32(0x07064b50); w.u32(0); w.u64(end64); w.u32(1); }));
    await put(record(22, (w) => {
      w.u32(0x06054b50); w.u16(0); w.u16(0); w.u16(0xffff); w.u16(0xffff);
      w.u32(0xffffffff); w.u32(0xffffffff); w.u16(0);
    }));
  }

  function start() {
    const head = cell("th", "", all);
    head.scope = "col";
    table.tHead.rows[0].prepend(head);
    all.addEventListener("change", () => {
      for (const r of now) {
        if (all.checked) picked.add(r);
        else picked.delete(r);
      }
      draw();
    });
    if (pages) pages.hidden = true;
    for (const field of [query, part, type]) field.addEventListener("input", draw);
    draw();
  }

  // A long list is fetched when it comes into view, not with every look at the page.
  const watcher = new IntersectionObserver((entries) => {
    if (!entries.some((e) => e.isIntersecting)) return;
    watcher.disconnect();
    load().then(start).catch((error) => {
      picker.append(cell("p", "notice", `The file list can't be read: ${error.message}`));
    });
  }, { rootMargin: "600px" });
  watcher.observe(picker);
})();
