// Bundles src/main.js into one ES module and writes the notices of what went in beside it.
// Usage: node build.mjs [folder for viewer.js and viewer.LICENSES.txt; default ../assets]
import { build } from "esbuild";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "..", "assets"));

const result = await build({
  absWorkingDir: here,
  entryPoints: ["src/main.js"],
  outfile: join(out, "viewer.js"),
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  charset: "utf8",
  metafile: true,
  plugins: [
    {
      // src/codecs.js decodes in zarrita's stead; its WebAssembly stays out.
      name: "no-numcodecs",
      setup(build) {
        build.onResolve({ filter: /^numcodecs\// }, ({ path }) => ({ path, namespace: "left-out" }));
        build.onLoad({ filter: /.*/, namespace: "left-out" }, () => ({ contents: "export default null;" }));
      },
    },
  ],
  banner: { js: "// Slidebox viewer, Apache-2.0. Third-party notices: viewer.LICENSES.txt" },
});

const packages = new Set();
for (const path of Object.keys(result.metafile.inputs)) {
  const found = path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//);
  if (found) packages.add(found[1]);
}
let notices = "viewer.js contains these packages.\n";
for (const name of [...packages].sort()) {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((f) => /^licen[sc]e/i.test(f));
  notices += `\n${"=".repeat(78)}\n${name} ${version} (${license})\n\n`;
  notices += file ? readFileSync(join(folder, file), "utf8").trim() + "\n" : "";
}
writeFileSync(join(out, "viewer.LICENSES.txt"), notices);
