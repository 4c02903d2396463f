// Signing in with a wallet.

// What it is asked to sign, "Sign-In with Ethereum" (EIP-4361), the server writes.
export const signWithWallet = async ({ server }) => {
  const wallet = (method, ...params) => window.ethereum.request({ method, params });
  const [account] = await wallet("eth_requestAccounts");
  const { data } = await server.call("POST", "auth/wallet_text", { account });
  return { signed_message: data.text, signature: await wallet("personal_sign", data.hex, account) };
};
