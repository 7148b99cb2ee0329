// Short messages in the corner: those the server flashed, those of scripts, and what htmx could not do.
const STAY = 6000;
const SYMBOLS = { ok: "ok", warn: "warning", bad: "error", info: "info" };
const sprite = new URL("../icons.svg", import.meta.url).pathname;

function symbol(name, label = "") {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  if (label) { svg.setAttribute("role", "img"); svg.setAttribute("aria-label", label); }
  else svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `${sprite}#${name}`);
  svg.append(use);
  return svg;
}

/** Show `text`; kind is info, ok, warn or bad. A failure stays until it is closed. */
export function toast(text, kind = "info") {
  const box = Object.assign(document.createElement("div"), { className: "toast" });
  box.dataset.kind = kind;
  const mark = Object.assign(document.createElement("span"), { className: kind });
  mark.append(symbol(SYMBOLS[kind]));
  const words = document.createElement("div");
  words.textContent = text;
  box.append(mark, words);
  document.querySelector("[data-toasts]").append(box);
  finish(box);
}

function finish(box) {
  const close = Object.assign(document.createElement("button"), { type: "button", className: "button quiet small square" });
  close.append(symbol("close", "Close this message"));
  close.addEventListener("click", () => box.remove());
  box.append(close);
  if (box.dataset.kind === "bad") return;
  let timer;
  const wait = () => { timer = setTimeout(() => box.remove(), STAY); };
  for (const name of ["mouseenter", "focusin"]) box.addEventListener(name, () => clearTimeout(timer));
  for (const name of ["mouseleave", "focusout"]) box.addEventListener(name, wait);
  wait();
}

document.querySelectorAll("[data-toasts] .toast").forEach(finish);
document.addEventListener("toast", (event) => toast(event.detail.text ?? event.detail.value, event.detail.kind));
document.addEventListener("htmx:sendError", () => toast("Trackside does not answer: check the connection and try again. Nothing was changed.", "bad"));
document.addEventListener("htmx:responseError", (event) => {
  const page = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
  const words = page.querySelector(".problem h1 + p")?.textContent;
  toast(words || `That did not work (error ${event.detail.xhr.status}). Load the page again and repeat.`, "bad");
});
