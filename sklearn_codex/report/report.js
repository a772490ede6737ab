(() => {
  "use strict";
  const number = (cell) => {
    const found = cell.textContent.replace(/,/g, "").match(/^[\s<]*([+\-\u2212]?\d*\.?\d+(?:e[+\-]?\d+)?)/i);
    return found ? parseFloat(found[1].replace("\u2212", "-")) : NaN;
  };
  const compare = (column, down) => (one, other) => {
    const a = one.cells[column], b = other.cells[column], x = number(a), y = number(b);
    let order = a.textContent.localeCompare(b.textContent, undefined, {numeric: true});
    if (!isNaN(x) || !isNaN(y)) order = isNaN(x) ? 1 : isNaN(y) ? -1 : x - y;
    return down ? -order : order;
  };
  const sortable = (table) => {
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    if (body.rows.length < 3) return;
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        body.append(...[...body.rows].sort(compare(column, down)));
      });
    });
  };
  const filterable = (parts, before, most) => {
    if (parts.length <= most) return;
    const box = document.createElement("input");
    box.type = "search";
    box.placeholder = "Filter";
    box.setAttribute("aria-label", "Filter");
    box.className = "filter";
    box.addEventListener("input", () => {
      const words = box.value.toLowerCase().split(/\s+/);
      parts.forEach((part) => {
        const text = part.textContent.toLowerCase();
        part.hidden = !words.every((word) => text.includes(word));
      });
    });
    before.before(box);
  };
  document.querySelectorAll("table").forEach((table) => {
    sortable(table);
    filterable([...table.tBodies[0].rows], table.closest(".scroll"), 12);
  });
  document.querySelectorAll(".examples").forEach((list) => {
    filterable([...list.children], list, 5);
  });
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((part) => { part.open = false; }));
})();
