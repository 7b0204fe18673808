// Everything that a page can try against a server of another origin. What each
// attempt could read goes to /report; what it stored, the test asks the server.
"use strict";

const settings = new URLSearchParams(location.search);
const target = settings.get("target"), report = settings.get("report"), name = settings.get("name");
const socket = target.replace(/^http/, "ws");
const read = "/api/v1/analytics/cost-breakdown?groupBy=feature";

const event = (feature) => ({
  traceId: name, spanId: feature, timestamp: new Date(Date.now() - 60000).toISOString(), feature: name + "-" + feature,
  provider: "openai", model: "gpt-4o", inputTokens: 10, outputTokens: 1, latencyMs: 1,
});
const batch = (feature) => JSON.stringify({ events: [event(feature)] });
const price = JSON.stringify({ provider: "stolen", model: name, prices: { input: 1 } });

const within = (ms, promise) => Promise.race([
  promise, new Promise((done) => setTimeout(done, ms, { outcome: "nothing happened" }))]);

async function ask(path, options) {
  const answer = await fetch(target + path, options);
  return { outcome: answer.type + " " + answer.status, text: (await answer.text()).slice(0, 500) };
}

// element waits for what an element says of what it loads.
const element = (tag, attributes) => new Promise((done) => {
  const e = document.createElement(tag);
  e.onload = () => {
    let text = "";
    try { text = e.contentDocument.body.innerText; } catch { /* another origin */ }
    done({ outcome: "loaded", text });
  };
  e.onerror = e.onloadeddata = (why) => done({ outcome: why.type, text: "" });
  Object.assign(e, attributes);
  document.body.append(e);
});

// form sends what a form can, without a preflight.
const form = (enctype, feature) => new Promise((done) => {
  const frame = document.createElement("iframe"), f = document.createElement("form"), field = document.createElement("input");
  frame.name = "to-" + feature;
  // The = that a form puts between name and value ends up in a string.
  const text = batch(feature), cut = text.length - 1;
  [field.name, field.value] = [text.slice(0, cut) + ',"x":"', '"}'];
  Object.assign(f, { method: "POST", enctype, action: target + "/api/v1/events", target: frame.name });
  f.append(field);
  document.body.append(frame, f);
  frame.onload = () => {
    let text = "";
    try { text = frame.contentDocument.body.innerText; } catch { /* another origin */ }
    done({ outcome: "loaded", text });
  };
  f.submit();
});

const plain = (mode, feature, type) => ask("/api/v1/events", { method: "POST", mode, body: batch(feature), headers: { "Content-Type": type } });

