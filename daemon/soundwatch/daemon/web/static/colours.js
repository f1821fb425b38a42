// Colors of the theme for drawings, and a color ramp from the background over the accent to the brightest color.

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

// 256 colors as [r, g, b].
export function ramp() {
  const stops = ["--ramp-0", "--ramp-1", "--ramp-2", "--ramp-3", "--ramp-4"].map((name) => rgb(colour(name)));
  return Array.from({ length: 256 }, (_, place) => {
    const at = (place / 255) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    return stops[low].map((value, channel) => Math.round(value + (stops[low + 1][channel] - value) * (at - low)));
  });
}
