// A slider beside a number: each shows what the other says. `data-for` names the number's field; that is what is sent.
const number = (slider) => document.getElementById(slider.dataset.for);

document.addEventListener("input", (event) => {
  const it = event.target;
  if (it.matches("input[type=range][data-for]")) number(it).value = it.value;
  else if (it.id) {
    const slider = document.querySelector(`input[type=range][data-for="${CSS.escape(it.id)}"]`);
    if (slider) slider.value = it.value.replace(",", ".");
  }
});
