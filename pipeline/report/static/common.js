"use strict";
// What the parts of the page share. Text from catalogs only ever becomes a text node.
const data = JSON.parse(document.getElementById("data").textContent);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function shown(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(10)));
  return String(value);
}

function recordTable(rows, caption) {
  const body = element("tbody");
  for (const [name, value] of rows) {
    const head = element("th", { textContent: name, scope: "row" });
    body.append(element("tr", {}, head, element("td", { textContent: shown(value) })));
  }
  return element("table", {}, element("caption", { textContent: caption }), body);
}