const attempts = {
  "read": () => ask(read),
  "read, no-cors": () => ask(read, { mode: "no-cors" }),
  "read with credentials": () => ask(read, { credentials: "include" }),
  "read with a header": () => ask(read, { headers: { "X-Request-ID": "mine" } }),
  "read events": () => ask("/api/v1/events"),
  "read metrics": () => ask("/metrics"),
  "read health": () => ask("/health"),
  "read the document": () => ask("/openapi.json"),
  "write JSON": () => plain("cors", "json", "application/json"),
  "write JSON, no-cors": () => plain("no-cors", "json-no-cors", "application/json"),
  "write text": () => plain("cors", "text", "text/plain"),
  "write text, no-cors": () => plain("no-cors", "text-no-cors", "text/plain"),
  "write a form's type, no-cors": () => plain("no-cors", "form-no-cors", "application/x-www-form-urlencoded"),
  "write a type that is not one": () => plain("no-cors", "odd-type", "text/plain; application/json"),
  "write a typeless blob": () => ask("/api/v1/events", { method: "POST", mode: "no-cors", body: new Blob([batch("blob")]) }),
  "write by beacon": async () => ({ outcome: String(navigator.sendBeacon(target + "/api/v1/events", new Blob([batch("beacon")], { type: "text/plain" }))) }),
  "write JSON by beacon": async () => ({ outcome: String(navigator.sendBeacon(target + "/api/v1/events", new Blob([batch("beacon-json")], { type: "application/json" }))) }),
  "write by a text form": () => form("text/plain", "form-text"),
  "write by a form": () => form("application/x-www-form-urlencoded", "form-url"),
  "write by a multipart form": () => form("multipart/form-data", "form-multipart"),
  "write when the page is left": () => ask("/api/v1/events", { method: "POST", mode: "no-cors", keepalive: true, body: batch("keepalive"), headers: { "Content-Type": "text/plain" } }),
  "put a price": () => ask("/api/v1/prices", { method: "PUT", body: price, headers: { "Content-Type": "application/json" } }),
  "delete a price": () => ask("/api/v1/prices?provider=own&model=kept", { method: "DELETE" }),
  "override the method": () => ask("/api/v1/prices?provider=own&model=kept", { method: "POST", mode: "no-cors", body: "_method=DELETE", headers: { "Content-Type": "application/x-www-form-urlencoded" } }),
  "pretend a proxy": () => ask(read, { headers: { "X-Forwarded-Host": "localhost" } }),
  "script": () => element("script", { src: target + read }),
  "module": () => element("script", { src: target + read, type: "module" }),
  "import": () => import(target + read).then(() => ({ outcome: "loaded", text: "module" })),
  "style": () => element("link", { rel: "stylesheet", href: target + read }),
  "image": () => element("img", { src: target + read }),
  "image with CORS": () => element("img", { crossOrigin: "anonymous", src: target + read }),
  "audio": () => element("audio", { src: target + read, autoplay: true }),
  "frame": () => element("iframe", { src: target + read }),
  "object": () => element("object", { data: target + read }),
  "embed": () => element("embed", { src: target + read }),
  "worker": async () => {
    const w = new Worker(URL.createObjectURL(new Blob([`importScripts(${JSON.stringify(target + read)})`])));
    return new Promise((done) => { w.onerror = (e) => done({ outcome: "error", text: e.message }); });
  },
  "window": async () => {
    const w = window.open(target + read);
    if (!w) return { outcome: "blocked" };
    await new Promise((done) => setTimeout(done, 500));
    try { return { outcome: "opened", text: w.document.body.innerText }; } finally { w.close(); }
  },
  "server-sent events": () => new Promise((done) => {
    const s = new EventSource(target + "/api/v1/stream/costs");
    s.onopen = () => done({ outcome: "open", text: "stream" });
    s.onerror = () => { s.close(); done({ outcome: "error" }); };
  }),
  "events as a stream": () => new Promise((done) => {
    const s = new EventSource(target + "/api/v1/events");
    s.onopen = () => done({ outcome: "open", text: "stream" });
    s.onerror = () => { s.close(); done({ outcome: "error" }); };
  }),
  "socket": () => new Promise((done) => {
    const s = new WebSocket(socket + "/ws");
    s.onopen = () => done({ outcome: "open", text: "socket" });
    s.onerror = () => done({ outcome: "error" });
  }),
  "socket to a route": () => new Promise((done) => {
    const s = new WebSocket(socket + "/api/v1/events");
    s.onopen = () => done({ outcome: "open", text: "socket" });
    s.onerror = () => done({ outcome: "error" });
  }),
  "sizes in the page's timing": async () => {
    const sizes = performance.getEntriesByType("resource").filter((e) => e.name.startsWith(target) && !e.name.startsWith(location.origin))
      .map((e) => e.encodedBodySize + e.decodedBodySize + e.transferSize).filter((n) => n > 0);
    return { outcome: "measured", text: sizes.length ? "sizes " + sizes : "" };
  },
};

addEventListener("load", async () => {
  const results = {};
  // A rebinding page begins when its name leads to the server.
  if (settings.get("wait")) await fetch(settings.get("wait"), { mode: "no-cors" });
  for (const [what, attempt] of Object.entries(attempts)) {
    try {
      const { outcome, text } = await within(4000, attempt());
      results[what] = { outcome, text: text || "" };
    } catch (e) {
      results[what] = { outcome: String(e), text: "" };
    }
  }
  await fetch(report, { method: "POST", mode: "no-cors", body: JSON.stringify(results) });
});
