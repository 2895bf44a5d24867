import pc from 'picocolors';

/** Colours belong on a terminal only; picocolors by itself also takes CI=true for one. NO_COLOR is respected. */
export function colorsFor(output: { readonly isTTY?: boolean }): ReturnType<typeof pc.createColors> {
  return pc.createColors(output.isTTY === true && pc.isColorSupported);
}
