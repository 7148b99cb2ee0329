// Changes the theme at once; the form's cookie keeps it for the next page. Without script the form alone does it.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("[data-theme-form]") || !event.submitter) return;
  event.preventDefault();
  const body = new FormData(form, event.submitter);
  const chosen = body.get("theme");
  show(chosen);
  try {
    const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" });
    if (answer.status >= 400) throw new Error(String(answer.status));
  } catch {
    form.requestSubmit.call(form); // let the browser say what is wrong
  }
});

function show(chosen) {
  document.documentElement.dataset.theme = chosen;
  document.querySelector('meta[name="color-scheme"]').content = chosen === "system" ? "light dark" : chosen;
  for (const button of document.querySelectorAll("[data-theme-form] button")) {
    button.setAttribute("aria-pressed", String(button.value === chosen));
  }
  document.dispatchEvent(new CustomEvent("trackside:theme"));
}
