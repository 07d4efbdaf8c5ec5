// A service worker that hands a ZIP, made by a page, to the browser's own download: piece by piece,
// as the disk takes it. It sees the addresses below assets/zip/ and touches no other.
"use strict";

const waiting = new Map(); // id -> what a page said of its ZIP, and the port to it

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("message", ({ data, ports: [port] }) => {
  if (!port) return; // a page says that its download is still under way: so this worker stays
  waiting.set(data.id, { ...data, port });
  port.postMessage("ready");
});

self.addEventListener("fetch", (event) => {
  const id = new URL(event.request.url).pathname.match(/\/assets\/zip\/([^/]+)\/[^/]*$/)?.[1];
  const zip = waiting.get(id);
  if (!zip) return;
  waiting.delete(id);
  let next; // settles the piece that is waited for
  let ended;
  event.waitUntil(new Promise((done) => { ended = done; }));
  const body = new ReadableStream({
    pull(controller) {
      return new Promise((done) => {
        next = ({ data }) => {
          if (data?.error) controller.error(new Error(data.error));
          else if (data) controller.enqueue(data);
          else controller.close();
          if (!(data instanceof Uint8Array)) ended();
          done();
        };
        zip.port.onmessage = (message) => next(message);
        zip.port.postMessage("more");
      });
    },
    cancel() {
      zip.port.postMessage("cancelled");
      ended();
    },
  }, { highWaterMark: 0 });
  event.respondWith(new Response(body, {
    headers: {
      "Content-Type": "application/zip",
      "Content-Length": String(zip.size),
      "Content-Disposition": `attachment; filename*=UTF-8''${encodeURIComponent(zip.name)}`,
      "X-Content-Type-Options": "nosniff",
      "Content-Security-Policy": "default-src 'none'; sandbox",
    },
  }));
});
