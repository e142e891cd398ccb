"use strict";
// Marks, and the frame of the map with its ticks.
function mark(pen, point, radius) {
  pen.beginPath();
  SHAPES[point.shape](pen, point.x, point.y, radius);
  pen.fillStyle = point.colour;
  pen.fill();
}

function ticks(low, high) {
  const raw = (high - low) / 6;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((s) => s * power >= raw) * power;
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high; k += 1) found.push(Number((k * step).toPrecision(6)));
  return found;
}

function frame(pen, box, inner, margin, xLabel, yLabel, toX, toY) {
  const bottom = margin.top + inner.h;
  pen.strokeStyle = "#555";
  pen.fillStyle = "#1a1a1a";
  pen.lineWidth = 1;
  pen.font = "12px system-ui, sans-serif";
  pen.strokeRect(margin.left, margin.top, inner.w, inner.h);
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (const tick of ticks(...box.x)) {
    pen.fillRect(toX(tick), bottom, 1, 4);
    pen.fillText(String(tick), toX(tick), bottom + 5);
  }
  pen.fillText(xLabel, margin.left + inner.w / 2, bottom + 19);
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const tick of ticks(...box.y)) {
    pen.fillRect(margin.left - 4, toY(tick), 4, 1);
    pen.fillText(String(tick), margin.left - 7, toY(tick));
  }
  pen.save();
  pen.translate(9, margin.top + inner.h / 2);
  pen.rotate(-Math.PI / 2);
  pen.textAlign = "center";
  pen.fillText(yLabel, 0, 0);
  pen.restore();
}
