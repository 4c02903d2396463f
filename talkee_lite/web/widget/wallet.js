// Signing in with a wallet.
import { random } from "./server.js";

// What a wallet is asked to sign: "Sign-In with Ethereum" (EIP-4361).
export const signWithWallet = async ({ server, t }) => {
  const wallet = (method, params) => window.ethereum.request({ method, params });
  const [account] = await wallet("eth_requestAccounts");
  const { host, origin: uri } = location;
  const chain = String(Number(await wallet("eth_chainId")));
  // The server's time, since the reader's clock may be wrong.
  const { ts } = await server.call("GET", "auth/methods");
  const time = new Date(ts).toISOString();
  const text = t("wallet_text", { host, account, uri, chain, nonce: random().replaceAll("-", ""), time });
  // All of it is ASCII.
  const bytes = text.replace(/[^]/g, (letter) => letter.charCodeAt(0).toString(16).padStart(2, "0"));
  const signature = await wallet("personal_sign", [`0x${bytes}`, account]);
  return { signed_message: text, signature };
};
