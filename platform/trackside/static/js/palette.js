// Ctrl/Cmd-K: the search page's own list, in a dialog over any page.
const link = document.querySelector("a[data-palette]");
const template = `
  <label class="search"><span class="visually-hidden">Search or jump to</span>
    <input class="input" type="text" role="combobox" aria-expanded="true" aria-controls="palette-hits" aria-autocomplete="list" placeholder="Search or jump to…" autocomplete="off" spellcheck="false"></label>
  <div></div>
  <p class="palette-foot"><span><kbd>↑</kbd> <kbd>↓</kbd> choose</span><span><kbd>Enter</kbd> open</span><span><kbd>Esc</kbd> close</span></p>`;
let dialog, input, list, asked = 0, timer;

function build() {
  dialog = Object.assign(document.createElement("dialog"), { className: "dialog palette", innerHTML: template });
  dialog.setAttribute("aria-label", "Search or jump");
  [input, list] = [dialog.querySelector("input"), dialog.querySelector("div")];
  input.before(link.querySelector("svg").cloneNode(true));
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, 120); });
  input.addEventListener("keydown", move);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
}

export function open() {
  if (!dialog) build();
  if (dialog.open) return;
  input.value = "";
  dialog.showModal();
  ask();
}

async function ask() {
  const mine = ++asked;
  const url = new URL(link.href);
  url.searchParams.set("q", input.value);
  let html;
  try {
    const answer = await fetch(url, { headers: { "HX-Request": "true" } });
    if (answer.redirected) return location.assign(link.href);
    if (!answer.ok) throw new Error(String(answer.status));
    html = await answer.text();
  } catch {
    html = '<div class="hits" id="palette-hits"><div class="hits-none"><p>The search does not answer at the moment. Try again shortly.</p></div></div>';
  }
  if (mine !== asked) return; // a later question is on its way
  list.innerHTML = html;
  list.firstElementChild?.setAttribute("role", "listbox");
  list.firstElementChild?.setAttribute("aria-label", "Found");
  list.querySelectorAll(".hit").forEach((hit, place) => {
    hit.id = `hit-${place}`;
    hit.role = "option";
    hit.tabIndex = -1;
  });
  if (!list.querySelector(".hit")) list.firstElementChild?.removeAttribute("role");
  choose(list.querySelector(".hit"));
}

function choose(hit) {
  for (const each of list.querySelectorAll(".hit")) each.setAttribute("aria-selected", String(each === hit));
  hit?.scrollIntoView({ block: "nearest" });
  if (hit) input.setAttribute("aria-activedescendant", hit.id);
  else input.removeAttribute("aria-activedescendant");
}

function move(event) {
  const hits = [...list.querySelectorAll(".hit")];
  const here = hits.findIndex((hit) => hit.ariaSelected === "true");
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && hits.length) {
    event.preventDefault();
    choose(hits[(here + step + hits.length) % hits.length]);
  } else if (event.key === "Enter") {
    event.preventDefault();
    hits[here]?.click();
  }
}

if (link) {
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    }
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("a[data-palette]") || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    document.getElementById("sidebar")?.matches(":popover-open") && document.getElementById("sidebar").hidePopover();
    open();
  });
}
