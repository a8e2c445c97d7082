// An OpenID Connect server on loopback: node server.mjs PORT (0 for any). When it is ready it prints its issuer.
//
// It adds to oauth2-mock-server what a real provider checks and that one does not (client, code, redirect URI, that
// there is a verifier), who signs in, and misbehaviour on demand. POST /control takes, as JSON, any of
//   user: {sub, email, ...claims}   who signs in from now on; an earlier one again by `login_hint`
//   misbehave: {path: kind}         how from now on; the kinds are those of TOKENS, CLAIMS and ANSWERS
//   advertise: {field: value}       what the discovery document says instead
//   keys: "RS256" | …               new keys of this algorithm instead of the old ones
// GET /control says how often each path was asked.

import * as crypto from "node:crypto";
import * as http from "node:http";

// Node 18 has it, but not as a global.
globalThis.crypto ??= crypto.webcrypto;
const { Events, OAuth2Issuer, OAuth2Service } = await import("oauth2-mock-server");

const CLIENT = { id: "test-client", secret: "test-client-secret" };

const users = new Map();
const codes = new Map();
const asked = new Map();
const another = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const shared = crypto.randomBytes(32);
let user = { sub: "1", email: "ada@example.com", name: "Ada Lovelace" };
let misbehaviour = {};
let advertised = {};
let provider;
let url;

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const decoded = (part) => JSON.parse(Buffer.from(part, "base64url"));
const seconds = () => Math.floor(Date.now() / 1000);
const halfHash = (text) => crypto.createHash("sha256").update(text).digest().subarray(0, 16).toString("base64url");
const ownKey = () => crypto.createPrivateKey({ key: provider.jwk, format: "jwk" });

function signed(header, claims, sign) {
  const input = `${encoded(header)}.${encoded(claims)}`;
  return `${input}.${sign(Buffer.from(input)).toString("base64url")}`;
}
const byRsa = (key) => (input) => crypto.sign("sha256", input, key);
const byHmac = (secret) => (input) => crypto.createHmac("sha256", secret).update(input).digest();

// The claims of an id token that are not what was asked for.
const CLAIMS = {
  "wrong audience": { aud: "another-client" },
  "several audiences": { aud: [CLIENT.id, "another-client"] },
  "several audiences and us as party": { aud: [CLIENT.id, "another-client"], azp: CLIENT.id },
  "several audiences and another party": { aud: [CLIENT.id, "another-client"], azp: "another-client" },
  "no audience": { aud: undefined },
  "wrong issuer": { iss: "https://issuer.example" },
  "wrong nonce": { nonce: "another-nonce" },
  "a nonce that is no text": { nonce: "\ud800" },
  "no nonce": { nonce: undefined },
  get expired() {
    return { iat: seconds() - 3600, exp: seconds() - 61 };
  },
  get "just expired"() {
    return { exp: seconds() - 30 };
  },
  get "issued in the future"() {
    return { iat: seconds() + 120 };
  },
  "no expiry": { exp: undefined },
  "no time of issue": { iat: undefined },
  "no subject": { sub: undefined },
};

// Id tokens that are made in another way: (header, claims, access token) => token.
const TOKENS = {
  "right at_hash": (header, claims, token) => signed(header, { ...claims, at_hash: halfHash(token) }, byRsa(ownKey())),
  "wrong at_hash": (header, claims) => signed(header, { ...claims, at_hash: halfHash("other") }, byRsa(ownKey())),
  "another key": (header, claims) => signed(header, claims, byRsa(another)),
  "unknown key": (header, claims) => signed({ ...header, kid: "unknown" }, claims, byRsa(another)),
  unsigned: (header, claims) => signed({ ...header, alg: "none" }, claims, () => Buffer.alloc(0)),
  // Where a library takes any key for any algorithm, the public one is a secret that everybody knows.
  "HS256 by the public key": (header, claims) => {
    const pem = crypto.createPublicKey(ownKey()).export({ type: "spki", format: "pem" });
    return signed({ ...header, alg: "HS256" }, claims, byHmac(pem));
  },
  "HS256 by a shared key": (header, claims) => signed({ ...header, alg: "HS256", kid: "shared" }, claims, byHmac(shared)),
  "changed afterwards": (header, claims) =>
    signed(header, claims, byRsa(ownKey())).replace(/\.[^.]*\./, `.${encoded({ ...claims, sub: "2" })}.`),
  "no token": () => undefined,
  nonsense: () => "nonsense",
};
const WEAK = ["unsigned", "HS256 by the public key", "HS256 by a shared key"];

