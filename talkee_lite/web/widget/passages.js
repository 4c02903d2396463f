// Passages of the article that comments begin with: found again by their text, and marked.
import { arrange, make, show } from "./dom.js";

// Letters are compared without white space and without capitals: both depend on styles. None becomes
// two: U+0307 is what is left over of the Turkish capital.
export const bare = (text) => text.toLowerCase().replace(/[\s\u00ad\u0307]/g, "");

// The letters that are read in an element; of its texts, with which of them each begins.
export const lettersOf = (root) => {
  // Elements (1) and text (4) are walked through; 1: this one, 2: nothing of it, 3: what is in it.
  // What stands inside of an element but is not drawn has no style at all.
  const walker = document.createTreeWalker(root, 5, (node) => {
    if (node.nodeType > 1) return 1;
    const { display, userSelect } = getComputedStyle(node);
    return node.matches("style, textarea, select") || /^$|none/.test(display + userSelect) ? 2 : 3;
  });
  const nodes = [];
  let text = "";
  for (let node; (node = walker.nextNode()); ) {
    nodes.push([node, text.length]);
    text += bare(node.data);
  }
  return { text, nodes };
};

// Where a letter stands: in which text, and behind how much of it.
export const placeOf = (nodes, letter) => {
  const one = nodes.findLast(([, first]) => first <= letter);
  const [node, first] = one;
  // Found once for each text: some are whole articles.
  one.letters ??= [...node.data.matchAll(/[^\s\u00ad\u0307]/g)];
  return [node, one.letters[letter - first].index];
};

export const rangeAt = (nodes, start, end) => {
  const range = new Range();
  const [node, last] = placeOf(nodes, end - 1);
  range.setStart(...placeOf(nodes, start));
  range.setEnd(node, last + 1);
  return range;
};

// Painted without touching the page's own elements, where the browser can.
export const paintOf = (name, style) => {
  if (!window.Highlight) return null;
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`::highlight(talkee-${name}){${style}}`);
  document.adoptedStyleSheets.push(sheet);
  const paint = CSS.highlights.get(`talkee-${name}`) ?? new Highlight();
  CSS.highlights.set(`talkee-${name}`, paint);
  return paint;
};
export const quoted = paintOf("quoted", "text-decoration:underline dotted 2px #2f8f6b");

// `jump(id)` shows the comment with this element's id; `light(range)` shows a passage.
export const passagesOf = (view, host, { jump, light }) => {
  const { t, options, observe, until, button } = view;
  const marks = make("div");
  const layer = make("talkee-marks");
  const root = layer.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = host.shadowRoot.adoptedStyleSheets.slice(1);
  root.append(make("section.layer", { lang: t.lang, dir: t.dir }, marks));

  // Where the owner said none, `:is()` matches nothing; it forgives most of what is no selector.
  const one = (selector) => document.querySelector(selector);
  const article = () =>
    one(`:is(${options.article})`) || host.closest("article") || one("article") || one("main, [role=main]") || document.body;

  // Where something is, counted from the layer, whatever the page's body is like.
  const put = ({ style }, { right, top }) => {
    const from = layer.getBoundingClientRect();
    // What is nowhere stays where it was.
    Object.assign(style, { left: `${right - from.left}px`, top: `${top - from.top}px` });
  };

  const place = () => {
    const most = document.documentElement.clientWidth - 4;
    for (const mark of marks.children) {
      if (!layer.isConnected) document.body.append(layer);
      const { right, top } = [...mark.range.getClientRects()].at(-1) ?? {};
      put(mark, { right: Math.min(right, most - mark.offsetWidth), top });
    }
  };

  const clear = () => {
    for (const mark of marks.children) quoted.delete(mark.range);
  };
  const draw = () => {
    let letters;
    const found = {}; // "." and text → where comments quote it
    for (const quote of host.shadowRoot.querySelectorAll(".comment > .body > .text > blockquote:first-child")) {
      const wanted = bare(quote.textContent);
      const { text, nodes } = (letters ??= lettersOf(article()));
      const at = wanted[2] ? text.indexOf(wanted) : -1;
      const range = (quote.range = at >= 0 && rangeAt(nodes, at, at + wanted.length));
      if (!quote.jump) quote.after((quote.jump = button("passage", () => light(quote.range), "quiet.jump")));
      show(quote.jump, range);
      if (range) (found[`.${wanted}`] ??= []).push(quote);
    }
    clear();
    arrange(marks, Object.values(found).map(([quote, ...others]) => {
      const { range } = quote;
      const n = others.length + 1;
      const title = t("quoted", { n });
      quoted.add(range);
      quote.mark ??= button("", () => jump(quote.closest("article").id), "mark");
      return Object.assign(quote.mark, { range, title, ariaLabel: title, textContent: n.toLocaleString(t.lang) });
    }));
    place();
  };
  observe(new ResizeObserver(place), document.body);
  until(() => {
    layer.remove();
    clear();
  });
  return { layer, article, put, draw };
};
