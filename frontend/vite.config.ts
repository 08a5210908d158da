import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Where `npm run dev` finds the API; the pages' own paths are Vite's.
const API = process.env.WEIR_URL ?? "http://127.0.0.1:8000";
const ASKED = ["/analytics", "/api", "/social/", "/media", "/pages", "/docs", "/openapi.json"];

export default defineConfig({
  plugins: [react(), tailwindcss()],
  build: {
    target: "es2023",
    // The Content Security Policy takes nothing from data: but pictures.
    assetsInlineLimit: 0,
    // Reads ?url and the like of its own bundle only.
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: Object.fromEntries(ASKED.map((path) => [path, { target: API, changeOrigin: true }])),
  },
});
