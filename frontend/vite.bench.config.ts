import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** What `make bench` measures of the charts; nobody is served it. */
export default defineConfig({
  root: "bench",
  base: "./",
  publicDir: false,
  plugins: [react(), tailwindcss()],
  build: { target: "es2023", outDir: "../dist-bench", emptyOutDir: true },
});
