// The support desk: what is typed is kept, Ctrl/Cmd-Enter sends, x selects, macros are filled in where one writes.
const talk = document.querySelector("[data-talk]");
const composer = document.querySelector("[data-composer]");
const body = composer?.querySelector("[data-body]");
// a refusal is shown at the address that was sent to, with what was sent: both pages keep it under that address
const place = composer && new URL(composer.action).pathname;
const kept = `draft:${place}`;
const own = Number(composer?.dataset.own);

// a conversation is read from its end
if (talk && !location.hash) talk.scrollTop = talk.scrollHeight;
document.querySelector(".thread-row [aria-current]")?.scrollIntoView({ block: "center" });

// what was typed outlives a look elsewhere, within this tab: as what it was, so that a note never becomes a reply. What was
// sent is let go once a newer message of one's own is in the thread: signed out meanwhile, or with the server away, it is
// there again, whatever others wrote.
function keep(sent) {
  if (!body.value) return sessionStorage.removeItem(kept);
  sessionStorage.setItem(kept, JSON.stringify({ body: body.value, mode: composer.mode.value, sent }));
}
function draft() {
  try {
    return JSON.parse(sessionStorage.getItem(kept));
  } catch {
    return null;
  }
}
if (body && location.pathname === place) keep();
else if (body && body.value === body.defaultValue) {
  const was = draft();
  if (was?.sent < own) sessionStorage.removeItem(kept);
  else if (was?.body) {
    body.value = was.body;
    composer.mode.value = was.mode;
  }
}
body?.addEventListener("input", () => keep());
// who else has the thread open is told that one writes, as long as one does
const here = document.querySelector("[data-here]");
let pause;
body?.addEventListener("input", () => {
  const began = body.value && !here.writing.value;
  here.writing.value = body.value ? "yes" : "";
  clearTimeout(pause);
  pause = setTimeout(() => { here.writing.value = ""; }, 20_000);
  if (began) here.dispatchEvent(new Event("writing"));
});
composer?.addEventListener("submit", (event) => {
  if (composer.dataset.sent) return event.preventDefault();
  composer.dataset.sent = "yes";
  keep(own);
});
addEventListener("pageshow", () => { if (composer) delete composer.dataset.sent; });

// r and n choose what one writes, and go there
composer?.addEventListener("click", (event) => {
  if (event.target.matches("[name=mode]")) body.focus();
});
composer?.addEventListener("change", (event) => {
  if (event.target.matches("[name=mode]")) keep();
});
composer?.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target === body) body.blur();
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  const solve = event.shiftKey && composer.querySelector("[data-next]");
  composer.requestSubmit(solve || composer.querySelector("[data-send]"));
});

// a macro's words, filled in by the server, go where the caret is
composer?.addEventListener("change", async (event) => {
  const select = event.target.closest("[data-macros]");
  if (!select?.value) return;
  const asked = new URLSearchParams({ do: "macro", macro_id: select.value, csrf_token: composer.csrf_token.value });
  const answer = await fetch(composer.action, { method: "POST", body: asked, headers: { "HX-Request": "true" } });
  if (!answer.ok) return;
  body.focus();
  body.setRangeText(await answer.text(), body.selectionStart, body.selectionEnd, "end");
  composer.querySelector("[data-macro-used]").value = select.value;
  select.value = "";
  body.dispatchEvent(new Event("input", { bubbles: true }));
});

// which files go along
composer?.addEventListener("change", (event) => {
  if (!event.target.matches("[name=files]")) return;
  const names = [...event.target.files].map((file) => file.name);
  composer.querySelector("[data-files]").textContent = names.length > 1 ? `${names.length} files` : names.join("");
});

// a property is set as soon as it is chosen
document.addEventListener("change", (event) => event.target.closest("[data-set]")?.requestSubmit());

// x selects the row one is on, Shift with a click all rows between
const bulk = document.querySelector("[data-bulk]");
const boxes = () => [...(bulk?.querySelectorAll("input[name=id]") ?? [])];
let last = null;

function count() {
  const chosen = boxes().filter((box) => box.checked).length;
  const words = bulk?.querySelector("[data-selected]");
  if (words) words.textContent = `${chosen} selected`;
}

bulk?.addEventListener("click", (event) => {
  const all = boxes();
  const here = all.indexOf(event.target);
  if (here < 0) return;
  const before = all.indexOf(last);
  if (event.shiftKey && before >= 0) {
    for (const box of all.slice(Math.min(here, before), Math.max(here, before) + 1)) box.checked = event.target.checked;
  }
  last = event.target;
  count();
});
bulk?.addEventListener("change", count);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]), textarea, select")) return;
  if (event.key === "Escape" && boxes().some((box) => box.checked)) {
    for (const box of boxes()) box.checked = false;
    count();
  }
  if (event.key !== "x" || document.querySelector("dialog[open]")) return;
  const row = document.activeElement?.closest(".thread-row") ?? document.querySelector(".thread-row:has([aria-current])");
  const box = row?.querySelector("input[name=id]");
  if (!box) return;
  event.preventDefault();
  box.checked = !box.checked;
  count();
});
count();
