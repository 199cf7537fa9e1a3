// Events on their way to the server. Each stays in this browser until the server has it on its disk.
"use strict";

// `key`: of the run; `post(events)` is a promise of {status, body}; `store` is what localStorage is.
ALEASEG.outbox = (key, post, store = localStorage, later = (call, ms) => setTimeout(call, ms)) => {
  const NAME = `aleaseg unsent ${key} `;
  const MANY = 50;
  const listeners = [];
  const unsent = new Map(); // uuid -> event, in the order in which they happened
  let busy = false;
  let problem = ""; // why the last attempt failed
  let refused = ""; // what will never be taken; said as long as the page lasts
  let waits = 0;

  for (let place = 0; place < store.length; place += 1) {
    const name = store.key(place);
    if (!name.startsWith(NAME)) continue;
    try {
      const event = JSON.parse(store.getItem(name));
      unsent.set(event.uuid, event);
    } catch { // not ours
    }
  }
  const old = [...unsent.values()].sort((a, b) => (a.at < b.at ? -1 : 1));
  unsent.clear();
  for (const event of old) unsent.set(event.uuid, event);

  function add(event) {
    unsent.set(event.uuid, event);
    try {
      store.setItem(NAME + event.uuid, JSON.stringify(event));
    } catch { // no room, or no storage: it lasts as long as the page does
    }
    tell();
    return flush();
  }

  function gone(uuid) {
    unsent.delete(uuid);
    store.removeItem(NAME + uuid);
  }

  // Send what is there, in order; again and again until the server has it.
  async function flush() {
    if (busy || !unsent.size) return;
    busy = true;
    const some = [...unsent.values()].slice(0, MANY);
    let again = 0;
    try {
      const { status, body } = await post(some);
      if (status === 200) {
        for (const uuid of body.saved) gone(uuid);
        [problem, waits] = ["", 0];
        for (const listen of listeners) listen(api, body);
      } else if ((status === 422 || status === 409) && some.length > 1) {
        await oneByOne(some);
      } else if (status === 422 || status === 409) {
        refuse(some[0], body);
      } else {
        problem = body && body.error ? body.error : `the server answered ${status}`;
        again = wait();
      }
    } catch {
      problem = "the server does not answer";
      again = wait();
    }
    busy = false;
    tell();
    if (again) later(flush, again);
    else if (unsent.size) await flush();
  }

  async function oneByOne(some) {
    [problem, waits] = ["", 0];
    for (const event of some) {
      const { status, body } = await post([event]);
      if (status === 200) gone(event.uuid);
      else if (status === 422 || status === 409) refuse(event, body);
      else return;
    }
  }

  // It will never be taken: kept out of the way of the others, and said.
  function refuse(event, body) {
    gone(event.uuid);
    refused = `one decision was refused: ${body && body.error}`;
  }

  function wait() {
    waits += 1;
    return Math.min(15000, 500 * 2 ** waits);
  }

  function tell() {
    for (const listen of listeners) listen(api, null);
  }

  const api = {
    add, flush,
    get count() { return unsent.size; },
    get problem() { return [problem, refused].filter(Boolean).join("; "); },
    events: () => [...unsent.values()],
    on: (listen) => listeners.push(listen),
  };
  return api;
};
