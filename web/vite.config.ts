import { defineConfig } from "vite";

/** The service that `npm run dev` passes API calls on to. */
const SERVICE = process.env["MIDI_LLM_SERVICE"] ?? "http://127.0.0.1:8000";

export default defineConfig({
  base: "/",
  build: {
    outDir: "../src/midi_llm/server/studio",
    emptyOutDir: true,
    assetsDir: "assets",
    target: "es2022",
    chunkSizeWarningLimit: 2000, // the staff view's engraver, loaded only when it is opened
  },
  server: { proxy: { "/v1": SERVICE, "/readyz": SERVICE } },
});
