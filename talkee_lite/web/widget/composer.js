// Where people write; it also asks who they are, when they send for the first time.
import { field, fill, make, recall, remember, setHtml, show } from "./dom.js";
import { panelOf } from "./sign-in.js";

// What the page is, for the server to learn.
export const pageOf = ({ options }) => ({ address: options.address, title: document.title });

// `send(text)` is awaited; what was typed stays until it succeeds, and under `key` over a reload.
// With `isChat` Enter sends and nothing waits. Without `label` it asks only who somebody is. A `form`
// that is there already has the field in it.
export const composerOf = (view, { label, send, key, value = "", cancel, isChat, verb = "send" }, form) => {
  const { server, t, button } = view;
  form ??= make(`form.composer${isChat ? ".chatting" : ""}`, {},
    label && field("textarea.input", label, { rows: isChat ? 1 : 2 }));
  const area = form.firstChild ?? make("textarea");
  const draft = key && view.draftOf(key);
  let last = Promise.resolve();
  let panel, entry;

  const changed = () => {
    if (draft) remember(draft, area.value);
    said.textContent = "";
    show(shown, false);
  };

  area.maxLength = 10240;
  area.value ||= recall(draft) ?? value;
  area.oninput = changed;
  area.onkeydown = (event) => {
    // An Enter that ends a composition chooses a word; Safari tells by the 229 alone.
    const isEnter = event.key === "Enter" && !event.isComposing && event.keyCode !== 229;
    if (isEnter && (isChat ? !event.shiftKey : event.ctrlKey || event.metaKey)) form.onsubmit(event);
    else if (event.key === "Escape") cancel?.();
  };

  const shown = make("div.text.preview", { hidden: true, role: "status" });
  const said = make("p.said", { role: "alert" });
  const ask = make("div.ask");
  const who = make("span.who");
  const leave = button("leave", server.signOut);
  form.onsubmit = (event) => {
    event.preventDefault();
    run();
  };
  form.append(shown, ask, make("div.tools", {}, who, !isChat && label && button("preview", () => preview()),
    cancel && button("cancel", cancel), make("button.main", {}, t(verb))), said);

  const drawPerson = () => {
    const { user } = server;
    fill(who, user && [make("span", {}, t("as", { name: user.full_name })), " ", leave]);
    if (!user) return;
    panel = null;
    fill(ask);
  };

  // Below the field, until one types again.
  const preview = async () => {
    const content = area.value.trim();
    if (!content) return area.focus();
    try {
      const { data } = await server.call("POST", `preview?site_id=${server.siteId}`, { content });
      if (content !== area.value.trim()) return;
      setHtml(shown, data.content_html);
      show(shown, true);
    } catch (error) {
      fail(error);
    }
  };

  // What was typed meanwhile stays.
  const settle = (text) => {
    if (area.value.trim() === text) area.value = "";
    changed();
    area.focus();
  };

  // Send, or with `isEntry` only say who one is: one after the other, and of what was changed
  // meanwhile nothing.
  const run = (isEntry) => {
    const text = area.value.trim();
    last = last.then(() => form.isConnected && text === area.value.trim() && go(text, isEntry));
  };
  const go = async (text, isEntry) => {
    if (label && !text && !panel && !isEntry) return area.focus();
    said.textContent = "";
    form.ariaBusy = "true";
    try {
      if (!server.user && !panel) {
        // What stood there when they only wanted to come in is not sent.
        entry = isEntry && text;
        panel = await panelOf(view, () => run(true), fail);
        fill(ask, panel.element);
        panel.focus();
      } else if (server.user || (await panel.submit())) {
        const content = text === entry ? "" : text;
        entry = null;
        if (isChat) settle(content);
        if (content || !label) await send(content);
        if (!isChat) settle(content);
      }
    } catch (error) {
      fail(error);
    }
    form.ariaBusy = null;
  };

  const fail = (error) => {
    const { suggestion: name } = error;
    said.textContent = `${view.explain(error)} ${name ? t("free", { name }) : ""}`;
    panel?.suggest(name);
  };

  view.until(server.onPerson(drawPerson));
  drawPerson();
  changed();
  return {
    element: form, run, fail,
    text: () => area.value,
    focus: () => area.focus(),
    // Put text before what is there, such as a passage or words that were refused.
    insert: (text) => {
      area.value = [text, area.value].filter(Boolean).join("\n");
      changed();
      area.focus();
    },
  };
};
