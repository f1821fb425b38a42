// The language of the page. Texts in the code are English and are the keys of the catalogues (core/languages/). A
// catalogue is loaded before any other module runs, so that `t` needs no promise.

export const NAMES = { en: "English", de: "Deutsch", es: "Español", fr: "Français", nl: "Nederlands", ja: "日本語" };
const STORE = "language";

const stored = () => {
  try {
    return localStorage.getItem(STORE);
  } catch {
    return null; // storage is disabled
  }
};

const wanted = [stored(), ...navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase())];
export const language = wanted.find((code) => code in NAMES) ?? "en";

const response = await fetch(`static/language-${language}.json`);
const catalogue = response.ok ? await response.json() : { texts: {}, names: {}, settings: {} }; // English
const plural = new Intl.PluralRules(language);

// The locale of numbers and times: the browser's own where it is of this language, since it has a region.
export const locale = navigator.languages.find((tag) => tag.slice(0, 2).toLowerCase() === language) ?? language;

// A name for a sentence: one that is written from right to left keeps the order of the words and numbers next to it.
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]/;
export const isolated = (name) => (RIGHT_TO_LEFT.test(name) ? `\u2068${name}\u2069` : name);

// A text in the language of the page. `n` selects the plural form; numbers get the separators of the language.
export function t(text, values = {}) {
  const found = catalogue.texts[text] ?? text;
  const form = typeof found === "string" ? found : (found[plural.select(values.n)] ?? found.other);
  return form.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? values[name].toLocaleString(locale) : isolated(values[name])));
}

// The name of a class, a tag, a fault or a reason.
export const words = (name) => (Object.hasOwn(catalogue.names, name) ? catalogue.names[name] : name.replaceAll("_", " "));

// The text of a configuration key in the language of the page; undefined where it is in English only.
export const settingText = (text) => (language === "en" ? text : catalogue.settings[text]);

// A number with a fixed count of decimals.
export const fixed = (value, digits) => value.toLocaleString(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");

export function choose(code) {
  try {
    localStorage.setItem(STORE, code);
  } catch {
    return; // storage is disabled: the browser's language stays
  }
  location.reload();
}

// Translates the texts of the page's own file, before any data is shown.
function translate() {
  document.documentElement.lang = language;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.data.trim();
    if (Object.hasOwn(catalogue.texts, text)) texts.currentNode.data = texts.currentNode.data.replace(text, () => t(text));
  }
  for (const name of ["aria-label", "placeholder", "title"]) {
    for (const element of document.querySelectorAll(`[${name}]`)) element.setAttribute(name, t(element.getAttribute(name)));
  }
}

translate();
