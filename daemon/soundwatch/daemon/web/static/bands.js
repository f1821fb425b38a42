// The bands of the spectrogram.

// Center frequency of each band in hertz, from the front end of the model.
export function bandsHz(features) {
  const slaney = features.mel_scale === "slaney";
  const logStep = Math.log(6.4) / 27;
  const toMel = (hz) => {
    if (!slaney) return 2595 * Math.log10(1 + hz / 700);
    return hz < 1000 ? (3 * hz) / 200 : 15 + Math.log(hz / 1000) / logStep;
  };
  const toHz = (mel) => {
    if (!slaney) return 700 * (10 ** (mel / 2595) - 1);
    return mel < 15 ? (200 * mel) / 3 : 1000 * Math.exp((mel - 15) * logStep);
  };
  const [low, high] = [toMel(features.mel_min_hz), toMel(features.mel_max_hz)];
  return Array.from({ length: features.n_mels }, (_, band) => toHz(low + ((band + 1) * (high - low)) / (features.n_mels + 1)));
}
