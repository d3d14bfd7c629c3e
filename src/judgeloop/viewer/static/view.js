"use strict";
(() => {
  const rows = () => [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent !== null);
  let at = null;
  const mark = (row) => {
    if (!row) return;
    if (at) at.classList.remove("at");
    at = row;
    row.classList.add("at");
    row.scrollIntoView({ block: "nearest" });
    row.focus({ preventScroll: true });
  };
  const move = (by) => {
    const all = rows();
    const now = at && at.isConnected ? all.indexOf(at) : -1;
    mark(all[now < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, now + by))]);
  };
  const open = (row) => {
    if (row.dataset.href) location.href = row.dataset.href;
    else if (row.tagName === "DETAILS") row.open = !row.open;
  };
  const help = () => {
    const dialog = document.getElementById("keys");
    if (dialog.open) dialog.close();
    else dialog.showModal();
  };
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-help]")) help();
    const row = event.target.closest("tr[data-href]");
    if (row && !event.target.closest("a")) open(row);
  });
  let sending = false;
  document.addEventListener("htmx:beforeRequest", () => { sending = true; });
  document.addEventListener("htmx:afterSettle", () => { sending = false; });
  document.addEventListener("htmx:afterRequest", (event) => { if (!event.detail.successful) sending = false; });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "?") { event.preventDefault(); help(); return; }
    if (document.getElementById("keys").open) return;
    const vote = [...document.querySelectorAll("#vote [data-key]")].find((button) => button.dataset.key === event.key);
    if (vote) {
      event.preventDefault();
      if (!event.repeat && !sending && !vote.disabled) vote.click();
      return;
    }
    if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "/") {
      const search = document.querySelector("[data-search]");
      if (search) { event.preventDefault(); search.focus(); search.select(); }
    } else if (event.key === "Enter" && at && event.target === at && at.tagName !== "A") open(at);
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const link = document.querySelector(event.key === "ArrowLeft" ? "main a[rel=prev]" : "main a[rel=next]:not(.more)");
      if (link) link.click();
    }
  });
})();
