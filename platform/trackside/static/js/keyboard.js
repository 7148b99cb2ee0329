// j and k go through rows, / to the list's search, [ back to the list above, ? tells all of it; a page gives other keys to
// what it shows by `data-key`.
const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]");
const help = () => document.getElementById("keyboard-help");
const mac = /Mac|iPhone|iPad/.test(navigator.platform);

for (const place of document.querySelectorAll("[data-shortcut]")) {
  place.textContent = place.dataset.shortcut.replace("mod", mac ? "⌘" : "Ctrl");
}

function row(step) {
  const links = [...document.querySelectorAll("table[data-rows] tbody tr :is(th, td):first-child a, a[data-row]")];
  if (!links.length) return;
  const inside = document.activeElement?.closest?.("tr, li");
  const focused = links.findIndex((link) => inside?.contains(link));
  const here = focused < 0 ? links.findIndex((link) => link.ariaCurrent) : focused;
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

/** What the page itself does by a key: the first thing with `data-key` that is to be seen, or a link in a closed menu. */
function own(key) {
  const all = [...document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)];
  const found = all.find((each) => each.checkVisibility()) ?? all.find((each) => each.matches("a[href]"));
  if (!found) return false;
  if (found.matches("textarea, select, input:not([type=radio], [type=checkbox])")) found.focus();
  else found.click();
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(event.target)) return;
  if (document.querySelector("dialog[open]:modal")) return;
  const act = KEYS[event.key];
  if (!act && !own(event.key)) return;
  event.preventDefault();
  act?.();
});
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-help]")) help()?.showPopover();
});
