"use strict";
// The map: a sample of objects on two axes, coloured by a column. Mouse, touch and arrow keys find single objects.
(() => {
  const canvas = document.getElementById("plane");
  if (!canvas) return;
  const { ids, axes, columns } = data.map;
  const pen = canvas.getContext("2d");
  const select = (id) => document.getElementById(id);
  const tip = document.getElementById("tip");
  const details = document.getElementById("details");
  const MARGIN = { left: 46, right: 10, top: 10, bottom: 34 };
  const state = { x: 0, y: Math.min(1, axes.length - 1), column: columns[0], only: null, cursor: -1, box: null };
  let points = [];

  function bounds(values) {
    const known = values.filter((v) => v !== null).sort((a, b) => a - b);
    const low = known[Math.floor(0.001 * known.length)] ?? 0;
    const high = known[Math.ceil(0.999 * known.length) - 1] ?? 1;
    const pad = 0.04 * (high - low) || 0.5;
    return [low - pad, high + pad];
  }

  function reset() {
    state.box = { x: bounds(axes[state.x].values), y: bounds(axes[state.y].values) };
  }

  function zoom(factor) {
    const middle = (axis, v) => (v === null || v === undefined ? (state.box[axis][0] + state.box[axis][1]) / 2 : v);
    for (const axis of ["x", "y"]) {
      const [low, high] = state.box[axis];
      const centre = middle(axis, state.cursor < 0 ? null : axes[state[axis]].values[state.cursor]);
      state.box[axis] = [centre - ((high - low) / 2) * factor, centre + ((high - low) / 2) * factor];
    }
    draw();
  }

  // The ends of the ramp leave out 2 % on either side, or single objects would take all of it.
  function range(values) {
    const known = values.filter((v) => v !== null).sort((a, b) => a - b);
    return [known[Math.floor(0.02 * known.length)] ?? 0, known[Math.ceil(0.98 * known.length) - 1] ?? 1];
  }

  function style(i, ends) {
    const value = state.column.values[i];
    if (state.column.categories) return markOf(state.column, value);
    if (value === null) return { colour: NOTHING, shape: 0 };
    return { colour: ramp((value - ends[0]) / (ends[1] - ends[0] || 1)), shape: 0 };
  }

  function size() {
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    return { width, height };
  }

  function draw() {
    const { width, height } = size();
    const { box } = state;
    const inner = { w: width - MARGIN.left - MARGIN.right, h: height - MARGIN.top - MARGIN.bottom };
    const toX = (v) => MARGIN.left + ((v - box.x[0]) / (box.x[1] - box.x[0])) * inner.w;
    const toY = (v) => MARGIN.top + inner.h - ((v - box.y[0]) / (box.y[1] - box.y[0])) * inner.h;
    const ends = state.column.categories ? null : range(state.column.values);
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, width, height);
    frame(pen, box, inner, MARGIN, axes[state.x].label, axes[state.y].label, toX, toY);
    pen.save();
    pen.beginPath();
    pen.rect(MARGIN.left, MARGIN.top, inner.w, inner.h);
    pen.clip();
    const radius = ids.length > 5000 ? 1.6 : ids.length > 1000 ? 2.4 : 3.6;
    points = [];
    const front = [];
    for (let i = 0; i < ids.length; i += 1) {
      const u = axes[state.x].values[i];
      const v = axes[state.y].values[i];
      if (u === null || v === null) continue;
      const hidden = state.only !== null && state.column.values[i] !== state.only;
      const point = { i, x: toX(u), y: toY(v), ...style(i, ends), hidden };
      points.push(point);
      if (hidden) mark(pen, { ...point, colour: "#e2e2e2", shape: 0 }, radius * 0.7);
      else front.push(point);
    }
    for (const point of front) mark(pen, point, radius);
    if (state.column.categories) names(front);
    const here = points.find((p) => p.i === state.cursor);
    if (here) ring(here, radius + 5);
    pen.restore();
  }

  function names(front) {
    const found = new Map();
    for (const p of front) {
      const code = state.column.values[p.i];
      if (code < 0) continue;
      if (!found.has(code)) found.set(code, { x: [], y: [] });
      found.get(code).x.push(p.x);
      found.get(code).y.push(p.y);
    }
    const middle = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
    pen.font = "bold 13px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (const [code, at] of found) {
      const text = state.column.categories[code].slice(0, 18);
      const [x, y] = [middle(at.x), middle(at.y)];
      pen.lineWidth = 4;
      pen.strokeStyle = "#fff";
      pen.strokeText(text, x, y);
      pen.fillStyle = "#000";
      pen.fillText(text, x, y);
    }
  }

  function ring(point, radius) {
    for (const [colour, width] of [["#fff", 5], ["#000", 2]]) {
      pen.beginPath();
      pen.arc(point.x, point.y, radius, 0, 2 * Math.PI);
      pen.lineWidth = width;
      pen.strokeStyle = colour;
      pen.stroke();
    }
  }

  function legend() {
    const place = document.getElementById("legend");
    const column = state.column;
    if (!column.categories) {
      const [low, high] = range(column.values);
      const bar = element("div", { className: "ramp" });
      bar.style.background = `linear-gradient(to right, ${RAMP.join(",")})`;
      const ends = element("div", { className: "ends" }, element("span", { textContent: `≤ ${shown(low)}` }), element("span", { textContent: `≥ ${shown(high)}` }));
      const none = column.values.filter((v) => v === null).length;
      const note = element("p", { className: "soft", textContent: none ? `${none.toLocaleString("en")} objects have no value (grey).` : "" });
      place.replaceChildren(element("h4", { textContent: column.label }), bar, ends, note);
      return;
    }
    const list = element("ul", { className: "legend" });
    const counts = new Map();
    for (const code of column.values) counts.set(code, (counts.get(code) ?? 0) + 1);
    const codes = column.categories.map((_, code) => code).concat(counts.has(-1) ? [-1] : []);
    for (const code of codes) {
      const name = code < 0 ? "none" : column.categories[code];
      const swatch = element("canvas", { width: 32, height: 32 });
      swatch.setAttribute("aria-hidden", "true");
      const brush = swatch.getContext("2d");
      brush.scale(2, 2);
      mark(brush, { x: 8, y: 8, ...markOf(column, code) }, 4.5);
      const button = element("button", { type: "button" }, swatch, `${name} (${(counts.get(code) ?? 0).toLocaleString("en")})`);
      button.setAttribute("aria-pressed", String(state.only === code));
      button.addEventListener("click", () => {
        state.only = state.only === code ? null : code;
        legend();
        draw();
        document.querySelectorAll("#legend button")[codes.indexOf(code)].focus();
      });
      list.append(element("li", {}, button));
    }
    place.replaceChildren(element("h4", { textContent: `${column.label} (press to show one)` }), list);
  }

  function valueOf(column, i) {
    const value = column.values[i];
    if (!column.categories) return value;
    return value < 0 ? null : column.categories[value];
  }

  function nearest(x, y, most) {
    let best = null;
    let least = most * most;
    for (const point of points) {
      const distance = (point.x - x) ** 2 + (point.y - y) ** 2;
      if (!point.hidden && distance < least) [best, least] = [point, distance];
    }
    return best;
  }

  function hover(event) {
    const box = canvas.getBoundingClientRect();
    const found = nearest(event.clientX - box.left, event.clientY - box.top, 14);
    tip.hidden = !found;
    if (!found) return null;
    tip.textContent = `${ids[found.i]} · ${state.column.name} ${shown(valueOf(state.column, found.i))}`;
    const left = found.x > box.width / 2;
    tip.style.left = left ? "" : `${found.x + 12}px`;
    tip.style.right = left ? `${box.width - found.x + 12}px` : "";
    tip.style.top = `${Math.max(0, found.y - 14)}px`;
    return found;
  }

  function pick(i) {
    state.cursor = i;
    draw();
    const rows = [["object_id", ids[i]], ...columns.map((c) => [c.label, valueOf(c, i)])];
    details.replaceChildren(recordTable(rows, "Chosen object"));
  }

  // The nearest object within a quarter turn of the arrow's direction.
  function move(dx, dy) {
    const here = points.find((p) => p.i === state.cursor) ?? nearest(canvas.clientWidth / 2, canvas.clientHeight / 2, 1e6);
    if (!here) return;
    if (state.cursor < 0) return pick(here.i);
    let best = null;
    let least = Infinity;
    for (const p of points) {
      const along = (p.x - here.x) * dx + (p.y - here.y) * dy;
      const across = Math.abs((p.x - here.x) * dy) + Math.abs((p.y - here.y) * dx);
      if (p.hidden || along < 1 || across > along) continue;
      if (along + across < least) [best, least] = [p, along + across];
    }
    if (best) pick(best.i);
  }

  const keys = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.key in keys) {
      event.preventDefault();
      move(...keys[event.key]);
    } else if (event.key === "+") zoom(0.6);
    else if (event.key === "-") zoom(1 / 0.6);
  });
  canvas.addEventListener("mousemove", hover);
  canvas.addEventListener("mouseleave", () => (tip.hidden = true));
  canvas.addEventListener("click", (event) => {
    const found = hover(event);
    if (found) pick(found.i);
  });
  select("zoom-in").addEventListener("click", () => zoom(0.6));
  select("zoom-out").addEventListener("click", () => zoom(1 / 0.6));
  select("zoom-reset").addEventListener("click", () => {
    reset();
    draw();
  });
  for (const axis of ["x", "y"]) {
    const field = select(`axis-${axis}`);
    axes.forEach((a, i) => field.append(new Option(a.label, i, false, i === state[axis])));
    field.addEventListener("change", () => {
      state[axis] = Number(field.value);
      const other = axis === "x" ? "y" : "x";
      const umap = axes.findIndex((a) => a.label === (axis === "x" ? "UMAP 2" : "UMAP 1"));
      const mine = axes[state[axis]].label.startsWith("UMAP");
      // UMAP's axes mean nothing without each other.
      if (mine !== axes[state[other]].label.startsWith("UMAP")) state[other] = mine ? umap : Number(other === "y" && axes.length > 1);
      select(`axis-${other}`).value = state[other];
      reset();
      draw();
    });
  }
  const colour = select("colour");
  columns.forEach((c, i) => colour.append(new Option(c.label, i)));
  colour.addEventListener("change", () => {
    state.column = columns[Number(colour.value)];
    state.only = null;
    legend();
    draw();
  });
  new ResizeObserver(draw).observe(canvas);
  window.addEventListener("beforeprint", draw);
  reset();
  legend();
})();
