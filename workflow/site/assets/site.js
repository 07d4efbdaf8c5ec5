// What every page can do with JavaScript: full addresses, copying, a word about file://.
"use strict";
document.documentElement.classList.add("js");

for (const element of document.querySelectorAll("[data-url]")) {
  if (location.protocol.startsWith("http")) {
    element.textContent = new URL(element.dataset.url || "./", location.href).href.split("#")[0];
  }
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent.trim());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select the text and copy it";
    }
    setTimeout(() => { button.textContent = said; }, 2000);
  });
}

const note = document.getElementById("viewer-note");
if (note && location.protocol === "file:") {
  note.textContent = "This page was opened from disk, where a browser can't read parts of files. Serve this folder to look at the image: ";
  const code = document.createElement("code");
  code.textContent = "slidebox serve";
  note.append(code);
}
