// The case as NiiVue shows it, where that is installed and the browser has WebGL: the image in three dimensions, and in
// it the mask or the prediction. For volumes that are sent whole.
"use strict";

// What NiiVue is given: no element.
ALEASEG.scene = (() => {
  const CODES = { "|u1": [2, 8], "<u1": [2, 8], "<i2": [4, 16], "<u2": [512, 16], "<i4": [8, 32], "<f4": [16, 32] };

  // A volume as a NIfTI file. `affine`: of array indices to mm, slowest axis first; null where nobody knows.
  function file({ bytes, kind, shape }, affine, spacing) {
    const found = new Uint8Array(352 + bytes.byteLength);
    const view = new DataView(found.buffer);
    const [type, bits] = CODES[kind];
    view.setInt32(0, 348, true);
    [3, shape[2], shape[1], shape[0], 1, 1, 1, 1].forEach((size, k) => view.setInt16(40 + 2 * k, size, true));
    view.setInt16(70, type, true);
    view.setInt16(72, bits, true);
    [1, spacing[2], spacing[1], spacing[0]].forEach((mm, k) => view.setFloat32(76 + 4 * k, mm, true));
    view.setFloat32(108, 352, true);
    view.setFloat32(112, 1, true);
    view.setUint8(123, 2);
    view.setInt16(254, 1, true);
    const rows = affine || [[0, 0, spacing[2], 0], [0, -spacing[1], 0, 0], [-spacing[0], 0, 0, 0]];
    // The files's axes are the array's, the fastest first.
    rows.slice(0, 3).forEach(([d, h, w, at], row) => [w, h, d, at].forEach((mm, k) => view.setFloat32(280 + 16 * row + 4 * k, mm, true)));
    view.setUint32(344, 0x6e2b3100, false);
    found.set(new Uint8Array(bytes), 352);
    return found;
  }

  // RGBA of every value from 0: what belongs to no class that is shown is clear.
  function colours(classes, hidden) {
    const most = Math.max(1, ...classes.flatMap((one) => one.values));
    const found = Array.from({ length: 4 * (most + 1) }, () => 0);
    for (const one of classes) {
      if (hidden.has(one.name)) continue;
      for (const value of one.values) [1, 3, 5].forEach((from, k) => { found[4 * value + k] = parseInt(one.mask.slice(from, from + 2), 16); found[4 * value + 3] = 255; });
    }
    return found;
  }

  // A document of NiiVue. `layers`: [{name, content (base64), window, lut}], the image first.
  const of = (layers) => ({
    title: layers[0].name,
    opts: { sliceType: 4, isColorbar: false, isOrientCube: true, show3Dcrosshair: false, meshThicknessOn2D: "infinity", logLevel: "error" },
    sceneData: { azimuth: 150, elevation: 20 },
    imageOptionsArray: layers.map(({ name, window, lut }) => ({
      name: `${name}.nii`, url: "", opacity: lut ? 0.9 : 1, colormap: "gray", ...(window ? { cal_min: window[0], cal_max: window[1] } : {}),
      ...(lut ? { colormapLabel: { lut, min: 0, max: lut.length / 4 - 1, labels: [] } } : {}),
    })),
    encodedImageBlobs: layers.map((one) => one.content),
    meshOptionsArray: [], meshDataObjects: [], connectomes: [], labels: [],
  });

  return { file, colours, of };
})();

ALEASEG.niivue = (classes) => {
  const { scene } = ALEASEG;
  let widget = null; // {element, take}: one for the page, since there is one NiiVue behind it

  function possible(image) {
    if (!image.whole) return false;
    const pen = document.createElement("canvas").getContext("webgl2");
    if (!pen) return false;
    const most = pen.getParameter(pen.MAX_3D_TEXTURE_SIZE);
    const lose = pen.getExtension("WEBGL_lose_context");
    if (lose) lose.loseContext();
    return Math.max(...image.shape) <= most;
  }

  // The widget talks to a notebook's model; this is one that knows as much as it needs.
  async function made(height) {
    const heard = {};
    let loaded = false;
    const state = { height, opts: { logLevel: "error" }, volumes: [], meshes: [], draw_opacity: 0.8, overlay_outline_width: 0, overlay_alpha_shader: 1, background_masks_overlays: 0 };
    const model = {
      get: (name) => (name in state ? state[name] : null),
      set: (name, value) => { state[name] = value; },
      save_changes: () => {},
      send: (said) => { if (said.event === "document_loaded") loaded = true; },
      on: (name, does) => { (heard[name] ||= []).push(does); },
      off: (name) => { delete heard[name]; },
      widget_manager: { get_model: () => Promise.reject(new Error("no notebook")) },
    };
    const element = document.createElement("div");
    element.className = "niivue";
    const { default: face } = await import("/niivue.js");
    return {
      element,
      start: async () => { await face.initialize({ model }); await face.render({ model, el: element }); },
      take: async (made_) => {
        loaded = false;
        const bytes = new TextEncoder().encode(JSON.stringify(made_));
        for (const does of heard["msg:custom"]) await does({ type: "load_document_from_url", data: ["local>case.nvd"] }, [new DataView(bytes.buffer)]);
        if (!loaded) throw new Error("NiiVue did not take the case");
      },
    };
  }

  async function layer(hash, kind, channel, image) {
    const answer = await fetch(`/api/case/${hash}/whole/${kind}?channel=${channel}`);
    if (answer.status !== 200) throw new Error(`the ${kind} did not come`);
    const found = { bytes: await answer.arrayBuffer(), kind: answer.headers.get("x-kind"), shape: image.shape };
    return base64(scene.file(found, image.affine, image.spacing_mm));
  }

  const base64 = (bytes) => new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(new Blob([bytes]));
  });

  async function draw(box, hash, image, marked, hidden, { channel, window }, wanted) {
    if (!wanted()) return;
    const layers = [{ name: "image", window, content: await layer(hash, "image", channel, image) }];
    // What is marked stays in NiiVue until something takes its place: nothing is a clear mask.
    const lut = scene.colours(classes, marked ? hidden : new Set(classes.map((one) => one.name)));
    if (marked || image.mask) layers.push({ name: marked || "mask", lut, content: await layer(hash, marked || "mask", 0, image) });
    const first = !widget;
    widget ||= await made(Math.max(240, Math.min(540, Math.round(0.55 * innerHeight))));
    if (!wanted()) return;
    box.replaceChildren(widget.element);
    if (first) await widget.start();
    await widget.take(scene.of(layers));
    widget.element.querySelector("canvas").focus();
  }

  // Show a case within `box`, one after the other, as long as it is `wanted()`. `marked`: "mask", "prediction" or "";
  // `seen`: {channel, window}.
  let line = Promise.resolve();
  function show(...asked) {
    line = line.catch(() => {}).then(() => draw(...asked));
    return line;
  }

  return { possible, show };
};
