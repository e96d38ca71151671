// The page's elements by name.

/** @param {string} id */
export const byId = (id) => document.getElementById(id);

/** @param {string} selector */
export const all = (selector) => document.querySelectorAll(selector);