// Answers of a path that are none.
const ANSWERS = {
  HTML: (response) => response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><p>Welcome"),
  "a redirect": (response) => response.writeHead(302, { Location: `${url}/elsewhere` }).end("{}"),
  "an error": (response) => response.writeHead(500, { "Content-Type": "application/json" }).end("{}"),
  "too many requests": (response) => response.writeHead(429, { "Content-Type": "application/json" }).end("{}"),
  "a list": (response) => response.writeHead(200, { "Content-Type": "application/json" }).end("[]"),
  "deep nesting": (response) => response.writeHead(200).end("[".repeat(500_000)),
  "a long body": (response) => response.writeHead(200).end(" ".repeat(2 << 20) + "{}"),
  "an endless body": (response) => {
    const more = () => {
      while (!response.destroyed && response.write(" ".repeat(65536)));
    };
    more();
    response.on("drain", more);
  },
  "a slow body": (response) => {
    const timer = setInterval(() => response.write(" "), 50);
    response.on("close", () => clearInterval(timer));
  },
  nothing: () => {},
};

const kindAt = (path) => misbehaviour[path];

function credentials(request) {
  const [scheme, value = ""] = (request.headers.authorization ?? "").split(" ");
  if (scheme !== "Basic") return [request.body.client_id, request.body.client_secret];
  return Buffer.from(value, "base64").toString().split(":");
}

function refusal(request, attempt) {
  const [id, secret] = credentials(request);
  if (id !== CLIENT.id || secret !== CLIENT.secret) return "invalid_client";
  const same = attempt?.redirectUri === request.body.redirect_uri && attempt.clientId === id;
  return same && request.body.code_verifier ? undefined : "invalid_grant";
}

async function newProvider(alg) {
  const issuer = new OAuth2Issuer();
  issuer.url = url;
  const jwk = await issuer.keys.generate(alg);
  const service = new OAuth2Service(issuer);

  service.on(Events.BeforeWellKnownOpenIdConfiguration, (response) => {
    Object.assign(response.body, {
      id_token_signing_alg_values_supported: WEAK.includes(kindAt("/token")) ? [alg, "HS256", "none"] : [alg],
      token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"],
      ...advertised,
    });
  });
  service.on(Events.BeforeAuthorizeRedirect, ({ url: target }, request) => {
    const { login_hint: hint, redirect_uri: redirectUri, client_id: clientId } = request.query;
    codes.set(target.searchParams.get("code"), { user: users.get(hint) ?? user, redirectUri, clientId });
  });
  service.on(Events.BeforeTokenSigning, ({ payload }, request) => {
    if (payload.aud === undefined) return; // an access token
    Object.assign(payload, { email_verified: true, ...codes.get(request.body.code)?.user });
    Object.assign(payload, CLAIMS[kindAt("/token")]);
  });
  service.on(Events.BeforeResponse, (response, request) => {
    const error = refusal(request, codes.get(request.body.code));
    codes.delete(request.body.code);
    const make = TOKENS[kindAt("/token")];
    if (error) {
      response.statusCode = error === "invalid_client" ? 401 : 400;
      response.body = { error, error_description: `The code ${request.body.code} is not good.` };
    } else if (make) {
      const [header, claims] = response.body.id_token.split(".").slice(0, 2).map(decoded);
      response.body.id_token = make(header, claims, response.body.access_token);
    }
  });
  return { issuer, service, jwk };
}

async function control(request, response) {
  if (request.method === "POST") {
    let body = "";
    for await (const piece of request) body += piece;
    const order = JSON.parse(body);
    for (const kind of Object.values(order.misbehave ?? {})) {
      if (!(kind in ANSWERS || kind in CLAIMS || kind in TOKENS)) return response.writeHead(400).end();
    }
    if (order.user) users.set(order.user.email, (user = order.user));
    misbehaviour = order.misbehave ?? misbehaviour;
    advertised = order.advertise ?? advertised;
    if (order.keys) provider = await newProvider(order.keys);
  }
  return response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(Object.fromEntries(asked)));
}

const server = http.createServer((request, response) => {
  const path = new URL(request.url, url).pathname;
  if (path === "/control") return void control(request, response);
  asked.set(path, (asked.get(path) ?? 0) + 1);
  const answer = ANSWERS[kindAt(path)];
  if (answer) return answer(response);
  if (path === "/jwks" && kindAt("/token") === "HS256 by a shared key") {
    const oct = { kty: "oct", kid: "shared", alg: "HS256", use: "sig", k: shared.toString("base64url") };
    return response.end(JSON.stringify({ keys: [...provider.issuer.keys.toJSON(), oct] }));
  }
  return provider.service.requestHandler(request, response);
});

server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", async () => {
  url = `http://127.0.0.1:${server.address().port}`;
  provider = await newProvider("RS256");
  console.log(url);
});
