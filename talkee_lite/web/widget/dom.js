// Small things that every part of the widget draws with.

// Where a page demands trusted types, the server's sanitised HTML has a policy of its own.
const policy = globalThis.trustedTypes?.createPolicy("talkee", { createHTML: (html) => html });

// An element: `make("p.note", {…}, …)`. Its classes are its parts, too. Functions listen to the event
// of their name; children that are not there are left out.
export const make = (name, properties = {}, ...children) => {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes[0]) {
    element.className = element.part = classes.join(" ");
  }
  for (const [key, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  fill(element, children);
  return element;
};

// A field that says what belongs there.
export const field = (name, label, properties) => make(name, { placeholder: label, ariaLabel: label, ...properties });

export const fill = (element, ...children) =>
  element.replaceChildren(...children.flat(3).filter((child) => child));

// `on(target, name, run)` until the signal.
export const listening = (signal) => (target, name, run) => target.addEventListener(name, run, { signal });

export const show = (element, isShown) => (element.hidden = !isShown);

// The one place where HTML is set: what the server has sanitised.
export const setHtml = (element, html) => {
  element.innerHTML = policy ? policy.createHTML(html) : html;
};

// Change `parent` so that it has just these children, moving as few as possible.
export const arrange = (parent, wanted) => {
  const keep = new Set(wanted);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  const { children } = parent;
  wanted.forEach((child, n) => child === children[n] || parent.insertBefore(child, children[n]));
};

// What is remembered in the browser, where it lets us.
export const recall = (key) => {
  try {
    return JSON.parse(localStorage.getItem(`talkee ${key}`));
  } catch {
    return null;
  }
};

export const remember = (key, value) => {
  try {
    localStorage[value ? "setItem" : "removeItem"](`talkee ${key}`, JSON.stringify(value));
  } catch {
    // Blocked or full: this page remembers for itself.
  }
};
