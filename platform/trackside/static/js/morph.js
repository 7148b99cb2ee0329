// Makes one tree of the page look like a fresh one from the server, touching only what differs: focus, open menus and
// drawn charts stay.
const OWN = new Set(["data-open", "data-failed", "data-state", "open"]); // attributes that belong to the browser's side

/** Change `old` into `fresh`. Figures that changed get the class `changed` for a moment. */
export function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = fresh.nodeValue;
    return;
  }
  attributes(old, fresh);
  if (old.matches(".chart-plot")) return void plot(old, fresh);
  if (old.matches("[data-value]") && old.textContent !== fresh.textContent) soften(old);
  children(old, fresh);
}

function attributes(old, fresh) {
  for (const { name, value } of [...fresh.attributes]) {
    if (!OWN.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!OWN.has(name) && name !== "style" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
}

function children(old, fresh) {
  const wanted = [...fresh.childNodes];
  for (const [place, node] of wanted.entries()) {
    const here = old.childNodes[place];
    if (!here) old.append(node);
    else if (same(here, node)) morph(here, node);
    else here.replaceWith(node);
  }
  while (old.childNodes.length > wanted.length) old.lastChild.remove();
}

function same(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id ?? "") === (b.id ?? "");
}

function plot(old, fresh) {
  const blank = fresh.querySelector(".blank");
  old.querySelector(".blank")?.remove();
  if (blank) old.append(blank);
}

function soften(element) {
  element.classList.remove("changed");
  void element.offsetWidth; // lets the animation begin again
  element.classList.add("changed");
}
