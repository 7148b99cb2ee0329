// Copies `data-copy` to the clipboard, and says so on the button and to who hears the page.
import { toast } from "./toasts.js";

async function put(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // plain http on another host has no clipboard: select the text, and let the old command copy it
    const line = button.parentElement.querySelector("code");
    getSelection().selectAllChildren(line);
    if (!document.execCommand("copy")) throw new Error("refused");
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await put(button.dataset.copy, button);
  } catch {
    toast("Your browser does not let pages copy: the text is selected, press Ctrl C.", "warn");
    return;
  }
  const use = button.querySelector("use");
  const before = use.getAttribute("href");
  if (before.endsWith("#check")) return;
  use.setAttribute("href", before.replace(/#.*/, "#check"));
  button.classList.add("copied");
  announce("Copied");
  setTimeout(() => {
    use.setAttribute("href", before);
    button.classList.remove("copied");
  }, 1600);
});

function announce(text) {
  let place = document.getElementById("announcer");
  if (!place) {
    place = Object.assign(document.createElement("p"), { id: "announcer", className: "visually-hidden" });
    place.setAttribute("role", "status");
    document.body.append(place);
  }
  place.textContent = "";
  setTimeout(() => { place.textContent = text; }, 50);
}
