// Light, dark, or as the system has it. Runs before the first paint, so that nothing flashes.

(() => {
  const names = ["auto", "light", "dark"];
  const known = () => {
    try {
      return localStorage.getItem("theme") ?? "auto";
    } catch {
      return "auto"; // storage is forbidden here
    }
  };
  const show = (name) => {
    document.documentElement.dataset.theme = name;
    const button = document.getElementById("theme");
    if (button) button.textContent = `Theme: ${name}`;
  };
  show(names.includes(known()) ? known() : "auto");
  document.addEventListener("DOMContentLoaded", () => {
    show(document.documentElement.dataset.theme);
    document.getElementById("theme")?.addEventListener("click", () => {
      const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
      try {
        localStorage.setItem("theme", next);
      } catch {
        // then it is for this visit only
      }
      show(next);
      document.dispatchEvent(new Event("theme"));
    });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("theme")));
})();
