// What one key begins from any page (a[data-quick]): the page's form in a dialog. While one types, `data-preview` says what
// was understood; Enter saves without leaving the page, and the answer takes the form's place.
const PAUSE = 120;
let dialog, before, asked = 0, timer;

function build() {
  dialog = Object.assign(document.createElement("dialog"), { className: "dialog quick-dialog" });
  dialog.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(preview, PAUSE); });
  dialog.addEventListener("submit", send);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  });
  dialog.addEventListener("close", () => { dialog.innerHTML = ""; before?.focus?.(); });
  document.body.append(dialog);
}

async function get(url, options = {}) {
  const answer = await fetch(url, { ...options, headers: { "HX-Request": "true" } });
  const mime = answer.headers.get("content-type") ?? "";
  if (answer.redirected || !mime.startsWith("text/html") || (answer.status >= 400 && answer.status !== 422)) return null;
  return answer.text();
}

async function begin(link) {
  if (!dialog) build();
  if (dialog.open) return;
  before = document.activeElement;
  const page = new URL(link.href);
  page.searchParams.set("from", location.pathname);
  const html = await get(page).catch(() => null);
  if (html === null) return location.assign(link.href);
  show(html);
  dialog.setAttribute("aria-label", link.textContent.trim());
  if (!dialog.open) dialog.showModal();
}

function show(html) {
  dialog.innerHTML = html;
  dialog.querySelector("[autofocus]")?.focus();
}

async function preview() {
  const form = dialog.querySelector("form[data-preview]");
  if (!form) return;
  const mine = ++asked;
  const data = new FormData(form);
  data.delete("csrf_token");
  const asking = new URL(form.dataset.preview, location.href);
  for (const [name, value] of data) asking.searchParams.set(name, value);
  const html = await get(asking).catch(() => null);
  const place = dialog.querySelector("[data-preview-place]");
  if (mine === asked && html !== null && place) place.innerHTML = html;
}

async function send(event) {
  const form = event.target;
  if (!form.matches("[data-preview]") || event.defaultPrevented) return;
  event.preventDefault();
  if (form.dataset.sent) return;
  form.dataset.sent = "yes";
  asked++;
  const html = await get(form.action, { method: "POST", body: new FormData(form, event.submitter) }).catch(() => null);
  if (html !== null) return show(html);
  form.submit(); // let the browser say what is wrong
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest?.("input, textarea, select, [contenteditable]") || document.querySelector("dialog[open]")) return;
  const link = document.querySelector(`a[data-quick="${CSS.escape(event.key)}"]`);
  if (!link) return;
  event.preventDefault();
  begin(link);
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-quick]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const sidebar = document.getElementById("sidebar");
  if (sidebar?.matches(":popover-open")) sidebar.hidePopover();
  begin(link);
});
