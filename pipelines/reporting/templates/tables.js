"use strict";
(() => {
  const MISSING = ["", "–"];
  const naturally = new Intl.Collator("en", { numeric: true });

  // A cell is sorted by its data-value, or by its text where it has none.
  function makeSortable(table) {
    const header = table.tHead.rows[0];
    [...header.cells].forEach((cell, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...cell.childNodes);
      cell.append(button);
      button.addEventListener("click", () => {
        const direction = cell.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        for (const other of header.cells) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", direction);
        sortRows(table.tBodies[0], column, direction === "ascending" ? 1 : -1);
      });
    });
  }

  function sortRows(body, column, sign) {
    const keyed = [...body.rows].map((row) => ({ row, key: keyOf(row.cells[column]) }));
    const missing = keyed.filter(({ key }) => MISSING.includes(key));
    const present = keyed.filter(({ key }) => !MISSING.includes(key));
    const numeric = present.every(({ key }) => Number.isFinite(Number(key)));
    const compare = numeric ? (a, b) => a - b : naturally.compare;
    present.sort((a, b) => sign * compare(a.key, b.key));
    // Five times as fast for thousands of rows as to move one after the other.
    body.replaceChildren(...[...present, ...missing].map(({ row }) => row));
  }

  function keyOf(cell) {
    return (cell.dataset.value ?? cell.textContent).trim();
  }

  // An element with data-filter="id of a table" holds a search field for cells marked data-searched, radio buttons that
  // each ask for a word of the rows' data-states (an empty one asks for nothing), and an output for the count. It is
  // hidden without a script.
  function makeFilter(filter) {
    const rows = [...document.getElementById(filter.dataset.filter).tBodies[0].rows];
    const entries = rows.map((row) => ({
      row,
      text: fold([...row.querySelectorAll("[data-searched]")].map((cell) => cell.textContent).join(" ")),
      states: row.dataset.states.split(" "),
    }));
    const search = filter.querySelector("input[type=search]");
    const output = filter.querySelector("output");

    function update() {
      const words = fold(search.value).split(/\s+/);
      const state = filter.querySelector("input[type=radio]:checked").value;
      let shown = 0;
      for (const { row, text, states } of entries) {
        const matches = words.every((word) => text.includes(word)) && (!state || states.includes(state));
        row.hidden = !matches;
        shown += matches;
      }
      output.textContent = `${shown} of ${rows.length} shown`;
    }

    filter.hidden = false;
    filter.addEventListener("input", update);
    // Browsers put back what was typed when a reader returns from a patient's page.
    window.addEventListener("pageshow", update);
    update();
  }

  // "müller" in any spelling of Unicode is found by "Muller".
  function fold(text) {
    return text.normalize("NFKD").replace(/\p{Mark}/gu, "").toLowerCase();
  }

  document.querySelectorAll("table.sortable").forEach(makeSortable);
  document.querySelectorAll("[data-filter]").forEach(makeFilter);
})();
