// Says that the page's program was not loaded: a file of it is missing, or it failed before it began. Runs before the
// program; a file that was not loaded is only requested again with the whole page.

(() => {
  const FIRST_RELOAD_MS = 10000;
  const NEXT_RELOAD_MS = 60000;
  let reload = null;
  const failed = (event) => {
    const ofProgram = event.target === window || event.target.type === "module"; // without theme.js, the light theme
    if (!ofProgram || reload !== null || "begun" in document.documentElement.dataset) return;
    const [{ type }] = performance.getEntriesByType("navigation");
    reload = setTimeout(() => location.reload(), type === "reload" ? NEXT_RELOAD_MS : FIRST_RELOAD_MS);
    const show = () => (document.getElementById("incomplete").hidden = false);
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", show);
    else show();
  };
  addEventListener("error", failed, true);
  addEventListener("unhandledrejection", failed);
})();
