// j and k go through rows, / to the list's search, [ back to the list above, ? tells all of it.
const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]");
const help = () => document.getElementById("keyboard-help");
const mac = /Mac|iPhone|iPad/.test(navigator.platform);

for (const place of document.querySelectorAll("[data-shortcut]")) {
  place.textContent = place.dataset.shortcut.replace("mod", mac ? "⌘" : "Ctrl");
}

function row(step) {
  const links = [...document.querySelectorAll("table[data-rows] tbody tr :is(th, td):first-child a")];
  if (!links.length) return;
  const here = links.indexOf(document.activeElement?.closest?.("tr")?.querySelector(":is(th, td):first-child a"));
  const next = here < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(here + step, 0), links.length - 1);
  links[next].focus();
  links[next].scrollIntoView({ block: "nearest" });
}

const KEYS = {
  j: () => row(1),
  k: () => row(-1),
  "/": () => document.querySelector("[data-search]")?.focus(),
  "[": () => document.querySelector("[data-back]")?.click(),
  "?": () => help()?.togglePopover(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(event.target)) return;
  if (document.querySelector("dialog[open]:modal")) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-help]")) help()?.showPopover();
});
