// Starts the viewer on the page's #viewer; the still picture stays when it can't.
import { el } from "./dom.js";
import { startViewer } from "./viewer.js";

const host = document.getElementById("viewer");
if (host) {
  const still = [...host.children];
  startViewer(host).catch((error) => {
    host.classList.remove("ready");
    host.dataset.state = "failed";
    host.replaceChildren(...still);
    const said = `The viewer could not open this image: ${error.message}`;
    host.append(el("p", { className: "viewer-error", role: "alert", textContent: said }));
  });
}
