// A scale bar of a round length between 60 and 160 CSS pixels.

/** {length in micrometres, text, pixels} for a size of one screen pixel in micrometres. */
export function scaleBar(micrometersPerPixel) {
  const longest = micrometersPerPixel * 160;
  const power = 10 ** Math.floor(Math.log10(longest));
  const length = [5, 2, 1].map((n) => n * power).find((n) => n <= longest);
  const [factor, unit] = length < 1 ? [1e3, "nm"] : length < 1e3 ? [1, "µm"] : length < 1e6 ? [1e-3, "mm"] : [1e-4, "cm"];
  return { length, text: `${Number((length * factor).toPrecision(3))} ${unit}`, pixels: length / micrometersPerPixel };
}
