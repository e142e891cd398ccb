"use strict";
// A click on a stamp shows the object: larger, with its group, agreement and parameters.
(() => {
  const dialog = document.getElementById("object");
  const place = dialog.querySelector(".inside");
  const title = dialog.querySelector("h3");
  let sheet = [];
  let at = 0;

  function show() {
    const button = sheet[at];
    const object = data.objects[button.dataset.key];
    title.textContent = `Object ${object.id}`;
    const small = button.querySelector("img");
    const image = element("img", { src: small.getAttribute("src"), alt: small.alt });
    place.replaceChildren(element("div", {}, image), element("div", { className: "record" }, recordTable(object.rows, "")));
    dialog.querySelector(".before").disabled = at === 0;
    dialog.querySelector(".after").disabled = at === sheet.length - 1;
  }

  function step(by) {
    at = Math.min(sheet.length - 1, Math.max(0, at + by));
    show();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.stamp");
    if (!button) return;
    sheet = [...button.closest(".stamps").querySelectorAll("button.stamp")];
    at = sheet.indexOf(button);
    show();
    dialog.showModal();
  });
  dialog.addEventListener("close", () => sheet[at]?.focus());
  dialog.querySelector(".before").addEventListener("click", () => step(-1));
  dialog.querySelector(".after").addEventListener("click", () => step(1));
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
})();
