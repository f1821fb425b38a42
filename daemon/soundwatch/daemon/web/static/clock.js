// The present time by soundwatch's clock, which all its times are by. A browser's own clock may differ by hours or days, as
// from that of a machine that has been without power and has no network.

const LEAST_MS = 60000;
const KEPT_MS = 30000; // so that a difference around a minute, which varies by a second, changes nothing twice
let aheadMs = 0; // of soundwatch's clock

export const present = () => Date.now() + aheadMs;
export const clocksDifferS = () => Math.abs(aheadMs) / 1000;

// Compares the clocks by the health of soundwatch; returns whether the present time has changed.
export function compareClocks({ started, uptime_s }) {
  const foundMs = Date.parse(started) + 1000 * uptime_s - Date.now();
  const newMs = Math.abs(foundMs) < (aheadMs ? KEPT_MS : LEAST_MS) ? 0 : foundMs;
  if (Math.abs(newMs - aheadMs) < LEAST_MS) return false;
  aheadMs = newMs;
  return true;
}
