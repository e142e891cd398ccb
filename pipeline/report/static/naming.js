"use strict";
// A person names groups; the names stay in this browser until they are saved as the TOML that `tuningfork label` reads.
(() => {
  const form = document.getElementById("naming");
  if (!form) return;
  const author = document.getElementById("author");
  const status = document.getElementById("progress");
  const fields = [...document.querySelectorAll("[data-group]")];
  const key = `tuningfork:${data.run}:${data.fit}`;

  function store() {
    const values = { author: author.value, fields: {} };
    for (const field of fields) values.fields[field.id] = field.value;
    try {
      localStorage.setItem(key, JSON.stringify(values));
    } catch {
      status.dataset.kept = "no";
    }
  }

  function restore() {
    let values = null;
    try {
      values = JSON.parse(localStorage.getItem(key));
    } catch {
      values = null;
    }
    if (!values) return;
    author.value = values.author ?? "";
    for (const field of fields) if (field.id in values.fields) field.value = values.fields[field.id];
  }

  // The same that `label` refuses: a class is a name, never a number.
  function wrong(name) {
    if ([...name].length > 40) return "is longer than 40 characters";
    if (/^[-+]?\d+(\.\d*)?$/.test(name)) return "is a number; a class is a name";
    if (/\p{C}/u.test(name)) return "has characters that do not print";
    return "";
  }

  function quoted(text) {
    const escapes = { '"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r" };
    const code = (c) => escapes[c] ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
    return `"${text.replace(/\p{Surrogate}/gu, "\ufffd").replace(/["\\\u0000-\u001f\u007f]/g, code)}"`;
  }

  function named() {
    const found = [];
    for (const field of fields) {
      if (field.dataset.kind !== "class" || !field.value.trim()) continue;
      const notes = document.getElementById(`notes-${field.dataset.group}`).value.trim();
      found.push({ group: field.dataset.group, name: field.value.trim(), notes });
    }
    return found;
  }

  function toml() {
    const lines = [`author = ${quoted(author.value.trim())}`, `fit = ${quoted(data.fit)}`];
    for (const { group, name, notes } of named()) {
      lines.push("", `[groups.${group}]`, `class = ${quoted(name)}`);
      if (notes) lines.push(`notes = ${quoted(notes)}`);
    }
    return lines.join("\n") + "\n";
  }

  function check() {
    const problems = [];
    let classes = 0;
    for (const field of fields.filter((f) => f.dataset.kind === "class")) {
      const problem = wrong(field.value.trim());
      field.setAttribute("aria-invalid", String(problem !== ""));
      classes += 1;
      if (problem) problems.push(`group ${field.dataset.group}: the class ${problem}`);
    }
    const count = named().length;
    if (count && !author.value.trim()) problems.push("say who names them");
    status.textContent = [`${count} of ${classes} groups named`, ...problems].join("; ") + ".";
    if (status.dataset.kept === "no") status.textContent += " This browser keeps nothing: save before you leave.";
    form.querySelector("#save").disabled = !count || problems.length > 0;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const url = URL.createObjectURL(new Blob([toml()], { type: "application/toml" }));
    const link = element("a", { href: url, download: "groups.toml" });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  });
  document.getElementById("clear").addEventListener("click", () => {
    if (!confirm("Clear all names and notes on this page?")) return;
    for (const field of fields) field.value = "";
    store();
    check();
  });
  for (const field of [...fields, author]) {
    field.addEventListener("input", () => {
      store();
      check();
    });
  }
  restore();
  check();
})();
