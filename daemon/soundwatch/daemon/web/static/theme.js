// Light theme, dark theme, or the system's. Runs before the first paint, so that the page does not flash.

(() => {
  const names = ["auto", "light", "dark"];
  const stored = () => {
    try {
      return localStorage.getItem("theme") ?? "auto";
    } catch {
      return "auto"; // storage is disabled
    }
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const show = (name) => {
    document.documentElement.dataset.theme = name;
    document.documentElement.toggleAttribute("data-dark", name === "dark" || (name === "auto" && system.matches));
  };
  show(names.includes(stored()) ? stored() : "auto");
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme")?.addEventListener("click", () => {
      const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
      try {
        localStorage.setItem("theme", next);
      } catch {
        // storage is disabled: the choice lasts for this visit
      }
      show(next);
      document.dispatchEvent(new Event("theme"));
    });
  });
  system.addEventListener("change", () => {
    show(document.documentElement.dataset.theme);
    document.dispatchEvent(new Event("theme"));
  });
})();
