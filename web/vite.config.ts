import { readdirSync, readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

/** The service that `npm run dev` passes API calls on to. */
const SERVICE = process.env["MIDI_LLM_SERVICE"] ?? "http://127.0.0.1:8000";

/** Packages whose code is in the pages, those within the engraver's own bundle included. */
const SHIPPED = [
  "spessasynth_lib", "spessasynth_core", "opensheetmusicdisplay", "vexflow", "jszip", "pako", "lie", "immediate", "loglevel", "typescript-collections",
];

/** Puts the licences of what is shipped beside the pages. */
function licences(): Plugin {
  return {
    name: "licences",
    apply: "build",
    generateBundle() {
      const texts = SHIPPED.map((name) => {
        const folder = new URL(`node_modules/${name}/`, import.meta.url);
        const files = readdirSync(folder).filter((file) => /^licen[cs]e/i.test(file));
        if (files.length === 0) this.error(`${name} has no licence file`);
        return [name, ...files.map((file) => readFileSync(new URL(file, folder), "utf8"))].join("\n\n");
      });
      this.emitFile({ type: "asset", fileName: "assets/licences.txt", source: texts.join(`\n\n${"-".repeat(80)}\n\n`) });
    },
  };
}

export default defineConfig({
  base: "/",
  plugins: [licences()],
  build: {
    outDir: "../src/midi_llm/server/studio",
    emptyOutDir: true,
    assetsDir: "assets",
    target: "es2022",
    chunkSizeWarningLimit: 2000, // the staff view's engraver, loaded only when it is opened
  },
  server: { proxy: { "/v1": SERVICE, "/healthz": SERVICE } },
});
