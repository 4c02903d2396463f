// Passages of the article that comments are about: chosen by selecting, found again by their text.
import { fill, make, show } from "./dom.js";

const MOST = 300; // letters of a passage
const OURS = "talkee-comments, talkee-chat, talkee-marks";
const BLOCKS = "p, li, h1, h2, h3, h4, h5, h6, td, th, dd, dt, pre, blockquote, figcaption, div";

const single = (text) => text.replace(/\u00ad/g, "").replace(/\s+/g, " ").trim();

// The article's text with single spaces, and where each of its letters stands.
const textOf = (root) => {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) =>
    node.data !== undefined ? 1
      : node.matches(`script, style, noscript, textarea, select, ${OURS}`) || getComputedStyle(node).display === "none" ? 2 : 1);
  const places = [];
  let text = "";
  let block, isBroken;
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const { data } = node;
    isBroken ||= node.localName === "br";
    if (!data) continue;
    const own = node.parentElement.closest(BLOCKS);
    // What stands in another block, or on another line, is another word.
    if ((own !== block || isBroken) && !text.endsWith(" ")) {
      text += " ";
      places.push([node, 0]);
    }
    block = own;
    isBroken = false;
    for (let at = 0; at < data.length; at++) {
      const letter = /\s/.test(data[at]) ? " " : data[at];
      if (letter === "\u00ad" || (letter === " " && text.endsWith(" "))) continue;
      text += letter;
      places.push([node, at]);
    }
  }
  return { text, places };
};

const rangeOf = ({ text, places }, wanted) => {
  const at = text.indexOf(wanted);
  if (wanted.length < 3 || at < 0) return null;
  const range = new Range();
  const [node, last] = places[at + wanted.length - 1];
  range.setStart(...places[at]);
  range.setEnd(node, last + 1);
  return range;
};

// What was selected of the article; where it stands there more than once it grows, word by word.
const chosenOf = ({ text, places }, range) => {
  const find = (isThere) => {
    let [from, to] = [0, places.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (isThere(...places[middle])) to = middle;
      else from = middle + 1;
    }
    return from;
  };
  let start = find((node, at) => range.comparePoint(node, at) >= 0);
  let end = find((node, at) => range.comparePoint(node, at + 1) > 0);
  while (start < end && text[start] === " ") start++;
  while (start < end && text[end - 1] === " ") end--;
  let found = text.slice(start, end);
  if (found.length < 3 || found.length > MOST) return "";
  while (start > 0 && found.length < MOST && text.indexOf(found) !== text.lastIndexOf(found)) {
    start = text.lastIndexOf(" ", start - 2) + 1;
    end = (text.indexOf(" ", end + 1) + 1 || text.length + 1) - 1;
    found = text.slice(start, end);
  }
  return found.trim();
};

// Painted without touching the page's own elements, where the browser can.
const paintOf = (name) => {
  const all = CSS.highlights;
  if (all && !all.has(name)) all.set(name, new Highlight());
  return all?.get(name) ?? new Set();
};
const styled = new CSSStyleSheet();
styled.replaceSync(`::highlight(talkee-quoted) { text-decoration: underline dotted 2px #2f8f6b; }
::highlight(talkee-lit) { background-color: #ffe08a; color: #1c1c1c; }`);

// `write(text)` begins a comment; `jump(id)` shows one.
export const quotesOf = (view, host, { write, jump }) => {
  const { t, options, signal, until, button } = view;
  const quoting = new Map(); // entry of a comment → the passage's text
  const quoted = paintOf("talkee-quoted");
  const lit = paintOf("talkee-lit");
  const marks = make("div");
  const talk = button("talk_about", () => {
    look();
    show(talk, false);
    getSelection().removeAllRanges();
    write(`> ${chosen.replace(/[\\`*_[\]<>#~&]|^[-+=]|(?<=^\d+)[.)]/g, "\\$&")}\n\n`);
  }, "about");
  // Pressing the button must not end the selection first.
  talk.addEventListener("pointerdown", (event) => event.preventDefault());
  const layer = make("talkee-marks");
  const root = layer.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = host.shadowRoot.adoptedStyleSheets.slice(1);
  root.append(make("section.layer", { lang: t.lang, dir: t.dir }, marks, talk));
  document.body.append(layer);
  if (!document.adoptedStyleSheets.includes(styled)) document.adoptedStyleSheets.push(styled);
  let ranges = [];
  let chosen, timer, drawing;

  const one = (selector) => selector && document.querySelector(selector);
  const article = () =>
    one(options.article) || host.closest("article") || one("article") || one("main, [role=main]") || document.body;

  // Where something is, counted from the layer, whatever the page's body is like.
  const put = (element, { right, top }) => {
    const from = layer.getBoundingClientRect();
    Object.assign(element.style, { left: `${right - from.left}px`, top: `${top - from.top}px` });
  };

  const look = () => {
    const selection = getSelection();
    const range = selection.rangeCount && selection.getRangeAt(0);
    chosen = range && chosenOf(textOf(article()), range);
    show(talk, chosen);
    if (!chosen) return;
    const { right, bottom } = range.getBoundingClientRect();
    put(talk, { right: Math.max(right, talk.offsetWidth + 8), top: bottom });
  };
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(look, 250);
  };

  const light = (range) => {
    lit.clear();
    lit.add(range);
    scrollTo({ top: scrollY + range.getBoundingClientRect().top - innerHeight / 3 });
    setTimeout(() => lit.delete(range), 6000);
  };

  const place = () => {
    const most = document.documentElement.clientWidth - 4;
    for (const mark of marks.children) {
      const { right, top } = [...mark.range.getClientRects()].at(-1) ?? {};
      put(mark, { right: Math.min(right, most - mark.offsetWidth), top });
    }
  };

  const draw = () => {
    for (const range of ranges) quoted.delete(range);
    ranges = [];
    const index = textOf(article());
    const found = {}; // text → entries
    for (const [entry, text] of quoting) {
      // The button stands behind the quotation, and goes with it.
      const range = entry.jump.isConnected && rangeOf(index, text);
      if (!entry.jump.isConnected) quoting.delete(entry);
      entry.passage = range;
      show(entry.jump, range);
      if (range) (found[text] ??= []).push(entry);
    }
    fill(marks, Object.values(found).map(([{ passage, item }, ...others]) => {
      const n = others.length + 1;
      ranges.push(passage);
      quoted.add(passage);
      const title = t("on_passage", { n });
      const number = n.toLocaleString(t.lang);
      // What is seen is part of the name, also in languages that have a word for "one comment".
      const ariaLabel = title.includes(number) ? title : `${number}: ${title}`;
      return button(number, () => jump(item.id), "mark", { ariaLabel, title, range: passage });
    }));
    for (const [n, mark] of [...marks.children].entries()) mark.range = ranges[n];
    place();
  };
  const drawn = () => {
    clearTimeout(drawing);
    drawing = setTimeout(draw, 100);
  };

  const watch = new ResizeObserver(place);
  watch.observe(document.documentElement);
  watch.observe(document.body);
  document.addEventListener("selectionchange", later, { signal });
  until(() => {
    watch.disconnect();
    layer.remove();
    lit.clear();
    for (const range of ranges) quoted.delete(range);
  });
  show(talk, false);
  later();

  return {
    drawn,
    // A comment that begins with a quotation was drawn: that may be a passage.
    found: (entry) => {
      const quote = entry.text.querySelector("blockquote");
      quoting.set(entry, single(quote.textContent));
      entry.jump = button("to_passage", () => light(entry.passage), "quiet.jump", { hidden: true });
      quote.after(entry.jump);
      drawn();
    },
  };
};
