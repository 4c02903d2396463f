// The ways to sign in that the server offers, inside a form that waits for one of them.
import { field, fill, make } from "./dom.js";
import { signWithWallet } from "./wallet.js";

// What somebody types for a way to sign in: the fields of the call, and what browsers fill in there.
const FORMS = {
  guest: { full_name: "nickname" },
  password: { username: "username", password: "current-password" },
};

// How the page does it: its own `Talkee.methods[name](info)`, or what we can do. The fields of the call.
const wayOf = (view, name) =>
  window.Talkee.methods[name] ?? {
    mvm: window.ethereum && (() => signWithWallet(view)),
    sso: view.options.sso && view.bySite,
  }[name];

// `done()` when somebody has signed in by a button, `fail(error)` when that did not work.
export const panelOf = async (view, done, fail) => {
  const { server, t, button } = view;
  const { data: methods } = await server.call("GET", `auth/methods?site_id=${server.siteId}`);
  const by = (text, run) => button(text, () => run().then(done, fail));
  const element = make("div");
  let inputs = [];
  let mode;

  const typed = () => Object.fromEntries(inputs.map(({ name, value }) => [name, value]));
  const focus = () => (inputs.find(({ value }) => !value.trim()) ?? element.querySelector("input, button"))?.focus();
  const turn = (wanted) => {
    mode = wanted;
    inputs = Object.entries(FORMS[mode] ?? {}).map(([name, autocomplete]) =>
      field("input.input", t(name), { name, autocomplete, type: name }));
    const others = methods.map(({ method, ...info }) => {
      if (method === mode) return null;
      if (FORMS[method]) {
        return button(t(method), () => {
          turn(method);
          focus();
        });
      }
      const way = wayOf(view, method);
      return way && by(method, () => server.signIn(method, way, info));
    }).filter(Boolean);
    fill(
      element,
      make("p", {}, t(mode === "guest" ? "ask_name" : "ask")),
      make("div.fields", {}, inputs, mode === "password" && by("register", () => server.signIn(mode, typed, null, "register"))),
      make("p.ways", {}, others[0] && mode && `${t("or")} `, others),
    );
  };
  turn(Object.keys(FORMS).find((one) => methods.some(({ method }) => method === one)));

  return {
    element,
    focus,
    // Whether somebody is signed in now; where something is missing it is asked for.
    submit: async () => {
      if (!mode || inputs.some(({ value }) => !value.trim())) focus();
      else await server.signIn(mode, typed);
      return server.user;
    },
    suggest: (name) => {
      if (name) inputs[0].value = name;
    },
  };
};
