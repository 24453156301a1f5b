addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest("input, select")) return;
  const key = CSS.escape(event.key.toLowerCase());
  document.querySelector(`button[data-key="${key}"]`)?.click();
});
addEventListener("submit", () => setTimeout(() => document.querySelectorAll("[data-key]").forEach((b) => (b.disabled = true))));
