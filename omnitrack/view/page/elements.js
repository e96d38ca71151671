// Looks up elements of the page.

/** @param {string} id */
export const byId = (id) => document.getElementById(id);

/** @param {string} selector */
export const all = (selector) => document.querySelectorAll(selector);
