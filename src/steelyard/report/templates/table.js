// The table sorts by its headers and shows one outcome or all.
const table = document.getElementById("table");
const body = table.tBodies[0];
const buttons = [...document.querySelectorAll(".filter button")];

function compared(a, b) {
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
}

function sort(column, header) {
  const direction = header.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  const order = (row) => row.cells[column].dataset.order;
  const rows = [...body.rows].sort((a, b) => {
    // What has no figure stays at the end either way.
    if (!order(a) || !order(b)) return Boolean(order(b)) - Boolean(order(a));
    return compared(order(a), order(b)) * (direction === "ascending" ? 1 : -1);
  });
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", direction);
  body.append(...rows);
}

function filter(pressed) {
  const outcome = pressed.dataset.outcome;
  for (const button of buttons) button.setAttribute("aria-pressed", String(button === pressed));
  for (const row of body.rows) row.hidden = outcome !== "" && row.dataset.outcome !== outcome;
  const shown = [...body.rows].filter((row) => !row.hidden).length;
  document.querySelector(".shown").textContent = outcome ? `${shown} of ${body.rows.length} candidates: ${outcome}` : "";
}

[...table.tHead.rows[0].cells].forEach((header, column) => {
  header.querySelector("button").addEventListener("click", () => sort(column, header));
});
buttons.forEach((button) => button.addEventListener("click", () => filter(button)));
