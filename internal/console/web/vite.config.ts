import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** ahead has the browser fetch at once what the entry imports a moment later. */
const ahead: Plugin = {
  name: "ahead",
  transformIndexHtml: {
    order: "post",
    handler(_html, { bundle }) {
      const program = Object.values(bundle ?? {}).find((c) => c.type === "chunk" && c.name === "main");
      return program ? [{ tag: "link", attrs: { rel: "modulepreload", crossorigin: true, href: `/${program.fileName}` }, injectTo: "head" as const }] : [];
    },
  },
};

// The build goes where the Go package embeds it from. `npm run dev` speaks to a
// server on this machine: DROVER_API=https://localhost:7440.
export default defineConfig({
  plugins: [react(), ahead],
  resolve: { alias: { "~": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    outDir: "../dist/app",
    emptyOutDir: true,
    target: "es2022",
    // One stylesheet: compressed it is small, and a page that is opened waits for none of its own.
    cssCodeSplit: false,
    // The policy of the page forbids data: in scripts and fonts stay files.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 650, // KB: the program that all pages share, and the first page
  },
  server: {
    proxy: Object.fromEntries(
      ["/v1", "/api", "/openapi.json"].map((path) => [
        path,
        { target: process.env.DROVER_API ?? "https://localhost:7440", secure: false, changeOrigin: true },
      ]),
    ),
  },
  test: { environment: "node", include: ["src/**/*.test.ts", "src/**/*.test.tsx"] },
});
