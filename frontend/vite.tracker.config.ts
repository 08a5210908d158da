import { defineConfig } from "vite";

/** The tracker: one script without modules, for any website. */
export default defineConfig({
  publicDir: false,
  build: {
    target: "es2018",
    emptyOutDir: false,
    lib: {
      entry: "tracker/weir.ts",
      formats: ["iife"],
      name: "weirTracker",
      fileName: () => "weir.js",
    },
  },
});
