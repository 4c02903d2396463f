// The ways to sign in that the server offers, inside a form that waits for one of them.
import { fill, make } from "./dom.js";
import { random } from "./server.js";

// What a wallet is asked to sign: "Sign-In with Ethereum" (EIP-4361).
const signWithWallet = async ({ server, t }) => {
  const wallet = (method, params) => window.ethereum.request({ method, params });
  const [account] = await wallet("eth_requestAccounts");
  const chain = Number(await wallet("eth_chainId"));
  // The server's time, since the reader's clock may be wrong.
  const { ts } = await server.call("GET", "auth/methods");
  // The EIP wants its statement in ASCII.
  const statement = t("wallet_text").replace(/[^ -~]/g, "") || "Talkee";
  const text = `${location.host} wants you to sign in with your Ethereum account:
${account}

${statement}

URI: ${location.origin}
Version: 1
Chain ID: ${chain}
Nonce: ${random()}
Issued At: ${new Date(ts).toISOString()}`;
  const bytes = Array.from(new TextEncoder().encode(text), (byte) => byte.toString(16).padStart(2, "0"));
  const signature = await wallet("personal_sign", [`0x${bytes.join("")}`, account]);
  return { signed_message: text, signature };
};

// How the page does it: its own `Talkee.methods[name](info)`, or what we can do. The fields of the call.
const wayOf = (view, name) => {
  const { sso } = view.options;
  if (window.Talkee.methods[name]) return window.Talkee.methods[name];
  if (name === "mvm" && window.ethereum) return () => signWithWallet(view);
  return name === "sso" && sso && (async () => {
    // The site's own server signs a token for whoever is logged in there.
    const response = await fetch(sso, { cache: "no-store" });
    if (!response.ok) throw Object.assign(new Error(), { error: "sign_in_failed" });
    return { token: (await response.text()).trim() };
  });
};

export const signInByPage = async (view, method, info) =>
  view.server.signIn({ ...(await wayOf(view, method)(info)), method });

// `done()` when somebody has signed in by a button, `fail(error)` when that did not work.
export const panelOf = async (view, done, fail) => {
  const { server, t, button } = view;
  const methods = await server.once(`auth/methods?site_id=${server.siteId}`);
  const field = (name, autocomplete, type = "text") =>
    make("input.input", { type, autocomplete, ariaLabel: t(name), placeholder: t(name), maxLength: 256, autocapitalize: "none" });
  const name = field("name", "nickname");
  const user = field("username", "username");
  const secret = field("password", "current-password", "password");
  const typed = () => ({ username: user.value, password: secret.value });
  const by = (text, run) => button(text, () => run().then(done, fail));
  const register = by("register", () => server.signIn(typed(), "register"));
  const intro = make("p");
  const fields = make("div.fields");
  const ways = make("p.ways");
  const element = make("div", {}, intro, fields, ways);
  const inputs = () => [...fields.querySelectorAll("input")];
  const focus = () => (inputs().find((input) => !input.value) ?? element.querySelector("input, button"))?.focus();
  let mode;

  const turn = (wanted) => {
    mode = wanted;
    intro.textContent = t(mode === "guest" ? "ask_name" : "ask_sign_in");
    fill(fields, { guest: [name], password: [user, secret, register] }[mode] ?? []);
    const others = methods.map(({ method, ...info }) => {
      if (method === mode) return null;
      if (method === "guest" || method === "password") {
        return button(method === "guest" ? "name" : method, () => {
          turn(method);
          focus();
        });
      }
      return wayOf(view, method) && by(method, () => signInByPage(view, method, info));
    }).filter(Boolean);
    fill(ways, others.length && mode ? [t("or"), " ", others] : others);
  };
  turn(["guest", "password"].find((one) => methods.some(({ method }) => method === one)));

  return {
    element,
    focus,
    // Whether somebody is signed in now; where something is missing it is asked for.
    submit: async () => {
      if (!mode || inputs().some((input) => !input.value.trim())) focus();
      else if (mode === "guest") await server.signIn({ method: mode, full_name: name.value });
      else await server.signIn({ method: mode, ...typed() });
      return server.user;
    },
    suggest: ({ suggestion }) => {
      if (suggestion) (mode === "guest" ? name : user).value = suggestion;
    },
  };
};
